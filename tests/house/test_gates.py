"""The gates themselves keep the rule that makes them worth having."""

import ast
from pathlib import Path

import pytest

from .book import clear

GATES = sorted(Path(__file__).parent.glob("test_*.py"))


def untried(name, source):
    """The gates of a file that name no defect, or were never seen to find one."""
    tests = {
        node.name: ast.get_docstring(node) or ""
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    problems = []
    for test, about in tests.items():
        if any(test.startswith(f"{other}_") for other in tests):
            continue  # one of the gate's own trials
        if not about.startswith("Prevents "):
            problems.append(f"{name}: {test} does not say which defect it prevents.")
        if f"{test}_sees" not in tests:
            problems.append(f"{name}: plant the defect in a test called {test}_sees.")
    return problems


@pytest.mark.parametrize("path", GATES, ids=lambda path: path.stem)
def test_gates_are_tried(path):
    """Prevents a gate that passes because it looks at nothing."""
    clear(untried(path.name, path.read_text("utf-8")))


def test_gates_are_tried_sees():
    gate = 'def test_a():\n    """Prevents harm."""\n'
    assert not untried("x.py", f"{gate}def test_a_sees(): pass\ndef test_a_passes(): 1")
    assert untried("x.py", gate)
    assert untried("x.py", "def test_a(): pass\ndef test_a_sees(): pass\n")
