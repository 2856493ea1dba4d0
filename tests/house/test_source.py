"""The source of a chapter is plain Markdown, as GitHub, Colab and editors show it."""

import itertools
import re

import pytest

from _ext.chapters import DIRECTIVE
from _ext.directives import TAGS

from .book import (
    MARKDOWN,
    clear,
    code,
    each_notebook,
    planted,
    text,
    tokens,
)

ALERTS = {"NOTE", "TIP", "IMPORTANT", "WARNING", "CAUTION"}
LINES = {
    "a MyST fence": re.compile(r"^:{3,}", re.MULTILINE),
    "a MyST target": re.compile(r"^\([\w:.-]+\)=\s*$", re.MULTILINE),
    "a MyST block break": re.compile(r"^\+\+\+", re.MULTILINE),
    "a MyST comment": re.compile(r"^%", re.MULTILINE),
}
EXPORT = {"default_exp", "export", "exporti"}
FIGURE = {"label", "fig-cap", "fig-alt"}
SLIDE = {"slide", "slide-show"}
KNOWN = EXPORT | FIGURE | SLIDE | {"eval"} | {name for name, _ in TAGS}


def raw_myst(markdown):
    """What in a Markdown text only MyST understands."""
    for token in tokens(markdown):
        if token.type == "fence" and token.info.startswith("{"):
            yield f"the directive ```{token.info.split()[0]}"
        if token.type != "inline":
            continue
        for what, pattern in LINES.items():
            if match := pattern.search(token.content):
                yield f"{what} `{match[0]}`"
        for before, after in itertools.pairwise(token.children):
            role = re.search(r"\{[\w:.+-]+\}$", before.content)
            if before.type == "text" and after.type == "code_inline" and role:
                yield f"the role {role[0]}"
    for token in MARKDOWN.parse(markdown):
        alert = re.match(r"\[!(\w+)\]", token.content)
        if token.type == "inline" and alert and alert[1] not in ALERTS:
            yield f"the alert {alert[0]}, which GitHub does not know"


def fancy(notebook):
    """The Markdown cells that hold raw MyST."""
    mend = "write plain Markdown; the site's extension raises it (see CONTRIBUTING)"
    return [
        cell.problem(f"it holds {what}", mend)
        for cell in notebook.prose
        for what in raw_myst(cell.source)
    ]


@each_notebook
def test_chapters_are_plain_markdown(notebook):
    """Prevents a page that shows raw MyST when opened on Colab or GitHub."""
    clear(fancy(notebook))


@pytest.mark.parametrize(
    "source",
    [
        "See {cite}`sennrich2016`.",
        "See {cite:t}`sennrich2016`.",
        "```{note}\nText\n```",
        ":::{note}\nText\n:::",
        "Text\n:::\n",
        "(the-mask)=\n## The mask",
        "+++",
        "% a comment",
        "> [!HINT]\n> Text",
    ],
)
def test_chapters_are_plain_markdown_sees(source):
    assert fancy(planted(text(source)))


@pytest.mark.parametrize(
    "source",
    [
        "> [!NOTE]\n> Text",
        "Braces `{x}` and `f'{x}'`, {x} and `y`, f(x)=2, 5 % of it.",
        "```python\n# {cite}`a`\n:::\n```",
        "<details>\n<summary>Solution</summary>\n\nText\n</details>",
        "$$ \\label{eq-a} a = b $$",
    ],
)
def test_chapters_are_plain_markdown_passes(source):
    assert not fancy(planted(text(source)))


def strange(notebook):
    """The directive lines that the site or nbdev would not understand."""
    problems = []
    for cell in notebook.code:
        for name in cell.directives:
            if name not in KNOWN:
                wrong = f"the directive `#| {name}` is unknown"
                problems.append(cell.problem(wrong, f"known are {sorted(KNOWN)}"))
        if any(DIRECTIVE.match(line) for line in cell.code.splitlines()):
            wrong = "a `#|` line stands below code, where it does nothing and shows"
            problems.append(cell.problem(wrong, "move it to the top of the cell"))
    return problems


@each_notebook
def test_directives_are_known(notebook):
    """Prevents a directive that shows on the page, or silently does nothing."""
    clear(strange(notebook))


def test_directives_are_known_sees():
    assert strange(planted(code("#| fig-alternative: a line\nplot()")))
    assert strange(planted(code("#| exprot\nx = 1")))
    assert strange(planted(code("x = 1\n#| hide")))
    assert not strange(planted(code("#| label: fig-a\n#| hide\n\nx = 1  # |x|")))
