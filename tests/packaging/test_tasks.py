"""Two ways to every task, `make TASK` and `python make.py TASK`, that are one."""

import ast
import os
import re
import shutil
import subprocess
import sys

import pytest

import make
from tests.house.book import ROOT, SETTINGS, files, read_toml

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
PROJECT = read_toml("pyproject.toml")["project"]


def targets(makefile):
    """The targets of a Makefile."""
    rules = re.findall(r"^([\w][\w -]*):", makefile, re.MULTILINE)
    return {target for rule in rules for target in rule.split()}


def task(*arguments):
    """Run make.py as a person without make does."""
    command = [sys.executable, "make.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_makefile_has_every_task():
    """Prevents a task that only those with, or without, make can run."""
    assert targets(MAKEFILE) == {*make.TASKS, "help"}
    assert targets("a b-c:\n\t@x\n.PHONY: c\nV ?= 1\n") == {"a", "b-c"}


def test_no_file_hides_a_task():
    """Prevents `make book` from saying "up to date" when a folder is called book."""
    (phony,) = re.findall(r"^\.PHONY:(.*)$", MAKEFILE, re.MULTILINE)
    assert set(phony.split()) == targets(MAKEFILE)


@pytest.mark.skipif(not shutil.which("make"), reason="no make: `python make.py` serves")
@pytest.mark.parametrize("name", ["", "help", *make.TASKS])
def test_makefile_forwards(name):
    """Prevents a second way to do a thing, which would drift from the first."""
    given = ["PYTHON=py", "CHAPTER=02", *([name] if name else [])]
    command = ["make", "--dry-run", "--no-print-directory", *given]
    alone = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    done = subprocess.run(
        command, cwd=ROOT, env=alone, capture_output=True, text=True, check=True
    )
    wanted = {"": "py make.py", "help": "py make.py", "run": "py make.py run 02"}
    assert done.stdout.strip() == wanted.get(name, f"py make.py {name}")


def test_make_alone_explains_the_tasks():
    """Prevents a task that nobody learns of."""
    done = task()
    assert done.returncode == 0
    for name, function in make.TASKS.items():
        about = function.__doc__.strip().splitlines()[0]
        assert re.search(rf"^ +{name} +{re.escape(about)}", done.stdout, re.MULTILINE)


def test_unknown_task_is_refused_with_the_list():
    done = task("boook")
    assert done.returncode != 0
    assert "boook" in done.stderr and "book" in done.stderr


def test_run_wants_a_chapter():
    done = task("run")
    assert done.returncode != 0 and "CHAPTER=02" in done.stderr


def outside(source):
    """What a program imports besides Python's own library."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names


def test_make_needs_python_alone():
    """Prevents a fresh machine on which the first command fails."""
    assert outside((ROOT / "make.py").read_text("utf-8")) == set()
    assert outside("import os, yaml\nfrom rich import x") == {"yaml", "rich"}


def too_new(source):
    """The error that the oldest supported Python would give on a source, or None."""
    version = tuple(map(int, SETTINGS["min_python"].split(".")))
    try:
        ast.parse(source, feature_version=version)
    except SyntaxError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", [name for name in files() if name.endswith(".py")])
def test_oldest_python_reads_every_file(name):
    """Prevents a syntax error on the oldest Python that the package promises."""
    assert not too_new((ROOT / name).read_text("utf-8"))


def test_oldest_python_reads_every_file_sees():
    assert PROJECT["requires-python"] == f">={SETTINGS['min_python']}"
    assert too_new("try:\n    x\nexcept* ValueError:\n    pass")
