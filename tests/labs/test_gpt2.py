"""The lab on GPT-2 runs on random weights that lie as the released ones do."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel

from llmbook import data, plots
from llmbook.tokenizer import BPETokenizer
from llmbook.world import stories

from .session import LABS, cells, play

END = "<|endoftext|>"


@pytest.fixture
def released(tmp_path, monkeypatch):
    """Two small models in the Hub's layout, and two texts, in an empty folder."""
    texts = [each.text for each in stories(300, seed=8)]
    tokenizer = BPETokenizer.train(texts, 500, [END])
    sizes = []
    for n_layer in (1, 2):
        torch.manual_seed(n_layer)
        folder = tmp_path / f"gpt2-{n_layer}"
        shape = {"n_layer": n_layer, "n_head": 2, "n_embd": 32, "n_positions": 128}
        GPT2LMHeadModel(GPT2Config(vocab_size=500, **shape)).save_pretrained(folder)
        path = folder / "model.safetensors"
        tensors = load_file(path).items()
        bare = {name.removeprefix("transformer."): t.clone() for name, t in tensors}
        masks = {f"h.{i}.attn.bias": torch.ones(1, 1, 128, 128) for i in range(n_layer)}
        path.unlink()
        save_file(bare | masks, path)
        tokenizer.to_huggingface(folder / "tokenizer.json")
        sizes.append(str(folder))
    story = tmp_path / "story.txt"
    story.write_text("\n".join(texts), "utf-8")
    monkeypatch.setattr(data, "load_dataset", lambda name: story)
    monkeypatch.setattr(plots, "pick_device", lambda: torch.device("cpu"))
    monkeypatch.chdir(tmp_path)
    return sizes


def test_it_runs(released, capsys):
    small = {"T": 64, "MOST": 800, "N_NEW": 8, "N_STEPS": 4, "BATCH_SIZE": 2}
    space = play("gpt2", SIZES=released, **small)
    assert space["history"].val_steps[-1] == 4
    assert [model.config.n_layer for model in space["models"].values()] == [1, 2]
    out = capsys.readouterr().out
    assert "Tiny Shakespeare perplexity" in " ".join(out.split())
    assert "librarian" in out and "and after 4 steps" in out


def test_it_shows_nothing_that_nobody_has_run():
    """The page says that it was not run; then it must show no output either."""
    page = (LABS / "gpt2.ipynb").read_text("utf-8")
    assert "Nobody has run this lab" in page
    assert not any(cell.outputs for cell in cells("gpt2"))
