"""What is counted from the shape alone is what a real model has, does and keeps."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from llmbook.gpt import GPT, GPTConfig, count_flops, count_memory, count_parameters

TINY = GPTConfig(vocab_size=101, context_length=64, n_layer=3, n_head=4, n_embd=48)
VARIANTS = [
    TINY,
    replace(TINY, bias=False),
    replace(TINY, rotary=True),
    replace(TINY, bias=False, rotary=True),
    replace(TINY, n_layer=1, n_head=1, n_embd=6, vocab_size=3, context_length=1),
]
TRUE = {  # as published with the weights
    "small": 124_439_808,
    "medium": 354_823_168,
    "large": 774_030_080,
    "xl": 1_557_611_200,
}


def on_meta(config):
    with torch.device("meta"):
        return GPT(config)


def numbers(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("size", TRUE)
def test_published_sizes(size):
    config = GPTConfig.gpt2(size)
    assert count_parameters(config) == TRUE[size] == numbers(on_meta(config))


@pytest.mark.parametrize("config", VARIANTS)
def test_parameters(config):
    assert count_parameters(config) == numbers(on_meta(config))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("config", [*VARIANTS, GPTConfig.gpt2(n_layer=2)])
def test_flops(config, training):
    T = min(48, config.context_length)
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        logits = on_meta(config)(torch.zeros(2, T, dtype=torch.long, device="meta"))
        if training:
            logits.sum().backward()
    assert counter.get_total_flops() == 2 * T * count_flops(config, T, training)


def test_flops_of_the_whole_context():
    assert count_flops(TINY) == count_flops(TINY, 64) > count_flops(TINY, 1)
    assert count_flops(TINY, training=True) == 3 * count_flops(TINY)


def kept(model, tokens):
    """Bytes that PyTorch puts aside for the way back, ids and weights left out."""
    sizes = {parameter.data_ptr(): 0 for parameter in model.parameters()}

    def note(x):
        if x.is_floating_point() and x.dim():
            storage = x.untyped_storage()
            sizes.setdefault(storage.data_ptr(), storage.nbytes())
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        logits = model(tokens).flatten(0, 1)
        loss = F.cross_entropy(logits, tokens.flatten())
    assert loss.isfinite()
    return sum(sizes.values())


@pytest.mark.parametrize("config", [*VARIANTS[:2], VARIANTS[-1]])
@pytest.mark.parametrize("B", [1, 3])
def test_activations(config, B):
    tokens = torch.zeros(B, config.context_length, dtype=torch.long)
    assert kept(GPT(config), tokens) == count_memory(config, B)["activations"]


def test_activations_of_rotary_positions():
    config = replace(TINY, rotary=True)
    measured = kept(GPT(config), torch.zeros(3, 64, dtype=torch.long))
    assert 0.95 < measured / count_memory(config, 3)["activations"] < 1.05


def test_weights_gradients_and_adam():
    model = GPT(TINY)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.zeros(1, 4, dtype=torch.long)).sum().backward()
    optimizer.step()
    bill = count_memory(TINY)

    def n_bytes(tensors):
        return sum(x.nbytes for x in tensors)

    assert bill["weights"] == n_bytes(model.parameters())
    assert bill["gradients"] == n_bytes(p.grad for p in model.parameters())
    moments = [
        state[name]
        for state in optimizer.state.values()
        for name in ("exp_avg", "exp_avg_sq")
    ]
    assert bill["adam"] == n_bytes(moments)


def test_cache():
    class Counting:
        length = held = 0

        def append(self, k, v):
            self.held += k.nbytes + v.nbytes
            return k, v

    cache = [Counting() for _ in range(TINY.n_layer)]
    GPT(TINY)(torch.zeros(2, 20, dtype=torch.long), cache)
    assert sum(c.held for c in cache) == count_memory(TINY, 2, 20)["cache"]


def test_half_the_bytes():
    whole, half = count_memory(TINY), count_memory(TINY, n_bytes=2)
    assert all(whole[part] == 2 * half[part] for part in whole)
