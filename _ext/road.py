"""The road map's times: what each chapter takes, and what a week of them adds up to.

The page says which chapters belong to a week. What they take is measured, by their
cards and their words, and stands in none of its lines; it is added here, for the site
and for the PDF of one page. `<!-- chapters -->` becomes a table of all chapters,
`<!-- labs -->` one of the labs, and the table behind `<!-- hours -->` gets one more
column, with the hours of all chapters and labs that a row links to; the one behind
`<!-- reading hours -->` too, but without exercises and questions.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from _ext.chapters import METADATA, number, tags, text, title
from _ext.furniture import minutes_to_read

PAGE = "chapters/appendix/road"
CARD = re.compile(r"^\| (?:(\d+) s|not measured) \|.* \| (.*) \|$", re.MULTILINE)
LINK = re.compile(r"\]\(\.\./((?:labs/)?\w+)\.ipynb[^)]*\)")
EXERCISE = 10  # minutes, as a rule, and no more than a rule
QUIZ = 10  # minutes
HEADS = {
    "chapters": (
        "| Chapter | You need first | Read | Run | Exercises | Hours |",
        "|:--|:--|--:|--:|--:|--:|",
    ),
    "labs": ("| Lab | You need first | Read | Run |", "|:--|:--|--:|--:|"),
}
MARK = re.compile(r"^<!-- (chapters|labs) -->$", re.MULTILINE)
TIMED = re.compile(r"^<!-- (reading )?hours -->\n\n((?:\|.*\n)+)", re.MULTILINE)


@dataclass
class Stage:
    """A chapter or a lab, and what it takes."""

    name: str  # its file below chapters/, such as 04_attention or labs/spam
    title: str
    needs: str  # what must be known first, in Markdown
    read: int  # minutes
    run: int | None  # seconds; None where nobody has measured it
    exercises: int

    @property
    def minutes(self):
        """All that it takes; a chapter ends with its questions."""
        quiz = QUIZ if number(self.name) is not None else 0
        return self.reading + EXERCISE * self.exercises + quiz

    @property
    def reading(self):
        """To read it and to let it run."""
        return self.read + (self.run or 0) / 60

    @property
    def row(self):
        """Its line in a table."""
        link = f"[{self.title}](../{self.name}.ipynb)"
        run = "not measured" if self.run is None else f"{self.run}\N{NO-BREAK SPACE}s"
        read = f"{self.read}\N{NO-BREAK SPACE}min"
        cells = [link, self.needs, read, run]
        if number(self.name) is not None:
            cells += [str(self.exercises), hours(self.minutes)]
        return f"| {' | '.join(cells)} |"


def hours(minutes):
    """Minutes as hours, to the next half."""
    return f"{max(1, round(minutes / 30)) / 2:g}"


def stage(path, folder):
    """Read a chapter's or a lab's file; None for a notebook without a card."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    card = None
    for cell in cells:
        if "spine-card" in tags(cell):
            card = CARD.search(text(cell))
    if card is None:
        return None
    name = path.relative_to(folder).with_suffix("").as_posix()
    needs = re.sub(r"\]\((?:\.\./)?", "](../", card[2])
    run = None if card[1] is None else int(card[1])
    exercises = sum("exercise" in tags(c) for c in cells)
    short = title(cells).removeprefix("Lab: ")
    short = short[0].upper() + short[1:]
    return Stage(name, short, needs, minutes_to_read(cells), run, exercises)


def stages(folder):
    """All chapters and labs below a folder, by their names: chapters first."""
    paths = [*sorted(folder.glob("[0-9]*.ipynb")), *sorted(folder.glob("labs/*.ipynb"))]
    found = [stage(path, folder) for path in paths]
    return {each.name: each for each in found if each}


def fill(page, known):
    """Write the measured times into the road map."""

    def table(mark):
        kind = mark[1]
        rows = [each.row for each in known.values() if is_lab(each) == (kind == "labs")]
        return "\n".join([*HEADS[kind], *rows])

    def timed(match):
        head, rule, *rows = match[2].splitlines()
        times = [
            sum(s.reading if match[1] else s.minutes for s in named(row, known))
            for row in rows
        ]
        rows = [f"{row} {hours(time)} |" for row, time in zip(rows, times, strict=True)]
        return "\n".join([f"{head} Hours |", f"{rule}--:|", *rows, ""])

    return TIMED.sub(timed, MARK.sub(table, page))


def is_lab(each):
    return each.name.startswith("labs/")


def named(row, known):
    """The chapters and labs that a row of a table links to."""
    names = dict.fromkeys(LINK.findall(row))
    if not names:
        raise ValueError(f"the road map times a row without a chapter: {row}")
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"the road map names {unknown[0]}, which has no card")
    return [known[name] for name in names]


def on_source_read(app, docname, source):
    if docname == PAGE:
        folder = Path(app.srcdir, "chapters")
        known = stages(folder)
        for name in known:
            app.env.note_dependency(str(folder / f"{name}.ipynb"))
        source[0] = fill(source[0], known)


def setup(app):
    app.connect("source-read", on_source_read, priority=450)  # before Markdown's
    return METADATA
