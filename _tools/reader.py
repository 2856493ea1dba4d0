"""Lay out the chapters as a reader gets them: each alone in an empty folder.

The folded solutions run too: behind each of them the copy gets a cell with its code and
the exercise's check once more, which must hold for a block whose summary begins with
"Solution" and fail for any other, such as "A tempting mistake". A lab is left out, and
named, when its data are not in the folder LLMBOOK_DATA: nothing is downloaded here. A
last cell writes down what the run took, for the page that tells it (`_ext/ran.py`).

Usage: python -m _tools.reader FOLDER
"""

import os
import re
import shutil
import sys
from pathlib import Path

import nbformat

from _tools.export import chapters
from llmbook.data import DATASETS

DETAILS = re.compile(r"<details>\s*<summary>(.*?)</summary>(.*?)</details>", re.DOTALL)
FENCE = re.compile(r"```python\n(.*?)```", re.DOTALL)
LOADED = re.compile(r"""load_dataset\(["']([\w-]+)["']""")


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


BEGIN = "import time as _time\n_began = _time.perf_counter()"
END = """\
import importlib.metadata, json, os, sys
from pathlib import Path

try:
    import resource
    _peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _peak = round(_peak / (1e6 if sys.platform == "darwin" else 1e3))
except ImportError:  # Windows
    _peak = None
_record = {
    "seconds": round(_time.perf_counter() - _began),
    "megabytes": _peak,
    "date": _time.strftime("%Y-%m-%d", _time.gmtime()),
    "python": sys.version.split()[0],
    "torch": importlib.metadata.version("torch"),
    "system": sys.platform,
    "cores": os.cpu_count(),
}
if _folder := os.environ.get("LLMBOOK_RAN"):
    Path(_folder).mkdir(parents=True, exist_ok=True)
    Path(_folder, NAME).write_text(json.dumps(_record), "utf-8")"""


def with_record(notebook, stem):
    """Put cells around a notebook that write down what its run took."""
    source = END.replace("NAME", repr(f"{stem}.json"))
    first, last = map(nbformat.v4.new_code_cell, (BEGIN, source))
    first["execution_count"] = last["execution_count"] = 1
    notebook.cells = [first, *notebook.cells, last]
    return notebook


def missing_data(notebook):
    """The data sets that a notebook loads and LLMBOOK_DATA has not."""
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    names = LOADED.findall(code)
    folder = os.environ.get("LLMBOOK_DATA")
    return [
        name
        for name in names
        if not folder or not Path(folder, DATASETS[name].file).is_file()
    ]


def main(folder):
    shutil.rmtree(folder, ignore_errors=True)
    for path in chapters():
        notebook = nbformat.read(path, as_version=4)
        if missing := missing_data(notebook):
            lacks = "and".join(f" {name} " for name in missing)
            print(f"skipped: {path.name}, for lack of{lacks}in LLMBOOK_DATA")
            continue
        target = folder / path.stem / path.name
        target.parent.mkdir(parents=True)
        nbformat.write(with_record(with_solutions(notebook), path.stem), target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
