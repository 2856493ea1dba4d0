"""Questions to test oneself by, at the end of each chapter's page.

They stand in `chapters/quiz/NN_name.yaml`, one list for each chapter, and are drawn as
a form whose choices answer at once (`_static/quiz.mjs`). Without scripts a fold below
each question gives the answer and the reasons. The PDF of all quizzes comes from the
same files (`_tools/quiz.py`).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from mdit_py_plugins.anchors.index import slugify
from sphinx.util.docutils import SphinxDirective

from _ext.chapters import METADATA, edit_cells, number, tags
from _ext.markdown import directive

FOLDER = Path("chapters", "quiz")
LETTERS = "abcdefgh"
HEADING = "## Test yourself"


@dataclass
class Option:
    """One of the answers to choose from, with what is to be said about it."""

    text: str
    right: bool
    why: str


@dataclass
class Question:
    """A question with options, or one whose answer is typed."""

    ask: str
    see: str  # the heading of the chapter that holds the idea
    options: list[Option]  # none where the answer is typed
    answer: str = ""  # of a question without options
    accept: tuple[str, ...] = ()  # other spellings of it
    within: float | None = None  # how far off a number may be; None: it is a text
    why: str = ""

    @property
    def solution(self):
        """The right answer as a reader would say it."""
        right = [LETTERS[i] for i, each in enumerate(self.options) if each.right]
        return " and ".join(right) or self.answer


def question(raw):
    """Read one item of a file; ValueError says what is wrong with it."""
    known = {"ask", "see", "options", "answer", "accept", "within", "why"}
    if not isinstance(raw, dict) or not {"ask", "see"} <= set(raw) <= known:
        raise ValueError(f"{raw!r:.70}: a question has `ask`, `see`, and {known}")
    if ("options" in raw) == ("answer" in raw):
        raise ValueError(f"{raw['ask']!r:.70}: give `options` or `answer`, one of them")
    options = []
    for each in raw.get("options", ()):
        way = "right" if "right" in each else "wrong"
        if set(each) != {way, "why"} or not each["why"]:
            raise ValueError(f"{each!r:.70}: an option has right or wrong, and why")
        options.append(Option(str(each[way]), way == "right", each["why"]))
    if "answer" not in raw:
        return Question(raw["ask"], raw["see"], options)
    if not raw.get("why"):
        raise ValueError(f"{raw['ask']!r:.70}: a typed answer needs a `why`")
    typed = raw["answer"]
    is_number = isinstance(typed, (int, float)) and not isinstance(typed, bool)
    within = float(raw.get("within", 0)) if is_number else None
    accept = tuple(map(str, raw.get("accept", ())))
    shown = f"{typed:,}" if isinstance(typed, int) and typed > 9999 else str(typed)
    return Question(raw["ask"], raw["see"], [], shown, accept, within, raw["why"])


def load(path):
    """The questions of a file; ValueError says what is wrong with it."""
    items = yaml.safe_load(path.read_text("utf-8"))
    if not isinstance(items, list):
        raise ValueError(f"{path.name} holds no list of questions")
    return [question(item) for item in items]


class Quiz(SphinxDirective):
    """Draws the questions of a file as a form."""

    has_content = True

    def run(self):
        (stem,) = self.content
        path = Path(self.env.srcdir, FOLDER, f"{stem}.yaml")
        self.env.note_dependency(str(path))
        pieces = ['<form class="quiz">']
        for at, each in enumerate(load(path), 1):
            pieces += self.draw(f"quiz-{at}", at, each)
        found = []
        for piece in [*pieces, "</form>"]:  # HTML, or nodes
            html = isinstance(piece, str)
            found += [nodes.raw("", piece, format="html")] if html else piece
        return found

    def inline(self, markdown):
        """The nodes of a text without paragraphs around them."""
        holder = nodes.Element()
        lines = StringList(markdown.strip().splitlines(), self.get_source_info()[0])
        self.state.nested_parse(lines, 0, holder)
        if not all(isinstance(block, nodes.paragraph) for block in holder):
            raise self.error(f"{markdown!r:.70}: only words, no lists or other blocks")
        inside = [child for paragraph in holder for child in paragraph.children]
        return [nodes.inline("", "", *inside)]

    def draw(self, name, at, each):
        """One question: its choices, a place for the verdict, a fold with it all."""
        yield f'<fieldset class="quiz-question" id="{name}"><legend><span>{at}.</span> '
        yield self.inline(each.ask)
        yield "</legend>"
        if each.options:
            for letter, option in zip(LETTERS, each.options, strict=False):
                key = f"{name}-{letter}"
                right = " data-right" if option.right else ""
                yield f'<div class="quiz-option"><input type="radio" name="{name}"'
                yield f' id="{key}"{right}><label for="{key}"><span>{letter})</span> '
                yield self.inline(option.text)
                yield "</label></div>"
        else:
            typed = {"answer": [each.answer, *each.accept], "within": each.within}
            data = json.dumps(typed).replace("&", "&amp;").replace("'", "&#39;")
            yield '<div class="quiz-typed">'
            yield f'<label for="{name}-typed">Your answer</label> '
            yield f'<input type="text" id="{name}-typed" autocomplete="off" '
            yield f"data-typed='{data}'></div>"
        yield '<div class="quiz-verdict" role="status"></div>'
        yield "<details><summary>Answer and reasons</summary>"
        if each.options:
            yield "<ul>"
            for letter, option in zip(LETTERS, each.options, strict=False):
                verdict = "right" if option.right else "wrong"
                yield f'<li id="{name}-{letter}-why">'
                yield f"<strong>{letter}) {verdict}.</strong> "
                yield self.inline(option.why)
                yield "</li>"
            yield "</ul>"
        else:
            yield f'<p id="{name}-why"><strong>'
            yield self.inline(each.answer)
            yield ".</strong> "
            yield self.inline(each.why)
            yield "</p>"
        yield '<p class="quiz-see">See '
        yield self.inline(f"[{each.see}](#{slugify(each.see)})")
        yield ".</p></details></fieldset>"


def add_quiz(cells, stem):
    """Put the quiz of a chapter before its further reading."""
    tagged = [i for i, c in enumerate(cells) if "spine-reading" in tags(c)]
    at = tagged[0] if tagged else len(cells)
    source = f"{HEADING}\n\n{directive('quiz', stem)}"
    cell = {"cell_type": "markdown", "id": "quiz", "metadata": {}, "source": source}
    return [*cells[:at], cell, *cells[at:]]


def on_source_read(app, docname, source):
    stem = docname.rsplit("/", 1)[-1]
    if app.builder.format != "html" or number(docname) is None:
        return
    if Path(app.srcdir, FOLDER, f"{stem}.yaml").exists():
        edit_cells(source, lambda cells: add_quiz(cells, stem))


def on_html_page_context(app, pagename, templatename, context, doctree):
    if Path(app.srcdir, FOLDER, f"{pagename.rsplit('/', 1)[-1]}.yaml").exists():
        app.add_js_file("quiz.mjs", type="module")


def setup(app):
    app.add_directive("quiz", Quiz)
    app.connect("source-read", on_source_read, priority=600)  # as Sphinx's own Markdown
    app.connect("html-page-context", on_html_page_context)
    return METADATA
