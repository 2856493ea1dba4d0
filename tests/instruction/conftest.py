"""A tokenizer with the control tokens of every template, and a small model for it."""

import pytest
import torch

from llmbook.gpt import GPT, GPTConfig
from llmbook.instruction import TEMPLATES
from llmbook.tokenizer import BPETokenizer
from llmbook.training import END
from llmbook.world import stories


@pytest.fixture(scope="session")
def plain():
    """A tokenizer that knows no roles."""
    return BPETokenizer.train((each.text for each in stories(300)), 512, [END])


@pytest.fixture(scope="session")
def words(plain):
    """The same with the control tokens of all templates."""
    special = dict(plain.special_tokens)
    for template in TEMPLATES.values():
        for token in template.control:
            special.setdefault(token, plain.n_vocab + len(special) - 1)
    return BPETokenizer(plain.merges, special, plain.pattern, plain.byte_order)


@pytest.fixture
def model(plain):
    """A model that has learned nothing."""
    torch.manual_seed(0)
    return GPT(GPTConfig(plain.n_vocab, 96, n_layer=1, n_head=2, n_embd=32)).eval()
