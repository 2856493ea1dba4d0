"""Muon straightens, and is PyTorch's Muon where PyTorch has one."""

import copy

import pytest
import torch

from llmbook.optim import AdamW, Muon, inner_matrices, split_parameters, straighten

from .models import learn, small_gpt, weights

HAS_PEER = hasattr(torch.optim, "Muon")


@pytest.mark.parametrize("shape", [(6, 6), (6, 20), (20, 6), (3, 6, 20), (3, 20, 6)])
def test_singular_values_come_near_one(shape):
    torch.manual_seed(0)
    G = torch.randn(shape, dtype=torch.float64)
    U, _, V = torch.linalg.svd(G, full_matrices=False)
    new = U.mT @ straighten(G) @ V.mT
    after = new.diagonal(dim1=-2, dim2=-1)
    assert ((after > 0.5) & (after < 1.3)).all()  # the directions are kept
    torch.testing.assert_close(new, torch.diag_embed(after), rtol=0, atol=1e-9)


def test_the_size_of_a_gradient_does_not_matter():
    G = torch.randn(8, 5, dtype=torch.float64)
    torch.testing.assert_close(straighten(1e3 * G), straighten(G))
    assert torch.equal(straighten(torch.zeros(4, 5)), torch.zeros(4, 5))


@pytest.mark.skipif(not HAS_PEER, reason="this PyTorch has no Muon")
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_equals_torch_in_double_precision(decay, monkeypatch):
    # PyTorch's straightens in bfloat16; here it is made to keep double precision
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self.clone())
    rates = {"lr": 0.02, "momentum": 0.95, "weight_decay": decay}
    mine, theirs = small_gpt(), small_gpt()
    one = Muon(inner_matrices(mine), **rates)
    other = torch.optim.Muon(inner_matrices(theirs), **rates)
    assert learn(mine, [one]) == pytest.approx(learn(theirs, [other]), abs=1e-10)
    torch.testing.assert_close(weights(mine), weights(theirs), rtol=0, atol=1e-10)


@pytest.mark.skipif(not HAS_PEER, reason="this PyTorch has no Muon")
def test_near_torch_as_it_is():
    rates = {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.1}
    mine, theirs = small_gpt(torch.float32), small_gpt(torch.float32)
    one = Muon(inner_matrices(mine), precision=torch.bfloat16, **rates)
    other = torch.optim.Muon(inner_matrices(theirs), **rates)
    ours, peers = learn(mine, [one]), learn(theirs, [other])
    assert ours == pytest.approx(peers, abs=0.02)


def test_a_saved_state_goes_on():
    straight = small_gpt()
    optimizer = Muon(inner_matrices(straight))
    learn(straight, [optimizer], 3)
    later = copy.deepcopy(straight)
    again = Muon(inner_matrices(later))
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    learn(straight, [optimizer], 3), learn(later, [again], 3)
    assert torch.equal(weights(straight), weights(later))


def test_inner_matrices_and_the_others():
    model = small_gpt()
    inner = inner_matrices(model)
    assert len(inner) == 4 * 2 and {p.dim() for p in inner} == {2}
    outer = [p for g in split_parameters(model, 0.1, inner) for p in g["params"]]
    assert len(inner) + len(outer) == len(list(model.parameters()))
    assert any(p is model.wte.weight for p in outer)
    before = weights(model)
    learn(model, [Muon(inner), AdamW(outer)], 1)
    assert (weights(model) != before).float().mean() > 0.9


def test_a_closure_is_called():
    p = torch.nn.Parameter(torch.eye(2))

    def closure():
        p.grad = None
        (p**2).sum().backward()
        return (p**2).sum()

    assert Muon([p]).step(closure).item() == 2


@pytest.mark.parametrize(
    ("shape", "given", "error", "says"),
    [
        ((3,), {}, ValueError, r"\(3,\).*AdamW"),
        ((3, 3), {"lr": -1.0}, ValueError, "lr is -1.0"),
        ((3, 3), {"momentum": True}, TypeError, "momentum is True"),
    ],
)
def test_the_door(shape, given, error, says):
    with pytest.raises(error, match=says):
        Muon([torch.nn.Parameter(torch.ones(shape))], **given)
