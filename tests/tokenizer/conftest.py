"""Texts and vocabularies that the tokenizer's tests share."""

import os
from importlib.resources import files
from pathlib import Path

import pytest
import tiktoken

from llmbook.tokenizer import BPETokenizer

DATA = Path(os.environ["LLMBOOK_DATA"]) if os.environ.get("LLMBOOK_DATA") else None


def data(name):
    """A file of LLMBOOK_DATA; the test is skipped where it is absent."""
    if DATA is None or not (DATA / name).exists():
        pytest.skip(f"{name} is not at hand: set LLMBOOK_DATA to a folder that has it")
    return DATA / name


@pytest.fixture(scope="session")
def book():
    return files("llmbook").joinpath("data/ten_words.txt").read_text("utf-8")


@pytest.fixture(scope="session", params=["book", "tinyshakespeare", "the-verdict"])
def long_text(request, book):
    if request.param == "book":
        return book
    return data(f"{request.param}.txt").read_text("utf-8")


@pytest.fixture(scope="session")
def small(book):
    """A tokenizer of the small real book."""
    return BPETokenizer.train(book, 1024, ["<|endoftext|>", "<|user|>"])


@pytest.fixture(scope="session")
def gpt2():
    """GPT-2's encoding as tiktoken has it."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or data("tiktoken")
    patch = pytest.MonkeyPatch()
    patch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
    yield tiktoken.get_encoding("gpt2")
    patch.undo()
