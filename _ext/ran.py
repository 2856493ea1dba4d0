"""What ran: each notebook's time and memory in the last full test of this checkout.

`make test` leaves a file for each notebook in `_build/ran`; where there is none, the
page says what the chapter's card says, which was measured when its outputs were stored.
"""

import json
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from _ext.chapters import METADATA, tags, text, title
from _tools.run_chapter import NUMBERS

COLUMNS = ("", "Time", "Memory", "Measured", "With")


def by_test(record):
    """The row's words about a run of the tests."""
    memory = f"{record['megabytes']} MB" if record["megabytes"] else "not told"
    where = f"Python {record['python']}, torch {record['torch']}, {record['system']}"
    cores = f"{record['cores']} cores"
    return f"{record['seconds']} s", memory, record["date"], f"{where}, {cores}"


def by_card(card):
    """The row's words about the run that a notebook's outputs come from."""
    row = NUMBERS.search(card)
    time, memory = (part.strip() for part in row[0].strip("|").split("|"))
    return time, memory, "with its outputs", "two cores"


def ran(root):
    """A row for each notebook of the book: where it is, its title, and four words."""
    for path in sorted(Path(root, "chapters").rglob("*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        card = [c for c in cells if "spine-card" in tags(c)]
        if not card or not NUMBERS.search(text(card[0])):
            continue
        record = Path(root, "_build", "ran", f"{path.stem}.json")
        words = (
            by_test(json.loads(record.read_text("utf-8")))
            if record.exists()
            else by_card(text(card[0]))
        )
        yield path, title(cells), words


class Ran(SphinxDirective):
    """Draws the table of what ran."""

    def run(self):
        self.env.note_reread()  # a test may have run since
        here = Path(self.env.doc2path(self.env.docname)).parent
        lines = ["| " + " | ".join(COLUMNS) + " |", "|---|--:|--:|---|---|"]
        for path, heading, words in ran(self.env.srcdir):
            up = "/".join([".."] * len(here.relative_to(self.env.srcdir).parts))
            link = f"[{heading}]({up}/{path.relative_to(self.env.srcdir).as_posix()})"
            lines.append(f"| {link} | " + " | ".join(words) + " |")
        holder, source = nodes.Element(), self.get_source_info()[0]
        self.state.nested_parse(StringList(lines, source), 0, holder)
        return list(holder)


def setup(app):
    app.add_directive("ran", Ran)
    return METADATA
