"""Whatever is wrong is said at once, in one sentence that tells what to do."""

import math

import pytest
import torch

from llmbook.generation import (
    generate,
    next_probs,
    sample_next,
    show_knobs,
    stream,
    stream_text,
)
from llmbook.tokenizer import BPETokenizer

from .conftest import VOCAB

BAD_KNOBS = [
    ({"temperature": -1}, "temperature is -1"),
    ({"temperature": math.nan}, "temperature is nan"),
    ({"temperature": math.inf}, "temperature is inf"),
    ({"top_k": 0}, "top_k is 0"),
    ({"top_k": 2.5}, "top_k is 2.5"),
    ({"top_p": 0}, "top_p is 0"),
    ({"top_p": 1.1}, "top_p is 1.1"),
    ({"top_p": math.nan}, "top_p is nan"),
    ({"min_p": -0.1}, "min_p is -0.1"),
    ({"min_p": 2}, "min_p is 2"),
]
BAD_PENALTY = [
    ({"repetition_penalty": 0}, "repetition_penalty is 0"),
    ({"repetition_penalty": math.inf}, "repetition_penalty is inf"),
]


@pytest.mark.parametrize(("knobs", "message"), BAD_KNOBS + BAD_PENALTY)
def test_knobs(model, knobs, message):
    with pytest.raises(ValueError, match=message):
        generate(model, [[1]], 3, **knobs)
    with pytest.raises(ValueError, match=message):
        stream(model, [1], 3, **knobs)  # at once, not at the first token
    with pytest.raises(ValueError, match=message):
        sample_next(torch.zeros(1, 5), previous=[[0]], **knobs)
    if "repetition_penalty" not in knobs:
        with pytest.raises(ValueError, match=message):
            next_probs(torch.zeros(1, 5), **knobs)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([[]], "a prompt is empty"),
        ([], "a prompt is empty"),
        ([[1], []], "a prompt is empty"),
        (torch.zeros(2, 0, dtype=torch.int64), "a prompt is empty"),
        ([1, 2], "no prompt: give rows of ids"),
        (torch.tensor([1, 2]), "no prompt: give rows of ids"),
        (5, "no prompt: give rows of ids"),
        ("text", "no prompt: give rows of ids"),
        ([[1.5]], "no prompt: give rows of ids"),
        ([["a"]], "no prompt: give rows of ids"),
        (torch.zeros(1, 2), "no prompt: give rows of ids"),
        ([[1, -2]], "ids from -2 to 1, and the vocabulary has 0 to 100"),
        ([[1], [VOCAB]], "ids from 1 to 101, and the vocabulary has 0 to 100"),
    ],
    ids=str,
)
def test_prompts(model, tokens, message):
    with pytest.raises(ValueError, match=message):
        generate(model, tokens, 3)


@pytest.mark.parametrize("tokens", [[], [[1]], 5, "text", [1.5], [VOCAB]], ids=str)
def test_prompt_of_a_stream(model, tokens):
    with pytest.raises(ValueError, match=r"no prompt|is empty|vocabulary"):
        stream(model, tokens, 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stop": [[]]}, "at least one id"),
        ({"stop": "end"}, "'end' is no stop"),
        ({"stop": [[1, "x"]]}, "is no stop"),
        ({"seed": [1, 2]}, "2 seeds for 1 rows"),
        ({"max_new_tokens": -1}, "max_new_tokens is -1"),
        ({"max_new_tokens": 2.0}, "max_new_tokens is 2.0"),
    ],
    ids=str,
)
def test_the_rest(model, given, message):
    with pytest.raises(ValueError, match=message):
        generate(model, [[1]], **{"max_new_tokens": 3, **given})


def test_unknown_knobs(model):
    with pytest.raises(TypeError, match="topk"):
        stream(model, [1], 3, topk=5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("temperature", [0, 1])
def test_logits_that_are_no_numbers(bad, temperature):
    logits = torch.zeros(2, 4)
    logits[1] = bad
    with pytest.raises(ValueError, match="NaN or infinity"):
        sample_next(logits, temperature=temperature)


def test_a_penalty_needs_to_know_what_occurred():
    with pytest.raises(ValueError, match="give previous"):
        sample_next(torch.zeros(1, 4), repetition_penalty=1.2)


def test_a_foreign_id_in_a_stream_of_text():
    tokenizer = BPETokenizer.train("a", 256)
    with pytest.raises(ValueError, match="999 is no token"):
        list(stream_text(tokenizer, [97, 999]))


def test_a_picture_needs_a_label_for_each_token():
    with pytest.raises(ValueError, match="5 labels"):
        show_knobs(torch.zeros(4), list("abcde"))
