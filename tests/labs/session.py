"""Run the cells of a lab as a reader does, with smaller numbers if a test says so."""

import ast
from pathlib import Path

import nbformat

LABS = Path(__file__).resolve().parents[2] / "chapters" / "labs"


def cells(name):
    """The code cells of a lab, but for the one that installs the package."""
    notebook = nbformat.read(LABS / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code" and "install" not in tags:
            yield cell


def play(name, **smaller):
    """Run a lab from top to bottom; names get other values as soon as it sets them."""
    space = {"__name__": "__main__"}
    for cell in cells(name):
        exec(compile(cell.source, f"{name}.ipynb", "exec"), space)
        space |= {key: value for key, value in smaller.items() if key in space}
    missing = set(smaller) - set(space)
    assert not missing, f"the lab {name} sets no {missing}"
    return space


def functions(name, *wanted, **given):
    """Some functions of a lab, with the names that they need."""
    space = dict(given)
    for cell in cells(name):
        for node in ast.parse(cell.source).body:
            if isinstance(node, ast.FunctionDef) and node.name in wanted:
                exec(compile(ast.Module([node], []), f"{name}.ipynb", "exec"), space)
    return [space[each] for each in wanted]
