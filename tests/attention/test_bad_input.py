"""What cannot be done is refused by one error: what was given, and what to do."""

import pytest
import torch

from llmbook.attention import MultiHeadAttention, causal_attention, rotate


@pytest.mark.parametrize("n_embd, n_head", [(64, 5), (64, 0), (0, 1), (4, 8), (64, -2)])
def test_heads_that_do_not_divide(n_embd, n_head):
    with pytest.raises(
        ValueError, match=r"cannot share a width of .*: choose a number"
    ):
        MultiHeadAttention(n_embd, n_head)


@pytest.mark.parametrize(
    "sizes", [(64.0, 4), (64, 4.0), ("64", 4), (64, True), (64, None)]
)
def test_sizes_that_are_no_whole_numbers(sizes):
    with pytest.raises(TypeError, match=r"n_embd and n_head are whole numbers, not"):
        MultiHeadAttention(*sizes)


def test_odd_heads_cannot_be_turned():
    with pytest.raises(ValueError, match=r"heads of width 5 .*: choose an even width"):
        MultiHeadAttention(20, 4, rotary=True)
    assert MultiHeadAttention(20, 4)(torch.zeros(1, 3, 20)).shape == (1, 3, 20)
    with pytest.raises(
        ValueError, match=r"vectors of width 7 .*: choose an even width"
    ):
        rotate(torch.zeros(2, 7))


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 3, float("nan")])
def test_dropout_out_of_range(dropout):
    with pytest.raises(
        ValueError, match=r"dropout is .*, and must be from 0 to below 1"
    ):
        MultiHeadAttention(8, 2, dropout)


@pytest.mark.parametrize("shape", [(3, 8), (2, 3, 9), (8,), (1, 2, 3, 8), (8, 3)])
def test_inputs_of_another_shape(shape):
    with pytest.raises(
        ValueError, match=r"x has the shape .* must be \(B, T, C\) with"
    ):
        MultiHeadAttention(8, 2)(torch.zeros(shape))


def test_fewer_keys_than_queries():
    q, k = torch.zeros(1, 2, 4, 8), torch.zeros(1, 2, 3, 8)
    with pytest.raises(
        ValueError, match=r"4 queries and only 3 keys: .* give the keys"
    ):
        causal_attention(q, k, k)
