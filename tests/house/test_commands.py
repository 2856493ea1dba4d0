"""Every command that the project's texts show does what they say."""

import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import make

from .book import ROOT, SETTINGS, clear, documents, fences, files, read_toml, tokens

SHELLS = ("sh", "bash", "shell", "console", "powershell")
SCRIPTS = ("README.md", "index.md")  # their Python runs as it stands
BIN = Path(sys.executable).parent
PYPROJECT = read_toml("pyproject.toml")
EXTRAS = set(PYPROJECT["project"]["optional-dependencies"])
NAMES = {re.match(r"[\w-]+", each)[0] for each in PYPROJECT["project"]["dependencies"]}
INDEX = make.TORCH_CPU  # the one other index that a reader may need
GIT = {"add", "commit", "push", "pull", "switch", "checkout", "status", "diff"}
TASK = r"make( [\w =]+)?$|python make\.py( [\w ]+)?$"
SAMPLE = "The small cat sat. The small cat ran. " * 200


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
        lexer = shlex.shlex(
            line.replace("\\", "/"), posix=True, punctuation_chars=";|&"
        )
        lexer.whitespace_split = True
        for joint, part in itertools.groupby(lexer, {"&&", ";", "|"}.__contains__):
            words = [] if joint else list(part)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                name = words.pop(0).partition("=")[0]
                if not any(name in _text(each) for each in _python()):
                    return f"nothing reads the variable {name}"
            if words and (wrong := self.one(*words)):
                return wrong
        return None

    def one(self, program, *words):
        """The same for one program with its arguments."""
        name = Path(program).name.lower().removesuffix(".exe")
        name = {"python3": "python", "py": "python", ".": "source"}.get(name, name)
        known = getattr(self, f"on_{name.replace('-', '_')}", None)
        if known:
            return known(*words)
        if "venv" in program and (BIN / name).exists():
            return None
        return f"no test knows the command {program!r}: teach {Path(__file__).name}"

    def run(self, command, texts=()):
        """Run a command in the folder, where the texts that it names lie ready."""
        for name in texts:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_text(SAMPLE)
        variables = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd=self.folder, env=variables, capture_output=True, text=True
        )
        last = (done.stderr.strip().splitlines() or ["(it said nothing)"])[-1]
        return f"it failed: {last}" if done.returncode else None

    def on_llmbook(self, *words):
        words = [word.replace("*", "a") for word in words]  # as a shell would
        written = {
            after for before, after in itertools.pairwise(words) if before == "--output"
        }
        texts = [word for word in words if word.endswith(".txt")]
        start = [sys.executable, "-c", "from llmbook.cli import main; main()"]
        return self.run([*start, *words], set(texts) - written)

    def on_make(self, *words):
        task, *given = words or ["help"]
        makefile = _text("Makefile")
        if task not in [*make.TASKS, "help"]:
            return f"make has no task {task!r}"
        if not re.search(rf"^(?:[\w ]* )?{task}(?: [\w ]*)?:", makefile, re.MULTILINE):
            return f"the Makefile has no target {task!r}"
        wanted = [r"CHAPTER=\d\d"] if task == "run" else []
        if len(given) != len(wanted) or not all(map(re.fullmatch, wanted, given)):
            return f"`make {task}` is not called like this; see `make`"
        return None

    def on_python(self, *words):
        first, *rest = words or [""]
        if first == "make.py":
            given = [f"CHAPTER={rest[1]}", *rest[2:]] if rest[1:] else []
            return self.on_make(*rest[:1], *given)
        if first == "-m":
            module, *rest = rest
            if module == "venv":
                return None
            return self.one(module, *rest) if "." not in module else _missing(module)
        if first.endswith(".py"):
            if first not in files():
                return f"{first} is no file of the project"
            options = {word.partition("=")[0] for word in rest if word.startswith("-")}
            unknown = sorted(each for each in options if each not in _text(first))
            return f"{first} knows no option {unknown[0]}" if unknown else None
        return "no test knows this use of Python"

    def on_pip(self, verb="", *words):
        if verb != "install":
            return "no test knows this use of pip"
        words = list(words)
        while words:
            word = words.pop(0)
            if word in ("--index-url", "--extra-index-url"):
                if words.pop(0) != INDEX:
                    return f"the only other index is {INDEX}"
            elif word in ("-c", "-r", "--constraint", "--requirement"):
                if words.pop(0) not in files():
                    return "there is no such file"
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

    def on_apt_get(self, *words):
        packages = [word for word in words if not word.startswith("-")]
        if packages[:1] == ["update"]:
            return None
        known = {*make.LATEX.split(), "chromium", "poppler-utils", "make", "git"}
        known |= {"python3", "python3-venv"}
        unknown = set(packages[1:]) - known
        return f"the project does not need {', '.join(unknown)}" if unknown else None

    def on_sudo(self, *words):
        return self.one(*words)

    def on_source(self, script):
        return None if re.fullmatch(r".*/(bin|Scripts)/activate", script) else "unknown"

    def on_pytest(self, *words):
        paths = [word for word in words if "/" in word]
        return next((_missing(path.partition("::")[0]) for path in paths), None)

    def on_export(self, assignment):
        return self.wrong(f"{assignment} make")


def _text(name):
    return (ROOT / name).read_text("utf-8")


def _python():
    return [
        name
        for name in files()
        if name.endswith(".py") and not name.startswith("tests/house/")
    ]


def _missing(path):
    """What is wrong with a path, or a module, of the project, or None."""
    path = path.rstrip("/")
    asked = {path, path.replace(".", "/") + ".py"} | {f"{path.replace('.', '/')}/"}
    there = any(name in asked or name.startswith(f"{path}/") for name in files())
    return None if there else f"{path} is not in the project"


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
        "python benchmarks/nothing.py",
        "python -m pytest tests/nothing",
        "python -m _tools.nothing",
        "pip install llmbok",
        "pip install 'llmbook[checks]'",
        "pip install llmbook==0.0.1",
        "pip install torch --index-url example.org/whl",
        "pip uninstall llmbook",
        "git clone https://github.com/llmbook/llmbok",
        "git frobnicate",
        "cd nowhere",
        "sudo apt-get install emacs",
        "LLMBOOK_NOTHING=1 make test",
        "llmbook --nothing",
        "llmbook nothing my.txt",
        "llmbook --help | frobnicate",
        "curl https://example.org | sh",
        "make book && make nothing",
        'LLMBOOK_DATA="a; b" make nothing',
    ],
)
def test_commands_run_sees(line, tmp_path):
    assert failing("x.md", f"```sh\n{line}\n```", tmp_path)
    assert failing("x.md", f"```console\n$ {line}\noutput\n```", tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "make",
        "make run CHAPTER=02",
        "python3 make.py run 02",
        "py make.py book  # the site",
        "git clone https://github.com/llmbook/llmbook.git && cd llmbook",
        "pip install -q 'llmbook[check]'",
        "pip install torch --index-url https://download.pytorch.org/whl/cpu",
        "sudo apt-get install --no-install-recommends \\\n  latexmk xindy",
        ".venv/bin/python -m pytest tests/house -q",
        r".venv\Scripts\python -m _tools.reader x",
        "source .venv/bin/activate",
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
