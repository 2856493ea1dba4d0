"""The PDF as a book: parts, the files' numbers, token strips, and every sign shown.

Sphinx writes one LaTeX file from all pages. Before it does, this extension puts the
title of each part before its first chapter, sets LaTeX's chapter counter to the number
in the file's name (and takes the number out of the title, since LaTeX prints it), and
makes the landing page a chapter of its own.

Strips of tokens, which are HTML in the notebooks, become coloured boxes in LaTeX.

Afterwards it looks for signs that the PDF's fonts lack, and writes `glyphs.sty`, which
tells LaTeX what to do with each: take it from another font of this machine, set it as a
small picture (colour emoji), or write its number. No sign is lost silently.
"""

import html
import re
import shutil
import subprocess
import unicodedata
from configparser import ConfigParser
from functools import cache
from pathlib import Path

import matplotlib
from docutils import nodes
from fontTools.ttLib import TTFont
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import texescape

from _ext.chapters import METADATA, edit_cells, number

MONO = Path(matplotlib.get_data_path(), "fonts", "ttf")
BODY = ("texgyrepagella-regular.otf", "texgyreheros-regular.otf")
EMOJI = "NotoColorEmoji"
BOX = re.compile(
    r'<span style="background:#(\w{6})[^>]*>([^<]*)(?:<sub>(\d+)</sub>)?</span>'
)
LONG = 30  # rows, beyond which Sphinx breaks a table over pages
texescape.init()  # the LaTeX builder does it too, but pages are read before


def latex(code):
    return nodes.raw("", code, format="latex")


def columns(table):
    """The widths of a long table's columns, by their longest cells; lines break.

    Of short tables LaTeX finds out itself what fits.
    """
    rows = [[len(cell.astext()) for cell in row] for row in table.findall(nodes.row)]
    longest = [min(max(column), 60) for column in zip(*rows, strict=True)]
    shares = [width + 2 for width in longest]
    return "".join(rf"\X{{{share}}}{{{sum(shares)}}}" for share in shares)


class BookParts(SphinxPostTransform):
    """Lay the pages out as a book with a preface, parts and numbered chapters."""

    default_priority = 700
    formats = ("latex",)

    def run(self, **kwargs):
        files = list(self.document.findall(addnodes.start_of_file))
        if not files:  # not the assembled book
            return
        captions = self.captions()
        for file in files:
            title = next(file.findall(nodes.title), None)
            if title is not None:
                self.number(file, title)
            if caption := captions.get(file["docname"]):
                file.insert(0, latex(rf"\part{{{caption}}}"))
        for note in list(self.document.findall(nodes.sidebar)):  # from the margin
            text = [
                child for child in note.children if not isinstance(child, nodes.title)
            ]
            note.replace_self(nodes.container("", *text, classes=["margin-note"]))
        for table in list(self.document.findall(nodes.table)):
            if len(list(table.findall(nodes.row))) > LONG:
                spec = addnodes.tabular_col_spec(spec=columns(table))
                table.parent.insert(table.parent.index(table), spec)
        self.preface()

    def captions(self):
        """The title of each part, by the document that it begins with."""
        toctrees = self.env.get_doctree(self.config.root_doc).findall(addnodes.toctree)
        return {
            t["includefiles"][0]: t["caption"] for t in toctrees if t.get("caption")
        }

    def number(self, file, title):
        """Set LaTeX's counter to a chapter's own number; others have none."""
        chapter = number(file["docname"])
        if chapter is None:
            file.insert(0, latex(r"\setcounter{secnumdepth}{-1}"))
            return
        text = next(title.findall(nodes.Text))
        text.parent.replace(text, nodes.Text(re.sub(r"^\d+\.\s*", "", text)))
        counter = (
            rf"\setcounter{{secnumdepth}}{{0}}\setcounter{{chapter}}{{{chapter - 1}}}"
        )
        file.insert(0, latex(counter))

    def preface(self):
        """Make the landing page a chapter before the first part."""
        landing = next(self.document.findall(nodes.section))
        book = nodes.section(ids=["book"])
        landing.replace_self(book)
        parts = [
            n for n in landing.children if "toctree-wrapper" in n.get("classes", [])
        ]
        for part in parts:
            landing.remove(part)
        book += nodes.title("", self.config.project)
        book += [latex(r"\setcounter{secnumdepth}{-1}"), landing, *parts]


def tex(piece):
    """A piece of HTML's text, with LaTeX's special signs escaped."""
    return texescape.escape(html.unescape(piece), "xelatex")


def strip_boxes(output):
    """A strip of tokens in LaTeX, from its HTML form; empty if it is something else."""
    boxes = BOX.findall(output)
    drawn = [
        rf"\tokenbox{{{color}}}{{{tex(piece)}}}{{{number}}}"
        for color, piece, number in boxes
    ]
    return "%\n".join(drawn)


def add_boxes(cells):
    """Give each strip of tokens in a notebook's outputs a form for LaTeX."""
    for cell in cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if boxes := strip_boxes("".join(data.get("text/html", ""))):
                data["text/markdown"] = f"```{{raw}} latex\n{boxes}\n```"
    return cells


def on_source_read(app, docname, source):
    if str(app.env.doc2path(docname)).endswith(".ipynb"):
        edit_cells(source, add_boxes)


@cache
def characters(path):
    """The code points for which a font has a glyph."""
    return frozenset(TTFont(path, fontNumber=0, lazy=True).getBestCmap())


def known():
    """The code points that all fonts of the PDF have."""
    paths = [MONO / "DejaVuSansMono.ttf"]
    for name in BODY:
        command = ["kpsewhich", "--format=opentype fonts", name]
        found = subprocess.run(command, capture_output=True, text=True)
        paths += [Path(line) for line in found.stdout.split()]
    return frozenset.intersection(*map(characters, paths))


@cache
def fallbacks(code):
    """Font files of this machine that have a code point, by fontconfig."""
    command = ["fc-list", f":charset={code:x}", "file"]
    found = subprocess.run(command, capture_output=True, text=True).stdout
    paths = [line.rstrip(": ") for line in found.splitlines()]
    paths = [path for path in paths if path.endswith((".otf", ".ttf"))]
    return sorted(paths, key=lambda path: ("Bold" in path or "Oblique" in path, path))


def emoji(sign, folder):
    """Draw a colour emoji as a small picture; return the name of its file, or None."""
    from PIL import Image, ImageDraw, ImageFont

    for path in fallbacks(ord(sign)):
        if EMOJI in path:
            font = ImageFont.truetype(path, 109)  # the one size that the font has
            image = Image.new("RGBA", (136, 128))
            ImageDraw.Draw(image).text((0, 0), sign, font=font, embedded_color=True)
            name = f"emoji-{ord(sign):x}.png"
            image.save(folder / name)
            return name
    return None


def substitute(sign, folder):
    """What LaTeX shall set for a sign that the book's fonts lack."""
    if unicodedata.category(sign) in ("Cf", "Mn"):  # it has no shape of its own
        return r"\relax"
    fonts = [path for path in fallbacks(ord(sign)) if EMOJI not in path]
    mono = MONO / "DejaVuSansMono.ttf"
    if ord(sign) in characters(mono):
        return rf"{{\ttfamily\symbol{{{ord(sign)}}}}}"
    if fonts:
        path = Path(fonts[0])
        options = f"Path={path.parent.as_posix()}/, Scale=0.86"
        return rf"{{\fontspec[{options}]{{{path.name}}}\symbol{{{ord(sign)}}}}}"
    if picture := emoji(sign, folder):
        return rf"\raisebox{{-0.15em}}{{\includegraphics[height=1em]{{{picture}}}}}"
    return rf"{{\ttfamily\textbackslash U{ord(sign):08x}}}"


def write_glyphs(folder):
    """Write glyphs.sty for all signs of the book that its fonts lack."""
    source = "".join(path.read_text("utf-8") for path in folder.glob("*.tex"))
    fine = known()
    missing = sorted(
        {sign for sign in source if ord(sign) > 127 and ord(sign) not in fine}
    )
    lines = [
        rf"\newunicodechar{{{sign}}}{{{substitute(sign, folder)}}}" for sign in missing
    ]
    (folder / "glyphs.sty").write_text("\n".join([*lines, ""]), "utf-8")


def on_config_inited(app, config):
    settings = ConfigParser()
    settings.read(Path(app.srcdir, "settings.ini"), "utf-8")
    config.release = settings["DEFAULT"]["version"]


def on_build_finished(app, exception):
    if app.builder.name == "latex" and exception is None:
        folder = Path(app.outdir)
        for font in MONO.glob("DejaVuSansMono*.ttf"):
            shutil.copy(font, folder)
        (folder / "glyphs.sty").unlink(missing_ok=True)
        write_glyphs(folder)


def setup(app):
    app.add_post_transform(BookParts)
    app.connect("config-inited", on_config_inited)
    app.connect("source-read", on_source_read, priority=450)
    app.connect("build-finished", on_build_finished)
    return METADATA
