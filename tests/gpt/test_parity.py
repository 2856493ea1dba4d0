"""Equal to transformers' GPT-2, logit for logit, at all four sizes."""

import pytest
import torch

from llmbook.gpt import GPT, GPTConfig

from .peer import SmallCache, peer_config, random_peer, transformers, twin, weight_map

SIZES = ["small", "medium", "large", "xl"]
TINY = GPTConfig(vocab_size=101, context_length=64, n_layer=3, n_head=4, n_embd=48)


def ids(config, B, T):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(config.vocab_size, (B, T), generator=generator)


def apart(a, b):
    return (a.float() - b.float()).abs().max().item()


@pytest.fixture(scope="module")
def pair():
    peer = random_peer(TINY)
    return peer, twin(peer, TINY)


@torch.no_grad()
def test_logits(pair):
    peer, model = pair
    tokens = ids(TINY, 3, 64)
    assert apart(model(tokens), peer(tokens).logits) < 1e-4
    assert peer(tokens).logits.std() > 0.3  # or equality would say little


@torch.no_grad()
def test_a_single_number_matters(pair):
    """The comparison sees one weight that differs in any part of the model."""
    peer, _ = pair
    tokens = ids(TINY, 2, 20)
    for name in ("wte.weight", "wpe.weight", "h.1.attn.c_attn.bias", "ln_f.bias"):
        model = twin(peer, TINY)
        model.get_parameter(name).view(-1)[0] += 0.5
        assert apart(model(tokens), peer(tokens).logits) > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("pieces", [[64], [1] * 64, [7, 1, 1, 20, 35], [63, 1]])
def test_cache(pair, pieces):
    peer, model = pair
    tokens = ids(TINY, 2, 64)
    cache = [SmallCache() for _ in range(TINY.n_layer)]
    logits = [model(piece, cache) for piece in tokens.split(pieces, dim=1)]
    assert apart(torch.cat(logits, dim=1), peer(tokens).logits) < 1e-4
    with pytest.raises(ValueError, match="65 tokens, and this model looks at 64"):
        model(tokens[:, :1], cache)


@torch.no_grad()
def test_left_to_right(pair):
    _, model = pair
    tokens = ids(TINY, 1, 40)
    other = tokens.clone()
    other[:, 25:] = (other[:, 25:] + 1) % 101
    assert apart(model(tokens)[:, :25], model(other)[:, :25]) < 1e-5
    assert apart(model(tokens)[:, 25], model(other)[:, 25]) > 0.1


def test_no_gradient_from_the_future():
    model = GPT(TINY)
    x = model.wte(ids(TINY, 1, 12)).detach().requires_grad_()
    y = x
    for block in model.h:
        y = block(y)
    for t in range(12):
        (grad,) = torch.autograd.grad(y[0, t].square().sum(), x, retain_graph=True)
        assert not grad[0, t + 1 :].any()
        assert grad[0, : t + 1].abs().sum(-1).min() > 0


@torch.no_grad()
def test_bfloat16(pair):
    peer, _ = pair
    tokens = ids(TINY, 2, 32)
    want, got = peer(tokens).logits, twin(peer, TINY).bfloat16()(tokens)
    theirs = random_peer(TINY).bfloat16()(tokens).logits
    assert got.dtype == torch.bfloat16
    assert apart(got, want) < 2 * max(apart(theirs, want), 0.05)


@torch.no_grad()
@pytest.mark.parametrize("size", SIZES)
def test_sizes(size):
    """The width and the heads of each size, two blocks deep."""
    config = GPTConfig.gpt2(size, n_layer=2, vocab_size=500, context_length=80)
    peer = random_peer(config, spread=0.02)
    tokens = ids(config, 2, 80)
    assert apart(twin(peer, config)(tokens), peer(tokens).logits) < 1e-4


@pytest.mark.parametrize("size", SIZES)
def test_shapes_of_all_tensors(size):
    """On the device without numbers: every tensor of the full model, by name."""
    config = GPTConfig.gpt2(size)
    with torch.device("meta"):
        model, peer = GPT(config), transformers.GPT2LMHeadModel(peer_config(config))
    model.load_state_dict(weight_map(peer, model), strict=True, assign=True)


@torch.no_grad()
def test_gpt2_in_full():
    """124 million random numbers, the real vocabulary, with and without a cache."""
    config = GPTConfig.gpt2()
    peer = random_peer(config, spread=0.02)
    model = GPT(config).eval()
    model.load_state_dict(weight_map(peer, model), assign=True)
    tokens = ids(config, 1, 48)
    want = peer(tokens).logits
    assert apart(model(tokens), want) < 1e-4
    cache = [SmallCache() for _ in range(config.n_layer)]
    pieces = [model(piece, cache) for piece in tokens.split([40, 1, 7], dim=1)]
    assert apart(torch.cat(pieces, dim=1), want) < 1e-4
