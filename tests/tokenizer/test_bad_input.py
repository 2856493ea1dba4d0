"""What cannot be done is refused by one error: what was given, and what to do."""

import json
import os
import subprocess
import warnings

import numpy as np
import pytest
import tiktoken

from llmbook import tokenizer as module
from llmbook.tokenizer import BPETokenizer, read_text


def refused(match, kind=ValueError):
    return pytest.raises(kind, match=match)


@pytest.mark.parametrize("texts", ["", [], [""], iter(())])
def test_empty_corpus(texts):
    with refused("the corpus is empty: give at least one text"):
        BPETokenizer.train(texts, 300)


@pytest.mark.parametrize("texts", [b"bytes", [b"bytes"], ["text", None]])
def test_texts_that_are_none(texts):
    with refused("a text is a str, not", TypeError):
        BPETokenizer.train(texts, 300)


@pytest.mark.parametrize("size", [0, 255, 256.5, 257, "300"])
def test_vocabulary_too_small(size):
    with refused(
        r"vocab_size is .*; 256 bytes and 2 special tokens need .* from 258 up"
    ):
        BPETokenizer.train("text", size, ["<|a|>", "<|b|>"])


def test_smallest_vocabulary_of_all():
    assert BPETokenizer.train("text", 256).encode("hé") == [104, 195, 169]


def test_corpus_with_too_few_merges():
    with pytest.warns(UserWarning, match="only 2 merges to give, not 44"):
        tokenizer = BPETokenizer.train("abc", 300)
    assert tokenizer.n_vocab == 258
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BPETokenizer.train("abc", 258)


@pytest.mark.parametrize(
    "special, message",
    [
        (["<|a|>", "<|a|>"], r"'<\|a\|>' is given twice"),
        (["<|a|>", ""], "a non-empty string, not ''"),
        ([7], "a non-empty string, not 7"),
        ("<|a|>", r"a list of strings; write \['<\|a\|>'\]"),
    ],
)
def test_special_tokens_that_cannot_be(special, message):
    with refused(message):
        BPETokenizer.train("text", 300, special)


def test_special_token_that_is_not_there(small):
    with refused(r"'<\|x\|>' is no special token; there are: <\|endoftext\|>, <\|user"):
        small.encode("text", {"<|x|>"})


@pytest.mark.parametrize(
    "pattern, message",
    [
        (r"\w+", "does not match .½., which would be lost"),
        (r".+", r"does not match '\\n', which would be lost"),
        (r"\w*|\W", "does not match '"),
        (r"(\w)+|\W+", "has a capturing group; write"),
        (r"(", "is no regular expression"),
        (7, "is no regular expression"),
    ],
)
def test_patterns_that_would_lose_text(pattern, message):
    with refused(message):
        BPETokenizer.train("text", 300, pattern=pattern)
    with refused(message):
        BPETokenizer({}, pattern=pattern)


@pytest.mark.parametrize("text", [b"bytes", None, ["text"], 7])
def test_text_that_is_none(small, text):
    with refused("a text is a str, not", TypeError):
        small.encode(text)


@pytest.mark.parametrize("text", ["\ud800", "goat \udfff", "\ude00\ud83d"])
def test_lone_surrogates(small, text):
    with refused("half of a surrogate pair"):
        small.encode(text)
    with refused("half of a surrogate pair"):
        BPETokenizer.train(text, 300)
    mended = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert small.decode(small.encode(mended)) == mended


@pytest.mark.parametrize("token", [-1, 1024, 10**9, "a", None, 1.5])
def test_ids_out_of_range(small, token):
    with refused("is no token of this vocabulary: give one row of ids, .* 0 to 1023"):
        small.decode([0, token])


def test_bytes_that_are_no_text(small):
    ids = small.encode("a🐐b")[:-2]
    assert small.decode(ids) == "a\ufffd"
    assert small.decode_bytes(ids) == "a🐐".encode()[:-1]
    with refused("the tokens are no whole text: .* at byte 1; use errors='replace'"):
        small.decode(ids, errors="strict")


def test_merges_that_cannot_be():
    for merges in ({(97, 300): 256}, {(97, 98): 255}, {(97, 98): 257, (98, 99): 256}):
        with refused("does not follow from those before"):
            BPETokenizer(merges)
    twice = {(97, 98): 256, (98, 99): 257, (256, 99): 258, (97, 257): 259}
    with refused("two merges spell the same token"):
        BPETokenizer(twice)
    with refused("each of the 256 bytes once"):
        BPETokenizer({}, byte_order=bytes(256))
    with refused("has the id of another"):
        BPETokenizer({}, {"<|a|>": 97})


def test_ranks_that_are_no_byte_pair_encoding():
    ranks = {bytes([i]): i for i in range(256)}
    odd = {"pat_str": ".+", "special_tokens": {}}
    skips = tiktoken.Encoding("skips", mergeable_ranks={**ranks, b"abc": 256}, **odd)
    with refused("b'abc' is not made of two earlier tokens"):
        BPETokenizer.from_tiktoken(skips)
    del ranks[b"a"]
    ranks[b"bc"] = 97
    late = tiktoken.Encoding("late", mergeable_ranks={**ranks, b"a": 256}, **odd)
    with refused("ids 0 to 255 are not the 256 bytes"):
        BPETokenizer.from_tiktoken(late)


def test_encoding_that_cannot_be_fetched(monkeypatch):
    def unreachable(name):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tiktoken, "get_encoding", unreachable)
    with refused("could not fetch 'gpt2': go online once, or set TIKTOKEN_", OSError):
        BPETokenizer.from_tiktoken("gpt2")


@pytest.fixture
def saved(small, tmp_path):
    small.save(tmp_path / "tokenizer.json")
    return tmp_path / "tokenizer.json"


def test_saved_and_loaded_is_the_same(saved, small, book):
    again = BPETokenizer.load(saved)
    assert again.fingerprint == small.fingerprint
    assert again.special_tokens == small.special_tokens
    assert again.encode(book, "all") == small.encode(book, "all")
    assert [path.name for path in saved.parent.iterdir()] == ["tokenizer.json"]


def test_gpt2_saved_and_loaded(gpt2, book, tmp_path):
    BPETokenizer.from_tiktoken(gpt2).save(tmp_path / "gpt2.json")
    again = BPETokenizer.load(tmp_path / "gpt2.json")
    assert again.encode(book) == gpt2.encode_ordinary(book)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_file_cut_off(saved, share):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(len(whole) * share)])
    with refused("tokenizer.json is damaged or no tokenizer"):
        BPETokenizer.load(saved)


@pytest.mark.parametrize("key", ["merges", "pattern", "special_tokens", "fingerprint"])
def test_file_damaged_inside(saved, key):
    content = json.loads(saved.read_text("utf-8"))
    content[key] = content[key][:-1] if key != "special_tokens" else {}
    saved.write_text(json.dumps(content), "utf-8")
    with refused("is damaged: its content has another fingerprint"):
        BPETokenizer.load(saved)
    del content[key]
    saved.write_text(json.dumps(content), "utf-8")
    with refused("is damaged"):
        BPETokenizer.load(saved)


def test_foreign_files(small, tmp_path):
    foreign = tmp_path / "tokenizer.json"
    small.to_huggingface(foreign)
    with refused("is not a file that BPETokenizer.save wrote"):
        BPETokenizer.load(foreign)
    for content, message in [
        (b"[1, 2]", "is not a file that"),
        (b"\x80\x04\x95", "is damaged or no tokenizer"),
        (b'{"format": "llmbook BPE tokenizer 2"}', "is not a file that"),
    ]:
        foreign.write_bytes(content)
        with refused(message):
            BPETokenizer.load(foreign)
    with pytest.raises(FileNotFoundError):
        BPETokenizer.load(tmp_path / "absent.json")


def test_a_failed_save_leaves_the_old_file(saved, small, monkeypatch):
    before = saved.read_bytes()

    def disk_full(part, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", disk_full)
    with pytest.raises(OSError, match="No space left"):
        small.save(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["tokenizer.json"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has other links and modes")
def test_a_save_follows_links_and_keeps_the_mode(saved, small, tmp_path):
    saved.chmod(0o640)
    link = tmp_path / "link.json"
    link.symlink_to(saved)
    saved.write_bytes(b"old")
    small.save(link)
    assert link.is_symlink() and BPETokenizer.load(saved).n_vocab == small.n_vocab
    assert saved.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
def test_a_pipe_is_written_to_and_not_replaced(small, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        small.save(pipe)
        assert json.loads(reader.stdout.read())["pattern"] == small.pattern
    assert pipe.is_fifo()


def test_a_folder_that_is_not_there(small, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*absent"):
        small.save(tmp_path / "absent" / "tokenizer.json")


@pytest.mark.parametrize(
    "change",
    [{"merges": 7}, {"merges": [[1, 2]]}, {"byte_order": "xyz"}, {"special_tokens": 5}],
)
def test_file_with_a_fingerprint_and_nonsense(saved, change):
    content = json.loads(saved.read_text("utf-8")) | change
    del content["fingerprint"]
    content["fingerprint"] = module.digest(content)
    saved.write_text(json.dumps(content), "utf-8")
    with refused("is damaged"):
        BPETokenizer.load(saved)


def test_file_of_brackets(saved):
    saved.write_text("[" * 200_000, "utf-8")
    with refused("is damaged or no tokenizer"):
        BPETokenizer.load(saved)


def test_special_tokens_in_no_order():
    with refused("give a list, not a set"):
        BPETokenizer.train("text", 300, {"<|a|>", "<|b|>"})


def test_ids_that_tokenizers_cannot_give(tmp_path):
    for special in ({"<|a|>": 300}, {"a": 256}, {"<|a|>": 256, "<|b|>": 258}):
        with refused("`tokenizers` cannot give"):
            BPETokenizer({}, special).to_huggingface(tmp_path / "tokenizer.json")
    assert not list(tmp_path.iterdir())


def test_bytes_under_other_ids():
    ranks = {bytes([i]): i + 10 for i in range(256)}
    shifted = tiktoken.Encoding(
        "shifted", pat_str=".+", mergeable_ranks=ranks, special_tokens={}
    )
    with refused("ids 0 to 255 are not the 256 bytes"):
        BPETokenizer.from_tiktoken(shifted)


@pytest.mark.parametrize("ids", [[[1, 2]], 7, np.array([[1]]), np.array(1)])
def test_ids_that_are_no_row(small, ids):
    with refused("is no token of this vocabulary: give one row of ids"):
        small.decode(ids)


def test_file_that_is_no_utf8(tmp_path):
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    with refused(r"latin.txt is not UTF-8 .*: convert it first"):
        list(read_text(tmp_path / "latin.txt"))
