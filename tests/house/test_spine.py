"""Every chapter has the parts that its readers rely on, and exercises that answer."""

import ast
import re

import pytest

from _tools.reader import solutions
from _tools.run_chapter import NUMBERS

from .book import (
    BOOK,
    CHAPTERS,
    NOTEBOOKS,
    SETTINGS,
    clear,
    code,
    each_chapter,
    each_notebook,
    headings,
    planted,
    text,
    words,
)

SPINES = {
    "chapter": [
        "spine-card",
        "spine-question",
        "spine-export",
        "spine-proof",
        "spine-book",
        "spine-picture",
        "spine-takeaways",
        "exercise",
        "spine-reading",
    ],
    "room": ["spine-card", "spine-export"],
    "lab": ["spine-card", "spine-question", "spine-picture", "spine-takeaways"],
    "appendix": ["spine-card", "spine-takeaways"],
}
EXERCISE = ["exercise", "stub", "check", "solution"]
APPENDICES = [notebook for notebook in NOTEBOOKS if notebook.tagged("appendix")]
NBVAL = ["nbval-ignore-output", "nbval-skip", "raises-exception"]
KNOWN = {"install", *SPINES, *SPINES["chapter"], *EXERCISE, *NBVAL}
LENGTH = range(2500, 4501)  # words of prose, exercises apart
HOW_MANY = range(5, 9)  # exercises of a chapter
SECONDS = {8: 360, 15: 360}  # the budget of a chapter that trains
BUDGET = 90  # and that of the others


def unknown_tags(notebook):
    """The tags that mean nothing."""
    return [
        cell.problem(f"the tag {tag!r} is unknown", f"known are {sorted(KNOWN)}")
        for cell in notebook.cells
        for tag in cell.tags
        if tag not in KNOWN
    ]


@each_notebook
def test_tags_are_known(notebook):
    """Prevents a misspelt tag, which would silently do nothing."""
    clear(unknown_tags(notebook))


def test_tags_are_known_sees():
    assert unknown_tags(planted(code("f()", "nbval-ignore-ouput")))


def install(notebook):
    """What is wrong with the cell that installs the package when it is missing."""
    if not notebook.code:
        return [f"{notebook.name}: no code; its first code cell is tagged `install`."]
    first, *others = notebook.code
    pin = f"llmbook[check]=={SETTINGS['version']}"
    problems = []
    if "install" not in first.tags:
        wrong = "the first code cell is not the install cell"
        problems.append(first.problem(wrong, "put it first, with the tag `install`"))
    elif pin not in first.source or "except ImportError" not in first.source:
        wrong = f"this does not install {pin} when llmbook is missing, and only then"
        problems.append(first.problem(wrong, "copy the install cell of chapter 00"))
    return problems + [
        cell.problem("a second install cell", "keep the first alone")
        for cell in others
        if "install" in cell.tags
    ]


@each_notebook
def test_first_cell_installs(notebook):
    """Prevents a chapter that stops at its first import when opened on Colab."""
    clear(install(notebook))


def test_first_cell_installs_sees():
    pin = "try:\n    1\nexcept ImportError:\n    %pip install llmbook[check]=={}"
    right = code(pin.format(SETTINGS["version"]), "install")
    assert not install(planted(right, code("1")))
    assert install(planted(code("1"), right))
    assert install(planted(code(pin.format("0.0.9"), "install")))
    assert install(planted())


def title(notebook):
    """What is wrong with the title."""
    titles = [
        (cell, heading)
        for cell in notebook.prose
        for level, heading in headings(cell.source)
        if level == 1
    ]
    if len(titles) != 1:
        found = ", ".join(heading for _, heading in titles) or "none"
        return [f"{notebook.name}: it needs one first-level heading, and has {found}."]
    ((cell, heading),) = titles
    problems = []
    if not heading.startswith(f"{notebook.number}. "):
        wrong = f"the title {heading!r} does not begin with the file's number"
        problems.append(cell.problem(wrong, f"begin with `# {notebook.number}. `"))
    if not set(cell.tags) & set(SPINES):
        wrong = "the title cell is not tagged"
        problems.append(cell.problem(wrong, "tag it `chapter`, or `room` if short"))
    return problems


@each_chapter
def test_title(notebook):
    """Prevents a chapter that the site, the PDF and the links number differently."""
    clear(title(notebook))


def test_title_sees():
    assert not title(planted(text("# 2. Text\n\n```sh\n# a comment\n```", "chapter")))
    assert title(planted(text("# Text", "chapter")))
    assert title(planted(text("# 3. Text", "chapter")))
    assert title(planted(text("# 2. Text")))
    assert title(planted(text("# 2. Text", "room"), text("# Again")))
    assert title(planted(text("## 2. Text", "room")))


def spine(notebook):
    """The parts of a chapter that are missing or out of order."""
    kind = next((kind for kind in SPINES if notebook.tagged(kind)), "chapter")
    order = f"a {kind} has, in order, {', '.join(SPINES[kind])}"
    missing = [tag for tag in SPINES[kind] if not notebook.tagged(tag)]
    if missing:
        lacks = ", ".join(missing)
        return [f"{notebook.name}: no cell is tagged {lacks}; {order}: write them."]
    at = -1
    for tag in SPINES[kind]:
        places = [cell.number for cell in notebook.tagged(tag)]
        later = [place for place in places if place > at]
        if not later:
            wrong = f"`{tag}` stands before the part that it follows"
            return [notebook.cells[places[0]].problem(wrong, order)]
        at = later[0]
    return []


@each_notebook
def test_spine(notebook):
    """Prevents a chapter without its question, its proof or its exercises."""
    clear(spine(notebook))


def test_spine_sees():
    cells = [text("x", tag) for tag in ["chapter", *SPINES["chapter"]]]
    assert not spine(planted(*cells))
    for missing in range(1, len(cells)):
        assert spine(planted(*cells[:missing], *cells[missing + 1 :]))
    cells[3], cells[4] = cells[4], cells[3]
    assert spine(planted(*cells))
    assert spine(planted(text("x", "room"), text("x", "spine-card")))
    assert spine(planted(text("x", "lab"), text("x", "spine-card")))
    short = [text("x", tag) for tag in ("appendix", "spine-card", "spine-takeaways")]
    assert not spine(planted(*short))
    assert spine(planted(*short[:2])) and spine(planted(short[0], *short[:0:-1]))


def card(notebook):
    """What is wrong with the card of a chapter or an appendix."""
    problems = []
    budget = SECONDS.get(notebook.number, BUDGET)
    for cell in notebook.tagged("spine-card"):
        measured = NUMBERS.search(cell.source)
        if not measured:
            wrong = "the card states no measured time and memory"
            problems.append(cell.problem(wrong, "give it the row `| 1 s | 1 MB |…`"))
        elif float(re.search(r"[\d.]+", measured[0])[0]) > budget:
            wrong = f"it takes longer than its budget of {budget} s"
            mend = "make it faster, or move the experiment to benchmarks/"
            problems.append(cell.problem(wrong, mend))
    return problems


@pytest.mark.parametrize("notebook", [*CHAPTERS, *APPENDICES], ids=lambda n: n.name)
def test_card(notebook):
    """Prevents a chapter that keeps a reader waiting without having said so."""
    clear(card(notebook))


def test_card_sees():
    row = "| Time | Memory |\n|---|---|\n| {} s | 100 MB |"
    assert not card(planted(text(row.format(89), "spine-card")))
    assert not card(planted(text(row.format(300), "spine-card"), name="08_x.ipynb"))
    assert card(planted(text(row.format(91), "spine-card")))
    assert card(planted(text("One minute.", "spine-card")))


def length(notebook):
    """Whether a chapter is too short or too long to read as one talk."""
    apart = {"exercise", "solution"}
    prose = [cell for cell in notebook.prose if not apart & set(cell.tags)]
    count = sum(words(cell.source) for cell in prose)
    if not notebook.tagged("chapter") or count in LENGTH:
        return []
    bounds = f"{LENGTH[0]} to {LENGTH[-1]}"
    what = "strike what can be struck" if count > LENGTH[-1] else "say what is missing"
    return [f"{notebook.name}: {count} words of prose; a chapter has {bounds}: {what}."]


@each_chapter
def test_length(notebook):
    """Prevents a chapter that nobody finishes, or that is only its code."""
    clear(length(notebook))


@pytest.mark.parametrize("count", [2499, 4501])
def test_length_sees(count):
    fine = {2499: 2500, 4501: 4500}[count]
    source = "{}\n\n```python\nnot(prose)\n```\n\n<b></b> $x + y$"
    long = [text("", "chapter"), text(source.format("it's " * count))]
    assert length(planted(*long))
    assert not length(planted(long[0], text(source.format("it's " * fine))))
    apart = text("word " * 200, "exercise")
    assert not length(planted(long[0], text(source.format("it's " * fine)), apart))


def exercises(notebook):
    """What is wrong with the exercises of a notebook."""
    cells = [cell for cell in notebook.cells if set(cell.tags) & set(EXERCISE)]
    problems = []
    for at, cell in enumerate(cells):
        wanted = EXERCISE[at % len(EXERCISE)]
        if wanted not in cell.tags:
            wrong = f"`{wanted}` should stand here"
            mend = f"an exercise is four tagged cells: {', '.join(EXERCISE)}"
            return [cell.problem(wrong, mend)]
        problems += PARTS[wanted](cell)
    if len(cells) % len(EXERCISE):
        wrong = "the exercise ends here, incomplete"
        mend = f"it is four tagged cells: {', '.join(EXERCISE)}"
        problems.append(cells[-1].problem(wrong, mend))
    return problems


def _exercise(cell):
    if not any(heading for _, heading in headings(cell.source)):
        return [cell.problem("the exercise has no heading", "give it one to link to")]
    return []


def _stub(cell):
    if cell.type != "code" or "..." not in cell.code:
        return [cell.problem("the stub has no `...`", "put it where the answer goes")]
    return []


def _check(cell):
    body = cell.tree if cell.type == "code" else []
    call = body[0].value if len(body) == 1 and isinstance(body[0], ast.Expr) else None
    if not isinstance(call, ast.Call) or ast.unparse(call.func) != "check":
        wrong = "the check cell is not exactly one `check(...)` expression"
        return [cell.problem(wrong, "move the rest to the stub")]
    problems = []
    if not any(keyword.arg == "see" for keyword in call.keywords):
        wrong = "the check does not say where the idea is"
        problems.append(cell.problem(wrong, 'add see="the heading"'))
    if not any(each.get("text/plain", "").startswith("Open:") for each in cell.data):
        wrong = "the stored verdict on the untouched stub is not `Open:`"
        mend = "let the stub return `...`, and run the chapter"
        problems.append(cell.problem(wrong, mend))
    return problems


def _solution(cell):
    blocks = [(summary.lower(), source) for summary, source in solutions(cell)]
    right = [summary for summary, _ in blocks if summary.startswith("solution")]
    wrong = [summary for summary, _ in blocks if "mistake" in summary]
    problems = []
    if len(right) != 1:
        problems.append(
            cell.problem(
                f"{len(right)} folded blocks with Python begin with 'Solution'",
                "write one <details><summary>Solution</summary> with a ```python fence",
            )
        )
    if not wrong:
        problems.append(
            cell.problem(
                "no folded block shows a mistake",
                "add one that the check refuses, its summary naming a 'mistake'",
            )
        )
    for summary, source in blocks:
        if summary not in right + wrong:
            mend = "begin its summary with 'Solution' or name a 'mistake'"
            problems.append(cell.problem(f"{summary!r} is neither", mend))
        try:
            ast.parse(source)
        except SyntaxError as error:
            problems.append(cell.problem(f"{summary!r}: {error}", "mend the code"))
    return problems


PARTS = dict(zip(EXERCISE, [_exercise, _stub, _check, _solution], strict=True))


@each_notebook
def test_exercises(notebook):
    """Prevents an exercise without an answer, or whose check has never been tried."""
    clear(exercises(notebook))


FOLDED = "<details>\n<summary>{}</summary>\n\n```python\nx = {}\n```\n</details>\n"
RIGHT, MISTAKE = FOLDED.format("Solution", 2), FOLDED.format("A mistake", 1)
OPEN = {"text/plain": "Open: not answered yet."}


def group(**replaced):
    """A well-formed exercise, with some cells replaced."""
    cells = {
        "exercise": text("### One", "exercise"),
        "stub": code("x = ...", "stub"),
        "check": code('check(x, 2, see="Title")', "check", out=[OPEN]),
        "solution": text(MISTAKE + RIGHT, "solution"),
    }
    return planted(*[cell for cell in (cells | replaced).values() if cell])


@pytest.mark.parametrize(
    "replaced",
    [
        {"exercise": None},
        {"stub": None},
        {"check": None},
        {"solution": None},
        {"exercise": text("Count.", "exercise")},
        {"stub": code("x = 2", "stub")},
        {"check": code('check(x, 2, see="T")', "check")},
        {"check": code("check(x, 2)", "check", out=[OPEN])},
        {"check": code('y = 1\ncheck(x, 2, see="T")', "check", out=[OPEN])},
        {"check": code('show(x, 2, see="T")', "check", out=[OPEN])},
        {"check": code('check(x, 2, see="T")', "check", out=[{"text/plain": "No"}])},
        {"solution": text(MISTAKE, "solution")},
        {"solution": text(RIGHT, "solution")},
        {"solution": text(MISTAKE + RIGHT + RIGHT, "solution")},
        {"solution": text(MISTAKE + RIGHT + FOLDED.format("Third", 3), "solution")},
        {"solution": text(MISTAKE + FOLDED.format("Solution", "("), "solution")},
    ],
)
def test_exercises_sees(replaced):
    assert not exercises(group())
    assert exercises(group(**replaced))


def few_exercises(notebook):
    """Whether a chapter has too few exercises, or more than anybody will do."""
    n = len(notebook.tagged("exercise"))
    if not notebook.tagged("chapter") or n in HOW_MANY:
        return []
    bounds = f"{HOW_MANY[0]} to {HOW_MANY[-1]}"
    return [f"{notebook.name}: {n} exercises; a chapter has {bounds}."]


@each_chapter
def test_number_of_exercises(notebook):
    """Prevents a chapter that a reader has read and not tried."""
    clear(few_exercises(notebook))


def test_number_of_exercises_sees():
    def chapter(n):
        return planted(text("", "chapter"), *[text("### One", "exercise")] * n)

    assert few_exercises(chapter(4)) and few_exercises(chapter(9))
    assert not few_exercises(chapter(5)) and not few_exercises(chapter(8))


def misled(notebook):
    """The checks that send a reader to a heading that is not there."""
    found = [heading for cell in notebook.prose for _, heading in headings(cell.source)]
    problems = []
    for cell in notebook.code:
        for node in (each for statement in cell.tree for each in ast.walk(statement)):
            is_check = isinstance(node, ast.Call) and ast.unparse(node.func) == "check"
            for keyword in node.keywords if is_check else []:
                where = getattr(keyword.value, "value", None)
                if keyword.arg == "see" and where not in found:
                    wrong = f"see={where!r} is no heading of this chapter"
                    mend = f"name one of {found[1:]}"
                    problems.append(cell.problem(wrong, mend))
    return problems


@each_notebook
def test_checks_name_real_headings(notebook):
    """Prevents a hint that sends a stuck reader to a section that does not exist."""
    clear(misled(notebook))


def test_checks_name_real_headings_sees():
    heading = text("## The idea")
    assert not misled(planted(heading, code('check(1, 1, see="The idea")')))
    assert misled(planted(heading, code('check(1, 1, see="An idea")')))


def numbers(notebooks, files):
    """The notebooks of the house whose number is missing or taken."""
    problems, taken = [], {}
    for path in files:
        if path.parent == BOOK and not re.match(r"\d\d_[a-z_]+\.ipynb$", path.name):
            problems.append(f"chapters/{path.name}: name it NN_name.ipynb.")
    for notebook in notebooks:
        if notebook.number in taken:
            other = taken[notebook.number]
            problems.append(f"{notebook.name}: {other} has this number; take another.")
        taken[notebook.number] = notebook.name
    return problems


def test_numbers():
    """Prevents two rooms on one floor, or one that the site and the gates overlook."""
    clear(numbers(CHAPTERS, [notebook.path for notebook in NOTEBOOKS]))


def test_numbers_sees():
    twins = [planted(name="02_one.ipynb"), planted(name="02_two.ipynb")]
    assert numbers(twins, [])
    assert numbers([], [BOOK / "attention.ipynb"])
    assert not numbers(twins[:1], [BOOK / "02_one.ipynb", BOOK / "labs" / "spam.ipynb"])
