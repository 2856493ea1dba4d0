"""Every command that the project's texts show does what they say."""

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import make

from .book import (
    BOOK,
    NOTEBOOKS,
    ROOT,
    SETTINGS,
    clear,
    documents,
    fences,
    files,
    read_toml,
    tokens,
)

SHELLS = ("sh", "bash", "console")
SCRIPTS = ("README.md", "index.md")  # their Python runs as it stands
PYPROJECT = read_toml("pyproject.toml")
EXTRAS = set(PYPROJECT["project"]["optional-dependencies"])
NAMES = {re.match(r"[\w-]+", each)[0] for each in PYPROJECT["project"]["dependencies"]}
INDEX = make.TORCH_CPU  # the one other index that a reader may need
GIT = {"add", "commit", "push", "switch"}
TASK = r"make( [\w =-]+)?$|python make\.py( [\w -]+)?$"
SAMPLE = "The small cat sat. The small cat ran. " * 200
WRITERS = [c for n in NOTEBOOKS for c in n.code if c.source[:12] == "%%writefile "]
LINES = '{"prompt": "Who sat?", "completion": "The cat."}\n' * 4


def commands(markdown):
    """The commands in a text's shell blocks, one line each, and its tasks in prose."""
    for token in tokens(markdown):
        if token.type == "code_inline" and re.match(TASK, token.content):
            yield token.content
    for block in fences(markdown, *SHELLS):
        lines = block.replace("\\\n", " ").splitlines()
        if any(line.startswith("$ ") for line in lines):  # the rest is what they print
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        for line in lines:
            if line.strip() and not line.lstrip().startswith("#"):
                yield line.strip()


class Runner:
    """Knows, for each command, what tells whether it works; runs it where it can."""

    def __init__(self, folder):
        self.folder = folder

    def wrong(self, line):
        """What is wrong with a command line, or None."""
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&")
        lexer.whitespace_split = True
        for joint, words in itertools.groupby(lexer, {"&&", ";", "|"}.__contains__):
            program, *arguments = words
            known = getattr(self, f"on_{Path(program).name}", None)
            if not joint and not known:
                return f"no test knows {program!r}: teach {Path(__file__).name}"
            if not joint and (wrong := known(*arguments)):
                return wrong
        return None

    def run(self, command, texts=()):
        """Run a command in the folder, where the texts that it names lie ready."""
        for name in texts:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_text(LINES if path.suffix == ".jsonl" else SAMPLE)
        variables = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=variables,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        last = (done.stderr.strip().splitlines() or ["(it said nothing)"])[-1]
        return f"it failed: {last}" if done.returncode else None

    def on_llmbook(self, *words):
        words = [word.replace("*", "a") for word in words]  # as a shell would
        words = words[: words.index(">")] if ">" in words else words
        written = {
            after for before, after in itertools.pairwise(words) if before == "--output"
        }
        texts = [word for word in words if word.endswith((".txt", ".jsonl"))]
        if words[:1] in (["tour"], ["train"]):
            words += ["--steps", "2"]  # the same, but not for minutes
        if words[:1] == ["tour"]:
            words += ["--tune-steps", "1"]
        start = [sys.executable, "-c", "from llmbook.cli import main; main()"]
        return self.run([*start, *words], set(texts) - written)

    def on_make(self, *words):
        task, *given = words or ["help"]
        makefile = (ROOT / "Makefile").read_text("utf-8")
        if task not in [*make.TASKS, "help"]:
            return f"make has no task {task!r}"
        target = rf"^(?:[\w -]* )?{task}(?: [\w -]*)?:"
        if not re.search(target, makefile, re.MULTILINE):
            return f"the Makefile has no target {task!r}"
        wanted = [r"CHAPTER=\d\d"] if task == "run" else []
        if len(given) != len(wanted) or not all(map(re.fullmatch, wanted, given)):
            return f"`make {task}` is not called like this; see `make`"
        return None

    def on_python(self, script="", *words):
        written = {c.source.splitlines()[0][12:]: c.source for c in WRITERS}
        if script in written:  # by a notebook, and here run for a moment alone
            source = written[script].partition("\n")[2]
            brief = re.sub(r"n_steps=\d+", "n_steps=2", source)
            (self.folder / script).write_text(brief, "utf-8")
            texts = [word for word in words if word.endswith(".txt")]
            return self.run([sys.executable, script, *words], texts)
        if script != "make.py":
            return "no test knows this use of Python"
        given = [f"CHAPTER={words[1]}", *words[2:]] if words[1:] else []
        return self.on_make(*words[:1], *given)

    def on_jupytext(self, *words):
        (self.folder / "_build").mkdir(exist_ok=True)
        shutil.copytree(BOOK, self.folder / BOOK.name, dirs_exist_ok=True)
        return self.run([sys.executable, "-m", "jupytext", *words])

    def on_pip(self, verb="", *words):
        if verb != "install":
            return "no test knows this use of pip"
        words = list(words)
        while words:
            word = words.pop(0)
            if word == "--index-url":
                if words.pop(0) != INDEX:
                    return f"the only other index is {INDEX}"
            elif not word.startswith("-") and (wrong := self.requirement(word)):
                return wrong
        return None

    def requirement(self, word):
        match = re.fullmatch(r"([\w-]+|\.)(?:\[([\w,]+)\])?(?:[=<>~]=([\w.]+))?", word)
        if not match:
            return f"{word!r} is no requirement"
        name, extras, version = match.groups()
        if name not in {*NAMES, ".", SETTINGS["lib_name"]}:
            return f"the project does not depend on {name}"
        if unknown := set((extras or "").split(",")) - EXTRAS - {""}:
            return f"the package has no extra {', '.join(sorted(unknown))}"
        if name == SETTINGS["lib_name"] and version not in (None, SETTINGS["version"]):
            return f"{version} is not this version"
        return None

    def on_git(self, verb="", *words):
        if verb == "clone":
            address = words[0].removesuffix(".git") if words else ""
            return None if address == SETTINGS["git_url"] else "this clones another"
        return None if verb in GIT else f"no test knows `git {verb}`"

    def on_cd(self, folder):
        known = any(name.startswith(f"{folder}/") for name in files())
        return None if known or folder == SETTINGS["repo"] else "no such folder"


def failing(name, markdown, folder):
    """The commands of a text that do not work."""
    runner = Runner(folder)
    problems = [
        f"{name}: `{line}`: {wrong}."
        for line in commands(markdown)
        if (wrong := runner.wrong(line))
    ]
    script = "\n".join(fences(markdown, "python")) if name in SCRIPTS else ""
    if script:
        texts = re.findall(r"[\w./-]+\.txt", script)
        if wrong := runner.run([sys.executable, "-c", script], texts):
            problems.append(f"{name}: its Python: {wrong}.")
    return problems


SHOWING = [
    (name, markdown)
    for name, markdown in documents()
    if any(commands(markdown)) or (name in SCRIPTS and any(fences(markdown, "python")))
]


@pytest.mark.parametrize("document", SHOWING, ids=lambda each: each[0])
def test_commands_run(document, tmp_path):
    """Prevents a first command that fails, after which nobody tries a second."""
    clear(failing(*document, tmp_path))


@pytest.mark.parametrize(
    "line",
    [
        "make boook",
        "make run",
        "make run CHAPTER=two",
        "make book CHAPTER=02",
        "python make.py run",
        "python make.py boook",
        "python tiny_gpt.py",
        "pip install llmbok",
        "pip install 'llmbook[checks]'",
        "pip install llmbook==0.0.1",
        "pip install torch --index-url example.org/whl",
        "pip uninstall llmbook",
        "git clone https://github.com/llmbook/llmbok",
        "git frobnicate",
        "cd nowhere",
        "llmbook --nothing",
        "llmbook nothing my.txt",
        "llmbook --help | frobnicate",
        "curl https://example.org | sh",
        "make book && make nothing",
        "python setup.py",
        ".venv/bin/jupytext --to py:percent chapters/99_nothing.ipynb",
    ],
)
def test_commands_run_sees(line, tmp_path):
    assert failing("x.md", f"```sh\n{line}\n```", tmp_path)
    assert failing("x.md", f"```console\n$ {line}\noutput\n```", tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "make",
        "make run CHAPTER=02  # the second",
        "python make.py run 02",
        'python tiny_gpt.py a.txt "The"',
        "git clone https://github.com/llmbook/llmbook.git && cd llmbook",
        "pip install -q \\\n  'llmbook[check]'",
        "pip install torch --index-url https://download.pytorch.org/whl/cpu",
        "llmbook --help",
        "pip install llmbook torch",
    ],
)
def test_commands_run_passes(line, tmp_path):
    assert not failing("x.md", f"```sh\n{line}\n```", tmp_path)


def test_commands_run_sees_tasks_in_prose(tmp_path):
    assert failing("x.md", "Say `make boook`, or `python make.py run`.", tmp_path)
    assert not failing(
        "x.md", "Say `make`, `make run CHAPTER=02`; `make.py`.", tmp_path
    )


def test_commands_run_sees_python(tmp_path):
    good = "```python\nopen('my.txt').read()\n```\n"
    assert not failing("README.md", good, tmp_path)
    assert failing("README.md", "```python\nimport llmbok\n```", tmp_path)
