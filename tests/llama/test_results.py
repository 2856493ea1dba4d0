"""The numbers that the chapter draws are those that the benchmark has measured."""

import ast
import json
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "ablations-amd-epyc-2026-11-21.jsonl"


def measured():
    """model -> seed -> nats a story above the floor, on the small world."""
    runs = map(json.loads, RESULTS.read_text("utf-8").splitlines())
    left = {}
    for run in runs:
        if run["part"] == "world":
            left.setdefault(run["model"], {})[run["seed"]] = run["nats_left"]
    return left


def shown(beginning="EARNED = {"):
    """The tables in the cell of the chapter that begins so."""
    notebook = json.loads((ROOT / "chapters" / "11_llama.ipynb").read_text("utf-8"))
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and source.startswith(beginning):
            parts = [
                node for node in ast.parse(source).body if hasattr(node, "targets")
            ]
            return [ast.literal_eval(node.value) for node in parts[:2]]
    raise AssertionError(f"the chapter has no cell that begins with {beginning}")


def gain(left, model, reference):
    apart = [left[reference][seed] - left[model][seed] for seed in left[model]]
    error = statistics.stdev(apart) / len(apart) ** 0.5
    return statistics.mean(apart), error


def test_enough_seeds():
    left = measured()
    for table in shown():
        for name in table:
            assert len(left[name]) >= 3


def test_what_each_earns():
    left, (earned, _) = measured(), shown()
    assert len(earned) == 7
    for name, (alone, company) in earned.items():
        assert alone == pytest.approx(gain(left, name, "GPT"), abs=0.006)
        without = gain(left, "all seven", f"without {name}")
        assert company == pytest.approx(without, abs=0.006)


def test_what_stands_beside():
    left, (_, beside) = measured(), shown()
    for name, told in beside.items():
        reference = "SwiGLU" if "experts" in name else "GPT"
        assert told == pytest.approx(gain(left, name, reference), abs=0.006)


def test_the_race():
    runs = [json.loads(line) for line in RESULTS.read_text("utf-8").splitlines()]
    for part, means in shown("RACED = {")[0].items():
        key, digits = ("nats_left", 1) if part == "the nursery" else ("loss", 2)
        assert means["Llama"] < means["GPT"]
        for model, told in means.items():
            found = [
                run[key] for run in runs if (run["part"], run["model"]) == (part, model)
            ]
            assert len(found) >= 3
            assert told == pytest.approx(statistics.mean(found), abs=0.6 * 10**-digits)
