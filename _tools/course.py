"""Write the teachers' edition: notebooks without solutions, and the solutions alone.

The first is to be handed out. It keeps every exercise with its stub and its check, so a
reader is still told right from wrong, and loses the folded solutions. The second has,
for each chapter, a notebook with the exercises and what was taken out. Links to pages
that are in neither lead to the site.

Usage: python -m _tools.course FOLDER
"""

import json
import posixpath
import re
import shutil
import sys
from pathlib import Path

from _ext.chapters import tags
from _tools.export import ROOT, chapters, get_config

LINK = re.compile(r"\]\((?![\w+.-]+:)([^()\s#]*?)\.(md|ipynb)(#[^()\s]*)?\)")
LICENCES = ("LICENSE", "LICENSE-TEXT")
STUDENTS = """# llmbook, to be handed out

The notebooks of [llmbook]({site}) {version} without their solutions. Each
runs alone: its first cell installs the package where it is missing. An exercise has a
cell for your answer, and below it a cell that tells right from wrong.
"""
TEACHERS = """# llmbook, the solutions

What was taken out of the notebooks of [llmbook]({site}) {version} that are
handed out: for each chapter its exercises, the mistakes that tempt, and the solutions.
"""


def published(source, folder, site, kept=()):
    """A Markdown text whose links to the book's other pages lead to the site."""

    def replace(match):
        path, kind, place = match.groups()
        target = posixpath.normpath(posixpath.join(folder, path))
        if f"{target}.{kind}" in kept:
            return match[0]
        return f"]({site}{target}.html{place or ''})"

    return LINK.sub(replace, source)


def edited(notebook, chosen, edit):
    """A notebook of some of its cells, with the Markdown among them edited."""
    cells = []
    for cell in notebook["cells"]:
        if chosen(cell) and cell["cell_type"] == "markdown":
            source = edit("".join(cell["source"])).splitlines(keepends=True)
            cells.append({**cell, "source": source})
        elif chosen(cell):
            cells.append(cell)
    return {**notebook, "cells": cells}


def edition(notebook, name, site, kept):
    """A notebook for students: everything but the solutions."""
    folder = posixpath.dirname(name)
    return edited(
        notebook,
        lambda cell: "solution" not in tags(cell),
        lambda source: published(source, folder, site, kept),
    )


def solutions(notebook, name, site):
    """A notebook for teachers, of the exercises and their solutions; None without."""
    folder, own = posixpath.split(name)
    wanted = {"chapter", "room", "lab", "appendix", "exercise", "solution"}
    if not any("solution" in tags(cell) for cell in notebook["cells"]):
        return None
    return edited(
        notebook,
        lambda cell: wanted & {*tags(cell)},
        lambda source: published(source.replace("](#", f"]({own}#"), folder, site),
    )


def write(notebook, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")


def main(folder):
    """Write both editions, and pack each."""
    config = get_config()
    site = f"{config.doc_host}{config.doc_baseurl}/"
    names = {"llmbook-course": STUDENTS, "llmbook-solutions": TEACHERS}
    shutil.rmtree(folder, ignore_errors=True)
    for name, about in names.items():
        (folder / name).mkdir(parents=True)
        words = about.format(site=site, version=config.version)
        (folder / name / "README.md").write_text(words, "utf-8")
        for licence in LICENCES:
            shutil.copy(ROOT / licence, folder / name)
    paths = {path: path.relative_to(ROOT).as_posix() for path in chapters()}
    for path, name in paths.items():
        notebook = json.loads(path.read_text("utf-8"))
        handed_out = edition(notebook, name, site, {*paths.values()})
        write(handed_out, folder / "llmbook-course" / name)
        if withheld := solutions(notebook, name, site):
            write(withheld, folder / "llmbook-solutions" / name)
    for name in names:
        shutil.make_archive(folder / name, "zip", folder, name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
