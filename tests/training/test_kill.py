"""A run may be killed at any moment; what is left on the disk is whole."""

import json
import multiprocessing
import os
import random
import signal
import time

import pytest
import torch

from llmbook.training import load_checkpoint
from tests.training import killed

pytestmark = pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(),
    reason="needs a way to start processes that have PyTorch already",
)


@pytest.fixture(scope="module")
def start():
    """A function that starts a run in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.killed"])

    def start(*arguments):
        process = context.Process(target=killed.run, args=arguments)
        process.start()
        return process

    return start


def wait_for(condition, process):
    """Wait until something is true; fail if the process ends first."""
    end = time.monotonic() + 120
    while not condition():
        assert process.is_alive() and time.monotonic() < end
        time.sleep(0.001)


def parts(folder):
    """Files that a run has begun to write."""
    return [name for name in os.listdir(folder) if name.endswith(".part")]


def history_of(path):
    """What a finished run wrote down, but for its times."""
    with open(path) as file:
        content = json.load(file)
    del content["seconds"]
    return content


def test_killed_ten_times_equals_uninterrupted(start, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    process = start(whole / "run.safetensors", whole / "history.json")
    path, draw, last, during = broken / "run.safetensors", random.Random(0), -1, 0
    for moment in range(10):
        victim = start(path, broken / "history.json")
        wait_for(path.exists, victim)
        before = path.stat().st_mtime_ns
        wait_for(lambda b=before: path.stat().st_mtime_ns != b, victim)
        if moment % 2:
            wait_for(lambda: parts(broken), victim)
        time.sleep(draw.uniform(0, 0.04))
        victim.kill()
        victim.join()
        assert victim.exitcode == -signal.SIGKILL
        during += bool(parts(broken))
        model, state = load_checkpoint(path)  # whole, always
        assert state["step"] > last  # nothing that was saved is lost
        assert len(state["history"]["losses"]) == state["step"]
        assert all(p.isfinite().all() for p in model.parameters())
        last = state["step"]
    assert during >= 3, "no kill hit a write"
    survivor = start(path, broken / "history.json")
    survivor.join()
    process.join()
    assert survivor.exitcode == process.exitcode == 0
    assert history_of(broken / "history.json") == history_of(whole / "history.json")
    models = [load_checkpoint(p / "run.safetensors") for p in (whole, broken)]
    for p, q in zip(*(model.parameters() for model, _ in models), strict=True):
        assert torch.equal(p, q)
    assert not parts(broken)
    assert sorted(os.listdir(broken)) == ["history.json", "run.safetensors"]
