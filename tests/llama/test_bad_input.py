"""What cannot be is refused by one error: what was given, and what to do."""

import pytest
import torch

from llmbook.llama import Llama, LlamaConfig, RopeScaling

TINY = {"vocab_size": 11, "context_length": 8, "n_layer": 1, "n_head": 4, "n_embd": 16}


def refused(match):
    return pytest.raises(ValueError, match=match)


def test_heads_that_do_not_divide():
    with refused("4 heads cannot share a width of 18 equally: choose an n_head"):
        LlamaConfig(**TINY | {"n_embd": 18})
    assert LlamaConfig(**TINY | {"n_embd": 18}, head_width=8).head_width == 8


@pytest.mark.parametrize("n_kv_head", [3, 5, 8])
def test_groups_that_do_not_divide(n_kv_head):
    with refused(f"{n_kv_head} heads of keys and values cannot serve 4 heads equally"):
        LlamaConfig(**TINY, n_kv_head=n_kv_head)


@pytest.mark.parametrize("changes", [{"n_embd": 12}, {"head_width": 5}])
def test_heads_without_pairs(changes):
    with refused("heads of width [35] have no pairs to turn: choose an even width"):
        LlamaConfig(**TINY | changes)


def test_more_active_than_there_are():
    with refused("3 of 2 experts cannot be active: choose an n_expert_active of"):
        LlamaConfig(**TINY, n_expert=2, n_expert_active=3)


@pytest.mark.parametrize("window", [0, -1, 2.5, "4", True])
def test_windows(window):
    with refused(f"window is {window!r}: give a whole number from 1 up, or None"):
        LlamaConfig(**TINY, window=window)


@pytest.mark.parametrize("value", [0, -1, 1.5, "4", True])
@pytest.mark.parametrize("name", [*TINY, "n_kv_head", "n_hidden", "head_width"])
def test_sizes_that_are_none(name, value):
    with refused(f"{name} is {value!r}: give a whole number from 1 up"):
        LlamaConfig(**TINY | {name: value})


@pytest.mark.parametrize("name", TINY)
def test_sizes_that_must_be_given(name):
    with refused(f"{name} is None: give a whole number from 1 up$"):
        LlamaConfig(**TINY | {name: None})


@pytest.mark.parametrize("value", [-1, 0.5, None])
def test_numbers_of_experts(value):
    with refused(f"n_expert is {value!r}: give a whole number from 0 up"):
        LlamaConfig(**TINY, n_expert=value)


@pytest.mark.parametrize("name", ["rope_base", "norm_eps", "balance"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "1", None])
def test_numbers(name, value):
    with refused(f"{name} is {value!r}: give a number"):
        LlamaConfig(**TINY, **{name: value})


def test_a_base_that_turns_nothing():
    with refused("rope_base is 1: give a number above 1"):
        LlamaConfig(**TINY, rope_base=1)


@pytest.mark.parametrize(
    "changes",
    [{"factor": 0.5}, {"factor": 8.0, "low": 4.0}, {"factor": 8.0, "original": 0}],
)
def test_scalings_that_cannot_be(changes):
    with refused("cannot be: give a factor from 1 up, 0 < low < high"):
        RopeScaling(**changes)


def test_a_scaling_of_another_kind():
    with refused("rope scaling is of the kind 'yarn': known are 'linear' and 'llama3'"):
        RopeScaling(2.0, "yarn")


@pytest.mark.parametrize("family", ["llama2", "llama3", "qwen3"])
def test_no_such_size(family):
    with refused("is called '9b': choose of"):
        getattr(LlamaConfig, family)("9b")


def test_tokens():
    model = Llama(LlamaConfig(**TINY))
    with refused("9 tokens, and this model looks at 8 at most: give fewer"):
        model(torch.zeros(1, 9, dtype=torch.long))
    with refused("ids from 0 to 11, and the vocabulary has 0 to 10"):
        model(torch.tensor([[0, 11]]))
    with refused(r"tokens have the shape \(8,\): give \(B, T\)"):
        model(torch.zeros(8, dtype=torch.long))
