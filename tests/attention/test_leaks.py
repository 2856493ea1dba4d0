"""The future does not leak, and the order of words is told by positions alone."""

import pytest
import torch
from torch import nn

from llmbook.attention import MultiHeadAttention, causal_attention

from .test_equal import Memory, random_layer


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def reach(layer, T, C, dtype=torch.float32):
    """(T, T): how much output t moves when input s does."""
    x = torch.randn(1, T, C, dtype=dtype, requires_grad=True)
    y = layer(x)[0]
    rows = [torch.autograd.grad(y[t].sum(), x, retain_graph=True) for t in range(T)]
    return torch.stack([row[0][0].abs().sum(-1) for row in rows])


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("T", [1, 2, 23])
def test_no_gradient_from_the_future(T, dtype, rotary):
    layer = random_layer(rotary=rotary).to(dtype)
    moves = reach(layer, T, 32, dtype)
    assert (moves.triu(1) == 0).all()
    assert (moves.tril() > 0).sum() == T * (T + 1) // 2


def test_the_test_sees_a_leak():
    class Leaky(MultiHeadAttention):
        def forward(self, x):
            return super().forward(x) + 1e-6 * x.roll(-1, 1)

    moves = reach(Leaky(32, 4).eval(), 9, 32)
    assert (moves.triu(1) > 0).any()


@pytest.mark.parametrize("T, S", [(1, 6), (3, 6), (6, 6)])
def test_a_query_sees_its_past_and_no_more(T, S):
    q, k, v = torch.randn(1, 2, T, 8), torch.randn(1, 2, S, 8), torch.randn(1, 2, S, 8)
    v.requires_grad_()
    y = causal_attention(q, k, v)
    for t in range(T):
        (moved,) = torch.autograd.grad(y[0, :, t].sum(), v, retain_graph=True)
        seen = moved[0].abs().sum(-1) > 0
        assert seen[:, : S - T + t + 1].all() and not seen[:, S - T + t + 1 :].any()


@pytest.mark.parametrize("last", [0.0, 1e4, 1e30])
def test_what_comes_later_changes_no_bit(last):
    layer, x = random_layer(), torch.randn(1, 8, 32)
    changed = x.clone()
    changed[:, -1] = last
    assert torch.equal(layer(x)[:, :-1], layer(changed)[:, :-1])


def test_order_is_invisible_without_positions():
    layer, x = random_layer(), torch.randn(2, 12, 32)
    order = torch.cat([torch.randperm(11), torch.tensor([11])])
    straight, shuffled = layer(x)[:, -1], layer(x[:, order])[:, -1]
    torch.testing.assert_close(straight, shuffled, rtol=1e-4, atol=1e-4)


def test_order_is_visible_with_rotary_positions():
    layer, x = random_layer(rotary=True), torch.randn(2, 12, 32)
    order = torch.cat([torch.arange(11).flip(0), torch.tensor([11])])
    assert (layer(x)[:, -1] - layer(x[:, order])[:, -1]).abs().max() > 0.01


def test_rotary_layers_do_not_know_where_a_text_begins():
    """With a cache that begins elsewhere, distances and so the outputs are the same."""

    class Shifted(Memory):
        length = 500

    layer, x = random_layer(rotary=True), torch.randn(1, 9, 32)
    torch.testing.assert_close(layer(x, Shifted()), layer(x), rtol=1e-3, atol=2e-3)


def test_texts_of_a_batch_do_not_meet():
    layer, x = random_layer(rotary=True), torch.randn(3, 7, 32)
    other = x.clone()
    other[1] = torch.randn(7, 32)
    assert torch.equal(layer(x)[[0, 2]], layer(other)[[0, 2]])


def test_padding_behind_a_text_changes_nothing():
    layer, x = random_layer(rotary=True), torch.randn(2, 7, 32)
    padded = nn.functional.pad(x, (0, 0, 0, 4), value=3.0)
    torch.testing.assert_close(layer(padded)[:, :7], layer(x), rtol=1e-5, atol=1e-5)
