"""A model with a cache says what it says without one, however the tokens are fed."""

import pytest
import torch

from llmbook.generation import KVCache
from llmbook.gpt import GPT, GPTConfig

from .conftest import CONTEXT, VOCAB

#: float32; the largest difference of logits of size 20 that was seen is 3e-5
TOLERANCE = {"rtol": 1e-4, "atol": 2e-4}


@pytest.mark.parametrize(
    "pieces", [[32], [1] * 32, [31, 1], [1, 31], [5, 1, 1, 12, 3, 10]], ids=str
)
@torch.no_grad()
def test_logits_are_those_without_cache(model, pieces):
    model.eval()
    tokens = torch.randint(0, VOCAB, (3, CONTEXT))
    cache = KVCache(model, 3)
    logits = [model(piece, cache) for piece in tokens.split(pieces, dim=1)]
    assert cache.length == CONTEXT
    torch.testing.assert_close(torch.cat(logits, 1), model(tokens), **TOLERANCE)


@torch.no_grad()
def test_crop_and_reset_forget(model):
    model.eval()
    tokens = torch.randint(0, VOCAB, (2, 20))
    cache = KVCache(model, 2)
    model(tokens, cache)
    cache.crop(12)
    after = model(tokens[:, 12:], cache)
    torch.testing.assert_close(after, model(tokens)[:, 12:], **TOLERANCE)
    cache.reset()
    assert cache.length == 0
    torch.testing.assert_close(model(tokens, cache), model(tokens), **TOLERANCE)


@torch.no_grad()
def test_select_keeps_rows(model):
    model.eval()
    tokens = torch.randint(0, VOCAB, (4, 20))
    cache = KVCache(model, 4)
    model(tokens[:, :15], cache)
    cache.select([3, 1])
    after = model(tokens[[3, 1], 15:], cache)
    torch.testing.assert_close(after, model(tokens[[3, 1]])[:, 15:], **TOLERANCE)


def test_memory_is_the_formula():
    config = GPTConfig(VOCAB, 64, 3, 4, 48)
    cache = KVCache(config, 5, 40)
    assert cache.n_bytes == 2 * 3 * 5 * 40 * 48 * 4
    half = KVCache(config, 5, 40, dtype=torch.bfloat16)
    assert half.n_bytes == cache.n_bytes // 2
    assert len(cache) == 3 and cache[0].keys.shape == (5, 4, 40, 12)
    assert KVCache(config)[2].values.shape == (1, 4, 64, 12)


def test_it_is_made_as_the_model_is():
    model = GPT(GPTConfig(VOCAB, 16, 1, 2, 8)).to(torch.bfloat16)
    assert KVCache(model)[0].keys.dtype == torch.bfloat16
    assert KVCache(model, dtype=torch.float32)[0].keys.dtype == torch.float32


def test_what_does_not_fit_is_refused(model):
    cache = KVCache(model, 1, 4)
    with torch.no_grad():
        model(torch.tensor([[1, 2, 3]]), cache)
        with pytest.raises(ValueError, match="room for 4 tokens, not 5"):
            model(torch.tensor([[4, 5]]), cache)
    with pytest.raises(ValueError, match="cannot keep 9 of 3 tokens"):
        cache.crop(9)
    with pytest.raises(ValueError, match="holds nothing"):
        KVCache(model, 0)
    with pytest.raises(ValueError, match="holds nothing"):
        KVCache(model, 1, 0)
