"""A tokenizer and a token file that the tests of data share."""

import pytest

from llmbook.data import write_tokens
from llmbook.tokenizer import BPETokenizer
from llmbook.world import stories

END = "<|endoftext|>"


@pytest.fixture(scope="session")
def texts():
    return [each.text for each in stories(200, seed=1)]


@pytest.fixture(scope="session")
def tokenizer(texts):
    return BPETokenizer.train(texts, 600, [END])


@pytest.fixture
def file(tmp_path, texts, tokenizer):
    """A token file of two hundred stories."""
    path = tmp_path / "stories.tokens"
    write_tokens(path, texts, tokenizer)
    return path
