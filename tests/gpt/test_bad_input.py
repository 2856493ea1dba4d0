"""What cannot be done is refused by one error: what was given, and what to do."""

from dataclasses import replace

import pytest
import torch

from llmbook.gpt import GPT, GPTConfig

from .peer import SmallCache

TINY = GPTConfig(vocab_size=11, context_length=8, n_layer=1, n_head=2, n_embd=8)


@pytest.fixture(scope="module")
def model():
    return GPT(TINY)


def refused(match, kind=ValueError):
    return pytest.raises(kind, match=match)


@pytest.mark.parametrize("n_head", [3, 5, 16])
def test_heads_that_do_not_divide(n_head):
    with refused(f"{n_head} heads cannot share a width of 8 .*: choose an n_head"):
        replace(TINY, n_head=n_head)


@pytest.mark.parametrize("value", [0, -1, 1.5, "4", None, True])
@pytest.mark.parametrize(
    "name", ["vocab_size", "context_length", "n_layer", "n_head", "n_embd"]
)
def test_sizes_that_are_none(name, value):
    with refused(f"{name} is {value!r}: give a whole number from 1 up"):
        replace(TINY, **{name: value})


@pytest.mark.parametrize("dropout", [-0.1, 1, 1.5, float("nan")])
def test_dropout(dropout):
    with refused("dropout is .*: give 0, or a share below 1"):
        replace(TINY, dropout=dropout)


def test_gelu():
    with refused("gelu is 'relu': choose 'tanh' or 'none'"):
        replace(TINY, gelu="relu")


def test_no_such_gpt2():
    with refused("no GPT-2 is called 'huge': choose of small, medium, large, xl"):
        GPTConfig.gpt2("huge")


def test_rotary_needs_pairs():
    with refused("heads of width 3"):
        GPT(replace(TINY, n_embd=6, rotary=True))


def test_too_long(model):
    assert model(torch.zeros(1, 8, dtype=torch.long)).shape == (1, 8, 11)
    with refused("9 tokens, and this model looks at 8 at most: give fewer"):
        model(torch.zeros(1, 9, dtype=torch.long))


@pytest.mark.parametrize("bad", [-1, 11, 10**9])
def test_ids_outside_the_vocabulary(model, bad):
    with refused(r"ids from .*, and the vocabulary has 0 to 10: is this"):
        model(torch.tensor([[0, bad, 10]]))


@pytest.mark.parametrize("shape", [(8,), (), (1, 2, 3), (0, 4), (2, 0), (0,)])
def test_shapes(model, shape):
    with refused(r"tokens have the shape \(.*\): give \(B, T\)"):
        model(torch.zeros(shape, dtype=torch.long))


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.bool, torch.uint8]
)
def test_no_ids(model, dtype):
    with refused(r"tokens are numbers of the type torch.*: give ids", TypeError):
        model(torch.zeros(1, 4, dtype=dtype))


@pytest.mark.parametrize("tokens", [[[1, 2]], "text", None, 3])
def test_no_tensor(model, tokens):
    with refused("tokens are of the type .*: give a tensor of ids", TypeError):
        model(tokens)


def test_both_kinds_of_whole_numbers(model):
    tokens = torch.tensor([[1, 2, 3]])
    assert torch.equal(model(tokens), model(tokens.int()))


@pytest.mark.parametrize("n", [0, 2, 12])
def test_a_cache_of_another_depth(model, n):
    cache = [SmallCache() for _ in range(n)]
    with refused(f"a cache for {n} layers, and this model has 1: give one memory"):
        model(torch.tensor([[1, 2, 3]]), cache)
    assert not any(each.length for each in cache)
