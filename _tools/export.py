"""Write llmbook/*.py from the chapters with nbdev, to be read as if written by hand.

nbdev writes a chapter's exported cells one after another, each under a marker line, and
the module's docstring somewhere below `__all__`. Here the docstring goes to the top,
where Python looks for it, the markers give way, and ruff sets the blank lines.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

from nbdev.clean import nbdev_clean
from nbdev.config import get_config
from nbdev.doclinks import _build_modidx
from nbdev.export import nb_export
from nbdev.maker import ModuleMaker

ROOT = Path(__file__).resolve().parent.parent


class Module(ModuleMaker):
    """A module of the package; a chapter may fill several, each written afresh."""

    def __init__(self, dest, name, nb_path, is_new=True, **options):
        super().__init__(dest, name, nb_path, is_new=True, **options)


def tidy(source):
    """Move a module's docstring to the top and drop what only a notebook reads."""
    source = re.sub(r"^# %% (?:auto|\.\./).*\n", "\n", source, flags=re.MULTILINE)
    source = re.sub(r"^#\| .*\n", "", source, flags=re.MULTILINE)
    lines = source.splitlines(keepends=True)
    for node in ast.parse(source).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docstring = lines[node.lineno - 1 : node.end_lineno]
            del lines[node.lineno - 1 : node.end_lineno]
            return "".join([*docstring, "\n", *lines])
    raise SystemExit(
        "make: a module has no docstring; its first exported cell begins with one"
    )


def chapters():
    """The notebooks of the book, in the order of their numbers."""
    return sorted((ROOT / "chapters").rglob("[0-9a-z]*.ipynb"))


def stamp_version(notebook, version):
    """Name this version of the package in the install cell of a chapter."""
    text = notebook.read_text("utf-8")
    stamped = re.sub(r"llmbook\[check\]==[\w.]+", f"llmbook[check]=={version}", text)
    if stamped != text:
        notebook.write_text(stamped, "utf-8")


def export(package):
    """Write every module of the package into a folder, and nbdev's index too."""
    for notebook in chapters():
        nb_export(notebook, lib_path=package, mod_maker=Module)
    _build_modidx(dest=package)
    modules = sorted(package.glob("[a-z]*.py"))
    for module in modules:
        module.write_text(tidy(module.read_text("utf-8")), "utf-8")
    for step in (["check", "--select", "I", "--fix"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *step, "--quiet", *modules]
        subprocess.run(ruff, check=True)


def main():
    config = get_config()
    for notebook in chapters():
        stamp_version(notebook, config.version)
    init = ROOT / "llmbook" / "__init__.py"
    line = f'__version__ = "{config.version}"'
    text = re.sub(r'__version__ = ".*"', line, init.read_text("utf-8"))
    init.write_text(text, "utf-8")
    export(ROOT / "llmbook")
    nbdev_clean(str(ROOT / "chapters"))


if __name__ == "__main__":
    main()
