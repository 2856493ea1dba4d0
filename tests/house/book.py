"""What the house gates read: the notebooks with their cells, and the project's files.

A gate is a function that takes a notebook, a text or a folder and returns its
problems, each one sentence that says where it is, what is wrong and what to do. Its
test asserts that the book has none; a second one plants the defect, and the gate sees.
"""

import ast
import configparser
import functools
import itertools
import json
import re
import subprocess
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from mdit_py_plugins.anchors.index import slugify, unique_slug
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.footnote import footnote_plugin

from _ext.chapters import DIRECTIVE
from _ext.markdown import slug as term_slug

try:
    import tomllib
except ImportError:  # Python 3.10, where pytest brings it
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "chapters"
SETTINGS = configparser.ConfigParser()
SETTINGS.read(ROOT / "settings.ini", "utf-8")
SETTINGS = SETTINGS["DEFAULT"]

MAGIC = re.compile(r"^(\s*)[%!].*$", re.MULTILINE)
MARKDOWN = MarkdownIt("commonmark").enable("table")
MARKDOWN.use(dollarmath_plugin, double_inline=True).use(footnote_plugin)


@dataclass
class Cell:
    """One cell of a notebook, numbered as nbval numbers it: the first is 0."""

    type: str
    source: str
    tags: list = field(default_factory=list)
    outputs: list = field(default_factory=list)
    raw: dict = field(default_factory=dict)
    number: int = 0
    notebook: str = ""

    @property
    def directives(self):
        """The cell's leading `#| name: value` lines."""
        found = {}
        for line in self.source.splitlines():
            if not (match := DIRECTIVE.match(line)):
                break
            found[match[1]] = match[2]
        return found

    @property
    def exported(self):
        """Whether the cell is a part of the package."""
        return any(name.startswith("export") for name in self.directives)

    @property
    def code(self):
        """The source below the directives."""
        lines = self.source.splitlines()
        while lines and DIRECTIVE.match(lines[0]):
            del lines[0]
        return "\n".join(lines).strip()

    @property
    def tree(self):
        """The statements of a code cell, magics left out."""
        return ast.parse(MAGIC.sub(r"\1pass", self.code)).body

    @property
    def data(self):
        """The stored displays of a code cell: one dict of MIME type to content each."""
        shown = [output["data"] for output in self.outputs if "data" in output]
        return [{k: joined(v) for k, v in each.items()} for each in shown]

    def problem(self, wrong, mend):
        """One sentence on a problem of this cell."""
        lines = self.source.strip().splitlines() or ["(empty)"]
        shown = [line for line in lines if not DIRECTIVE.match(line)] or lines
        return (
            f"{self.notebook}, cell {self.number} `{shown[0][:60]}`: {wrong}; {mend}."
        )


@dataclass
class Notebook:
    """A notebook, as far as the gates look."""

    name: str
    cells: list
    metadata: dict = field(default_factory=dict)
    size: int = 0
    path: Path | None = None

    def __post_init__(self):
        for number, cell in enumerate(self.cells):
            cell.number, cell.notebook = number, self.name

    @property
    def number(self):
        """The chapter's number, or None for a notebook outside the house."""
        match = re.match(r"(\d\d)_", self.name)
        return int(match[1]) if match else None

    @property
    def code(self):
        return [cell for cell in self.cells if cell.type == "code"]

    @property
    def prose(self):
        return [cell for cell in self.cells if cell.type == "markdown"]

    def tagged(self, tag):
        return [cell for cell in self.cells if tag in cell.tags]


def joined(text):
    """Text that a notebook may store as a list of lines."""
    return "".join(text) if isinstance(text, list) else text


def read(path):
    """Read a notebook from its file."""
    raw = json.loads(path.read_text("utf-8"))
    cells = [
        Cell(
            cell["cell_type"],
            joined(cell["source"]),
            cell["metadata"].get("tags", []),
            cell.get("outputs", []),
            cell,
        )
        for cell in raw["cells"]
    ]
    name = path.relative_to(BOOK).as_posix()
    return Notebook(name, cells, raw["metadata"], path.stat().st_size, path)


def planted(*cells, name="02_planted.ipynb"):
    """A notebook with a planted defect."""
    return Notebook(name, list(cells))


def text(source, *tags):
    """A Markdown cell of a planted notebook."""
    return Cell("markdown", source, list(tags))


def code(source, *tags, out=()):
    """A code cell of a planted notebook; `out` holds its displays or output dicts."""
    outputs = [
        each
        if "output_type" in each
        else {"output_type": "execute_result", "data": each, "metadata": {}}
        for each in out
    ]
    return Cell("code", source, list(tags), outputs)


NOTEBOOKS = [read(path) for path in sorted(BOOK.rglob("[0-9a-z]*.ipynb"))]
CHAPTERS = [notebook for notebook in NOTEBOOKS if notebook.number is not None]
each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda n: n.name)
each_chapter = pytest.mark.parametrize("notebook", CHAPTERS, ids=lambda n: n.name)


def clear(problems):
    """Pass when there are no problems; else fail with one line each."""
    if problems:
        pytest.fail("\n".join(["", *problems]), pytrace=False)


@functools.cache
def files():
    """The paths of the project's own files: what git tracks or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    paths = sorted(set(names.decode().split("\0")) - {""})
    return [path for path in paths if (ROOT / path).is_file()]


@functools.cache
def documents():
    """The project's texts, (name, Markdown) each: its .md files and every notebook."""
    texts = [(p, (ROOT / p).read_text("utf-8")) for p in files() if p.endswith(".md")]
    for notebook in NOTEBOOKS:
        prose = "\n\n".join(cell.source for cell in notebook.prose)
        texts.append((f"chapters/{notebook.name}", prose))
    return texts


def read_toml(name):
    """Read a TOML file of the project."""
    return tomllib.loads((ROOT / name).read_text("utf-8"))


def tokens(markdown):
    """All tokens of a Markdown text, inline ones too."""
    for token in MARKDOWN.parse(markdown):
        yield token
        yield from token.children or []


class Tags(HTMLParser):
    """Collects the tags of a piece of HTML."""

    def __init__(self, source):
        super().__init__()
        self.found = []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, {k: v or "" for k, v in attrs}))


def html_tags(markdown):
    """The (tag, attributes) pairs of the HTML in a Markdown text."""
    for token in tokens(markdown):
        if token.type in ("html_block", "html_inline"):
            yield from Tags(token.content).found


def images(markdown):
    """The (alternative text, address) pairs of a text's images."""
    for token in tokens(markdown):
        if token.type == "image":
            yield token.content, token.attrs["src"]
    for tag, attributes in html_tags(markdown):
        if tag == "img":
            yield attributes.get("alt", ""), attributes.get("src", "")


def links(markdown):
    """The addresses of a text's links, Markdown's and HTML's."""
    for token in tokens(markdown):
        if token.type == "link_open":
            yield token.attrs["href"]
    for tag, attributes in html_tags(markdown):
        if tag == "a" and "href" in attributes:
            yield attributes["href"]


def headings(markdown):
    """The (level, text) pairs of a text's headings."""
    parsed = MARKDOWN.parse(markdown)
    for token, inline in itertools.pairwise(parsed):
        if token.type == "heading_open":
            parts = (part.content for part in inline.children)
            yield int(token.tag[1]), "".join(parts).strip()


def fences(markdown, *languages):
    """The contents of a text's fenced blocks in one of some languages."""
    for token in tokens(markdown):
        if token.type == "fence" and (token.info.split() or [""])[0] in languages:
            yield token.content


def anchors(markdown):
    """What `#anchor` may name in a text: its headings, ids, labels and terms."""
    found = set()
    for _, heading in headings(markdown):
        unique_slug(slugify(heading), found)
    for _, attributes in html_tags(markdown):
        found |= {attributes[key] for key in ("id", "name") if key in attributes}
    found |= set(re.findall(r"^\(([\w-]+)\)=$", markdown, re.MULTILINE))
    for content in fences(markdown, "{glossary}"):
        terms = re.findall(r"^(?=\S)(?!:)(.+)$", content, re.MULTILINE)
        found |= {f"term-{term_slug(term.strip())}" for term in terms}
    return found


def words(markdown):
    """How many words of prose a text has: no code, mathematics or tags."""
    kinds = ("text", "code_inline")
    prose = " ".join(token.content for token in tokens(markdown) if token.type in kinds)
    return len(re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", prose))
