"""The layer equals PyTorch's own, the formula written out, and itself in pieces."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from llmbook.attention import MultiHeadAttention, causal_attention, rotate


class Memory:
    """The smallest thing that follows the protocol of a cache."""

    def __init__(self):
        self.parts = []

    @property
    def length(self):
        return sum(k.shape[-2] for k, _ in self.parts)

    def append(self, k, v):
        self.parts.append((k, v))
        return tuple(torch.cat(part, dim=-2) for part in zip(*self.parts, strict=True))


def formula(q, k, v):
    """Attention by the book: one query at a time, over what it may see."""
    T, S, D = q.shape[-2], k.shape[-2], q.shape[-1]
    rows = []
    for t in range(T):
        seen = S - T + t + 1
        scores = (k[..., :seen, :] * q[..., t : t + 1, :]).sum(-1) / D**0.5
        shares = scores.softmax(-1)[..., None]
        rows.append((shares * v[..., :seen, :]).sum(-2))
    return torch.stack(rows, dim=-2)


def random_layer(n_embd=32, n_head=4, **options):
    layer = MultiHeadAttention(n_embd, n_head, **options).eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    return layer


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("B, T, C, H", [(2, 9, 32, 4), (1, 1, 8, 1), (3, 17, 35, 5)])
def test_equals_pytorchs_layer(B, T, C, H, bias):
    ours = random_layer(C, H, bias=bias)
    theirs = nn.MultiheadAttention(C, H, bias=bias, batch_first=True)
    with torch.no_grad():
        pairs = list(zip(theirs.parameters(), ours.parameters(), strict=True))
        for their, our in pairs:
            their.copy_(our)
    x, y = (torch.randn(B, T, C) for _ in range(2))
    ahead = torch.ones(T, T, dtype=torch.bool).triu(1)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [ours(inputs[0])]
    outputs.append(theirs(*[inputs[1]] * 3, attn_mask=ahead, need_weights=False)[0])
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-5)
    for out in outputs:
        (out * y).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-5, atol=1e-5)
    for their, our in pairs:
        torch.testing.assert_close(our.grad, their.grad, rtol=1e-5, atol=2e-5)


shapes = st.tuples(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 12), st.integers(0, 9)
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(shapes, st.integers(1, 9), st.integers(1, 9))
def test_equals_the_formula(shape, D, E):
    """Also for values of another width, and for fewer queries than keys."""
    B, H, T, extra = shape
    q, k = torch.randn(B, H, T, D), torch.randn(B, H, T + extra, D)
    v = torch.randn(B, H, T + extra, E)
    got = causal_attention(q, k, v)
    torch.testing.assert_close(got, formula(q, k, v), rtol=1e-5, atol=1e-5)


def test_equals_the_fused_kernel_to_the_bit():
    q, k, v = (torch.randn(2, 3, 33, 16) for _ in range(3))
    fused = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert torch.equal(causal_attention(q, k, v), fused)


@pytest.mark.parametrize("extra", [0, 5])
def test_bfloat16_with_gradients(extra):
    """On a CPU this is another path, written out; it must be the same function."""
    q, k, v = (torch.randn(2, 4, T, 16) for T in (12, 12 + extra, 12 + extra))
    exact = [x.clone().requires_grad_() for x in (q, k, v)]
    coarse = [x.bfloat16().requires_grad_() for x in (q, k, v)]
    with torch.no_grad():
        fused = causal_attention(*coarse)
    outputs = causal_attention(*exact), causal_attention(*coarse)
    assert outputs[1].dtype == fused.dtype == torch.bfloat16
    for out in (outputs[1], fused):
        torch.testing.assert_close(out.float(), outputs[0], rtol=0.03, atol=0.03)
    for out in outputs:
        out.square().sum().backward()
    for a, b in zip(coarse, exact, strict=True):
        torch.testing.assert_close(a.grad.float(), b.grad, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("rotary", [False, True])
def test_layer_in_bfloat16(rotary):
    layer, x = random_layer(rotary=rotary), torch.randn(2, 10, 32)
    exact = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = layer(x)
    halved = layer.bfloat16()(x.bfloat16())
    assert mixed.dtype == halved.dtype == torch.bfloat16
    scale = exact.abs().max()
    assert (mixed - exact).abs().max() < 0.03 * scale
    assert (halved - exact).abs().max() < 0.05 * scale


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.booleans())
def test_pieces_equal_the_whole(sizes, rotary):
    """A text that comes in pieces, with a cache, gives what it gives at once."""
    layer, memory = random_layer(rotary=rotary), Memory()
    x = torch.randn(2, sum(sizes), 32)
    pieces = [layer(piece, memory) for piece in x.split(sizes, dim=1)]
    assert memory.length == sum(sizes)
    torch.testing.assert_close(torch.cat(pieces, 1), layer(x), rtol=1e-4, atol=1e-4)


def test_copies_and_saved_weights_are_the_same_layer():
    layer, x = random_layer(rotary=True), torch.randn(1, 7, 32)
    other = MultiHeadAttention(32, 4, rotary=True).eval()
    assert set(layer.state_dict()) == {
        "c_attn.weight",
        "c_attn.bias",
        "c_proj.weight",
        "c_proj.bias",
    }
    other.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x), other(x))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1, 60), st.integers(0, 40), st.integers(0, 40), st.integers(0, 2000))
def test_rotary_scores_depend_on_distances_alone(half, t, s, shift):
    q, k = torch.randn(2 * half), torch.randn(2 * half)

    def score(a, b):
        return rotate(q[None], a)[0] @ rotate(k[None], b)[0]

    scale = float(q.norm() * k.norm())
    assert abs(score(t, s) - score(t + shift, s + shift)) < 1e-3 * scale
    assert torch.allclose(rotate(q[None], t).norm(), q.norm(), rtol=1e-4)


@pytest.mark.parametrize("D", [2, 6, 14, 98, 126])
def test_rotary_widths(D):
    """A width whose half is no power of two once gave an angle too many."""
    x = torch.randn(2, 3, 5, D)
    turned = rotate(x, 7)
    assert turned.shape == x.shape
    for t in range(5):
        for i in range(D // 2):
            pair = torch.complex(x[..., t, i], x[..., t, i + D // 2])
            angle = torch.tensor((7 + t) * 10_000.0 ** (-2 * i / D))
            there = pair * torch.exp(1j * angle)
            torch.testing.assert_close(turned[..., t, i], there.real, atol=1e-4, rtol=0)
            other = turned[..., t, i + D // 2]
            torch.testing.assert_close(other, there.imag, atol=1e-4, rtol=0)


def test_first_position_is_not_turned():
    x = torch.randn(1, 1, 1, 8)
    assert torch.equal(rotate(x), x)


def test_dropout_only_while_training():
    layer, x = MultiHeadAttention(32, 4, dropout=0.5), torch.randn(2, 9, 32)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_of_weights(dtype):
    """Values of one: without dropout every mean is one, with it one on average."""
    q, k = (
        torch.randn(64, 4, 20, 8, dtype=dtype),
        torch.randn(64, 4, 20, 8, dtype=dtype),
    )
    ones = torch.ones(64, 4, 20, 8, dtype=dtype)
    assert torch.allclose(
        causal_attention(q, k, ones).float(), torch.ones(1), atol=0.02
    )
    dropped = causal_attention(q, k, ones, 0.3).float()
    assert dropped.std() > 0.1 and abs(dropped.mean() - 1) < 0.05
