"""AdamW is PyTorch's AdamW, in the kernel and line by line."""

import copy

import pytest
import torch

from llmbook.optim import AdamW, split_parameters

from .models import learn, small_gpt, weights

RATES = {"lr": 3e-3, "betas": (0.9, 0.95), "eps": 1e-8}


class LineByLine(AdamW):
    """What runs on devices that have no kernel."""

    _with_kernel = ()


@pytest.mark.parametrize("ours", [AdamW, LineByLine])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_equals_torch_in_double_precision(ours, decay):
    mine, theirs = small_gpt(), small_gpt()
    other = torch.optim.AdamW(theirs.parameters(), weight_decay=decay, **RATES)
    one = ours(mine.parameters(), weight_decay=decay, **RATES)
    assert learn(mine, [one]) == pytest.approx(learn(theirs, [other]), abs=1e-7)
    torch.testing.assert_close(weights(mine), weights(theirs), rtol=0, atol=1e-7)


def test_equals_torch_fused_bit_for_bit_in_single_precision():
    mine, theirs = small_gpt(torch.float32), small_gpt(torch.float32)
    other = torch.optim.AdamW(theirs.parameters(), fused=True, **RATES)
    other.param_groups[0]["weight_decay"] = 0.1
    assert learn(mine, [AdamW(mine.parameters(), **RATES)]) == learn(theirs, [other])
    assert torch.equal(weights(mine), weights(theirs))


def test_groups_decay_as_they_say():
    mine, theirs = small_gpt(), small_gpt()
    one = AdamW(split_parameters(mine, 0.3), **RATES)
    other = torch.optim.AdamW(split_parameters(theirs, 0.3), **RATES)
    learn(mine, [one]), learn(theirs, [other])
    torch.testing.assert_close(weights(mine), weights(theirs), rtol=0, atol=1e-7)


@pytest.mark.parametrize("ours", [AdamW, LineByLine])
def test_a_saved_state_goes_on(ours):
    straight = small_gpt()
    optimizer = ours(straight.parameters(), **RATES)
    learn(straight, [optimizer], 5)
    later = copy.deepcopy(straight)
    again = ours(later.parameters())
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    learn(straight, [optimizer], 5), learn(later, [again], 5)
    assert torch.equal(weights(straight), weights(later))


@pytest.mark.parametrize("pair", [(AdamW, "torch"), ("torch", AdamW)])
def test_states_are_exchanged_with_torch(pair):
    def made(kind, model):
        if kind is AdamW:
            return AdamW(model.parameters(), **RATES)
        return torch.optim.AdamW(model.parameters(), weight_decay=0.1, **RATES)

    model = small_gpt()
    first = made(pair[0], model)
    learn(model, [first], 5)
    other = copy.deepcopy(model)
    second = made(pair[1], other)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    learn(model, [first], 5), learn(other, [second], 5)
    torch.testing.assert_close(weights(model), weights(other), rtol=0, atol=1e-9)


def test_what_has_no_gradient_stays():
    a, b = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    a.grad = torch.ones(3)
    optimizer = AdamW([a, b], lr=0.1)
    optimizer.step()
    assert torch.equal(b, torch.ones(3)) and not torch.equal(a, torch.ones(3))
    assert b not in optimizer.state


def test_parameters_of_two_types():
    a = torch.nn.Parameter(torch.ones(3))
    b = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    a.grad, b.grad = torch.ones(3), torch.ones(3, dtype=torch.float64)
    AdamW([a, b], lr=0.1, weight_decay=0.0).step()
    torch.testing.assert_close(a.double(), b, rtol=0, atol=1e-7)


def test_a_closure_is_called():
    p = torch.nn.Parameter(torch.tensor([1.0]))

    def closure():
        p.grad = None
        loss = (p**2).sum()
        loss.backward()
        return loss

    optimizer = AdamW([p], lr=0.1, weight_decay=0.0)
    assert optimizer.step(closure).item() == 1 and p.item() == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"lr": -1.0}, ValueError, "lr is -1.0"),
        ({"lr": "0.1"}, TypeError, "lr is '0.1'"),
        ({"eps": float("nan")}, ValueError, "eps is nan"),
        ({"weight_decay": float("inf")}, ValueError, "weight_decay is inf"),
        ({"betas": (0.9, 1.0)}, ValueError, "betas"),
        ({"betas": (0.9,)}, ValueError, "betas"),
    ],
)
def test_the_door(given, error, says):
    with pytest.raises(error, match=says):
        AdamW([torch.nn.Parameter(torch.ones(2))], **given)


def test_split_parameters():
    model = small_gpt()
    matrices, vectors = split_parameters(model, 0.2)
    assert matrices["weight_decay"] == 0.2 and vectors["weight_decay"] == 0
    assert {p.dim() for p in matrices["params"]} == {2}
    assert {p.dim() for p in vectors["params"]} == {1}
    count = len(matrices["params"]) + len(vectors["params"])
    assert count == len(list(model.parameters()))
    model.wte.weight.requires_grad_(False)
    left = split_parameters(model)[0]["params"]
    assert all(p is not model.wte.weight for p in left)
