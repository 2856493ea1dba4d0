"""The `llmbook tokenizer` command does its tasks on files, or says why not."""

import os
import subprocess
import sys

import pytest

from llmbook.cli import main
from llmbook.tokenizer import BPETokenizer


@pytest.fixture
def folder(tmp_path, monkeypatch, book):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "story.txt").write_text(book, "utf-8", newline="")
    main(["tokenizer", "train", "story.txt", "--vocab-size", "500"])
    return tmp_path


def test_there_and_back(folder, book):
    tokenizer = BPETokenizer.load("tokenizer.json")
    assert tokenizer.n_vocab == 500
    main("tokenizer encode story.txt --output ids.txt".split())
    assert list(map(int, (folder / "ids.txt").read_text().split())) == tokenizer.encode(
        book
    )
    main("tokenizer decode ids.txt --output again.txt".split())
    assert (folder / "again.txt").read_bytes() == (folder / "story.txt").read_bytes()


def test_several_files_and_special_tokens(folder):
    (folder / "other.txt").write_text("zzz<|end|>zzz", "utf-8")
    line = "tokenizer train story.txt other.txt --vocab-size 400 --special <|end|>"
    main([*line.split(), "--output", "two.json"])
    tokenizer = BPETokenizer.load("two.json")
    assert tokenizer.special_tokens == {"<|end|>": 399}
    for flag, found in (([], 0), (["--allow-special"], 1)):
        use = "tokenizer encode other.txt --tokenizer two.json --output ids.txt".split()
        main(use + flag)
        assert (folder / "ids.txt").read_text().split().count("399") == found


def test_standard_input_and_output(folder):
    def pipe(task, given):
        run = "from llmbook.cli import main; main()"
        command = [sys.executable, "-c", run, "tokenizer", task, "-"]
        done = subprocess.run(command, input=given, capture_output=True, check=True)
        assert done.stderr == b""
        return done.stdout

    text = "Ängström, 山 🐐\r\n".encode()
    assert pipe("decode", pipe("encode", text)) == text


def test_special_tokens_that_hold_a_space(folder):
    (folder / "spaced.txt").write_text("hello <|end of text|> world <|end of text|>")
    given = ["tokenizer", "train", "spaced.txt", "--special", "<|end of text|>"]
    main([*given, "--vocab-size", "262"])
    main("tokenizer encode spaced.txt --allow-special --output ids.txt".split())
    assert (folder / "ids.txt").read_text().split().count("261") == 2


def test_a_small_corpus_is_told_in_one_line(folder, capsys):
    (folder / "small.txt").write_text("abc")
    main("tokenizer train small.txt --vocab-size 300".split())
    said = capsys.readouterr().err
    assert said == "llmbook: the texts have only 2 merges to give, not 44\n"


def test_a_missing_folder_is_told_before_the_work(folder):
    with pytest.raises(SystemExit, match=r"there is no folder for absent/t\.json"):
        main("tokenizer train story.txt --output absent/t.json".split())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no broken pipes")
def test_a_reader_who_has_had_enough(folder, book):
    (folder / "long.txt").write_text(book * 20, "utf-8", newline="")
    run = "from llmbook.cli import main; main()"
    command = [sys.executable, "-c", run, "tokenizer", "encode", "long.txt"]
    with subprocess.Popen(command, stdout=-1, stderr=-1) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


@pytest.mark.parametrize(
    "line, message",
    [
        ("encode absent.txt", "absent.txt"),
        ("encode latin.txt", "latin.txt is not UTF-8"),
        (
            "encode story.txt --tokenizer story.txt",
            "story.txt is damaged or no tokenizer",
        ),
        ("decode story.txt", "'Ten' is not a token id"),
        ("decode large.txt", "99999 is no token of this vocabulary"),
        ("train empty.txt", "the corpus is empty"),
        ("train story.txt --vocab-size 10", "vocab_size is 10"),
        ("train story.txt --special a --special a", "'a' is given twice"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(folder, line, message):
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "large.txt").write_text("104 99999\n")
    before = {path.name for path in folder.iterdir()}
    with pytest.raises(SystemExit) as stopped:
        main(["tokenizer", *line.split(), "--output", "out.txt"])
    assert str(stopped.value).startswith("llmbook: ") and message in str(stopped.value)
    assert "\n" not in str(stopped.value)
    assert {path.name for path in folder.iterdir()} == before


def test_help_and_version(capsys):
    for line in ("--help", "tokenizer --help", "tokenizer train --help", "--version"):
        with pytest.raises(SystemExit) as stopped:
            main(line.split())
        assert stopped.value.code == 0
    assert "--vocab-size" in capsys.readouterr().out
