"""Training learns what its definition says, and special tokens keep to their fence."""

import copy
import pickle
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import regex
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmbook import tokenizer as module
from llmbook.tokenizer import GPT2_PATTERN, BPETokenizer, WordTokenizer, read_text

# As OpenAI's later encodings cut: numbers in threes, marks with the line's end.
LATER_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
FEW = st.text("ab c.\n1", max_size=60)


def learn_by_definition(text, n_merges):
    """Byte-pair encoding as it is defined: count everything, merge the best pair."""
    words = [
        [bytes([byte]) for byte in piece.encode()]
        for piece in regex.findall(GPT2_PATTERN, text)
    ]
    learned = []
    for _ in range(n_merges):
        counts = Counter(pair for word in words for pair in pairwise(word))
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        learned.append(best)
        for word in words:
            i = 0
            while i < len(word) - 1:
                if (word[i], word[i + 1]) == best:
                    word[i : i + 2] = [b"".join(best)]
                i += 1
    return learned


def spelled(tokenizer):
    return [(tokenizer.tokens[a], tokenizer.tokens[b]) for a, b in tokenizer.merges]


@pytest.mark.filterwarnings("ignore:the texts have only")
@settings(max_examples=300, database=None)
@given(text=FEW.filter(bool))
def test_merges_follow_the_definition(text):
    tokenizer = BPETokenizer.train(text, 276)
    assert spelled(tokenizer) == learn_by_definition(text, 20)
    spellings = list(tokenizer.tokens.values())
    assert len(set(spellings)) == len(spellings)


def test_merges_of_the_book_follow_the_definition(book):
    assert spelled(BPETokenizer.train(book, 356)) == learn_by_definition(book, 100)


def test_ties_go_to_the_greater_pair():
    assert spelled(BPETokenizer.train("ab cd", 257)) == [(b"c", b"d")]
    assert spelled(BPETokenizer.train("xa xaa", 258)) == [(b"x", b"a"), (b"xa", b"a")]
    # A longer token is greater than its own beginning.
    assert spelled(BPETokenizer.train("aab,aab", 258))[0] == (b"a", b"b")


def test_texts_are_counted_together_and_apart():
    many = BPETokenizer.train(iter(["low low", "lower"]), 260)
    assert many.merges == BPETokenizer.train(["low low", "lower"], 260).merges
    glued = BPETokenizer.train(["ab", "cd"], 258)
    assert b"bc" not in glued.tokens.values()


def test_special_tokens_are_cut_out_of_the_corpus():
    text = "<|end|>".join(["night"] * 50)
    tokenizer = BPETokenizer.train(text, 261, ["<|end|>"])
    learned = b"".join(b"".join(pair) for pair in spelled(tokenizer))
    assert b"|" not in learned and b"<" not in learned


def test_special_tokens_take_the_last_ids():
    tokenizer = BPETokenizer.train("abab", 259, ["<|b|>", "<|a|>"])
    assert tokenizer.special_tokens == {"<|b|>": 257, "<|a|>": 258}
    assert tokenizer.n_vocab == 259


def test_special_tokens_are_text_unless_allowed(small):
    text = "a<|endoftext|>b<|user|>"
    end, user = (small.special_tokens[s] for s in ("<|endoftext|>", "<|user|>"))
    assert not {end, user} & set(small.encode(text))
    assert small.encode(text, {"<|user|>"})[-1] == user
    assert end not in small.encode(text, "<|user|>")
    assert {end, user} <= set(small.encode(text, "all"))
    assert small.encode("", "all") == []
    assert small.encode("<|user|><|user|>", "all") == [user, user]


def test_the_longest_special_token_wins():
    names = ["<|a", "<|a|>", "<|a|>b", "|>"]
    tokenizer = BPETokenizer.train("xy", 261, names)
    ids = tokenizer.special_tokens
    assert tokenizer.encode("<|a|>b", "all") == [ids["<|a|>b"]]
    assert tokenizer.encode("<|a|>c", "all") == [ids["<|a|>"], 99]
    assert tokenizer.encode("<|a|c", "all") == [ids["<|a"], 124, 99]
    assert tokenizer.encode("<|a|>b", ["<|a", "|>"]) == [ids["<|a"], ids["|>"], 98]


@pytest.mark.parametrize("pattern", [GPT2_PATTERN, LATER_PATTERN])
@settings(max_examples=300, database=None)
@given(text=st.text("ab .\n\t'1é", max_size=80), size=st.integers(1, 9))
def test_a_file_in_pieces_has_the_tokens_of_the_whole(
    tmp_path_factory, pattern, text, size
):
    path = tmp_path_factory.mktemp("pieces", numbered=True) / "text.txt"
    path.write_text(text, "utf-8", newline="")
    pieces = list(read_text(path, size))
    assert "".join(pieces) == text
    find = regex.compile(pattern).findall
    assert [word for piece in pieces for word in find(piece)] == find(text)


def test_memory_of_counting_is_bounded(monkeypatch):
    monkeypatch.setattr("llmbook.tokenizer.MOST_WORDS", 50)
    texts = [
        f"often often rare{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(300)
    ]
    words = module.count_words(texts, GPT2_PATTERN, ())
    assert len(words) <= 52 and words[" often"] == 300


def test_line_ends_are_kept(tmp_path):
    (tmp_path / "dos.txt").write_bytes(b"one\r\ntwo\rthree\n")
    assert "".join(read_text(tmp_path / "dos.txt")) == "one\r\ntwo\rthree\n"


def test_later_patterns_equal_tiktoken(book):
    tokenizer = BPETokenizer.train(book, 700, pattern=LATER_PATTERN)
    assert tokenizer.encode(book) == tokenizer.to_tiktoken().encode_ordinary(book)


def test_memory_of_words_is_bounded(small):
    words = copy.deepcopy(small)._words
    words.size = 10
    for n in range(100):
        assert words[f" w{n}"] == small.encode(f" w{n}")
    assert len(words) <= 10
    assert words["a" * 1000] and "a" * 1000 not in words


def test_ids_may_be_an_array_or_a_tensor(small, book):
    ids = small.encode(book[:200])
    assert small.decode(np.array(ids)) == book[:200]
    assert small.decode(torch.tensor(ids)) == book[:200]
    assert small.decode(iter(ids)) == book[:200]


def test_a_batch_is_its_texts_one_by_one(small):
    texts = ["one", "", "<|user|> two"]
    assert small.encode_batch(texts, "all") == [small.encode(t, "all") for t in texts]


def test_a_tokenizer_can_be_copied_and_pickled(small, book):
    for other in (copy.deepcopy(small), pickle.loads(pickle.dumps(small))):
        assert other.encode(book[:500]) == small.encode(book[:500])
        assert other.fingerprint == small.fingerprint


def test_words_are_lost_where_they_are_unknown():
    words = WordTokenizer.train("The goat ate the tide table.")
    ids = words.encode("The goat ate my table.")
    assert words.decode(ids) == "The goat ate <|unk|> table ."
    assert words.decode(words.encode("<|endoftext|>")) == "<|endoftext|>"
    assert len(words.words) == len(set(words.words)) == 9
