"""Lay out the chapters as a reader gets them: each alone in an empty folder.

The folded solutions run too: behind each of them the copy gets a cell with its code and
the exercise's check once more, which must hold for a block whose summary begins with
"Solution" and fail for any other, such as "A tempting mistake".

Usage: python -m _tools.reader FOLDER
"""

import re
import shutil
import sys
from pathlib import Path

import nbformat

from _tools.export import chapters

DETAILS = re.compile(r"<details>\s*<summary>(.*?)</summary>(.*?)</details>", re.DOTALL)
FENCE = re.compile(r"```python\n(.*?)```", re.DOTALL)


def solutions(cell):
    """The (summary, code) pairs of a solution cell's folded blocks."""
    for summary, body in DETAILS.findall(cell.source):
        if code := "\n".join(FENCE.findall(body)):
            yield summary.strip(), code.rstrip()


def with_solutions(notebook):
    """A copy of a notebook in which every folded solution runs and is checked."""
    cells, check = [], ""
    for cell in notebook.cells:
        cells.append(cell)
        tags = cell.metadata.get("tags", [])
        if "check" in tags:
            lines = cell.source.splitlines()
            check = "\n".join(line for line in lines if not line.startswith("#|"))
        if "solution" in tags:
            for summary, code in solutions(cell):
                verdict = "" if summary.startswith("Solution") else "not "
                source = f"{code}\n_check = {check}\nassert {verdict}_check, _check"
                cells.append(nbformat.v4.new_code_cell(source, execution_count=1))
    notebook.cells = cells
    return notebook


def main(folder):
    shutil.rmtree(folder, ignore_errors=True)
    for path in chapters():
        target = folder / path.stem / path.name
        target.parent.mkdir(parents=True)
        nbformat.write(with_solutions(nbformat.read(path, as_version=4)), target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
