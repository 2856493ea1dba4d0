"""Cells are short, show their values, and never hide what they did not check."""

import ast
import re

import pytest

from .book import clear, code, each_notebook, planted, text

TEACHING, EXPORTED = 25, 60  # non-blank lines
REASON = r"^\s*# {}: \S+"


def reasoned(cell, word):
    """Whether a cell says why it is an exception, in a line such as `# long: …`."""
    return re.search(REASON.format(word), cell.source, re.MULTILINE)


def asserts(cell):
    """Whether a cell asserts something."""
    return any(
        isinstance(node, ast.Assert)
        for statement in cell.tree
        for node in ast.walk(statement)
    )


def unchecked(notebook):
    """The cells whose output nobody compares and nothing asserts."""
    problems = []
    cells = notebook.code
    for cell, after in zip(cells, [*cells[1:], None], strict=True):
        marker = re.search(r"#\s*(NBVAL_\w+|PYTEST_VALIDATE_\w+)", cell.source)
        if marker:
            wrong = f"the comment {marker[1]} changes how the cell is tested"
            problems.append(cell.problem(wrong, "say it with a tag"))
        checked = asserts(cell) or (after is not None and asserts(after))
        if "nbval-ignore-output" in cell.tags and not checked:
            wrong = "its output is ignored and no assertion holds it"
            mend = "assert its band in this cell or the next code cell"
            problems.append(cell.problem(wrong, mend))
        if "nbval-skip" in cell.tags and not reasoned(cell, "skipped"):
            wrong = "no test runs it"
            mend = "let it run, or say why not in a line `# skipped: reason`"
            problems.append(cell.problem(wrong, mend))
    return problems


@each_notebook
def test_ignored_outputs_are_asserted(notebook):
    """Prevents a number that the book shows and that nobody would see go wrong."""
    clear(unchecked(notebook))


def test_ignored_outputs_are_asserted_sees():
    loss, held = code("loss", "nbval-ignore-output"), code("assert 2 < loss < 3")
    assert unchecked(planted(loss))
    assert unchecked(planted(loss, code("loss + 1"), held))
    assert not unchecked(planted(loss, text("Prose."), held))
    assert not unchecked(planted(code("assert x\nx", "nbval-ignore-output")))
    assert unchecked(planted(code("# NBVAL_IGNORE_OUTPUT\nassert x")))
    assert unchecked(planted(code("train()", "nbval-skip")))
    assert not unchecked(planted(code("# skipped: needs a GPU\nrun()", "nbval-skip")))


def long(notebook):
    """The cells that are too long to read at a glance."""
    problems = []
    for cell in notebook.code:
        count = len([line for line in cell.code.splitlines() if line.strip()])
        limit = EXPORTED if cell.exported else TEACHING
        if count > limit and not reasoned(cell, "long"):
            wrong = f"{count} lines, where {limit} are the limit"
            mend = "make it several cells, or give a line `# long: reason`"
            problems.append(cell.problem(wrong, mend))
    return problems


@each_notebook
def test_cells_are_short(notebook):
    """Prevents a wall of code that a reader scrolls past."""
    clear(long(notebook))


@pytest.mark.parametrize(
    ("directive", "limit"), [("hide", 25), ("export", 60), ("exporti", 60)]
)
def test_cells_are_short_sees(directive, limit):
    lines = "\n\n".join(["x = 1"] * limit)
    assert not long(planted(code(f"#| {directive}\n{lines}")))
    assert long(planted(code(f"#| {directive}\n{lines}\nx")))
    assert not long(planted(code(f"#| {directive}\n# long: one table\n{lines}\nx")))


def _plain(node):
    """Whether an argument of `print` is a bare value, not a formatted line or table."""
    if isinstance(node, ast.JoinedStr):  # f"{x}" wraps a value; text beside it formats
        return all(
            isinstance(part, ast.FormattedValue) and part.format_spec is None
            for part in node.values
        )
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func).rpartition(".")[2]
        return name not in ("join", "format", "ljust", "rjust", "center", "tabulate")
    return True


def printed(notebook):
    """The cells that end with a `print` where a display would serve."""
    problems = []
    for cell in notebook.code:
        last = cell.tree[-1] if cell.tree else None
        call = last.value if isinstance(last, ast.Expr) else None
        is_print = isinstance(call, ast.Call) and ast.unparse(call.func) == "print"
        if is_print and all(map(_plain, call.args)) and not reasoned(cell, "printed"):
            values = ", ".join(map(ast.unparse, call.args))
            wrong = f"the last line prints {values or 'nothing'}"
            mend = (
                f"end with `{values}`, or, if its plain text is the point, "
                "give a line `# printed: reason`"
            )
            problems.append(cell.problem(wrong, mend))
    return problems


@each_notebook
def test_last_lines_display(notebook):
    """Prevents a printed value, which shows less than the notebook's own display."""
    clear(printed(notebook))


@pytest.mark.parametrize(
    ("source", "refused"),
    [
        ("print(x)", True),
        ("x = 1\nprint(repr(x))", True),
        ("print(x, y.shape)", True),
        ("print(f'{x}')", True),
        ("print()", True),
        ("print(f'{x:>8}{y:8.2f}')", False),
        ("print(f'{n} tokens')", False),
        ("print('\\n'.join(rows))", False),
        ("for x in y:\n    print(x)", False),
        ("print(x)\nx", False),
        ("# printed: line ends show\nprint(x)", False),
        ("x", False),
    ],
)
def test_last_lines_display_sees(source, refused):
    assert bool(printed(planted(code(source)))) is refused


def echoed(notebook):
    """The cells that end with a string, which the notebook shows once more below."""
    return [
        cell.problem("it ends with a string, which it shows again", "put code below it")
        for cell in notebook.code
        if cell.tree
        and isinstance(cell.tree[-1], ast.Expr)
        and isinstance(cell.tree[-1].value, ast.Constant)
        and isinstance(cell.tree[-1].value.value, str)
    ]


@each_notebook
def test_docstrings_show_once(notebook):
    """Prevents a module's docstring alone in its cell: it shows twice, once escaped."""
    clear(echoed(notebook))


def test_docstrings_show_once_sees():
    docstring = '#| export\n"""What it is."""'
    assert echoed(planted(code(docstring)))
    assert not echoed(planted(code(f"{docstring}\nimport html"), code("'a' + 'b'")))
