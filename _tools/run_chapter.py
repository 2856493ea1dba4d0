"""Execute one chapter or lab in place, from an empty folder, and fill in its card.

Usage: python -m _tools.run_chapter 02, or python -m _tools.run_chapter shakespeare
"""

import re
import sys
import tempfile
import time

import nbformat
from nbclient import NotebookClient

from _tools.export import chapters

LANGUAGE = {"name": "python", "pygments_lexer": "ipython3"}  # for colours in code
NUMBERS = re.compile(r"^\| *[\d.]+ s *\| *\d+ MB *\|", re.MULTILINE)


def begin(path):
    """The number of a chapter's file, or the name of a lab's."""
    number = path.stem.partition("_")[0]
    return number if number.isdecimal() else path.stem


def find(number):
    """The one chapter whose file name begins with 02, say, or the lab of a name."""
    found = [path for path in chapters() if number in (begin(path), path.stem)]
    if len(found) != 1:
        names = ", ".join(map(begin, chapters()))
        raise SystemExit(f"make: no chapter {number!r}; there are {names}")
    return found[0]


def execute(notebook):
    """Run a notebook in an empty folder and return the seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        place = {"metadata": {"path": folder}}
        start = time.perf_counter()
        NotebookClient(
            notebook,
            timeout=900,
            kernel_name="python3",
            resources=place,
            skip_cells_with_tag="nbval-skip",  # what needs a download or a GPU
        ).execute()
        return time.perf_counter() - start


def peak_memory():
    """The peak memory of the kernel that has run, in MB; None where nobody tells."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    usage = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return usage / (1e6 if sys.platform == "darwin" else 1e3)  # bytes there, else kB


def fill_card(notebook, seconds, megabytes):
    """Write the time and the memory into the chapter's card."""
    for cell in notebook.cells:
        if "spine-card" in cell.metadata.get("tags", []):
            measured = f"| {seconds:.0f} s | {megabytes:.0f} MB |"
            cell.source, found = NUMBERS.subn(measured, cell.source, count=1)
            assert found, "the chapter's card has no `| 1 s | 1 MB |` to fill in"


def main(number):
    path = find(number)
    notebook = nbformat.read(path, as_version=4)
    seconds, megabytes = execute(notebook), peak_memory()
    if megabytes:
        fill_card(notebook, seconds, megabytes)
    notebook.metadata["language_info"] = LANGUAGE
    nbformat.write(notebook, path)
    print(f"make: {path.name} took {seconds:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1])
