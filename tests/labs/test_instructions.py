"""The lab on instructions runs on a few of ours, and its GPT-2 on random weights."""

import json
import re
from collections import Counter
from difflib import SequenceMatcher
from itertools import groupby

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from llmbook import data, plots
from llmbook.tokenizer import BPETokenizer
from llmbook.world import stories

from .session import LABS, cells, functions, play

END = "<|endoftext|>"


def record(instruction, given, output):
    return {"instruction": instruction, "input": given, "output": output}


@pytest.fixture
def released(tmp_path, monkeypatch):
    """A file of instructions, two others for Alpaca, and a model that lies as GPT-2."""
    records = []
    for number, each in enumerate(stories(300, seed=7)):
        first = each.text.split(".")[0] + "."
        ways = [
            record(
                f"What comes after '{number}'?", "", f"After '{number}' comes more."
            ),
            record(first, "", first),
            record("Begin with the last word.", first, f"It is {first.split()[-1]}"),
        ]
        records.append(ways[number % 3])
    file = tmp_path / "instructions.json"
    file.write_text(json.dumps(records), "utf-8")
    alpaca = [record(f"What is {i}?", "", f"It is {i}.") for i in range(40)]
    (tmp_path / "alpaca.json").write_text(json.dumps(alpaca + records[260:262]))
    torch.manual_seed(0)
    texts = [" ".join(each.values()) for each in records]
    tokenizer = BPETokenizer.train(texts, 400, [END])
    shape = {"n_layer": 2, "n_head": 2, "n_embd": 32, "n_positions": 320}
    GPT2LMHeadModel(GPT2Config(vocab_size=400, **shape)).save_pretrained(tmp_path)
    tokenizer.to_huggingface(tmp_path / "tokenizer.json")
    monkeypatch.setattr(data, "load_dataset", lambda name: file)
    monkeypatch.setattr(plots, "pick_device", lambda: torch.device("cpu"))
    return tmp_path


def test_it_runs(released, capsys):
    """Every cell, those too that the page does not run."""
    small = {"N_EPOCHS": 1, "N_READINGS": 1, "GPT2": str(released)}
    space = play(
        "instructions", **small, ALPACA_FILE=(released / "alpaca.json").as_uri()
    )
    parts = [len(space[part]) for part in ("learn", "test", "choose")]
    assert parts == [255, 30, 15]
    assert {len(answers) for answers in space["papers"].values()} == {30}
    assert len(space["alpaca"]) == 42 and len(space["fresh"]) == 40
    large = space["large"]
    for name in ("GPT-2, loss on all", "GPT-2, loss on answers"):
        tuned = space["tuned"][name][0]
        assert not torch.equal(tuned.wte.weight, large.wte.weight)
        assert tuned.wte.weight.shape == large.wte.weight.shape
    out = capsys.readouterr().out
    assert "GPT-2, untaught" in out and "nats a byte" in out
    assert "42 records, 2 of them in the test" in out


def test_the_rival():
    """It finds the nearest relative and swaps the words in which they differ."""
    learn = [
        record("What is the opposite of 'cheap'?", "", "'cheap' is not 'dear'."),
        record("Name a river.", "", "The Rhine."),
    ]
    given = {"re": re, "Counter": Counter, "SequenceMatcher": SequenceMatcher}
    names = ("asked", "words_of", "overlap", "nearest", "swap")
    space = given | {"learn": learn}
    asked, words_of, _, nearest, swap = functions("instructions", *names, **space)
    scope = swap.__globals__
    scope["bags"] = [Counter(words_of(asked(each))) for each in learn]
    question = record("What is the opposite of 'deep'?", "", "")
    share, twin = nearest(question)
    assert share == pytest.approx(5 / 6) and twin == learn[0]
    assert swap(question) == "'deep' is not 'dear'."
    assert nearest(learn[1]) == (1, learn[1])


def test_forms():
    """What the instruction has stays, and what has to be known is a blank."""
    given = {"re": re, "groupby": groupby}
    names = ("asked", "words_of", "form", "blanks")
    _, _, form, blanks = functions("instructions", *names, **given)
    question = record("The opposite of 'hot'?", "", "The opposite of hot is cold.")
    assert form(question["output"], question) == "the opposite of hot …"
    assert form("Very cold indeed.", question) == "…" and form("", question) == ""
    assert blanks(question) == 2


def test_it_shows_nothing_that_nobody_has_run():
    page = (LABS / "instructions.ipynb").read_text("utf-8")
    assert "Nobody has run these cells" in page
    skipped = [c for c in cells("instructions") if "# skipped:" in c.source]
    assert len(skipped) == 4 and not any(cell.outputs for cell in skipped)
    for cell in skipped:
        assert "nbval-skip" in cell.metadata.tags
