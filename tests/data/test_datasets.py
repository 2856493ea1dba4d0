"""Data sets come whole and checked, from whichever source answers, or not at all."""

import errno
import gzip
import hashlib
import http.server
import io
import os
import re
import shutil
import subprocess
import sys
import threading
import warnings
import zipfile
from pathlib import Path

import pytest

from llmbook import data as module
from llmbook.data import DATASETS, DatasetInfo, load_dataset

TEXT = b"The goose counted one too many.\n" * 2000
HASH = hashlib.sha256(TEXT).hexdigest()


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as box:
        box.writestr("readme", "not this one")
        box.writestr("inside.txt", TEXT)
    return file.getvalue()


FILES = {
    "/good.txt": TEXT,
    "/wrong.txt": TEXT.replace(b"goose", b"moose"),
    "/good.zip": zipped(),
    "/good.txt.gz": gzip.compress(TEXT),
    "/broken.zip": zipped()[:-60],
    "/broken.txt.gz": gzip.compress(TEXT)[:-20],
    "/short.txt": TEXT,
}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        content = FILES.get(self.path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", len(content))
        self.end_headers()
        half = len(content) // 2
        self.wfile.write(content[:half] if self.path == "/short.txt" else content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """A source on this machine; `asked` lists what was asked of it."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def offer(server, monkeypatch):
    """Offer a data set named `goose` at some paths of the server."""

    def offer(*paths, sha256=HASH):
        urls = tuple(p if p.startswith("http") else server.url + p for p in paths)
        page = "https://example.org/goose"
        fields = ("goose.txt", "what a goose says", "public domain", page, len(TEXT))
        info = DatasetInfo(*fields, sha256, urls)
        monkeypatch.setattr(module, "DATASETS", {"goose": info})

    return offer


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("path", ["/good.txt", "/good.zip#inside.txt", "/good.txt.gz"])
def test_a_file_comes(offer, server, tmp_path, path):
    offer(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = load_dataset("goose", tmp_path / "new" / "folder")
    assert got == tmp_path / "new" / "folder" / "goose.txt"
    assert got.read_bytes() == TEXT and names(got.parent) == ["goose.txt"]


def test_the_second_time_nobody_is_asked(offer, server, tmp_path):
    offer("/good.txt")
    assert load_dataset("goose", tmp_path) == load_dataset("goose", tmp_path)
    assert server.asked == ["/good.txt"]


@pytest.mark.parametrize(
    "first",
    [
        "/missing.txt",
        "/wrong.txt",
        "/short.txt",
        "/broken.zip#inside.txt",
        "/good.zip#not-there.txt",
        "/broken.txt.gz",
        "http://127.0.0.1:9/nobody-listens.txt",
    ],
)
def test_the_next_source_is_tried(offer, server, tmp_path, first):
    offer(first, "/good.txt")
    assert load_dataset("goose", tmp_path).read_bytes() == TEXT
    assert server.asked[-1] == "/good.txt" and names(tmp_path) == ["goose.txt"]


def test_no_source_has_it(offer, server, tmp_path):
    offer("/missing.txt", "/wrong.txt")
    with pytest.raises(OSError) as info:
        load_dataset("goose", tmp_path)
    told = str(info.value)
    assert f"get goose.txt (64,000 bytes, SHA-256 {HASH})" in told
    assert f"from https://example.org/goose and put it at {tmp_path}" in told
    assert "404" in told and "SHA-256" in told.partition("tried:")[2]
    assert names(tmp_path) == []


def test_a_file_put_there_by_hand(offer, server, tmp_path, monkeypatch):
    offer("/good.txt")
    (tmp_path / "goose.txt").write_bytes(TEXT)
    monkeypatch.setenv("LLMBOOK_DATA", str(tmp_path))
    assert load_dataset("goose") == tmp_path / "goose.txt" and not server.asked


def test_another_file_of_that_name_is_left_alone(offer, server, tmp_path):
    offer("/good.txt")
    (tmp_path / "goose.txt").write_bytes(b"my own notes")
    with pytest.raises(ValueError, match=r"is another file: it has 12 bytes .* move"):
        load_dataset("goose", tmp_path)
    assert (tmp_path / "goose.txt").read_bytes() == b"my own notes"


def test_a_hash_that_nobody_knows_is_told(offer, server, tmp_path):
    offer("/good.txt", sha256=None)
    with pytest.warns(UserWarning, match=f"is {HASH}, and was compared with none"):
        load_dataset("goose", tmp_path)


def test_without_a_folder_it_goes_to_the_cache(offer, tmp_path, monkeypatch):
    offer("/good.txt")
    monkeypatch.delenv("LLMBOOK_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    got = load_dataset("goose")
    assert tmp_path in got.parents and "llmbook" in got.parts


def test_interrupted_at_the_keyboard(offer, tmp_path, monkeypatch):
    offer("/good.txt", "/good.txt")

    def interrupt(archive, member, to):
        to.write_bytes(TEXT[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "unpack", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_dataset("goose", tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_trouble_of_this_machine_ends_it(offer, server, tmp_path, monkeypatch, number):
    offer("/good.txt", "/good.txt")

    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module, "unpack", full)
    with pytest.raises(OSError, match=os.strerror(number)):
        load_dataset("goose", tmp_path)
    assert len(server.asked) == 1 and names(tmp_path) == []


def test_the_progress_bar_shows_on_a_terminal_only(offer, tmp_path, monkeypatch, capfd):
    offer("/good.txt")
    load_dataset("goose", tmp_path / "a")
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: True, raising=False)
    load_dataset("goose", tmp_path / "b")
    assert "100%" in capfd.readouterr().err


def test_notebooks_are_not_told_of_widgets(tmp_path):
    """Prevents a warning about bars under the first cell that loads a data set."""
    (tmp_path / DATASETS["tinystories-valid"].file).touch()
    code = """
import sys, types
console = types.SimpleNamespace(get_ipython=lambda: None)
sys.modules |= {"ipykernel.zmqshell": console, "IPython": console, "ipywidgets": None}
from llmbook.data import load_dataset
load_dataset("tinystories-valid", sys.argv[1])
"""
    line = [sys.executable, "-c", code, tmp_path]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert "Widget" not in done.stderr and "IProgress" not in done.stderr


def test_a_name_that_is_none():
    with pytest.raises(ValueError, match="no data set 'shakespear'; there are tiny-sh"):
        load_dataset("shakespear")


def test_the_table_is_whole():
    for name, info in DATASETS.items():
        assert len(info.urls) > 1 and len(set(info.urls)) == len(info.urls), name
        assert all(re.fullmatch(r"https://\S+", u) for u in (*info.urls, info.page))
        assert info.sha256 is None or re.fullmatch("[0-9a-f]{64}", info.sha256)
        assert info.licence and info.what and info.size > 0
    with pytest.raises(TypeError):
        DATASETS["mine"] = None


HELD = Path(os.environ.get("LLMBOOK_DATA") or "nowhere")


@pytest.mark.parametrize("name", [n for n, info in DATASETS.items() if info.sha256])
def test_the_files_at_hand_are_those_of_the_table(name, tmp_path):
    info = DATASETS[name]
    if not (HELD / info.file).exists():
        pytest.skip(f"{info.file} is not at hand: set LLMBOOK_DATA to its folder")
    assert load_dataset(name, HELD).stat().st_size == info.size
    shutil.copyfile(HELD / info.file, tmp_path / info.file)
    with open(tmp_path / info.file, "ab") as file:
        file.write(b"\n")
    with pytest.raises(ValueError, match="is another file"):
        load_dataset(name, tmp_path)
