"""The lab on spam runs on messages of ours, and its GPT-2 on random weights."""

import random

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from llmbook import data, plots
from llmbook.tokenizer import BPETokenizer
from llmbook.world import stories

from .session import LABS, cells, functions, play

END = "<|endoftext|>"


@pytest.fixture
def phone(tmp_path, monkeypatch):
    """A file of messages with twins, and a model in the layout of GPT-2."""
    draw, lines, texts = random.Random(0), [], []
    for number, each in enumerate(stories(300, seed=9)):
        text = " ".join(each.text.split()[:12])
        texts.append(text)
        if number % 5 == 0:
            prize = f"WINNER! {text} Call 0{draw.randrange(900)} to claim {number}"
            lines += [f"spam\t{prize}", f"spam\t{prize.replace('0', '7')}"]
        lines.append(f"ham\t{text}")
    story = tmp_path / "messages.tsv"
    story.write_text("\n".join(lines), "utf-8")
    torch.manual_seed(0)
    shape = {"n_layer": 2, "n_head": 2, "n_embd": 32, "n_positions": 128}
    GPT2LMHeadModel(GPT2Config(vocab_size=400, **shape)).save_pretrained(tmp_path)
    tokenizer = BPETokenizer.train(texts, 400, [END])
    tokenizer.to_huggingface(tmp_path / "tokenizer.json")
    monkeypatch.setattr(data, "load_dataset", lambda name: story)
    monkeypatch.setattr(plots, "pick_device", lambda: torch.device("cpu"))
    return str(tmp_path)


def test_it_runs(phone, capsys):
    small = {"N_DEALS": 2, "N_STEPS": 12}
    space = play("spam", **small, WITH_GPT2=True, GPT2=phone)
    learn, choose, test = (space[part] for part in ("learn", "choose", "test"))
    assert not {text for _, text in learn} & {text for _, text in (*choose, *test)}
    told = capsys.readouterr().out
    assert "1: " in told and "all: " in told


def test_dealing():
    """As many of either, each message once, and another order for another seed."""
    (deal,) = functions("spam", "deal", random=random)
    messages = [("spam", f"s{i}") for i in range(20)] + [
        ("ham", f"h{i}") for i in range(99)
    ]
    parts = deal(messages, 0)
    both = [each for part in parts for each in part]
    assert [len(part) for part in parts] == [28, 4, 8] and len(set(both)) == 40
    assert sum(label == "spam" for label, _ in both) == 20
    assert deal(messages, 0) == parts != deal(messages, 1)


def test_gpt2_shows_nothing_that_nobody_has_run():
    page = (LABS / "spam.ipynb").read_text("utf-8")
    assert "Nobody has run this part" in page
    (cell,) = (each for each in cells("spam") if "if WITH_GPT2" in each.source)
    assert not cell.outputs
