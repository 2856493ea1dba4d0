"""The loss is PyTorch's, with a door that says what does not fit."""

import math

import pytest
import torch
from torch.nn import functional as F

from llmbook.optim import cross_entropy


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_equals_torch(reduction, scale):
    torch.manual_seed(0)
    logits = (scale * torch.randn(3, 7, 11)).requires_grad_()
    targets = torch.randint(11, (3, 7))
    targets[1, 2:] = -100
    ours = cross_entropy(logits, targets, reduction=reduction)
    (gradient,) = torch.autograd.grad(ours.sum(), logits)
    rows, ids = logits.flatten(0, 1), targets.flatten()
    theirs = F.cross_entropy(rows, ids, reduction=reduction)
    (expected,) = torch.autograd.grad(theirs.sum(), logits)
    assert ours.shape == (targets.shape if reduction == "none" else ())
    assert torch.equal(ours.flatten(), theirs.flatten())
    assert torch.equal(gradient, expected)


def test_gradient_is_said_minus_true():
    torch.manual_seed(0)
    logits = torch.randn(5, 9, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, 8, 3, -100, 3])
    cross_entropy(logits, targets).backward()
    said_minus_true = logits.softmax(-1) - F.one_hot(targets.clamp(min=0), 9)
    said_minus_true[3] = 0
    torch.testing.assert_close(logits.grad, said_minus_true / 4, rtol=0, atol=1e-15)


def test_another_ignored_id():
    logits, targets = torch.randn(4, 5), torch.tensor([1, 0, 2, 0])
    got = cross_entropy(logits, targets, ignore_index=0)
    assert torch.allclose(got, cross_entropy(logits[::2], targets[::2]))


def test_equal_chances_cost_the_logarithm():
    loss = cross_entropy(torch.zeros(2, 3, 50), torch.zeros(2, 3, dtype=torch.int64))
    assert loss.item() == pytest.approx(math.log(50), abs=1e-6)


@pytest.mark.parametrize(
    ("logits", "targets", "error", "says"),
    [
        ((2, 3, 5), torch.zeros(2, 4).long(), ValueError, "do not fit"),
        ((5,), torch.zeros(5).long(), ValueError, "do not fit"),
        ((2, 5), torch.zeros(2), TypeError, "int64"),
        ((2, 5), torch.tensor([1, 5]), ValueError, "0 to 4"),
        ((2, 5), torch.tensor([1, -7]), ValueError, "-7 to 1"),
    ],
)
def test_the_door(logits, targets, error, says):
    with pytest.raises(error, match=says):
        cross_entropy(torch.zeros(logits), targets)


def test_a_misspelt_reduction():
    with pytest.raises(ValueError, match="median"):
        cross_entropy(torch.zeros(2, 5), torch.tensor([1, 2]), reduction="median")
