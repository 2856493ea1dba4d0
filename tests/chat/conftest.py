"""A small model that has learned nothing and writes without end, and its tokenizer."""

import pytest
import torch

from llmbook.gpt import GPT, GPTConfig
from llmbook.instruction import OWN
from llmbook.tokenizer import BPETokenizer
from llmbook.world import stories


@pytest.fixture(scope="session")
def words():
    """A tokenizer with the control tokens of our own template."""
    texts = [each.text for each in stories(200)]
    return BPETokenizer.train(texts, 512, OWN.control)


def babbler(words, context_length, seed=0):
    """A model whose likeliest token is never one that ends an answer."""
    torch.manual_seed(seed)
    config = GPTConfig(words.n_vocab, context_length, 1, 2, 16, rotary=True)
    model = GPT(config).eval()
    with torch.no_grad():
        # what ends an answer points away from what every other token points to
        model.wte.weight[:] += 0.05
        model.ln_f.bias[:] = 1.0
        for token in words.special_tokens.values():
            model.wte.weight[token] = -1.0
    return model


@pytest.fixture(scope="session")
def model(words):
    """One that looks at few tokens, so that it is soon full."""
    return babbler(words, 96)


@pytest.fixture(scope="session")
def long_model(words):
    """One that can write for many seconds."""
    return babbler(words, 20_000)
