"""Codes of 8 and 4 bits: close, as small as promised, and trainable above."""

import copy
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmbook.lora import (
    NF4,
    LoRALinear,
    QuantizedLinear,
    apply_lora,
    merge_lora,
    model_bytes,
    quantize,
    round_to_4_bits,
    round_to_8_bits,
)

from .models import KINDS, TOKENS, build, logits, speak

#: The values that bitsandbytes publishes (functional.create_normal_map).
PUBLISHED = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453]
PUBLISHED += [-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0]
PUBLISHED += [0.07958029955625534, 0.16093020141124725, 0.24611230194568634]
PUBLISHED += [0.33791524171829224, 0.44070982933044434, 0.5626170039176941]
PUBLISHED += [0.7229568362236023, 1.0]
WAYS = [(8, {}), (4, {}), (4, {"double": True}), (4, {"block_size": 6})]


def layer(rows=24, columns=40, bias=True):
    torch.manual_seed(0)
    return torch.nn.Linear(columns, rows, bias=bias)


def test_the_values_of_nf4():
    assert (NF4 - torch.tensor(PUBLISHED)).abs().max() < 1e-6


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50))
def test_8_bits_are_off_by_half_a_step(numbers):
    row = torch.tensor([numbers])
    codes, step = round_to_8_bits(row)
    assert codes.dtype == torch.int8
    assert (codes * step - row).abs().max() <= 0.5 * step.item() * 1.001 + 1e-30


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=200))
def test_4_bits_take_the_nearest_value(numbers):
    flat = torch.tensor(numbers)
    linear = torch.nn.Linear(len(numbers), 1, bias=False)
    linear.weight.data = flat[None]
    got = QuantizedLinear(linear).dequantize()[0]
    for block, told in zip(flat.split(64), got.split(64), strict=True):
        values = NF4 * block.abs().max()
        best = (values - block[:, None]).abs().amin(-1)
        error = (told - block).abs()
        assert (error <= best + 1e-6 * block.abs().max()).all()


@pytest.mark.parametrize("size", [1, 2, 63, 64, 65, 128])
def test_blocks_that_are_not_full(size):
    weight = torch.randn(1, size)
    codes, scale = round_to_4_bits(weight)
    assert len(scale) == -(-size // 64) and len(codes) == 32 * len(scale)


@pytest.mark.parametrize(("bits", "changes"), WAYS)
def test_zeros_stay_zero(bits, changes):
    linear = layer()
    linear.weight.data.zero_()
    assert not QuantizedLinear(linear, bits, **changes).dequantize().any()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("bits", "changes"), WAYS)
def test_a_layer_computes_with_its_rounded_weights(bits, changes, bias):
    linear, x = layer(bias=bias), torch.randn(7, 40, requires_grad=True)
    coded = QuantizedLinear(linear, bits, **changes)
    error = (coded.dequantize() - linear.weight).abs().max() / linear.weight.abs().max()
    assert 0 < error < (0.005 if bits == 8 else 0.2)
    plain, y = coded.unpacked(), coded(x)
    assert torch.allclose(y, plain(x), atol=1e-6)
    y.square().sum().backward()
    got, x.grad = x.grad, None
    plain(x).square().sum().backward()
    assert torch.allclose(got, x.grad, atol=1e-5)


def test_bits_a_number():
    linear = torch.nn.Linear(1024, 1024, bias=False)
    expected = {(8, False): 8 + 32 / 1024, (4, False): 4.5}
    expected[4, True] = 4 + 8 / 64 + 32 / (64 * 256) + 32 / 2**20  # and one mean
    for (bits, double), each in expected.items():
        counted = model_bytes(QuantizedLinear(linear, bits, double=double))
        assert 8 * counted["weights"] / 2**20 == each


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", [8, 4])
def test_a_quantised_model(kind, bits):
    model = build(kind)
    before = logits(model)
    small = quantize(copy.deepcopy(model), bits)
    assert 0 < (logits(small) - before).abs().max() < (0.01 if bits == 8 else 0.1)
    assert model_bytes(small)["weights"] < model_bytes(model)["weights"]
    names = dict(model.named_parameters())
    for name, p in small.named_parameters():  # embeddings, norms, biases
        assert torch.equal(p, names[name])


def test_gradients_keep_no_unpacked_weights():
    kept = []
    coded, x = QuantizedLinear(layer()), torch.randn(3, 40, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.append(t.shape) or t, lambda t: t
    ):
        coded(x).sum()
    assert (24, 40) not in kept and (40, 24) not in kept


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_on_four_bits_merge_into_plain_layers(kind):
    model = speak(apply_lora(quantize(build(kind)), 4))
    codes = {n: b.clone() for n, b in model.named_buffers()}
    model(TOKENS).square().mean().backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert trained and all(p.grad is not None for p in trained)
    assert all(torch.equal(b, codes[n]) for n, b in model.named_buffers())
    adapted = logits(model)
    merged = merge_lora(model)
    special = (LoRALinear, QuantizedLinear)
    assert not any(isinstance(module, special) for module in merged.modules())
    assert (logits(merged) - adapted).abs().max() <= 1e-5


def test_half_precision():
    model = quantize(build("Llama").bfloat16())
    assert model(TOKENS).dtype == torch.bfloat16


def test_the_saved_table_of_peers():
    """What benchmarks/quantization.py has measured is what the chapter says."""
    folder = Path(__file__).resolve().parents[2]
    tables = sorted((folder / "benchmarks" / "results").glob("quantization-*.txt"))
    assert tables, "run benchmarks/quantization.py --save"
    told = tables[-1].read_text("utf-8")
    assert "NF4, bitsandbytes: all codes equal" in told
    assert "int8, torchao: all codes equal" in told
    chapter = json.loads((folder / "chapters" / "16_lora.ipynb").read_text("utf-8"))
    prose = "".join("".join(c["source"]) for c in chapter["cells"])
    assert "benchmarks/quantization.py" in prose
