"""The benchmarks start and print their tables; nothing is asserted about times."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def printed(name, *options, **changes):
    command = [sys.executable, FOLDER / f"{name}.py", "--quick", "--alone"]
    command += ["--threads", "1", *options]
    env = os.environ | {"OMP_NUM_THREADS": "1"} | changes
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    """A stand-in for Tiny Shakespeare: 65 different letters."""
    folder = tmp_path_factory.mktemp("data")
    alphabet = "".join(map(chr, range(33, 33 + 65)))
    (folder / "tinyshakespeare.txt").write_text(alphabet * 300)
    return str(folder)


def test_training_prints_steps_and_race(letters):
    out = printed("training", LLMBOOK_DATA=letters)
    for precision in ("float32", "bfloat16"):
        assert re.search(
            rf"^llmbook, exact GELU +{precision} +\d+\.\d +[\d,]+ +\d+%$", out, re.M
        )
    assert len(re.findall(r"^(?:nanoGPT|ours).+ x +\d\.\d{3}", out, re.M)) == 3
    assert "GPU" in out or "bfloat16, compiled" in out


def test_training_says_what_the_race_needs(tmp_path):
    out = printed("training", "--only", "race", LLMBOOK_DATA=str(tmp_path))
    assert "LLMBOOK_DATA" in out


def test_generation_writes_the_same_tokens_in_all_ways():
    out = printed("generation")
    rows = re.findall(r"^(llmbook(?:, packed)?) +\d+\.\d +\d+% +(\d+)%$", out, re.M)
    assert [name for name, _ in rows] == ["llmbook", "llmbook, packed"] * 2
    assert rows[0][1] == rows[1][1] == "100"  # float32


def test_quantization_prints_what_bits_cost():
    out = printed("quantization")
    rows = re.findall(
        r"^(int8|NF4|NF4 twice) +(-?\d\.\d+) ± \d\.\d+ +(\d+\.\d+)", out, re.M
    )
    assert {name: float(bits) for name, _, bits in rows}.keys() == {
        "int8",
        "NF4",
        "NF4 twice",
    }
