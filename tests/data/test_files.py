"""Token files: whole or not at all, and refused by whoever would misread them."""

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbook import tokenizer as tokenizer_module
from llmbook.data import read_header, read_tokens, write_tokens
from llmbook.tokenizer import BPETokenizer


class Numbers:
    """A tokenizer of texts such as '3 1 2', with as many ids as one likes."""

    fingerprint = "0" * 64

    def __init__(self, n_vocab, special_tokens=()):
        self.n_vocab, self.special_tokens = n_vocab, dict(special_tokens)

    def encode(self, text):
        return [int(word) for word in text.split()]


def refused(match, kind=ValueError):
    return pytest.raises(kind, match=match)


def test_what_is_written_is_read(file, texts, tokenizer):
    end = tokenizer.special_tokens["<|endoftext|>"]
    want = [i for text in texts for i in [*tokenizer.encode(text), end]]
    got = read_tokens(file, tokenizer)
    assert isinstance(got, np.memmap) and got.dtype == np.uint16 and got.ndim == 1
    assert got.tolist() == want
    header = read_header(file)
    assert header.documents == len(texts) and header.count == len(want)
    assert header.end_token == end and header.vocab_size == tokenizer.n_vocab
    assert header.fingerprint == tokenizer.fingerprint
    with pytest.raises(ValueError):  # read-only
        got[0] = 1


def test_numpy_reads_it_without_us(file):
    plain = np.memmap(file, "<u2", mode="r", offset=512)
    assert np.array_equal(plain, read_tokens(file))
    assert file.read_bytes()[:512].isascii() and file.read_bytes()[511:512] == b"\n"


@pytest.mark.parametrize(
    "n_vocab, dtype", [(10, "<u2"), (2**16, "<u2"), (2**16 + 1, "<u4")]
)
def test_two_or_four_bytes(tmp_path, n_vocab, dtype):
    path, top = tmp_path / "a.tokens", n_vocab - 1
    write_tokens(path, [f"0 {top}"], Numbers(n_vocab))
    got = read_tokens(path)
    assert got.dtype == dtype and got.tolist() == [0, top]


@given(st.lists(st.lists(st.integers(0, 99), max_size=5), min_size=1, max_size=8))
def test_texts_and_ids_give_the_same_file(tmp_path_factory, documents):
    folder, maker = tmp_path_factory.mktemp("same"), Numbers(100, {"<|endoftext|>": 0})
    texts = [" ".join(map(str, ids)) for ids in documents]
    forms = [texts, documents, [np.array(ids, np.uint8) for ids in documents]]
    for n, form in enumerate(forms):
        header = write_tokens(folder / str(n), iter(form), maker)
        assert header == read_header(folder / str(n))
        assert header.documents == len(documents)
    first, *others = [(folder / str(n)).read_bytes() for n in range(3)]
    assert others == [first, first]
    want = [i for ids in documents for i in [*ids, 0]]
    assert read_tokens(folder / "0").tolist() == want


def test_one_text_is_one_document(tmp_path, tokenizer):
    header = write_tokens(tmp_path / "a", "The goose counted.", tokenizer)
    assert header.documents == 1


def test_with_and_without_the_end_token(tmp_path):
    path, maker = tmp_path / "a", Numbers(9, {"<|stop|>": 8})
    assert write_tokens(path, ["1 2", "3"], maker).end_token is None
    assert read_tokens(path).tolist() == [1, 2, 3]
    assert write_tokens(path, ["1 2", "3"], maker, end_token="<|stop|>").end_token == 8
    assert read_tokens(path).tolist() == [1, 2, 8, 3, 8]
    write_tokens(path, ["1 2", "3"], maker, end_token=None)
    assert read_tokens(path).tolist() == [1, 2, 3]
    with refused(r"the tokenizer has no special token '<\|halt\|>'"):
        write_tokens(path, ["1 2"], maker, end_token="<|halt|>")


def test_another_tokenizer(file, texts):
    another = BPETokenizer.train(texts[:100], 600, ["<|endoftext|>"])
    with refused("another tokenizer .* its ids would mean other words"):
        read_tokens(file, another)
    assert len(read_tokens(file))  # whoever asks for none gets the ids


@pytest.mark.parametrize("keep", [0, 5, 14, 100, 511])
def test_a_file_without_its_whole_head(file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    with refused("no token file|is damaged"):
        read_tokens(file)


@pytest.mark.parametrize("change", [-1, -2, 1, 1000])
def test_a_file_cut_off_or_grown(file, change):
    whole = file.read_bytes()
    file.write_bytes(whole[:change] if change < 0 else whole + bytes(change))
    with refused(r"is damaged: it has [\d,]+ bytes, and [\d,]+ tokens take [\d,]+"):
        read_tokens(file)


@pytest.mark.parametrize("content", [b"", b"Once upon a time", bytes(2000)])
def test_a_foreign_file(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with refused("a is no token file: write one with write_tokens"):
        read_tokens(tmp_path / "a")


def rewrite(path, **fields):
    """Change fields of a header."""
    content = path.read_bytes()
    header = json.loads(content[15:512]) | fields
    path.write_bytes(
        (content[:15] + json.dumps(header).encode()).ljust(511) + b"\n" + content[512:]
    )


def test_another_version(file):
    rewrite(file, version=2)
    with refused("version 2, and this package reads version 1: write it anew"):
        read_tokens(file)


def test_a_strange_header(file):
    rewrite(file, colour="blue")
    with refused("its header is not whole"):
        read_tokens(file)


@pytest.mark.parametrize("head", [b"\xff\xfe\xfd", b"{", b"[1]", b"7"])
def test_a_garbled_header(file, head):
    content = file.read_bytes()
    file.write_bytes((content[:15] + head).ljust(512) + content[512:])
    with refused("is damaged: its header is not whole"):
        read_tokens(file)


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_tokens(tmp_path / "none.tokens")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        write_tokens(tmp_path / "none" / "a.tokens", ["1"], Numbers(9))


@pytest.mark.parametrize("bad", [[[1, 9]], [[1], [70000]], ["1 2", [9]]])
def test_ids_outside_the_vocabulary(tmp_path, bad):
    with refused("the id .* is outside the vocabulary, whose ids go from 0 to 8"):
        write_tokens(tmp_path / "a", bad, Numbers(9))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("bad", [["1 9"], ["-1"], ["70000"]])
def test_a_tokenizer_that_gives_ids_outside_its_vocabulary(tmp_path, bad):
    with refused("outside the vocabulary|an id from 0 up"):
        write_tokens(tmp_path / "a", bad, Numbers(9))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "bad, kind, match",
    [
        ([[1.5]], TypeError, "whole numbers and these are float64"),
        ([[-1]], ValueError, "an id from 0 up, and here is -1"),
        ([[[1], [2]]], ValueError, "one row of ids"),
        ([1, 2, 3], TypeError, "for one row of ids, put it in a list"),
        ([None], TypeError, "a document is a text or a row of ids, not None"),
        ([], ValueError, "there are no documents"),
        ([""], ValueError, "there are no documents"),
    ],
)
def test_documents_that_are_none(tmp_path, bad, kind, match):
    with refused(match, kind):
        write_tokens(tmp_path / "a", bad, Numbers(9))
    assert not any(tmp_path.iterdir())


def test_a_tokenizer_that_is_none(tmp_path):
    with refused("str has no n_vocab", TypeError):
        write_tokens(tmp_path / "a", ["1"], "gpt2")


def test_an_error_midway_leaves_the_old_file(file, tokenizer):
    before = file.read_bytes()

    def broken():
        yield "The goose counted."
        raise RuntimeError("the source dried up")

    with pytest.raises(RuntimeError):
        write_tokens(file, broken(), tokenizer)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_full_disk(file, tokenizer, monkeypatch):
    before = file.read_bytes()
    real = os.fdopen

    class Full:
        def __init__(self, handle, mode):
            self.file, self.left = real(handle, mode), 2000

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data):
            self.left -= len(data)
            if self.left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.file.write(data)

        def seek(self, place):
            self.file.seek(place)

    monkeypatch.setattr(tokenizer_module.os, "fdopen", Full)
    with pytest.raises(OSError, match="the disk is full; nothing was written") as info:
        write_tokens(file, ["The goose counted. " * 40] * 40, tokenizer)
    assert info.value.errno == errno.ENOSPC and str(file) in str(info.value)
    assert file.read_bytes() == before and list(file.parent.iterdir()) == [file]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_no_permission(tmp_path, tokenizer):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        write_tokens(tmp_path / "a.tokens", ["text"], tokenizer)


def test_permission_denied_is_told(tmp_path, tokenizer, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr(tokenizer_module.tempfile, "mkstemp", denied)
    with pytest.raises(PermissionError, match="Permission denied"):
        write_tokens(tmp_path / "a.tokens", ["text"], tokenizer)


LARGE = """
import resource, sys
import numpy as np
from llmbook.data import read_tokens, token_loader, write_tokens

class Maker:
    n_vocab, fingerprint, special_tokens = 50000, "f" * 64, {"<|endoftext|>": 0}
    encode = None

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # MB

ids = np.arange(1, 50000)
before = peak()
write_tokens("large.tokens", (ids for _ in range(2000)), Maker())
written = peak() - before
assert written < 40, f"writing took {written} MB"
tokens = read_tokens("large.tokens", Maker())
assert len(tokens) == 100_000_000
loader = token_loader(tokens, 16, 1024, shuffle=False)
for _, (x, y) in zip(range(50), loader):
    pass
assert peak() - before < 120, f"reading took {peak() - before} MB"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="kB and MB differ elsewhere")
def test_a_large_file_takes_no_more_memory(tmp_path):
    """Two hundred megabytes go out and come back through a few."""
    run = subprocess.run(
        [sys.executable, "-c", LARGE], cwd=tmp_path, capture_output=True, text=True
    )
    (tmp_path / "large.tokens").unlink(missing_ok=True)
    assert run.returncode == 0, run.stderr
