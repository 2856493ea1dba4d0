"""Every chapter has a deck of slides that tells its argument and can be read."""

import re
from collections import Counter

import pytest

from _ext.slides import OWN, SHOWS, SILENT, Deck, mark

from .book import clear, code, each_chapter, each_notebook, planted, text

DECK = range(10, 19)  # marked slides in a chapter
HEADLINE = 80  # characters
CODE_LINES, CODE_COLUMNS = 16, 88
OUTPUT_LINES = 14
LIKE_A_MARK = re.compile(r"^.*(?:<!--+\s*slides?\b|#\s*\|\s*slides?\b).*$", re.M | re.I)
FORMS = "`#| slide: Headline` above code, or `<!-- slide: Headline -->` above text"


def marked(notebook):
    """The cells on slides, each with its mark."""
    found = [(cell, mark(cell.type, cell.source)) for cell in notebook.cells]
    return [(cell, each) for cell, each in found if each]


def misplaced(notebook):
    """The marks that no slide comes from."""
    problems = []
    for cell in notebook.cells:
        found = mark(cell.type, cell.source)
        lines = LIKE_A_MARK.findall(cell.source)
        wanted = 1 + ("slide-show" in cell.directives) if found else 0
        if len(lines) > wanted:
            wrong = f"`{lines[-1].strip()[:60]}` is no mark of a slide"
            problems.append(cell.problem(wrong, f"write {FORMS}"))
        if not found:
            continue
        if found.show not in SHOWS:
            wrong = f"`slide-show: {found.show}` means nothing"
            problems.append(cell.problem(wrong, f"say one of {', '.join(SHOWS)}"))
        for tag in {*OWN, *SILENT} & {*cell.tags}:
            mend = "take the mark away: titles, takeaways and exercises need none"
            problems.append(cell.problem(f"`{tag}` cannot be marked", mend))
    return problems


@each_notebook
def test_marks_make_slides(notebook):
    """Prevents a slide that its author sees in the notebook and nobody in the deck."""
    clear(misplaced(notebook))


@pytest.mark.parametrize(
    "cell",
    [
        code("x = 1\n#| slide: One is enough"),
        code("#| slides: One is enough\nx = 1"),
        code("#| slide-show: output\nx = 1"),
        code("#| slide: One is enough\n#| slide-show: outputs\nx = 1"),
        code("# <!-- slide: One is enough -->\nx = 1"),
        text("One.\n\n<!-- slide: One is enough -->"),
        text("<!-- slide: One is enough -->\n\nOne.\n\n<!-- slide: Two are more -->"),
        text("<!-- Slide One is enough -->"),
        text("#| slide: One is enough\n\nOne."),
        text("<!-- slide: One is enough -->\n\n- One.", "spine-takeaways"),
        code("#| slide: One is enough\nx = ...", "stub"),
    ],
)
def test_marks_make_slides_sees(cell):
    assert misplaced(planted(cell))
    fine = "#| slide: One is enough\n#| slide-show: code\nx = 1"
    assert not misplaced(planted(code(fine), text("<!-- slide: One --> \n\nOne.")))
    assert not misplaced(planted(code("x = 1"), text("The next slide. <!-- so -->")))


def missing(notebook):
    """Whether a chapter's deck is too small or too large for one talk."""
    count = len(marked(notebook))
    if count in DECK:
        return []
    bounds = f"{DECK[0]} to {DECK[-1]}"
    wrong = f"{count} cells are marked as slides, where a deck has {bounds}"
    return [f"{notebook.name}: {wrong}: write {FORMS}."]


@each_chapter
def test_decks_are_there(notebook):
    """Prevents a chapter that a teacher cannot show, or not in one lecture."""
    clear(missing(notebook))


def test_decks_are_there_sees():
    cells = [text(f"<!-- slide: Slide {n} -->") for n in range(19)]
    assert missing(planted(*cells))
    assert missing(planted(*cells[:9]))
    assert not missing(planted(*cells[:10]))
    assert not missing(planted(*cells[:18], text("Prose."), code("x = 1")))


def misheaded(notebook):
    """The headlines that do not stand for themselves."""
    problems = []
    counts = Counter(each.headline.lower() for _, each in marked(notebook))
    for cell, each in marked(notebook):
        line = each.headline
        if not line:
            wrong = "the slide has no headline"
        elif len(line) > HEADLINE:
            wrong = f"{line!r} has {len(line)} characters, and {HEADLINE} are the most"
        elif line.endswith(":"):
            wrong = f"{line!r} waits for something"
        elif counts[line.lower()] > 1:
            wrong = f"{line!r} is the headline of another slide too"
        else:
            continue
        mend = "write the slide's claim as one short sentence"
        problems.append(cell.problem(wrong, mend))
    return problems


@each_chapter
def test_headlines_stand_alone(notebook):
    """Prevents a headline that breaks twice, or that says nothing without its slide."""
    clear(misheaded(notebook))


@pytest.mark.parametrize("line", ["", "This is what it prints:", "x" * 81, "One wins"])
def test_headlines_stand_alone_sees(line):
    other = text("<!-- slide: One Wins -->")
    assert misheaded(planted(code(f"#| slide: {line}\nx = 1"), other))
    assert misheaded(planted(text(f"<!-- slide: {line} -->\n\nSo."), other))
    assert not misheaded(planted(code(f"#| slide: {'x' * 80}\nx = 1"), other))


def raw(cell):
    """A cell as its notebook stores it."""
    return {
        "cell_type": cell.type,
        "source": cell.source,
        "metadata": {"tags": cell.tags},
        "outputs": cell.outputs,
    }


def crowded(notebook):
    """The slides with nothing on them, or with more than can be read."""
    problems = []
    name = notebook.name.removesuffix(".ipynb")
    deck = Deck(f"chapters/{name}", [raw(cell) for cell in notebook.cells])
    for cell, each in marked(notebook):
        blocks, _ = deck.blocks(raw(cell), each.show)
        if cell.type == "code" and not blocks:
            wrong = f"its slide, with `slide-show: {each.show}`, has nothing to show"
            problems.append(cell.problem(wrong, "mark another cell, or show the rest"))
        for block in blocks:
            lines, columns = len(block.rows), max(block.rows, default=0)
            if block.kind == "code" and lines > CODE_LINES:
                wrong = f"{lines} lines of code, where a slide has {CODE_LINES}"
                mend = "say `slide-show: output`, or mark a shorter cell"
                problems.append(cell.problem(wrong, mend))
            if block.kind == "code" and columns > CODE_COLUMNS:
                wrong = f"a line of {columns} characters, where {CODE_COLUMNS} fit"
                problems.append(cell.problem(wrong, "break it"))
            if block.kind == "output" and lines > OUTPUT_LINES:
                wrong = f"{lines} lines of output, where a slide has {OUTPUT_LINES}"
                mend = "say `slide-show: code`, or mark another cell"
                problems.append(cell.problem(wrong, mend))
    return problems


@each_chapter
def test_slides_can_be_read(notebook):
    """Prevents a wall of code that nobody at the back of the room can read."""
    clear(crowded(notebook))


def printed(lines):
    """The output of a cell that prints so many lines."""
    return {"output_type": "stream", "name": "stdout", "text": ["x\n"] * lines}


def test_slides_can_be_read_sees():
    def slide(body, *out, show="both"):
        lines = f"#| slide: One\n#| slide-show: {show}\n{body}"
        return planted(code(lines, out=out))

    assert not crowded(slide("\n".join(["x"] * 16), printed(14)))
    assert crowded(slide("\n".join(["x"] * 17)))
    assert not crowded(slide("\n".join(["x"] * 17), printed(1), show="output"))
    assert not crowded(slide("x" * 88))
    assert crowded(slide("x" * 89))
    assert crowded(slide("x", printed(15)))
    assert not crowded(slide("x", printed(15), show="code"))
    assert crowded(slide("x", show="output"))
    assert crowded(planted(code("#| slide: One\n#| hide\nx = 1", out=[printed(1)])))
    fence = "<!-- slide: One -->\n\n```text\n{}\n```"
    assert crowded(planted(text(fence.format("x\n" * 17))))
    assert not crowded(planted(text(fence.format("x\n" * 16)), code("x\n" * 99)))
