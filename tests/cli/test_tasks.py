"""`llmbook finetune`, `evaluate`, `export`: what follows a training."""

import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import urllib.request
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from llmbook import cli
from llmbook.cli import baselines, copied, main
from llmbook.evaluation import text_loss
from llmbook.instruction import load_chat, respond
from llmbook.tokenizer import BPETokenizer

TINY = "--vocab-size 300 --n-layer 1 --n-head 2 --n-embd 16 --context-length 320"
TINY = [*TINY.split(), "--batch-size", "4", "--steps", "2"]
BOOK = files("llmbook").joinpath("data/ten_words.txt").read_text("utf-8")
LINES = [
    {"prompt": "Who?", "completion": "Ada."},
    {"instruction": "Say it again.", "input": "Yes.", "output": "Yes."},
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Where?"},
            {"role": "assistant", "content": "Here."},
        ]
    },
    {"instruction": "Where?", "output": "There."},
]


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A folder with a model of a text, trained once."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("a.txt").write_text(BOOK[:6000], "utf-8")
        main(["train", "a.txt", "--output", "mine", *TINY])
        Path("q.jsonl").write_text("\n".join(map(json.dumps, LINES)) + "\n", "utf-8")
        main("finetune q.jsonl --model mine --output chat --epochs 1".split())
    return folder


@pytest.fixture
def folder(mine, monkeypatch, tmp_path):
    monkeypatch.chdir(mine)
    return tmp_path


def refused(line):
    """What a command line is told that cannot work: one line, and status 1."""
    with pytest.raises(SystemExit) as raised:
        main(line)
    told = str(raised.value)
    assert told.startswith("llmbook: ") and "\n" not in told
    return told


def test_what_was_taught_is_answered(folder, capsys, monkeypatch):
    """Prevents a finetuning that learns the questions, or nothing."""
    line = "finetune q.jsonl --model mine --batch-size 1 --epochs 60 --output"
    main([*line.split(), str(folder / "chat")])
    model, tokenizer, template = load_chat(folder / "chat")
    assert respond(model, tokenizer, "Who?", template=template) == "Ada."
    assert not (folder / "chat" / "checkpoint.safetensors").exists()
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", io.StringIO("Who?\n/quit\n"))
    main(["chat", "--model", str(folder / "chat"), "--temperature", "0"])
    assert "Ada." in capsys.readouterr().out


@pytest.mark.parametrize(
    "line, why",
    [
        ("{", "line 2: no JSON at column 2"),
        ("[1]", "line 2: a list instead of an object"),
        ('{"question": "x"}', "its keys are 'question': give {\"messages\""),
        ("{}", "its keys are none"),
        ('{"prompt": "x", "completion": 3}', "'completion' is 3: give a text"),
        ('{"messages": "hello"}', "'hello' is no conversation"),
        ('{"messages": []}', "no messages"),
        ('{"messages": [{"role": "bot", "content": "x"}]}', "the role 'bot': choose"),
        ('{"messages": [{"role": "user", "content": "x"}]}', "nobody answers at the"),
        ('{"prompt": "x", "completion": " "}', "a message is empty"),
    ],
)
def test_a_bad_line_is_named(folder, line, why):
    """Prevents an hour's search for one comma in ten thousand lines."""
    good = json.dumps(LINES[0])
    path = folder / "bad.jsonl"
    path.write_text("\n".join([good, line, good, "", line]), "utf-8")
    told = refused(["finetune", str(path), "--output", str(folder / "chat")])
    assert (
        why in told and told.endswith(" (and line 5)") and "bad.jsonl, line 2" in told
    )
    assert not (folder / "chat").exists()


def test_files_that_cannot_teach(folder):
    (folder / "one.jsonl").write_text(json.dumps(LINES[0]))
    assert "give two or more" in refused(["finetune", str(folder / "one.jsonl")])
    long = [json.dumps({"prompt": "x " * 500, "completion": "y"})] * 4
    (folder / "long.jsonl").write_text("\n".join(long))
    line = ["finetune", str(folder / "long.jsonl"), "--model", "mine", "--output"]
    assert "fits into a row" in refused([*line, str(folder / "c")])
    assert "No such file" in refused(["finetune", "absent.jsonl"])


def test_evaluate_files(folder, capsys):
    main(["evaluate", "a.txt", "--model", "mine"])
    told = capsys.readouterr().out.split("\n")[1].split()
    model, tokenizer, template = cli.open_model("mine")
    loss = text_loss(model, tokenizer, BOOK[:6000])
    assert template is None and told[0] == "a.txt"
    assert (
        told[3] == f"{loss.bits_per_byte:.3f}" and told[4] == f"{loss.perplexity:,.2f}"
    )
    (folder / "empty.txt").write_text("")
    assert "empty.txt" in refused(["evaluate", str(folder / "empty.txt")])


def test_evaluate_writes_a_report_card(folder, capsys):
    main(["evaluate", "--model", "mine"])
    told = capsys.readouterr().out
    for part in ("learned from    4,5", "bigram", "gzip", "this model", "samples"):
        assert part in told
    assert "--questions N" in refused(["evaluate"])
    assert "--questions N" in refused(["evaluate", "--model", "chat"])


def test_evaluate_asks_questions(folder, capsys):
    """Prevents an examination that only one sort of model can sit."""
    main(["evaluate", "--questions", "2"])  # the storyteller chooses
    assert "binding" in capsys.readouterr().out
    main(["evaluate", "--model", "chat", "--questions", "1"])
    told = capsys.readouterr().out
    assert "never told" in told and told.split("\n")[-2].startswith("all")


def test_export_opens_in_transformers(folder):
    """Prevents a folder that only we can read, or that means something else there."""
    transformers = pytest.importorskip("transformers")
    out = str(folder / "out")
    main(["export", "--model", "chat", "--output", out])
    model, tokenizer, template = cli.open_model("chat")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(out)
    words = transformers.AutoTokenizer.from_pretrained(out)
    messages = LINES[2]["messages"][:2]
    ids, _ = template.encode(tokenizer, messages, reply=True)
    made = words.apply_chat_template(messages, add_generation_prompt=True)
    assert list(made["input_ids"] if hasattr(made, "keys") else made) == ids
    with torch.no_grad():
        ours = model(torch.tensor([ids]))
        torch.testing.assert_close(theirs(torch.tensor([ids])).logits, ours)
    stop = theirs.generation_config.eos_token_id
    assert tokenizer.special_tokens["<|end|>"] in stop


def test_export_is_read_again(folder, capsys):
    out = str(folder / "out")
    main(["export", "--model", "mine", "--output", out])
    main(["evaluate", "a.txt", "--model", "mine"])
    main(["evaluate", "a.txt", "--model", out])
    lines = [line for line in capsys.readouterr().out.split("\n") if "a.txt" in line]
    assert len(lines) == 2 and lines[0] == lines[1]


def test_exports_that_cannot_be(folder):
    assert "give another" in refused(["export", "--model", "mine", "--output", "mine"])
    assert Path("mine/model.safetensors").exists()
    assert "absent" in refused(["export", "--model", "absent"])


def test_a_model_that_continues_does_not_chat(folder):
    told = refused(["chat", "--model", "mine"])
    assert "llmbook finetune --model mine" in told


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_serve_answers_and_ends(folder):
    """Prevents a server that Ctrl-C leaves behind."""
    line = "serve --model chat --port 0".split()
    start = [sys.executable, "-c", "from llmbook.cli import main; main()", *line]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    unbuffered = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(start, env=unbuffered, **pipes)
    try:
        told = process.stdout.readline()
        url = re.search(r"'chat' at (http://\S+);", told)[1]
        with urllib.request.urlopen(f"{url}/models", timeout=60) as answer:
            assert json.load(answer)["data"][0]["id"] == "chat"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0 and not process.stderr.read()
    finally:
        process.kill()
        process.communicate()


def test_baselines_by_hand():
    """Prevents a model that wins against counts that were made too weak."""
    tokenizer = BPETokenizer.train(["ab"], 257)  # a, b, and ab as one token
    bits = baselines(tokenizer, "ab" * 30, "ab" * 6)
    assert bits["unigram"] == pytest.approx(-math.log2(31 / (30 + 257)) / 2)
    one = -math.log2(31 / 287)  # nothing stands before the first token
    mixed = -math.log2((29 + 31 / 287) / 30)
    assert bits["bigram"] == pytest.approx((one + 5 * mixed) / 12)
    assert 0 < bits["gzip"] < 8 * 12 / 12
    for pair in (("", "x"), ("x", "")):
        with pytest.raises(ValueError, match="empty"):
            baselines(tokenizer, *pair)


def test_baselines_of_what_was_never_seen():
    tokenizer = BPETokenizer.train(["abc abc"], 258)
    bits = baselines(tokenizer, "aaaa", "zq")
    assert all(math.isfinite(value) for value in bits.values())
    assert bits["unigram"] == pytest.approx(math.log2(4 + 258))


def test_copied():
    source = " ".join(map(str, range(40)))
    share, run = copied("x 3 4 5 6 7 8 9 10 11 y", source)
    assert run == "3 4 5 6 7 8 9 10 11" and share == pytest.approx(2 / 4)
    assert copied("a b c d e f g h i", source) == (0.0, "")
    assert copied("too short", source) == (0.0, "")
    assert copied(source, source) == (1.0, source)
    assert copied("9 8", "8 9", 1) == (1.0, "9 8")
    with pytest.raises(ValueError, match="n is 0"):
        copied("a", "b", 0)
