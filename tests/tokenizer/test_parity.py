"""The tokenizer finds what tiktoken and tokenizers find, and loses nothing."""

import random

import pytest
import tokenizers
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from llmbook.tokenizer import BPETokenizer

from .test_training import LATER_PATTERN
from .unicode import by_tiktoken, by_tokenizers, disputed

PIECES = [
    "'s",
    "'LL",
    "don't",
    "  ",
    "\n\n",
    " \t",
    "１２",
    "½",
    "naïve",
    "🐐",
    "👩‍🚀",
    "ſ",
]
PIECES += ["e\u0301", "\ufeff", "\x1c", "\u00a0", "\u3000", "<|endoftext|>", "<|user|>"]
TEXTS = st.lists(
    st.sampled_from(PIECES)
    | st.text(max_size=8)
    | st.text(st.characters(max_codepoint=0x17F), max_size=8),
    max_size=8,
).map("".join)


def undisputed(text, engine):
    return disputed(engine).isdisjoint(text)


def test_some_characters_are_disputed_and_most_are_not():
    assert len(disputed(by_tiktoken)) < 20_000
    assert undisputed("The goat's 4th button: naïve, 山, 🐐\n", by_tiktoken)
    assert undisputed("The goat's 4th button: naïve, 山, 🐐\n", by_tokenizers)


def test_long_texts_equal_tiktoken(small, long_text):
    ids = small.encode(long_text)
    assert ids == small.to_tiktoken().encode_ordinary(long_text)
    assert small.decode(ids) == long_text


def test_long_texts_equal_gpt2(gpt2, long_text):
    ours = BPETokenizer.from_tiktoken(gpt2)
    assert ours.n_vocab == gpt2.n_vocab == 50257
    assert ours.encode(long_text) == gpt2.encode_ordinary(long_text)


def test_long_texts_equal_tokenizers(small, long_text, tmp_path):
    small.to_huggingface(tmp_path / "tokenizer.json")
    peer = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    ids = peer.encode(long_text).ids
    assert small.encode(long_text) == ids
    assert peer.decode(ids) == long_text
    assert peer.get_vocab_size() == small.n_vocab


def test_gpt2_in_the_format_of_tokenizers(gpt2, book, tmp_path):
    ours = BPETokenizer.from_tiktoken(gpt2)
    ours.to_huggingface(tmp_path / "tokenizer.json")
    peer = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert peer.encode(book).ids == gpt2.encode_ordinary(book)
    assert peer.token_to_id("Ġthe") == gpt2.encode_single_token(" the")


@pytest.fixture(scope="module")
def peers(small):
    return small, small.to_tiktoken()


@settings(max_examples=10_000, database=None)
@given(text=TEXTS)
def test_random_unicode_equals_tiktoken(peers, text):
    assume(undisputed(text, by_tiktoken))
    ours, theirs = peers
    ids = ours.encode(text)
    assert ids == theirs.encode_ordinary(text)
    assert ours.decode(ids, errors="strict") == text
    allowed = ours.encode(text, allowed_special="all")
    assert allowed == theirs.encode(text, allowed_special="all")
    assert ours.decode(allowed) == text


@settings(max_examples=10_000, database=None)
@given(text=TEXTS)
def test_random_unicode_equals_gpt2(gpt2_peers, text):
    assume(undisputed(text, by_tiktoken))
    ours, theirs = gpt2_peers
    assert ours.encode(text) == theirs.encode_ordinary(text)
    assert ours.encode(text, "all") == theirs.encode(text, allowed_special="all")


@pytest.fixture(scope="module")
def gpt2_peers(gpt2):
    return BPETokenizer.from_tiktoken(gpt2), gpt2


@settings(max_examples=2_000, database=None)
@given(text=TEXTS)
def test_random_unicode_equals_tokenizers(huggingface, text):
    assume(undisputed(text, by_tokenizers))
    ours, theirs = huggingface
    assert ours.encode(text, allowed_special="all") == theirs.encode(text).ids


@pytest.fixture(scope="module")
def huggingface(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("huggingface") / "tokenizer.json"
    small.to_huggingface(path)
    return small, tokenizers.Tokenizer.from_file(str(path))


@settings(max_examples=500, database=None)
@given(text=st.text(), seed=st.integers(0, 99))
def test_text_of_disputed_characters_comes_back(small, text, seed):
    hard = random.Random(seed).sample(sorted(disputed(by_tiktoken)), 3)
    text = text.join(hard)
    assert small.decode(small.encode(text)) == text


@pytest.fixture(scope="module")
def later(book, tmp_path_factory):
    path = tmp_path_factory.mktemp("later") / "tokenizer.json"
    ours = BPETokenizer.train(book + "12345678" * 9, 900, pattern=LATER_PATTERN)
    ours.to_huggingface(path)
    return ours, tokenizers.Tokenizer.from_file(str(path))


@settings(max_examples=1_000, database=None)
@given(text=TEXTS | st.text("12345678 .\n'sA", max_size=30))
def test_later_patterns_equal_tokenizers(later, text):
    assume(undisputed(text, by_tokenizers))
    ours, theirs = later
    assert ours.encode(text) == theirs.encode(text).ids


@pytest.mark.parametrize(
    "word", ["a" * 20_000, "ab" * 9_999, "-" * 20_001, "é山" * 999]
)
def test_long_words_equal_tiktoken(small, word):
    assert small.encode(word) == small.to_tiktoken().encode_ordinary(word)


def test_way_there_and_back_through_tiktoken(small, book):
    again = BPETokenizer.from_tiktoken(small.to_tiktoken())
    assert again.merges == small.merges
    assert again.fingerprint == small.fingerprint
    assert again.encode(book) == small.encode(book)
