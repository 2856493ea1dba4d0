"""Read the notebooks of the appendix, for tests that look closer than a run of them."""

from pathlib import Path

import nbformat

APPENDIX = Path(__file__).resolve().parents[2] / "chapters" / "appendix"


def cells(name):
    """The code cells of a notebook of the appendix, but for the one that installs."""
    notebook = nbformat.read(APPENDIX / f"{name}.ipynb", as_version=4)
    return [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and "install" not in cell.metadata.get("tags", [])
    ]


def written(name):
    """The file that a notebook writes with `%%writefile`, as (its name, its text)."""
    (source,) = (c.source for c in cells(name) if c.source.startswith("%%writefile"))
    magic, _, text = source.partition("\n")
    return magic.split()[1], f"{text}\n"
