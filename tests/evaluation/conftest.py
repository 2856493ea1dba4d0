"""Small models with random weights, bold enough that their scores differ."""

import pytest
import torch

from llmbook.gpt import GPT, GPTConfig
from llmbook.training import storyteller_data

CONTEXT = 32


@pytest.fixture(scope="session")
def tokenizer():
    """One of the nursery."""
    return storyteller_data(300, 30).tokenizer


def make_model(n_vocab, context_length=CONTEXT, rotary=True):
    """Build a tiny GPT that has an opinion on every token."""
    torch.manual_seed(0)
    shape = {"n_layer": 2, "n_head": 2, "n_embd": 32, "rotary": rotary}
    model = GPT(GPTConfig(n_vocab, context_length, **shape))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(6)
    return model.eval()


@pytest.fixture(scope="session")
def model(tokenizer):
    """One that looks at 32 tokens, less than a story has."""
    return make_model(tokenizer.n_vocab)


@pytest.fixture(scope="session")
def wide(tokenizer):
    """One that looks at a whole story."""
    return make_model(tokenizer.n_vocab, 256)
