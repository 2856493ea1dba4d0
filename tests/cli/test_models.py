"""`llmbook train` and `generate`: from a text file to a model that goes on."""

import os
import re
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from llmbook import cli
from llmbook.cli import main
from llmbook.data import read_tokens
from llmbook.training import evaluate_loss, load_checkpoint, load_model

TINY = "--vocab-size 300 --n-layer 1 --n-head 2 --n-embd 16 --context-length 16"
TINY = [*TINY.split(), "--batch-size", "2"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    book = files("llmbook").joinpath("data/ten_words.txt").read_text("utf-8")
    (tmp_path / "a.txt").write_text(book[:6000], "utf-8")
    return tmp_path


def train(*more):
    main(["train", "a.txt", "--output", "mine", *TINY, *map(str, more)])


def test_train_then_generate(folder, capsys):
    train("--steps", 4)
    told = capsys.readouterr().out
    assert "4 steps" in told and "llmbook generate --model mine" in told
    model, tokenizer = load_model("mine")
    assert model.config.n_embd == 16 and tokenizer.n_vocab == 300
    assert not Path("mine/checkpoint.safetensors").exists()

    def written(*knobs):
        line = ["generate", "--model", "mine", "--max-new-tokens", "12", "The ", *knobs]
        main(line)
        return capsys.readouterr().out

    once = written("--seed", "1")
    assert once.startswith("The ") and once == written("--seed", "1")
    assert written("--temperature", "0") == written("--top-k", "1", "--seed", "3")


def test_a_device_is_asked_in_each_task(folder, monkeypatch):
    """Prevents a `--device` that is measured, and then not used."""
    from llmbook import training

    find, asked, moved = training.find_device, [], []

    def other(name):
        asked.append(name)
        return find("cpu" if name == "other" else name)

    monkeypatch.setattr(training, "find_device", other)
    training.matmul_peak.cache_clear()
    train("--steps", 2, "--device", "other")
    assert asked.count("other") == 3  # for two precisions, and for the run
    asked.clear()
    to = torch.nn.Module.to
    monkeypatch.setattr(
        torch.nn.Module, "to", lambda self, *a: moved.append(a) or to(self, *a)
    )
    main(["generate", "--model", "mine", "--max-new-tokens", "2", "--device", "other"])
    assert asked == ["other"] and moved == [(torch.device("cpu"),)]


def test_more_text_files_are_more_documents(folder, capsys):
    (folder / "b.txt").write_text("It rained. " * 300, "utf-8")
    main(["train", "a.txt", "b.txt", *TINY, "--steps", "2"])
    assert load_model("model")[1].special_tokens.keys() == {"<|endoftext|>"}


def test_an_interrupted_training_goes_on(folder):
    """Prevents an evening's work that Ctrl-C throws away."""
    run = "from llmbook.cli import main; main()"
    line = ["train", "a.txt", "--output", "mine", *TINY, "--steps", "100000"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", run, *line], **quiet)
    checkpoint, stop = Path("mine/checkpoint.safetensors"), time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < stop:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 130 and "llmbook: stopped" in told
    model, state = load_checkpoint(checkpoint)
    assert 0 <= state["step"] < 100_000 and model.config.n_layer == 1
    assert not list(Path("mine").glob(".*"))  # nothing half-written


def stop_at(step):
    def report(run):
        if run.step == step:
            raise KeyboardInterrupt

    return report


def test_a_resumed_training_ends_as_an_uninterrupted_one(folder, monkeypatch):
    """Prevents a run that its own checkpoint refuses, since a measurement differs."""
    measured = iter(["bfloat16", "float32", "bfloat16"])
    monkeypatch.setattr(
        "llmbook.training.best_precision", lambda device: next(measured)
    )
    with monkeypatch.context() as patch, pytest.raises(SystemExit, match="130"):
        patch.setattr(cli, "report", stop_at(3))
        train("--steps", 6)
    assert load_checkpoint("mine/checkpoint.safetensors")[1]["step"] == 2
    train("--steps", 6)
    Path("mine").rename("first")
    train("--steps", 6)
    first, second = (load_model(name)[0].state_dict() for name in ("first", "mine"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_seed_decides_the_first_weights(folder):
    """Prevents `--seed` from deciding the order of the data alone."""

    def first_weights(seed):
        torch.manual_seed(7)
        with pytest.raises(SystemExit, match="130"):
            train("--steps", 6, "--seed", seed)
        path = Path("mine/checkpoint.safetensors")
        model, state = load_checkpoint(path)
        path.unlink()
        assert state["step"] == 0
        return model.embed_tokens.weight

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "report", stop_at(1))
        one, other = first_weights(1), first_weights(2)
        torch.testing.assert_close(one, first_weights(1), rtol=0, atol=0)
    assert not torch.equal(one, other)


def test_training_that_cannot_be(folder):
    (folder / "empty.txt").write_text("")
    (folder / "short.txt").write_text("too short")
    for line, why in (
        (["train", "nowhere.txt"], "nowhere.txt"),
        (["train", "empty.txt"], "no text"),
        (["train", "short.txt", *TINY, "--vocab-size", "258"], "too few"),
        (["train", "a.txt", "--n-head", "3"], "n_head"),
        (["train", "a.txt", "--steps", "0"], "n_steps"),
        (["train", "a.txt", "--context-length", "4000"], "6,000 characters of text"),
        (["train", "a.txt", "--learning-rate", "-1"], "learning_rate"),
        (["generate", "--model", "nowhere"], "nowhere"),
        (["train", "a.txt", "--device", "gpu"], "no device 'gpu' here"),
        (["generate", "--device", "cuda:99"], "no device 'cuda:99' here"),
    ):
        with pytest.raises(SystemExit) as raised:
            main(line)
        told = str(raised.value)
        assert told.startswith("llmbook: ") and why in told and "\n" not in told
    assert not list(folder.rglob("*.safetensors"))


def test_the_best_model_is_kept(folder, capsys):
    """Prevents a model that learned its text by heart and lost the language."""
    line = [*TINY[:-2], "--batch-size", "16", "--learning-rate", "0.05"]
    main(["train", "a.txt", *line, "--steps", "60", "--muon-learning-rate", "0.2"])
    kept = re.search(r"kept: the model of step (\d+)", capsys.readouterr().out)
    model, tokenizer = load_model("model")
    val = tokenizer.encode(Path("model/val.txt").read_text("utf-8"))
    losses = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "report", lambda run: losses.append(run.history))
        main(["train", "a.txt", *line, "--steps", "60", "--muon-learning-rate", "0.2"])
    history = losses[-1]
    best = history.val_steps[history.val_losses.index(min(history.val_losses))]
    assert evaluate_loss(model, val) == pytest.approx(min(history.val_losses), abs=0.02)
    assert bool(kept) is (best != 60) and (not kept or int(kept[1]) == best)


def test_three_parts_make_the_text(folder):
    """Prevents a report card that is written on text the model has read."""
    train("--steps", 2)
    tokens = read_tokens("mine/text.tokens").tolist()
    tokenizer = load_model("mine")[1]
    learned = tokenizer.decode(tokens[:-1])
    val, test = (
        Path(f"mine/{name}.txt").read_text("utf-8") for name in ("val", "test")
    )
    assert learned + val + test == Path("a.txt").read_text("utf-8")
    assert len(test) == len(val) == 300


def test_knobs_that_cannot_be(folder):
    train("--steps", 2)
    for knob, value in (("temperature", "-1"), ("top-k", "0"), ("top-p", "2")):
        with pytest.raises(SystemExit, match=knob.replace("-", "_")):
            main(["generate", "--model", "mine", f"--{knob}", value, "The"])


def test_tokenizer_tasks_do_not_wait_for_torch():
    """Prevents a second of waiting before the help is shown."""
    code = "import sys, llmbook.cli; sys.exit('torch' in sys.modules)"
    assert not subprocess.run([sys.executable, "-c", code], env=os.environ).returncode
