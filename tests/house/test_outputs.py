"""What a chapter stores is complete, and says nothing of the machine that ran it."""

import ast
import re

import pytest

from .book import clear, code, each_notebook, planted, text

MACHINE = {
    "an absolute path": re.compile(
        r"(?<![\w.:/])/(?:home|root|tmp|usr|var|opt|mnt|private|Users|content)/\w"
        r"|\b[A-Z]:\\+Users|site-packages|dist-packages|ipykernel_\d"
    ),
    "a memory address": re.compile(r"\b0x[0-9a-f]{8,}", re.IGNORECASE),
    "terminal colours": re.compile(r"\x1b\["),
}
WIDGET = "application/vnd.jupyter.widget"
DISPLAYS = ("show_", "plot_", "check")  # how functions that return a display begin
VALUES = (
    ast.Name,
    ast.Attribute,
    ast.Subscript,
    ast.Tuple,
    ast.List,
    ast.Dict,
    ast.Compare,
    ast.BinOp,
    ast.JoinedStr,
    ast.ListComp,
    ast.DictComp,
)


def expects(cell):
    """Whether a code cell ends with a value that a notebook shows."""
    last = cell.tree[-1] if cell.tree else None
    if not isinstance(last, ast.Expr) or cell.code.endswith(";"):
        return False
    if isinstance(last.value, ast.Call):
        return ast.unparse(last.value.func).rpartition(".")[2].startswith(DISPLAYS)
    return isinstance(last.value, VALUES)


def incomplete(notebook):
    """The cells that were not run to their end."""
    problems = []
    for cell in notebook.code:
        kinds = {output["output_type"] for output in cell.outputs}
        if "error" in kinds and "raises-exception" not in cell.tags:
            wrong = "an error is stored"
            mend = "mend it, or tag it `raises-exception` if it is the lesson"
            problems.append(cell.problem(wrong, mend))
        if expects(cell) and not kinds & {"execute_result", "display_data", "error"}:
            wrong = "it ends with a value but stores none"
            mend = f"run the chapter: `make run CHAPTER={notebook.name[:2]}`"
            problems.append(cell.problem(wrong, mend))
    return problems


@each_notebook
def test_outputs_are_stored(notebook):
    """Prevents a page without its pictures: the book is drawn from stored outputs."""
    clear(incomplete(notebook))


ERROR = {"output_type": "error", "ename": "ValueError", "evalue": "", "traceback": []}
SHOWN = {"text/plain": "1"}


@pytest.mark.parametrize("source", ["x", "x, y", "x.y", "x > y", "show_tokens(x)"])
def test_outputs_are_stored_sees(source):
    assert incomplete(planted(code(source)))
    assert not incomplete(planted(code(source, out=[SHOWN]), code("x.sort()\nf(x);")))
    assert incomplete(planted(code(source, out=[ERROR])))
    assert not incomplete(planted(code(source, "raises-exception", out=[ERROR])))


def strings(value):
    """All texts within an output."""
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else ():
        yield from strings(inner)
    if isinstance(value, list):
        if all(isinstance(inner, str) for inner in value):
            yield "".join(value)
        else:
            yield from (each for inner in value for each in strings(inner))


def machine(notebook):
    """The outputs that tell of the machine."""
    problems = []
    for cell in notebook.code:
        for output in cell.outputs:
            data = output.get("data", {})
            if any(kind.startswith(WIDGET) for kind in data):
                wrong = "its output is a widget, which only a running kernel can draw"
                problems.append(cell.problem(wrong, "show a figure, HTML or text"))
            if output.get("name") == "stderr":
                wrong = "it stores what went to stderr"
                mend = "mend the warning, or keep it from the output"
                problems.append(cell.problem(wrong, mend))
            readable = {k: v for k, v in data.items() if not k.startswith("image/")}
            texts = [readable, output.get("text"), output.get("traceback")]
            for shown in strings(texts):
                for what, pattern in MACHINE.items():
                    if match := pattern.search(shown):
                        wrong = f"its output holds {what}, {match[0]!r}"
                        mend = "show the part that is the same everywhere"
                        problems.append(cell.problem(wrong, mend))
    return problems


@each_notebook
def test_outputs_tell_nothing_of_the_machine(notebook):
    """Prevents an output that is right on one machine alone."""
    clear(machine(notebook))


STDERR = {"output_type": "stream", "name": "stderr", "text": ["warning"]}


@pytest.mark.parametrize(
    "output",
    [
        {"text/plain": "PosixPath('/usr/share/x.txt')"},
        {"text/plain": ["'a'\n", "'/tmp/x'"]},
        {"text/plain": r"WindowsPath('C:\\Users')"},
        {"text/plain": "lib/site-packages/torch"},
        {"text/plain": "<object at 0x7f3a2b1c>"},
        {"text/html": "<b>/opt/x</b>"},
        {f"{WIDGET}-view+json": {}, "text/plain": "bar"},
        {"output_type": "stream", "name": "stdout", "text": ["saved /tmp/a.json\n"]},
        STDERR,
    ],
)
def test_outputs_tell_nothing_of_the_machine_sees(output):
    assert machine(planted(code("x", out=[output])))
    fine = {"text/plain": "0xff 1/2 https://x.org/home/a", "image/png": "/tmp/aaaa"}
    assert not machine(planted(code("x", out=[fine])))


def littered(notebook):
    """What a notebook stores beside its cells, tags and outputs."""
    problems = []
    allowed = {
        "kernelspec": {"display_name", "language", "name"},
        "language_info": {"name", "pygments_lexer"},  # the site colours code by it
    }
    for key, value in notebook.metadata.items():
        if key not in allowed or set(value) - allowed[key]:
            wrong = f"the notebook's metadata hold {key!r}"
            problems.append(f"{notebook.name}: {wrong}: run `make export`.")
    for cell in notebook.cells:
        extra = set(cell.raw.get("metadata", {})) - {"tags"}
        extra |= {"attachments"} & set(cell.raw)
        if cell.raw.get("execution_count") is not None:
            extra.add("execution_count")
        if any(output.get("execution_count") is not None for output in cell.outputs):
            extra.add("an output's execution_count")
        if any(output.get("metadata") for output in cell.outputs):
            extra.add("an output's metadata")
        if extra:
            wrong = f"it stores {', '.join(sorted(extra))}"
            problems.append(cell.problem(wrong, "run `make export`, which cleans it"))
    ids = [cell.raw["id"] for cell in notebook.cells if "id" in cell.raw]
    if len(set(ids)) < len(notebook.cells):
        problems.append(f"{notebook.name}: some cells have no id of their own.")
    return problems


@each_notebook
def test_notebooks_are_clean(notebook):
    """Prevents diffs that are noise, and conflicts between two who ran a chapter."""
    clear(littered(notebook))


def test_notebooks_are_clean_sees():
    def note(header=None, **raw):
        cell = code("x", out=[SHOWN])
        cell.raw = {"id": "a", "metadata": {"tags": []}, **raw}
        made = planted(cell)
        made.metadata = header or {"kernelspec": {"name": "python3"}}
        return made

    assert not littered(note())
    assert littered(note({"widgets": {}}))
    assert littered(note({"kernelspec": {"env": "x"}}))
    assert littered(note({"language_info": {"version": "3.11.7"}}))
    assert littered(note(execution_count=3))
    assert littered(note(metadata={"collapsed": True}))
    assert littered(note(attachments={}))
    assert littered(planted(text("without an id")))
    counted = note()
    counted.cells[0].outputs[0]["execution_count"] = 3
    assert littered(counted)
