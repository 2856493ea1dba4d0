"""What cannot be cut into rows is refused by one error: what came, and what to do."""

import numpy as np
import pytest
import torch

from llmbook.data import TokenDataset, token_loader

TEN = list(range(10))


def refused(match, kind=ValueError):
    return pytest.raises(kind, match=match)


def both(tokens, T, **options):
    """Two ways in: the data set and the loader."""
    yield lambda: TokenDataset(tokens, T, **options)
    yield lambda: token_loader(tokens, 2, T, **options)


@pytest.mark.parametrize(
    "tokens, kind, match",
    [
        ([], ValueError, "there are no tokens: give one row of at least two ids"),
        (np.array([], np.uint16), ValueError, "there are no tokens"),
        ([1], ValueError, "1 tokens are too few for one window: .* of 4 takes 5"),
        ([1, 2, 3, 4], ValueError, "4 tokens are too few for one window"),
        ([0.5, 1.5] * 5, TypeError, "whole numbers and these are float64"),
        (torch.ones(9), TypeError, "whole numbers and these are float"),
        (torch.ones(9, dtype=torch.bfloat16), TypeError, "whole numbers"),
        (np.ones(9, bool), TypeError, "whole numbers and these are bool"),
        (["a"] * 9, TypeError, "whole numbers and these are <U1"),
        ("a text", ValueError, "one row of ids"),
        ([TEN, TEN], ValueError, r"one row of ids, and these have the shape \(2, 10\)"),
        (torch.ones(3, 4, dtype=torch.long), ValueError, r"the shape \(3, 4\)"),
        ([TEN, [1]], ValueError, "one row of ids, not rows of rows"),
        ([1, 2, 3, -1, 5, 6], ValueError, "an id from 0 up, and here is -1"),
        (7, ValueError, "one row of ids"),
    ],
)
def test_tokens_that_are_none(tokens, kind, match):
    for make in both(tokens, 4):
        with refused(match, kind):
            make()


@pytest.mark.parametrize("T", [0, -1, 2.5, "4", None, True])
def test_context_length(T):
    for make in both(TEN, T):
        with refused(f"context_length is a whole number from 1 up, not {T!r}"):
            make()


@pytest.mark.parametrize("stride", [0, -1, 2.5])
def test_stride(stride):
    for make in both(TEN, 4, stride=stride):
        with refused(f"stride is a whole number from 1 up, not {stride}"):
            make()


def test_stride_that_leaves_tokens_out():
    for make in both(TEN, 4, stride=5):
        with refused("a stride of 5 leaves tokens out between windows of 4"):
            make()
    with refused("a stride of 5 leaves tokens out"):
        token_loader(TEN, 2, 4, stride=5, end_token=3)


@pytest.mark.parametrize(
    "options, match",
    [
        ({"batch_size": 0}, "batch_size is a whole number from 1 up, not 0"),
        ({"batch_size": 1.5}, "batch_size is a whole number from 1 up, not 1.5"),
        ({"seed": -1}, "seed is a whole number from 0 up, not -1"),
        ({"end_token": "<|endoftext|>"}, "end_token is a whole number from 0 up"),
        ({"end_token": -100}, "end_token is a whole number from 0 up, not -100"),
        ({"end_token": 99}, "the end token 99 does not occur in the tokens"),
        ({"batch_size": 9, "drop_last": True}, "drop_last leaves nothing of 3 rows"),
    ],
)
def test_loader(options, match):
    with refused(match):
        token_loader(TEN, **{"batch_size": 2, "context_length": 4, **options})


def test_an_item_that_is_not_there():
    data = TokenDataset(TEN, 4)
    with pytest.raises(IndexError):
        data[len(data)]


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 3},
        {"seed": 1},
        {"shuffle": False},
        {"stride": 2},
        {"context_length": 3},
        {"drop_last": True},
        {"tokens": [*TEN, 10, 11, 12, 13]},
        {"tokens": TEN[::-1]},
        {"end_token": 4},
    ],
)
def test_a_state_of_another_loader(change):
    setup = {"tokens": TEN, "batch_size": 2, "context_length": 4}
    state = token_loader(**setup).state_dict()
    with refused("the state is of a loader with .*: set it up as that one was"):
        token_loader(**{**setup, **change}).load_state_dict(state)


@pytest.mark.parametrize(
    "state",
    [
        {},
        None,
        {"epoch": 0},
        {"epoch": -1, "batch": 0, "settings": {}},
        {"epoch": 0, "batch": 0.5, "settings": {}},
        {"epoch": 0, "batch": 0, "settings": 7},
    ],
)
def test_a_state_that_is_none(state):
    with refused("this is no state of a loader"):
        token_loader(TEN, 2, 4).load_state_dict(state)


def test_a_batch_that_is_not_there():
    loader = token_loader(TEN, 2, 4)
    with refused("there is no batch 7 in an epoch of 2"):
        loader.load_state_dict({**loader.state_dict(), "batch": 7})


def test_a_refused_state_changes_nothing():
    loader = token_loader(TEN, 1, 4)
    steps = iter(loader)
    next(steps)
    before = loader.state_dict()
    with refused("there is no batch"):
        loader.load_state_dict({**before, "epoch": 5, "batch": 99})
    assert loader.state_dict() == before
