"""What goes wrong is told in one sentence, and nothing that was saved is lost."""

import errno
import json
import os
import sys
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

import llmbook.training as module
from llmbook.gpt import GPT
from llmbook.training import (
    MODELS,
    TrainConfig,
    best_precision,
    evaluate_loss,
    load_checkpoint,
    load_model,
    load_storyteller,
    save_checkpoint,
    save_model,
    train,
    train_storyteller,
)
from tests.training.conftest import same_weights


def refused(match, kind=ValueError):
    return pytest.raises(kind, match=match)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_steps": 0}, "n_steps is 0: give a whole number from 1 up"),
        ({"n_steps": 2.5}, "n_steps is 2.5: give a whole number"),
        ({"batch_size": True}, "batch_size is True: give a whole number"),
        ({"batch_size": None}, "batch_size is None: give a whole number from 1 up$"),
        ({"accumulation_steps": 0}, "accumulation_steps is 0"),
        ({"context_length": 0}, "context_length is 0: .* from 1 up, or None"),
        ({"end_token": -1}, "end_token is -1"),
        ({"eval_every": 0}, "eval_every is 0: .* from 1 up, or None"),
        ({"checkpoint_every": "2"}, "checkpoint_every is '2'"),
        ({"seed": -1}, "seed is -1"),
        ({"learning_rate": 0}, "learning_rate is 0: give a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"muon_learning_rate": float("inf")}, "muon_learning_rate is inf"),
        ({"grad_clip": 0.0}, "grad_clip is 0.0: give a number above 0"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1: give a number from 0 up"),
        ({"final_learning_rate": 1}, "falls from 0.001 to 1: give a final"),
        ({"warmup_steps": 6}, "6 of 5 steps cannot be warm-up"),
        ({"schedule": "cosinus"}, "schedule is 'cosinus': choose of 'cosine', 'lin"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd': choose of 'adamw', 'muon'"),
        ({"precision": "float16"}, "precision is 'float16': choose of 'float32', 'b"),
        ({"betas": 0.9}, "betas is 0.9: give two numbers"),
        ({"betas": (0.9, 1.0)}, "betas is .*: give two numbers from 0 to below 1"),
    ],
)
def test_settings_that_cannot_be(changes, message):
    with refused(message):
        TrainConfig(**({"n_steps": 5} | changes))


def test_data_that_are_too_short(data, build, settings):
    windows = settings(end_token=None, context_length=64)
    with refused("5 tokens are too few for one window"):
        train(build(), data.train_tokens[:5], None, windows)
    made = []
    with refused("5 tokens are too few for one window"):  # before any step
        train(
            build(),
            data.train_tokens,
            data.val_tokens[:5],
            windows,
            on_step=made.append,
        )
    assert not made
    with refused("there are no tokens"):
        evaluate_loss(build(), [])


def test_a_context_that_is_too_long(data, build, settings):
    with refused("context_length is 129, and this model looks at 1 to 128 tokens"):
        train(build(), data.train_tokens, None, settings(context_length=129))
    with refused("context_length is 500"):
        evaluate_loss(build(), data.val_tokens, context_length=500)


def test_ids_outside_the_vocabulary(data, build, settings):
    with refused("ids from .* to 1023, and the vocabulary has 0 to 9"):
        train(build(vocab_size=10), data.train_tokens, None, settings())


def poison(step):
    """Make a weight infinite after a step."""

    def poison(run):
        if run.step == step:
            with torch.no_grad():
                next(run.model.parameters())[:] = float("inf")

    return poison


@pytest.mark.parametrize("every", [1, 3])
def test_a_loss_that_is_no_number(every, data, build, settings, tmp_path):
    path = tmp_path / "run.safetensors"
    corpora = (data.train_tokens, None)
    config = settings(10, checkpoint_every=every)
    last = {1: 4, 3: 3}[every]  # the last good checkpoint
    at = "after step 5 a weight is" if every == 1 else "at step 6 the loss is nan"
    message = f"{at}.*lower the learning rate.*holds the run after step {last}$"
    with refused(message, FloatingPointError):
        train(build(), *corpora, config, checkpoint=path, on_step=poison(5))
    model, state = load_checkpoint(path)
    assert state["step"] == last and all(p.isfinite().all() for p in model.parameters())
    whole, resumed = build(), build()
    train(whole, *corpora, config)
    train(resumed, *corpora, config, checkpoint=path)
    assert same_weights(whole, resumed)


def test_a_rate_that_is_too_high(data, build, settings):
    config = settings(20, learning_rate=1e30, warmup_steps=0, grad_clip=None)
    with refused("at step . the loss is", FloatingPointError):
        train(build(), data.train_tokens, None, config)


@pytest.fixture
def saved(data, build, settings, tmp_path):
    """A checkpoint of a run that has not ended."""
    path = tmp_path / "run.safetensors"
    config = settings(4, checkpoint_every=2)
    train(build(), data.train_tokens, None, config, checkpoint=path)
    return path


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.999])
def test_truncated_checkpoints(share, saved, data, build, settings):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    for model in (None, build()):
        with refused("is damaged or no checkpoint"):
            load_checkpoint(saved, model)
    before = saved.read_bytes()
    with refused("is damaged or no checkpoint"):
        train(build(), data.train_tokens, None, settings(4), checkpoint=saved)
    assert saved.read_bytes() == before  # whatever it is, it is not overwritten


@pytest.mark.parametrize("content", [b"\x80\x04\x95pickle", b"text", b"\x00" * 100])
def test_foreign_files(content, saved):
    saved.write_bytes(content)
    with refused("is damaged or no checkpoint"):
        load_checkpoint(saved)


def test_foreign_safetensors(saved, build):
    weights = {"weight": torch.zeros(2)}
    for metadata in (None, {"format": "pt"}, {"llmbook": '{"format": "another 1"}'}):
        save_file(weights, saved, metadata)
        with refused("is not a file that save_checkpoint wrote"):
            load_checkpoint(saved)
    for metadata in ({"llmbook": "{"}, {"llmbook": "[1]"}):
        save_file(weights, saved, metadata)
        with refused("is damaged or no checkpoint"):
            load_checkpoint(saved)


def test_checkpoints_hold_no_code(saved):
    """Tensors and JSON: nothing that could be executed."""
    content = saved.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    json.loads(header["__metadata__"]["llmbook"])
    assert set(header) - {"__metadata__"} == set(load_file(saved))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_embd": 64}, "a model with n_embd=32, and this one has 64"),
        ({"n_layer": 2}, "n_layer=1, and this one has 2"),
        ({"n_head": 4}, "n_head=2, and this one has 4"),  # the same shapes
        ({"rotary": False}, "rotary=True, and this one has False"),
    ],
)
def test_checkpoints_of_another_shape(changes, message, saved, data, build, settings):
    model = build(**changes)
    before = [p.clone() for p in model.parameters()]
    with refused(message):
        load_checkpoint(saved, model)
    with refused(message):
        train(model, data.train_tokens, None, settings(4), checkpoint=saved)
    assert all(map(torch.equal, before, model.parameters()))


def test_checkpoints_of_another_version(saved, build):
    tensors = load_file(saved)
    content = saved.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    del tensors["model.ln_f.weight"]
    save_file(tensors, saved, header["__metadata__"])
    with refused("another version of GPT: for model.ln_f.weight it has no such tensor"):
        load_checkpoint(saved)


def test_checkpoints_of_a_newer_package(saved, build):
    """Prevents a TypeError about a keyword that the user has never written."""
    tensors, content = load_file(saved), saved.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    told = json.loads(header["__metadata__"]["llmbook"])
    told["config"] |= {"n_dream": 2, "moods": [1]}
    save_file(tensors, saved, {"llmbook": json.dumps(told)})
    with refused("holds a GPT with moods, n_dream, which this version .*: install a n"):
        load_checkpoint(saved)
    with refused("holds a model with n_dream=2, and this one has None"):
        load_checkpoint(saved, build())


class Cousin(GPT):
    """A kind of model that no checkpoint knows."""


def test_checkpoints_of_another_kind(tmp_path, build, monkeypatch):
    path, cousin = tmp_path / "cousin.safetensors", Cousin(build().config)
    save_checkpoint(path, cousin)
    with refused("holds a Cousin, and known are GPT.*: import the module that defines"):
        load_checkpoint(path)
    with refused("holds a Cousin, and the model is a GPT"):
        load_checkpoint(path, build())
    monkeypatch.setitem(MODELS, "Cousin", (Cousin, type(cousin.config)))
    model, state = load_checkpoint(path)
    assert type(model) is Cousin and state is None and same_weights(model, cousin)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_steps": 9}, "a run with n_steps=4, and this one has 9"),
        ({"learning_rate": 1e-2}, "a run with learning_rate=0.003, and this one"),
        ({"betas": (0.9, 0.9)}, r"a run with betas=\[0.9, 0.95\], and this one"),
        ({"seed": 3}, "a run with seed=0"),
    ],
)
def test_checkpoints_of_another_run(changes, message, saved, data, build, settings):
    config = replace(settings(4), **changes)
    model = build()
    before = [p.clone() for p in model.parameters()]
    with refused(message):
        train(model, data.train_tokens, None, config, checkpoint=saved)
    assert all(map(torch.equal, before, model.parameters()))


def test_checkpoints_of_other_data(saved, data, build, settings):
    model = build()
    before = [p.clone() for p in model.parameters()]
    with refused("the state is of a loader with n_tokens="):
        train(model, data.train_tokens[:-100], None, settings(4), checkpoint=saved)
    assert all(map(torch.equal, before, model.parameters()))


def test_a_model_is_no_run(saved, data, build, settings):
    save_checkpoint(saved, build())
    with refused("holds a model but no run that could go on"):
        train(build(), data.train_tokens, None, settings(4), checkpoint=saved)


def test_a_path_without_a_checkpoint(tmp_path):
    with refused("there is no checkpoint", FileNotFoundError):
        load_checkpoint(tmp_path / "absent.safetensors")
    with refused("there is no checkpoint", FileNotFoundError):
        load_checkpoint(tmp_path)


def test_state_that_cannot_be_kept(tmp_path, build):
    path = tmp_path / "model.safetensors"
    with refused(
        "state.draw is a Generator, which a checkpoint cannot hold", TypeError
    ):
        save_checkpoint(path, build(), {"draw": torch.Generator()})
    assert not os.listdir(tmp_path)


def test_tensors_of_like_names(tmp_path, build):
    """Prevents that one tensor comes back as another."""
    path = tmp_path / "model.safetensors"
    numbers = [torch.tensor([n]) for n in range(6)]
    a, b, c, d, e, f = numbers
    state = {"a": {"b": a}, "a.b": b, "a.b'": c, 1: d, "1": e, "list": [f]}
    save_checkpoint(path, build(), state)
    found = load_checkpoint(path)[1]
    assert list(found) == list(state)
    back = [found["a"]["b"], *(found[key] for key in ("a.b", "a.b'", 1, "1"))]
    assert all(map(torch.equal, [*back, found["list"][0]], numbers))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full device")
def test_a_device_that_is_full(build):
    with refused("the disk is full: .* MB for '/dev/full' were not written", OSError):
        save_checkpoint("/dev/full", build())


def test_a_disk_that_fills_up(saved, data, build, settings, monkeypatch):
    """The last good checkpoint stays, and the run goes on from it."""
    config, corpora = settings(8, checkpoint_every=2), (data.train_tokens, None)
    saved.unlink()
    whole = build()
    train(whole, *corpora, config)
    sync = os.fsync

    def full(handle):
        if len(syncs) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        syncs.append(handle)
        sync(handle)

    syncs = []
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"the disk is full: .* still stands") as caught:
        train(build(), *corpora, config, checkpoint=saved)
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.setattr(os, "fsync", sync)
    assert load_checkpoint(saved)[1]["step"] == 4
    assert os.listdir(saved.parent) == [saved.name]
    resumed = build()
    train(resumed, *corpora, config, checkpoint=saved)
    assert same_weights(whole, resumed)


@pytest.fixture
def closed(tmp_path, monkeypatch):
    """A folder that may not be written to."""
    closed = tmp_path / "closed"
    closed.mkdir()
    if os.geteuid() == 0:  # whom no permission stops

        def forbid(*arguments):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr("tempfile.mkstemp", forbid)
    else:
        closed.chmod(0o500)
    return closed


def test_a_folder_that_may_not_be_written(data, build, settings, closed):
    path, calls = closed / "run.safetensors", []
    with refused(
        "no permission to write to .*closed': choose another", PermissionError
    ):
        train(
            build(),
            data.train_tokens,
            None,
            settings(3),
            checkpoint=path,
            on_step=calls.append,
        )
    assert not calls  # told before the work, not after it


def test_a_storyteller_that_nobody_could_keep(data, closed, tmp_path):
    """Prevents five minutes of training for a folder that refuses the model."""
    calls = []
    few = {"n_steps": 2, "data": data, "precision": "float32", "on_step": calls.append}
    with refused("no permission to write to .*closed': choose", PermissionError):
        train_storyteller(closed, **few)
    (tmp_path / "file").touch()
    with refused("file", FileExistsError):
        train_storyteller(tmp_path / "file", **few)
    for n_steps in (0, -1, 2.5):
        with refused(f"n_steps is {n_steps}: give a whole number from 1 up"):
            train_storyteller(tmp_path / "none", **few | {"n_steps": n_steps})
    assert not calls and not (tmp_path / "none").exists()


def test_a_folder_that_is_not_there(data, build, settings, tmp_path):
    path = tmp_path / "absent" / "run.safetensors"
    with refused("there is no folder .*absent", FileNotFoundError):
        train(build(), data.train_tokens, None, settings(3), checkpoint=path)


def test_tensorboard_that_is_not_installed(
    data, build, settings, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with refused("TensorBoard is not installed: run `pip install", ImportError):
        train(build(), data.train_tokens, None, settings(2), tensorboard=tmp_path)


def test_models_with_their_tokenizers(tmp_path, data, build):
    model, folder = build(), tmp_path / "new" / "model"
    save_model(folder, model, data.tokenizer, torch.float16)
    loaded, tokenizer = load_model(folder)
    assert tokenizer.fingerprint == data.tokenizer.fingerprint
    assert not loaded.training and loaded.config == model.config
    for p, q in zip(model.parameters(), loaded.parameters(), strict=True):
        assert q.dtype == torch.float32 and torch.equal(p.half().float(), q)
    assert sorted(os.listdir(folder)) == ["model.safetensors", "tokenizer.json"]
    type(data.tokenizer).train("another text", 260).save(folder / "tokenizer.json")
    with refused("was trained with another tokenizer than tokenizer.json holds"):
        load_model(folder)
    (folder / "tokenizer.json").unlink()
    with refused("there is no tokenizer.json in", FileNotFoundError):
        load_model(folder)
    with refused("there is no model.safetensors in", FileNotFoundError):
        load_model(tmp_path / "absent")


class Killed(BaseException):
    """What ends a process in the middle of things."""


@pytest.mark.parametrize("last", range(4))
def test_models_that_are_saved_in_part(last, tmp_path, data, build, monkeypatch):
    """Prevents a folder whose model has lost its tokenizer."""
    old, new = build(vocab_size=260), build()
    words = type(data.tokenizer).train("another text", 260)
    save_model(tmp_path, old, words)
    rename, done = os.replace, []

    def replace(*paths):
        if len(done) == last:
            raise Killed
        done.append(paths)
        rename(*paths)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(Killed) if last < 3 else nullcontext():
        save_model(tmp_path, new, data.tokenizer)
    monkeypatch.setattr(os, "replace", rename)
    pair = (old, words) if last < 2 else (new, data.tokenizer)
    model, tokenizer = load_model(tmp_path)
    assert same_weights(model, pair[0])
    assert tokenizer.fingerprint == pair[1].fingerprint
    save_model(tmp_path, old, words)
    assert same_weights(load_model(tmp_path)[0], old)
    assert sorted(os.listdir(tmp_path)) == ["model.safetensors", "tokenizer.json"]


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta"])
def test_devices_that_are_not_there(name, data, build, settings):
    told = f"PyTorch finds no device '{name}' here: give cpu"
    with refused(told):
        train(build(), data.train_tokens, None, settings(device=name))
    with refused(told):
        best_precision(name)


def test_a_storyteller_that_nobody_made(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "files", lambda package: tmp_path)
    with refused("no storyteller yet: run `make storyteller`", FileNotFoundError):
        load_storyteller()
