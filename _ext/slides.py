"""A deck of slides for each chapter, drawn from the cells that its author has marked.

A code cell is marked by a directive, `#| slide: Headline`, and shows its code and its
output, or what `#| slide-show: output` leaves of them. A Markdown cell is marked by a
first line `<!-- slide: Headline -->`, and shows its equations, tables, lists,
quotations and fenced code. Its paragraphs, and all prose since the slide before, are
the speaker's notes. The title, the takeaways and the exercises come by themselves.

After the site is written, each chapter with marks gets `slides/NN_name.html` beside
the chapters, for reveal.js, which lies once in `slides/reveal`; its mathematics is
typeset by the MathJax of the site. The chapter's card links to the deck.

A slide has a fixed size. How large its letters can be, and whether code and output find
room side by side or one after the other, is reckoned here from lines and columns.
"""

import base64
import hashlib
import html
import json
import math
import posixpath
import re
import shutil
import struct
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from _ext.chapters import (
    HEADING,
    METADATA,
    directives,
    edit_cells,
    number,
    tags,
    text,
)
from _ext.directives import split
from _ext.light import fewer_colours
from _ext.markdown import slug
from _ext.moving import still

CHAPTER = re.compile(r"chapters/\d\d_")
WHOLE = "slides.html"  # all decks in a row, to be printed; not a part of the site
SHOWS = ("both", "code", "output")  # what `slide-show` may say
MARK = re.compile(r"\s*<!--\s*slide:\s*(.*?)\s*-->[ \t]*\n*")
OWN = ("chapter", "room", "spine-takeaways", "exercise")  # these come by themselves
SILENT = ("install", "spine-card", "stub", "check", "solution", "spine-reading")
REVEAL = (  # what a deck needs of it
    "LICENSE",
    "dist/reset.css",
    "dist/reveal.css",
    "dist/reveal.js",
    "plugin/notes/notes.js",
)

# A slide is 1280 × 720 pixels, within these margins, which slides.css repeats.
WIDTH, HEIGHT = 1160, 600
HEADLINE = 42  # pixels, on lines of 1.2
CODE = (
    34,
    30,
    28,
    26,
    24,
    22,
    20,
    18,
)  # letters of code and of plain output, the largest first
PAIRS = sorted(product(CODE, CODE), key=lambda two: (min(two), sum(two)), reverse=True)
TEXT = (32, 30, 28)  # letters of everything else
NARROW, BROAD = 0.53, 0.61  # the width of a letter, of text and of code
FIGURE = 320  # the least height of a picture

LABEL = re.compile(r"\\label\{([\w-]+)\}\s*")
ALERT = re.compile(r"(<blockquote>\s*<p>)\[!(\w+)\]\s*")


@dataclass
class Mark:
    """What an author says of a slide: its headline, and what of the cell it shows."""

    headline: str
    show: str = "both"


def mark(kind, source):
    """The mark of a cell of a kind, "code" or "markdown", or None."""
    if kind == "code":
        said = dict(directives(source))
        if "slide" in said:
            return Mark(said["slide"], said.get("slide-show", "both"))
    elif kind == "markdown" and (found := MARK.match(source)):
        return Mark(found[1])
    return None


def unmarked(source):
    """The source of a Markdown cell without its mark."""
    return MARK.sub("", source, count=1) if MARK.match(source) else source


@dataclass
class Block:
    """A piece of a slide, and what its height depends on."""

    kind: str  # code, output, strip, figure, math, table or text
    html: str
    rows: list[int] = field(default_factory=list)  # the columns of each of its lines
    points: list[str] = field(default_factory=list)  # as HTML, if it can be dealt out
    frame: tuple[str, str] = ("<ul>", "</ul>")  # what stands around the points

    def height(self, code, output, size):
        """The pixels that the block takes, with letters of these sizes."""
        if self.kind == "figure":
            caption = math.ceil(sum(self.rows) * NARROW * 22 / WIDTH)
            return FIGURE + 30 * caption
        if self.kind in ("code", "output"):
            letter = code if self.kind == "code" else output
            columns = int((WIDTH - 36) / (BROAD * letter))
            lines = sum(max(1, math.ceil(row / columns)) for row in self.rows)
            return lines * 1.35 * letter + 40
        if self.kind == "strip":
            lines = math.ceil(sum(self.rows) * 26 * BROAD / WIDTH)
            return lines * 26 * 1.9 + 20
        if self.kind == "math":
            return len(self.rows) * 2.3 * size + 16
        columns = int((WIDTH - 60) / (NARROW * size))
        lines = sum(max(1, math.ceil(row / columns)) for row in self.rows)
        gap = 16 if self.kind == "table" else 12
        return lines * 1.35 * size + gap * len(self.rows) + 12

    def fits(self, code, output):
        """Whether no line has to be broken that says something by its place."""
        letter = code if self.kind == "code" else output
        widest = max(self.rows, default=0) * BROAD
        if (
            self.kind == "output"
        ):  # one long value may be broken; a table only if it must
            free = len(self.rows) == 1 or widest * CODE[-1] > WIDTH - 36
            return free or widest * letter <= WIDTH - 36
        return self.kind != "code" or widest * letter <= WIDTH - 36


@dataclass
class Slide:
    """What is shown at a time, and what is said to it."""

    kind: str  # title, statement, content
    headline: str  # as HTML
    notes: str  # as HTML
    blocks: list[Block] = field(default_factory=list)
    code: int = CODE[-1]
    output: int = CODE[-1]
    size: int = TEXT[-1]

    @property
    def mathematical(self):
        """Whether the slide needs MathJax."""
        parts = [self.headline, self.notes, *(block.html for block in self.blocks)]
        return any('class="math"' in part for part in parts)


def room(headline):
    """The height that is left below a headline, given without its markup."""
    lines = math.ceil(len(headline) * 0.55 * HEADLINE / WIDTH)
    return HEIGHT - lines * HEADLINE * 1.2 - 24


def sizes(blocks, height):
    """The largest letters of code, output and text with which blocks fit, or None."""
    kinds = {block.kind for block in blocks}
    letters = TEXT if kinds & {"text", "table", "math"} else TEXT[-1:]
    pairs = PAIRS if kinds & {"code", "output"} else PAIRS[-1:]
    for size, (code, output) in product(letters, pairs):
        total = sum(block.height(code, output, size) for block in blocks)
        if total <= height and all(block.fits(code, output) for block in blocks):
            return code, output, size
    return None


def pages(blocks, height):
    """Deal blocks out to as few slides as hold them: (blocks, *sizes) each."""
    if found := sizes(blocks, height):
        return [(blocks, *found)]
    if len(blocks) == 1 and len(points := blocks[0].points) > 1:
        half = (len(points) + 1) // 2  # a list that is too long becomes two
        kind, frame = blocks[0].kind, blocks[0].frame
        halves = [dealt(kind, part, frame) for part in (points[:half], points[half:])]
        return [page for each in halves for page in pages([each], height)]
    if len(blocks) <= 1:
        return [(blocks, CODE[-1], CODE[-1], TEXT[-1])]
    first = len(blocks) - 1
    while first > 1 and not sizes(blocks[:first], height):
        first -= 1
    return [*pages(blocks[:first], height), *pages(blocks[first:], height)]


def dealt(kind, points, frame=("<ul>", "</ul>")):
    """A list or a table as a block, of points that are HTML."""
    inner = [re.sub(r"<[^>]+>|\s+", " ", each).strip() for each in points]
    head = [len(re.sub(r"<[^>]+>|\s+", " ", frame[0]).strip())] * (kind == "table")
    rows = head + [len(each) for each in inner]
    return Block(kind, frame[0] + "".join(points) + frame[1], rows, points, frame)


def colored(source, language="python"):
    """Code in colours, in the classes that the site's style sheet knows."""
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        lexer = get_lexer_by_name("text", stripnl=False)
    return highlight(source.strip("\n"), lexer, HtmlFormatter())


class Markdown:
    """Renders a chapter's Markdown for a page in another folder than the chapter."""

    def __init__(self, docname, cells, places=()):
        self.docname = docname
        self.names = numbers(docname, cells)
        self.places = dict(places)  # (page, what a link calls a place) -> its id
        parser = MarkdownIt("commonmark", {"typographer": True, "html": True})
        parser.enable(["table", "smartquotes"])
        dollarmath_plugin(parser, double_inline=True)
        for rule in ("math_inline", "math_inline_double", "math_block", "fence"):
            parser.renderer.rules[rule] = getattr(self, rule)
        parser.renderer.rules["link_open"] = self.link
        self.parser = parser

    def math_inline(self, tokens, at, options, env):
        return rf'<span class="math">\({html.escape(tokens[at].content)}\)</span>'

    def math_block(self, tokens, at, options, env):
        shown = html.escape(self.tagged(tokens[at].content.strip()))
        return rf'<div class="math">\[{shown}\]</div>'

    math_inline_double = math_block

    def tagged(self, formula):
        """A formula whose label has become the number that the chapter gives it."""
        if found := LABEL.search(formula):
            name = self.names[found[1]].strip("Equation ()")
            return LABEL.sub(lambda _: rf"\tag{{{name}}} ", formula, count=1)
        return formula

    def fence(self, tokens, at, options, env):
        language = (tokens[at].info.split() or ["text"])[0]
        return colored(tokens[at].content, language)

    def link(self, tokens, at, options, env):
        tokens[at].attrs["href"] = self.address(tokens[at].attrs["href"])
        return self.parser.renderer.renderToken(tokens, at, options, env)

    def address(self, url):
        """Where a link of the chapter leads from the folder of the decks."""
        parts = urlsplit(url)
        if parts.scheme or parts.netloc:
            return url
        folder, own = self.docname.rsplit("/", 1)
        path = re.sub(r"\.(ipynb|md)$", "", parts.path) or own
        target = posixpath.normpath(f"{folder}/{path}")
        place = self.places.get((target, parts.fragment), parts.fragment)
        return f"../{target}.html" + (f"#{place}" if place else "")

    def inline(self, source):
        """One line of Markdown as HTML."""
        return self.parser.renderInline(source)

    def render(self, source):
        """A text as HTML, links to figures and equations with their numbers."""
        for name, known in self.names.items():
            source = re.sub(rf"\[[^\[\]]*\]\(#{name}\)", f"[{known}](#{name})", source)
        return ALERT.sub(r"\1", self.parser.render(source))

    def parts(self, source):
        """The blocks that a slide shows of a Markdown text, and what is left of it."""
        lines, shown, said, tokens = source.split("\n"), [], [], []
        for token in self.parser.parse(source):
            tokens.append(token)
            if token.level or token.nesting == 1:
                continue
            begin, end = (tokens[0].map or [0, 0]) if tokens[0].map else (0, 0)
            passage = "\n".join(lines[begin:end])
            block = self.block(tokens, passage)
            shown += [block] if block else []
            said += [] if block else [passage]
            tokens = []
        return shown, "\n\n".join(said)

    def block(self, tokens, source):
        """What a slide shows of one passage, or None if it is for the notes."""
        first = tokens[0].type
        formulas = list(tokens[1].children or ()) if len(tokens) == 3 else []
        if first == "math_block" or (
            len(formulas) == 1 and formulas[0].type == "math_inline_double"
        ):
            rows = re.split(r"\\\\", source)
            return Block("math", self.render(source), [len(row) for row in rows])
        if first == "table_open":
            before, body, after = re.split(
                r"(?<=<tbody>)|(?=</tbody>)", self.render(source)
            )
            points = re.findall(r"<tr>.*?</tr>", body, re.DOTALL)
            return dealt("table", points, (before, after))
        if first in ("bullet_list_open", "ordered_list_open"):
            shown = self.render(source)
            if first == "bullet_list_open" and shown.count("<ul>") == 1:
                return dealt("text", re.findall(r"<li>.*?</li>", shown, re.DOTALL))
            rows = [
                len(item) for item in re.split(r"\n(?=\s*(?:[-*+]|\d+\.) )", source)
            ]
            return Block("text", shown, rows)
        if first == "blockquote_open" and not re.match(r"\s*>\s*\[!", source):
            return Block("text", self.render(source), [len(source)])
        if first in ("fence", "code_block"):
            rows = [len(line) for line in tokens[0].content.strip("\n").splitlines()]
            return Block("code", self.render(source), rows)
        return None


def numbers(docname, cells):
    """What the site calls a chapter's captioned figures and its labelled equations."""
    found, counts = {}, {"Figure": 0, "Equation": 0}

    def name(label, kind, form):
        counts[kind] += 1
        found[label] = form.format(f"{number(docname)}.{counts[kind]}")

    for cell in cells:
        if cell["cell_type"] == "code":
            said = dict(directives(text(cell)))
            if "fig-cap" in said:
                name(said.get("label", f"fig {len(found)}"), "Figure", "Figure {}")
        else:
            for label in LABEL.findall(text(cell)):
                name(label, "Equation", "Equation ({})")
    return found


def joined(content):
    """Text that a notebook may store as a list of lines."""
    return "".join(content) if isinstance(content, list) else content


class Deck:
    """The slides of a chapter."""

    def __init__(self, docname, cells, places=()):
        self.docname, self.name = docname, docname.rsplit("/", 1)[-1]
        self.markdown = Markdown(docname, cells, places)
        self.images = {}  # file name -> content
        self.slides, self.title, self.promise = [], "", ""
        self.marks = 0
        notes, tasks = [], []
        for cell in cells:
            labels = set(tags(cell))
            source, kind = text(cell), cell["cell_type"]
            found = mark(kind, source)
            prose = unmarked(source) if kind == "markdown" else ""
            if labels & {"chapter", "room"}:
                self.opening(prose)
            elif "spine-takeaways" in labels:
                self.closing(prose, notes)
                notes = []
            elif "exercise" in labels:
                tasks.append(prose)
            elif found and not labels & {*OWN, *SILENT}:
                self.marks += 1
                blocks, said = self.blocks(cell, found.show)
                self.add(found.headline, blocks, [*notes, said])
                notes = []
            elif prose and not labels & set(SILENT):
                notes.append(prose)
        self.homework(tasks, notes)

    def add(self, headline, blocks, notes, kind=None):
        """Add a slide, or several if one does not hold it all."""
        said = self.markdown.render("\n\n".join(filter(str.strip, notes)))
        line = self.markdown.inline(headline)
        kind = kind or ("content" if blocks else "statement")
        for page in pages(blocks, room(headline.replace("`", ""))):
            self.slides.append(Slide(kind, line, said, *page))

    def opening(self, prose):
        """The title and the promise of the chapter."""
        _, self.title = HEADING.findall(prose)[0]
        self.promise = HEADING.sub("", prose).strip().split("\n\n")[0]
        self.slides.append(Slide("title", self.markdown.inline(self.title), ""))

    def closing(self, prose, notes):
        """The takeaways; a heading beside them belongs to the page alone."""
        blocks, said = self.markdown.parts(HEADING.sub("", prose))
        self.add("Takeaways", blocks, [*notes, said])

    def homework(self, tasks, notes):
        """The exercises by their headings, with their texts to be read aloud."""
        heads = [HEADING.findall(task)[0][1] for task in tasks if HEADING.search(task)]
        if heads:
            points = [f"<li>{self.markdown.inline(head)}</li>" for head in heads]
            self.add("Try it", [dealt("text", points)], [*notes, *tasks])

    def blocks(self, cell, show):
        """What a slide shows of a cell, and the Markdown that is left for the notes."""
        if cell["cell_type"] == "markdown":
            return self.markdown.parts(unmarked(text(cell)))
        return list(self.shown(cell, show)), ""

    def shown(self, cell, show):
        """The blocks of a code cell: its code, and its stored output."""
        said, code = split(text(cell))
        said = dict(said)
        if {"hide"} & said.keys():
            return
        code = re.sub(r"\n{3,}", "\n\n", code.strip("\n"))  # lines are scarce
        if show in ("both", "code") and "hide_input" not in said and code:
            rows = [len(line) for line in code.splitlines()]
            yield Block("code", colored(code), rows)
        if show in ("both", "output") and "hide_output" not in said:
            for output in merged(cell.get("outputs", ())):
                yield self.output(output, said)

    def output(self, output, said):
        """One stored output as a block."""
        data = {kind: joined(value) for kind, value in output.get("data", {}).items()}
        if "image/png" in data:
            return self.figure(base64.b64decode(data["image/png"]), said)
        if "text/html" in data:
            plain = data.get("text/plain", "")
            kind = "strip" if "aria-label" in data["text/html"] else "output"
            rows = [len(line) for line in plain.splitlines()]
            return Block(kind, f'<div class="html">{data["text/html"]}</div>', rows)
        if "text/markdown" in data:
            shown = self.markdown.render(data["text/markdown"])
            return Block("text", shown, [len(data["text/markdown"])])
        if output["output_type"] == "error":
            plain = f"{output['ename']}: {output['evalue']}"
        else:
            plain = joined(output.get("text", "")) or data.get("text/plain", "")
        plain = plain.strip("\n")
        rows = [len(line) for line in plain.splitlines()]
        return Block("output", f'<pre class="output">{html.escape(plain)}</pre>', rows)

    def figure(self, content, said):
        """A picture, with its text for those who cannot see it and its caption."""
        content = still(content) or content
        name = f"{hashlib.sha256(content).hexdigest()[:16]}.png"
        self.images[name] = content
        wide, high = struct.unpack(">II", content[16:24])
        alt = html.escape(said.get("fig-alt", ""))
        caption = self.markdown.inline(said.get("fig-cap", ""))
        shown = (
            f'<figure><div style="max-height: {1.6 * high:.0f}px"><img '
            f'src="images/{name}" alt="{alt}" width="{wide}" height="{high}"></div>'
        )
        shown += f"<figcaption>{caption}</figcaption>" if caption else ""
        return Block("figure", f"{shown}</figure>", [len(said.get("fig-cap", ""))])


def merged(outputs):
    """The outputs of a cell, the pieces of a stream made one."""
    found = []
    for output in outputs:
        output = dict(output, text=joined(output.get("text", "")))
        if found and output["output_type"] == found[-1]["output_type"] == "stream":
            found[-1]["text"] += output["text"]
        else:
            found.append(output)
    return found


def page(decks, title, promise, site, home):
    """The HTML of some decks in a row; without scripts it leads to the page `home`."""
    folder = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True
    )
    return folder.get_template("slides.html").render(
        decks=decks,
        title=title,
        promise=promise,
        site=site,
        home=home,
        mathematical=any(slide.mathematical for d in decks for slide in d.slides),
    )


def lay_out(folder):
    """Put into a folder of decks what all of them need: reveal.js, and our own.

    Ours does not lie in _static, of which Jupyter Book loads all scripts and styles on
    every page of the site.
    """
    own = Path(__file__).parent
    source = files("sphinx_revealjs").joinpath("_static/revealjs")
    for name in REVEAL:
        target = folder / "reveal" / Path(name).name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.joinpath(name).read_bytes())
    for name in ("slides.css", "slides.js"):
        shutil.copy(own / name, folder / "reveal")


def decks(env):
    """The decks of the chapters that Sphinx has read and somebody has marked."""
    known = dict(places(env))
    for docname in sorted(filter(CHAPTER.match, env.found_docs)):
        notebook = json.loads(Path(env.doc2path(docname)).read_text("utf-8"))
        deck = Deck(docname, notebook["cells"], known)
        if deck.marks:
            yield deck


def places(env):
    """What the site calls the places that links name: ((page, name), id) each."""
    for docname, known in env.metadata.items():
        for name, (_, place, _) in known.get("myst_slugs", {}).items():
            yield (docname, name), place
    for name, _, kind, docname, place, _ in env.get_domain("std").get_objects():
        if kind == "term":
            yield (docname, f"term-{slug(name)}"), place
    for name, (docname, _) in env.get_domain("math").equations.items():
        yield (docname, name), f"equation-{name}"


def on_source_read(app, docname, source):
    """Link from a chapter's card to its deck, and take the marks out of the text."""
    if not str(app.env.doc2path(docname)).endswith(".ipynb"):
        return

    def edit(cells):
        linked = app.builder.format == "html" and CHAPTER.match(docname)
        linked = linked and any(mark(c["cell_type"], text(c)) for c in cells)
        for cell in cells:
            if cell["cell_type"] == "markdown":
                cell["source"] = unmarked(text(cell))
                if linked and "spine-card" in tags(cell):
                    deck = f"../slides/{docname.rsplit('/', 1)[-1]}.html"
                    cell["source"] += f'\n\n<a class="deck" href="{deck}">Slides</a>'
                    cell["source"] += " of this chapter, with notes for the speaker."
        return cells

    edit_cells(source, edit)


def on_build_finished(app, exception):
    if exception or app.builder.name != "html":
        return
    folder = Path(app.outdir, "slides")
    shutil.rmtree(folder, ignore_errors=True)
    site, made = app.config.html_baseurl, list(decks(app.env))
    if not made:
        return
    lay_out(folder)
    (folder / "images").mkdir()
    for deck in made:
        for name, content in deck.images.items():
            picture = folder / "images" / name
            picture.write_bytes(content)
            if smaller := fewer_colours(picture):
                picture.write_bytes(smaller)
        shown = page([deck], deck.title, deck.promise, site, deck.docname)
        (folder / f"{deck.name}.html").write_text(shown, "utf-8")
    whole = page(made, app.config.project, app.config.html_title, site, "index")
    Path(app.doctreedir, WHOLE).write_text(whole, "utf-8")


def setup(app):
    app.connect("source-read", on_source_read, priority=350)
    app.connect("build-finished", on_build_finished)
    return METADATA
