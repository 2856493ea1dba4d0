"""The prose of chapters is spelled right; codespell reads the other files itself."""

import subprocess
import sys

from .book import clear, each_notebook, planted, text


def misspelled(notebook):
    """What codespell finds in a notebook's Markdown cells."""
    prose = "\n".join(
        cell.source if cell.type == "markdown" else "" for cell in notebook.cells
    )
    command = [sys.executable, "-m", "codespell_lib", "-"]
    done = subprocess.run(command, input=prose, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if "==>" in line]
    return [f"{notebook.name}: {line.split(': ', 1)[-1]}" for line in lines]


@each_notebook
def test_prose_is_spelled_right(notebook):
    """Prevents a slip of the pen that a reader meets and a program does not."""
    clear(misspelled(notebook))


def test_prose_is_spelled_right_sees():
    slip = "teh"
    assert misspelled(planted(text(f"The cat sat on {slip} mat.")))
    assert not misspelled(planted(text("The cat sat on the mat.")))
