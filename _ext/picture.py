"""The landing page's picture and the card for links to the book, drawn by the book's code.

The opening of the small real book, cut into tokens by tokenizers of growing vocabularies:
from the top down, bytes gather into words. The tokenizers are trained while the book is
built, which takes a fraction of a second. Three files go to `_build/generated`:

- `cuts.html`: two drawings as inline SVG (a wide one, and one for telephones), whose
  colours follow the theme of the page;
- `cuts.pdf` for the PDF, and `social-card.png` for pages that link to the book.
"""

import html
import warnings
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

SIZES = (256, 300, 400, 600, 1000, 2000, 4000)
GROUPS = (1, 2, 3, 4, 6)  # a box is as dark as the last of these lengths it reaches
FILLS = ("#eef1f2", "#cfe2e6", "#9ccbd3", "#5fabb8", "#1f6f80")  # on paper, one a group
INK, PALE_INK = "#16242b", "#ffffff"
TITLE = "llmbook"
CARD = "A book that is also a library:\nfrom raw text to a model that answers"


@dataclass
class Row:
    """One cut of the text: how many tokens there are to cut with, and the pieces."""

    n_vocab: int
    pieces: list[str]


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
    """The group that a token's length puts it in."""
    return sum(len(piece) >= least for least in GROUPS) - 1


def describe(rows):
    """The picture in words, for readers who cannot see it."""
    text = "".join(rows[0].pieces).replace("·", " ")
    counts = [f"{row.n_vocab:,} tokens cut it into {len(row.pieces)}" for row in rows]
    return (
        f"The words “{text}” in {len(rows)} rows of boxes, one box for each token. "
        f"With more tokens to choose from, the boxes grow from single letters to whole "
        f"words: {', '.join(counts)}."
    )


def svg(rows, cell, height, gap, beside, name):
    """Draw the rows as SVG; numbers stand beside them, or above them in small."""
    columns = max(sum(map(len, row.pieces)) for row in rows)
    left, right = (4.0 * cell, 6.4 * cell) if beside else (0, 0)
    above = 0 if beside else height * 0.72
    pitch = height + gap + above
    size = cell * 1.3
    width, total = left + columns * cell + right, pitch * len(rows) - gap
    out = [
        f'<svg class="cuts {name}" role="img" viewBox="0 0 {width:.0f} {total:.0f}" '
        f'aria-label="{html.escape(describe(rows))}">'
    ]
    for n, row in enumerate(rows):
        top = n * pitch + above
        middle = top + height / 2
        count = f"{len(row.pieces)} tokens"
        x = left
        if beside:
            at = f'y="{middle:.1f}" font-size="{size * 0.75:.1f}"'
            out.append(
                f'<text class="label" text-anchor="end" x="{left - cell * 0.7:.1f}" {at}>{row.n_vocab:,}</text>'
            )
            out.append(
                f'<text class="label" text-anchor="end" x="{width:.1f}" {at}>{count}</text>'
            )
        else:
            at = f'y="{top - above * 0.42:.1f}" font-size="{size * 0.75:.1f}"'
            out.append(f'<text class="label" x="0" {at}>{row.n_vocab:,}</text>')
            out.append(
                f'<text class="label" text-anchor="end" x="{width:.1f}" {at}>{count}</text>'
            )
        for piece in row.pieces:
            box = f'x="{x + cell * 0.06:.1f}" y="{top:.1f}" width="{(len(piece) - 0.12) * cell:.1f}"'
            letters = " ".join(f"{x + (i + 0.5) * cell:.1f}" for i in range(len(piece)))
            out.append(
                f'<g class="n{shade(piece)}"><rect {box} height="{height}" rx="{cell / 6:.1f}"/>'
                f'<text text-anchor="middle" x="{letters}" y="{middle:.1f}" font-size="{size:.1f}">'
                f"{html.escape(piece)}</text></g>"
            )
            x += len(piece) * cell
    return "\n".join([*out, "</svg>"])


def draw(axes, rows, left=0, numbers=True):
    """Draw the rows on matplotlib axes, for paper; one unit is one character wide."""
    from matplotlib.patches import FancyBboxPatch

    columns = max(sum(map(len, row.pieces)) for row in rows)
    points = axes.figure.get_figwidth() * axes.get_position().width * 72
    letter = points / (columns + (10 if numbers else 0)) * 1.25
    for n, row in enumerate(rows):
        x, y = 0, -1.9 * n
        text = {"va": "center_baseline", "family": "DejaVu Sans Mono"}
        if numbers:
            small = text | {"size": letter * 0.75, "ha": "right", "color": "#45555c"}
            axes.text(-0.7, y, f"{row.n_vocab:,}", **small)
            axes.text(columns + 5.4, y, f"{len(row.pieces)} tokens", **small)
        for piece in row.pieces:
            group = shade(piece)
            box = FancyBboxPatch(
                (x + 0.06, y - 0.75), len(piece) - 0.12, 1.5,
                "round,pad=0,rounding_size=0.16",
                facecolor=FILLS[group], edgecolor="#8fa3ab", linewidth=0.4,
            )  # fmt: skip
            axes.add_patch(box)
            ink = PALE_INK if group == len(FILLS) - 1 else INK
            for i, sign in enumerate(piece):
                axes.text(
                    x + i + 0.5, y, sign, size=letter, ha="center", color=ink, **text
                )
            x += len(piece)
    axes.set_xlim((-4.4 if numbers else 0) - left, columns + (5.6 if numbers else 0))
    axes.set_ylim(-1.9 * (len(rows) - 1) - 0.85, 0.85)
    axes.set_axis_off()


def paper(rows, path):
    """Write the picture for the PDF."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.3, 2.5))
    draw(figure.add_axes((0, 0, 1, 1)), rows)
    figure.savefig(path, metadata={"CreationDate": None})


def card(rows, path):
    """Write the 1200 by 630 card that other sites show beside a link to the book."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.3), dpi=100, facecolor="#fbfaf7")
    figure.text(0.07, 0.80, TITLE, size=50, weight="bold", color=INK)
    figure.text(0.07, 0.62, CARD, size=24, color="#33454d", linespacing=1.5)
    draw(figure.add_axes((0.07, 0.07, 0.86, 0.45)), rows, numbers=False)
    figure.savefig(path)


def generate(folder):
    """Write the three files."""
    book = files("llmbook").joinpath("data/ten_words.txt").read_text("utf-8")
    rows = cut(book)
    folder.mkdir(parents=True, exist_ok=True)
    wide = svg(rows, cell=20, height=34, gap=8, beside=True, name="wide")
    narrow = svg(rows, cell=11, height=24, gap=10, beside=False, name="narrow")
    (folder / "cuts.html").write_text(f"{wide}\n{narrow}\n", "utf-8")
    paper(rows, folder / "cuts.pdf")
    card([rows[0], rows[2], rows[4], rows[-1]], folder / "social-card.png")


def on_config_inited(app, config):
    generate(Path(app.srcdir, "_build", "generated"))


def setup(app):
    app.connect("config-inited", on_config_inited)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
