"""What the tests themselves rest on: nbval compares, and CI skips nothing."""

import re
import subprocess
import sys

import nbformat
import pytest
from nbval.plugin import get_sanitize_patterns

from tests.conftest import need
from tests.house.book import ROOT

new = nbformat.v4


def test_nbval_compares_cleaned_chapters(tmp_path):
    """Prevents a suite that runs every chapter and compares nothing."""
    for name, stored in (("right", "2"), ("wrong", "3")):
        shown = new.output_from_msg(
            {
                "header": {"msg_type": "execute_result"},
                "content": {
                    "data": {"text/plain": stored},
                    "metadata": {},
                    "execution_count": None,
                },
            }
        )
        cells = [new.new_code_cell("1 + 1", outputs=[shown], execution_count=None)]
        spec = {"name": "python3", "display_name": "python3", "language": "python"}
        metadata = {"kernelspec": spec}
        notebook = new.new_notebook(cells=cells, metadata=metadata)
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "--nbval", "-q"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "wrong.ipynb::Cell 0" in done.stdout


@pytest.mark.parametrize(
    ("shown", "sanitised"),
    [
        ("took 1.25 s", "took TIME"),
        ("3.1 µs ± 20 ns per loop", "TIME ± TIME per loop"),
        ("12 tokens in 3 strips", "12 tokens in 3 strips"),
        ("The 10|·s 2", "The 10|·s 2"),
        ("0.1234", "0.1234"),
    ],
)
def test_only_times_are_masked(shown, sanitised):
    patterns = get_sanitize_patterns((ROOT / "tests/nbval_sanitize.cfg").read_text())
    for pattern, replacement in dict(patterns).items():
        shown = re.sub(pattern, replacement, shown)
    assert shown == sanitised


@pytest.mark.parametrize(
    ("ci", "ends"),
    [("true", pytest.fail.Exception), ("false", pytest.skip.Exception)],
)
def test_need_skips_at_home_and_fails_under_ci(monkeypatch, ci, ends):
    monkeypatch.setenv("CI", ci)
    need(True, "a browser")
    both = (pytest.fail.Exception, pytest.skip.Exception)
    with pytest.raises(both, match="a browser") as end:
        need(False, "a browser")
    assert end.type is ends
