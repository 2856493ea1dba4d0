"""The lab on children's stories runs, for ten steps, and survives being cut off."""

import pytest
import torch

from llmbook import plots, training
from llmbook.data import DATASETS
from llmbook.world import stories

from .session import LABS, cells, play

SMALL = {"N_STORIES": 300, "N_HELD_OUT": 30, "N_FOR_TOKENIZER": 100, "VOCAB_SIZE": 400}
SMALL |= {"N_STEPS": 10, "BATCH_SIZE": 4, "EVERY": 5, "T": 64}
SMALL |= {"SHAPE": {"n_layer": 1, "n_head": 2, "n_embd": 32}}


@pytest.fixture
def colab(tmp_path, monkeypatch):
    """A machine with a stand-in for the data, and an empty folder to work in."""
    for name, seed in (("tinystories", 1), ("tinystories-valid", 2)):
        told = (each.text for each in stories(320, seed=seed))
        path = tmp_path / "data" / DATASETS[name].file
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n<|endoftext|>\n".join([*told, ""]), "utf-8")
    monkeypatch.setenv("LLMBOOK_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(plots, "pick_device", lambda: torch.device("cpu"))

    def session(name):
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / name)
        return play("tinystories", **SMALL)

    return session


def test_it_runs_and_goes_on_after_a_cut(colab, monkeypatch, capsys):
    whole = colab("whole")
    assert whole["history"].val_steps == [0, 5, 10]
    advance, made = training.Run.advance, []

    def cut_off(run):
        made.append(run.step)
        if run.step == 7:
            raise ConnectionResetError("the session has ended")
        advance(run)

    with monkeypatch.context() as patch:
        patch.setattr(training.Run, "advance", cut_off)
        with pytest.raises(ConnectionResetError):
            colab("cut")
    assert made == [*range(8)]
    again = colab("cut")
    assert again["history"].losses == whole["history"].losses
    assert again["told"] == whole["told"]
    assert "Once upon a time" in capsys.readouterr().out


def test_stories_are_read_whole(colab):
    space = colab("read")
    read = list(space["read_stories"](space["train_file"], 400))
    assert read == [each.text for each in stories(320, seed=1)]
    assert len(list(space["read_stories"](space["train_file"], 7))) == 7


def test_it_shows_nothing_that_nobody_has_run():
    """The page says that it was not run; then it must show no output either."""
    page = (LABS / "tinystories.ipynb").read_text("utf-8")
    shown = any(cell.outputs for cell in cells("tinystories"))
    assert shown is ("| not measured | not measured |" not in page)
