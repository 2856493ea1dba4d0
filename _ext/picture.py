"""The landing page's picture, and the card for links, drawn by the book's own code.

The opening of the small real book, cut into tokens by tokenizers of growing
vocabularies: from the top down, bytes gather into words. The tokenizers are trained
while the book is built, which takes a fraction of a second. `_build/generated` gets

- `cuts.html`: two drawings as inline SVG (a wide one, and one for telephones), whose
  colours follow the theme of the page,
- `cuts.pdf` for the PDF, and
- `social-card.png`, which other sites show beside a link to the book.
"""

import html
import warnings
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from _ext.chapters import METADATA

SIZES = (256, 300, 400, 600, 1000, 2000, 4000)
TITLE = "llmbook"
SUBTITLE = "A book that is also a library:\nfrom raw text to a model that answers"
MONO = "DejaVu Sans Mono"
INK, QUIET, PAPER = "#16242b", "#45555c", "#fbfaf7"


@dataclass
class Row:
    """One cut of the text: how many tokens there are to cut with, and the pieces."""

    n_vocab: int
    pieces: list[str]

    @property
    def columns(self):
        return sum(map(len, self.pieces))

    @property
    def numbers(self):
        """What stands on the left and on the right of the row."""
        return f"{self.n_vocab:,}", f"{len(self.pieces)} tokens"


def opening(text):
    """The first clause of the first paragraph below a book's title."""
    return text.split("\n\n")[1].split(",")[0] + ","


def cut(text, sizes=SIZES):
    """Train a tokenizer of each size on a text, and cut the text's opening with it."""
    from llmbook.plots import visible
    from llmbook.tokenizer import BPETokenizer

    rows = []
    for size in sizes:
        with warnings.catch_warnings():  # the last may be as large as the text allows
            warnings.simplefilter("ignore")
            tokenizer = BPETokenizer.train(text, size)
        pieces = [tokenizer.decode_bytes([i]) for i in tokenizer.encode(opening(text))]
        rows.append(Row(tokenizer.n_vocab, [visible(piece) for piece in pieces]))
    return rows


def shade(piece):
    """The place of a token in the palette: the longer, the darker, up to five signs."""
    return min(len(piece), 5) - 1


def describe(rows):
    """The picture in words, for readers who cannot see it."""
    text = "".join(rows[0].pieces).replace("·", " ")
    counts = [f"{row.n_vocab:,} tokens cut it into {len(row.pieces)}" for row in rows]
    return (
        f"The words “{text}” in {len(rows)} rows of boxes, one box for each token. "
        f"With more tokens to choose from, the boxes grow from single letters to "
        f"whole words: {', '.join(counts)}."
    )


def tag(name, content=None, **attributes):
    """An SVG element; numbers are rounded, and `_` in names stands for `-`."""
    words = [name]
    for key, value in attributes.items():
        value = f"{value:.4g}" if isinstance(value, float) else html.escape(str(value))
        words.append(f'{key.strip("_").replace("_", "-")}="{value}"')
    start = " ".join(words)
    return f"<{start}/>" if content is None else f"<{start}>{content}</{name}>"


def svg_row(row, left, top, cell, height):
    """The boxes of a row and their letters."""
    x, middle = left, top + height / 2
    for piece in row.pieces:
        box = {"x": x + cell * 0.06, "width": (len(piece) - 0.12) * cell}
        middles = [f"{x + (i + 0.5) * cell:.4g}" for i in range(len(piece))]
        at = {"x": " ".join(middles), "y": middle, "font_size": cell * 1.3}
        rect = tag("rect", y=top, height=height, rx=cell / 6, **box)
        letters = tag("text", html.escape(piece), text_anchor="middle", **at)
        yield tag("g", rect + letters, class_=f"n{shade(piece)}")
        x += len(piece) * cell


def svg(rows, name, cell, height, gap):
    """Draw the rows; numbers stand beside them, in a narrow drawing above them."""
    narrow = name == "narrow"
    left, right, above = (0, 0, height * 0.7) if narrow else (cell * 4, cell * 6.4, 0)
    width = left + max(row.columns for row in rows) * cell + right
    out = []
    for n, row in enumerate(rows):
        top = n * (above + height + gap) + above
        y = top - above * 0.4 if narrow else top + height / 2
        label = {"class_": "label", "y": y, "font_size": cell * 0.98}
        size, count = row.numbers
        start = {"x": 0} if narrow else {"x": left - cell * 0.7, "text_anchor": "end"}
        out.append(tag("text", size, **start, **label))
        out.append(tag("text", count, x=width, text_anchor="end", **label))
        out += svg_row(row, left, top, cell, height)
    box = f"0 0 {width:.4g} {len(rows) * (above + height + gap) - gap:.4g}"
    about = {"role": "img", "viewBox": box, "aria_label": describe(rows)}
    return tag("svg", "\n".join(out), class_=f"cuts {name}", **about)


def draw(axes, rows, numbers=True):
    """Draw the rows on matplotlib axes, for paper; one unit is one letter wide."""
    from matplotlib.patches import FancyBboxPatch

    from llmbook.plots import CUT_COLORS

    columns = max(row.columns for row in rows)
    left, right = (4.4, 5.6) if numbers else (0, 0)
    points = axes.figure.get_figwidth() * axes.get_position().width * 72
    letter = 1.25 * points / (left + columns + right)
    rounded = "round,pad=0,rounding_size=0.16"
    style = {"va": "center_baseline", "family": MONO}
    for n, row in enumerate(rows):
        x, y = 0, -1.9 * n
        if numbers:
            small = style | {"size": letter * 0.75, "ha": "right", "color": QUIET}
            axes.text(-0.7, y, row.numbers[0], **small)
            axes.text(columns + right - 0.2, y, row.numbers[1], **small)
        for piece in row.pieces:
            fill, ink = CUT_COLORS[shade(piece)]
            box = FancyBboxPatch((x + 0.06, y - 0.75), len(piece) - 0.12, 1.5, rounded)
            box.set(facecolor=fill, edgecolor="#8fa3ab", linewidth=0.4)
            axes.add_patch(box)
            for i, sign in enumerate(piece):
                at = (x + i + 0.5, y)
                axes.text(*at, sign, size=letter, ha="center", color=ink, **style)
            x += len(piece)
    axes.set(xlim=(-left, columns + right), ylim=(-1.9 * len(rows) + 1.05, 0.85))
    axes.set_axis_off()


def paper(rows, path):
    """Write the picture for the PDF."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.3, 2.5))
    draw(figure.add_axes((0, 0, 1, 1)), rows)
    with rc_context({"pdf.fonttype": 42}):  # outlines that can be copied as text
        figure.savefig(path, metadata={"CreationDate": None})


def card(rows, path):
    """Write the card, 1200 by 630 pixels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.3), dpi=100, facecolor=PAPER)
    figure.text(0.07, 0.80, TITLE, size=50, weight="bold", color=INK)
    figure.text(0.07, 0.62, SUBTITLE, size=24, color=QUIET, linespacing=1.5)
    draw(figure.add_axes((0.07, 0.07, 0.86, 0.45)), rows, numbers=False)
    figure.savefig(path)


def generate(folder):
    """Write the three files."""
    book = files("llmbook").joinpath("data/ten_words.txt").read_text("utf-8")
    rows = cut(book)
    folder.mkdir(parents=True, exist_ok=True)
    wide = svg(rows, "wide", cell=20, height=34, gap=8)
    narrow = svg(rows, "narrow", cell=11, height=24, gap=10)
    (folder / "cuts.html").write_text(f"{wide}\n{narrow}\n", "utf-8")
    paper(rows, folder / "cuts.pdf")
    card([rows[0], rows[2], rows[4], rows[-1]], folder / "social-card.png")


def on_config_inited(app, config):
    generate(Path(app.srcdir, "_build", "generated"))


def setup(app):
    app.connect("config-inited", on_config_inited)
    return METADATA
