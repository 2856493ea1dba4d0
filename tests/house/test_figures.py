"""Every figure can be read without seeing it, and weighs little."""

import base64
from collections import Counter

import pytest

from .book import (
    NOTEBOOKS,
    Tags,
    clear,
    code,
    documents,
    each_notebook,
    images,
    planted,
    text,
)

FIGURE_BYTES = 100_000
NOTEBOOK_BYTES = 1_000_000
ALT = 40  # characters: fewer say what a figure is, not what it shows


def undescribed(notebook):
    """The figures without a description, a caption or a label."""
    problems = []
    for cell in notebook.code:
        if not any(kind.startswith("image/") for each in cell.data for kind in each):
            continue
        alt = cell.directives.get("fig-alt", "")
        caption = cell.directives.get("fig-cap", "")
        if len(alt) < ALT or alt == caption:
            wrong = f"the figure's description {alt!r} does not say what it shows"
            mend = f"write `#| fig-alt:` in {ALT} characters or more, not the caption"
            problems.append(cell.problem(wrong, mend))
        if not caption:
            wrong = "the figure has no caption"
            problems.append(cell.problem(wrong, "write `#| fig-cap:`"))
        if not cell.directives.get("label", "").startswith("fig-"):
            wrong = "the figure has no label"
            problems.append(cell.problem(wrong, "write `#| label: fig-…`"))
    return problems


@each_notebook
def test_figures_are_described(notebook):
    """Prevents a figure that a reader who cannot see it, or cites it, cannot reach."""
    clear(undescribed(notebook))


PNG = {"image/png": base64.b64encode(b"x").decode(), "text/plain": "<Figure>"}
LINES = {
    "label": "#| label: fig-a",
    "fig-cap": "#| fig-cap: Growth.",
    "fig-alt": "#| fig-alt: A line rises from 1 at the left to 64 at the right.",
}


@pytest.mark.parametrize(
    "replaced",
    [
        {"label": ""},
        {"label": "#| label: a"},
        {"fig-cap": ""},
        {"fig-alt": ""},
        {"fig-alt": "#| fig-alt: A figure."},
        {key: f"#| {key}: {'Growth, ' * 9}" for key in ("fig-alt", "fig-cap")},
    ],
)
def test_figures_are_described_sees(replaced):
    def figure(lines):
        source = "\n".join(line for line in [*lines.values(), "plot()"] if line)
        return planted(code(source, out=[PNG]))

    assert not undescribed(figure(LINES))
    assert undescribed(figure(LINES | replaced))


def repeated(notebooks):
    """The figure labels that name two figures."""
    labels = Counter(
        cell.directives["label"]
        for notebook in notebooks
        for cell in notebook.code
        if "label" in cell.directives
    )
    return [
        f"chapters: {count} cells have the label {label}; give each its own."
        for label, count in labels.items()
        if count > 1
    ]


def test_labels_are_unique():
    """Prevents a reference that leads to another chapter's figure."""
    clear(repeated(NOTEBOOKS))


def test_labels_are_unique_sees():
    one = planted(code("#| label: fig-a\nplot()"))
    assert repeated([one, one]) and not repeated([one])


def mute(name, markdown, outputs=()):
    """The images of a text, or of HTML that cells display, without alternative text."""
    shown = list(images(markdown))
    for source in outputs:
        shown += [
            (attributes.get("alt", ""), attributes.get("src", ""))
            for tag, attributes in Tags(source).found
            if tag == "img"
        ]
    return [
        f"{name}: the image {source[:60]} has no alternative text; say what it shows."
        for alt, source in shown
        if not alt.strip()
    ]


def test_images_have_alternative_text():
    """Prevents an image that a screen reader passes over."""
    problems = [each for name, markdown in documents() for each in mute(name, markdown)]
    for notebook in NOTEBOOKS:
        outputs = [
            each["text/html"]
            for cell in notebook.code
            for each in cell.data
            if "text/html" in each
        ]
        problems += mute(notebook.name, "", outputs)
    clear(problems)


def test_images_have_alternative_text_sees():
    assert mute("x", "![](a.png)") and mute("x", 'Text <img src="a.png"> text')
    assert mute("x", "", ['<div><img src="a.png"></div>'])
    assert not mute("x", '![A line](a.png) <img src="a.png" alt="A line">')


def heavy(notebook):
    """The figures, and the notebook, that are too large."""
    problems = []
    if notebook.size > NOTEBOOK_BYTES:
        problems.append(
            f"{notebook.name}: {notebook.size:,} bytes; keep it under "
            f"{NOTEBOOK_BYTES:,}: draw smaller figures, print less."
        )
    for cell in notebook.code:
        for each in cell.data:
            for kind, content in each.items():
                svg = kind == "image/svg+xml"
                if not kind.startswith("image/"):
                    continue
                size = len(content if svg else base64.b64decode(content))
                if size >= FIGURE_BYTES:
                    wrong = f"the stored figure has {size:,} bytes"
                    mend = f"keep it under {FIGURE_BYTES:,}: fewer points or dots"
                    problems.append(cell.problem(wrong, mend))
    return problems


@each_notebook
def test_figures_and_notebooks_are_light(notebook):
    """Prevents a notebook that GitHub refuses to show and git keeps for ever."""
    clear(heavy(notebook))


def test_figures_and_notebooks_are_light_sees():
    figure = {"image/png": base64.b64encode(bytes(FIGURE_BYTES)).decode()}
    assert heavy(planted(code("plot()", out=[figure])))
    assert not heavy(planted(code("plot()", out=[PNG])))
    large = planted(text("x"))
    large.size = NOTEBOOK_BYTES + 1
    assert heavy(large)
