"""The schedule, and the small loop."""

import math
from dataclasses import fields
from inspect import signature
from itertools import pairwise

import pytest
import torch
from torch import nn

from llmbook.data import token_loader
from llmbook.optim import fit, learning_rate
from llmbook.training import TrainConfig

from .models import small_gpt, weights


def rates(**ways):
    return [learning_rate(step, peak=1.0, **ways) for step in range(ways["n_steps"])]


def test_warm_up_then_down():
    up = rates(n_steps=20, warmup_steps=4, shape="linear")
    assert up[:4] == [0.25, 0.5, 0.75, 1.0] and up[4] == 1.0
    assert all(a > b for a, b in pairwise(up[4:]))
    assert up[-1] == pytest.approx(1 / 16)


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_ends(shape):
    ways = {"n_steps": 10, "peak": 2.0, "shape": shape}
    assert learning_rate(0, **ways) == 2.0
    assert learning_rate(10, **ways) == pytest.approx(0)
    assert learning_rate(99, final=0.5, **ways) == pytest.approx(0.5)
    assert learning_rate(5, final=0.5, **ways) == pytest.approx(1.25)


def test_cosine_is_the_cosine():
    got = learning_rate(3, n_steps=12, peak=1.0)
    assert got == pytest.approx((1 + math.cos(math.pi / 4)) / 2)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"shape": "square"}, "square"),
        ({"warmup_steps": 11}, "11"),
        ({"warmup_steps": -1}, "-1"),
    ],
)
def test_the_door_of_the_schedule(given, says):
    with pytest.raises(ValueError, match=says):
        learning_rate(0, n_steps=10, peak=1.0, **given)


def batch():
    torch.manual_seed(3)
    tokens = torch.randint(64, (8, 17))
    return tokens[:, :-1], tokens[:, 1:]


@pytest.mark.parametrize("muon", [None, 0.05])
def test_it_learns(muon):
    model = small_gpt(torch.float32)
    rates = {"learning_rate": 1e-2, "muon_learning_rate": muon}
    losses = fit(model, [batch()], 80, **rates)
    assert len(losses) == 80 and losses[0] > 4 and losses[-1] < 0.5
    assert not model.training


def test_the_same_twice():
    first, second = small_gpt(torch.float32), small_gpt(torch.float32)
    tokens = torch.randint(64, (500,))
    losses = [fit(m, token_loader(tokens, 4, 16), 10) for m in (first, second)]
    assert losses[0] == losses[1] and torch.equal(weights(first), weights(second))


def test_look_sees_the_model_at_rest():
    model, seen = small_gpt(torch.float32, dropout=0.5), []
    fit(model, [batch()], 3, look=lambda step: seen.append((step, model.training)))
    assert seen == [(0, False), (1, False), (2, False), (3, False)]


def test_a_loader_is_gone_through_again():
    tokens = torch.randint(64, (200,))
    assert len(fit(small_gpt(torch.float32), token_loader(tokens, 4, 16), 12)) == 12


def test_what_cannot_be_gone_through_again():
    with pytest.raises(ValueError, match="no more batches"):
        fit(small_gpt(torch.float32), iter([batch()]), 2)


def test_a_loss_that_is_no_number_stops_the_run():
    class Sick(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.zeros(64, 64))
            self.calls = 0

        def forward(self, tokens):
            self.calls += 1
            return self.table[tokens] / (0.0 if self.calls > 2 else 1.0)

    model = Sick()
    with pytest.raises(ValueError, match="nan at step 2"):
        fit(model, [batch()], 9)
    assert torch.isfinite(model.table).all()


class Elsewhere:
    """A batch's tensor on another device."""

    def __init__(self, tensor):
        self.tensor, self.asked = tensor, []

    def to(self, device):
        self.asked.append(device)
        return self.tensor


def test_batches_go_to_where_the_model_is():
    model, parts = small_gpt(torch.float32), [Elsewhere(part) for part in batch()]
    assert fit(model, [parts], 2) == fit(small_gpt(torch.float32), [batch()], 2)
    assert [part.asked for part in parts] == 2 * [2 * [torch.device("cpu")]]


def test_what_both_loops_take_has_one_name():
    """Prevents a setting that has to be spelt anew in chapter 8."""
    words = [
        p.name for p in signature(fit).parameters.values() if p.kind == p.KEYWORD_ONLY
    ]
    assert set(words) - {field.name for field in fields(TrainConfig)} == {"look"}


def test_rates_that_cannot_be():
    for name in ("learning_rate", "muon_learning_rate"):
        with pytest.raises(ValueError, match="lr is -1: give a finite number"):
            fit(small_gpt(torch.float32), [batch()], 2, **{name: -1})


def test_no_steps():
    model = small_gpt(torch.float32)
    before = weights(model)
    assert fit(model, [batch()], 0) == [] and torch.equal(weights(model), before)
    with pytest.raises(TypeError):
        fit(model, [batch()], 2.5)
