"""From marked cells to slides: what is shown, what is said, and how it finds room."""

import base64
import io

import pytest
from PIL import Image

from _ext import slides
from _ext.slides import Block, Deck, mark, pages, sizes


def code(source, *tags, out=()):
    return {
        "cell_type": "code",
        "metadata": {"tags": [*tags]},
        "source": source,
        "outputs": [*out],
    }


def markdown(source, *tags):
    return {"cell_type": "markdown", "metadata": {"tags": [*tags]}, "source": source}


def printed(text):
    return {"output_type": "stream", "name": "stdout", "text": text}


def shown(data):
    return {"output_type": "execute_result", "data": data, "metadata": {}}


TITLE = markdown("# 2. Text\n\nAfter this you can *read*.\n\nMore.", "chapter")


def deck(*cells):
    return Deck("chapters/02_text", [TITLE, *cells])


def kinds(slide):
    return [block.kind for block in slide.blocks]


@pytest.mark.parametrize(
    ("kind", "source", "headline", "show"),
    [
        ("code", "#| slide: It works: always\nx", "It works: always", "both"),
        ("code", "#| label: a\n#| slide: So\n#| slide-show: output\nx", "So", "output"),
        ("markdown", "<!-- slide: So -->\n\nProse.", "So", "both"),
        ("markdown", "\n<!--slide: So-->\nProse.", "So", "both"),
        ("markdown", "<!-- slide: -->\n\nProse.", "", "both"),
    ],
)
def test_marks(kind, source, headline, show):
    assert mark(kind, source) == slides.Mark(headline, show)


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("code", "x = 1\n#| slide: So"),
        ("code", "#| slide-show: code\nx"),
        ("markdown", "Prose.\n\n<!-- slide: So -->"),
        ("markdown", "<!-- a slide: So -->"),
        ("raw", "<!-- slide: So -->"),
    ],
)
def test_no_marks(kind, source):
    assert mark(kind, source) is None


def test_a_deck_in_order():
    """The title, the marked cells, the takeaways, the exercises."""
    made = deck(
        markdown("| 1 s | 2 MB |", "spine-card"),
        markdown("## Part\n\nWhy [so](01_world.ipynb#a)? See [g](appendix/g.md#t)."),
        code("#| slide: First\n#| export\nx = 1", out=[printed("one\n")]),
        code("hidden = 2"),
        markdown("<!-- slide: Second -->\n\nHere:\n\n- a\n- b\n\nSo $y$."),
        markdown("- Taken.\n- Along.\n\n## Exercises", "spine-takeaways"),
        markdown("### Exercise 2.1: `count`\n\nCount.", "exercise"),
        code("answer = ...", "stub"),
        markdown("<details><summary>Solution</summary>Two.</details>", "solution"),
        markdown("## Reading\n\nBooks.", "spine-reading"),
    )
    heads = [slide.headline for slide in made.slides]
    assert heads == ["2. Text", "First", "Second", "Takeaways", "Try it"]
    assert made.marks == 2 and made.title == "2. Text"
    assert made.promise == "After this you can *read*."
    first, second, takeaways, tasks = made.slides[1:]
    assert kinds(first) == ["code", "output"]
    assert "#|" not in first.blocks[0].html and "one" in first.blocks[1].html
    assert "Part" in first.notes and 'href="../chapters/01_world.html#a"' in first.notes
    assert 'href="../chapters/appendix/g.html#t"' in first.notes
    assert kinds(second) == ["text"] and "<li>a</li>" in second.blocks[0].html
    assert "Here:" in second.notes and r"\(y\)" in second.notes
    assert "<li>" not in second.notes and second.mathematical and not first.mathematical
    assert "Taken." in takeaways.blocks[0].html
    assert "<code>count</code>" in tasks.blocks[0].html and "Count." in tasks.notes
    everything = "".join(
        s.notes + "".join(b.html for b in s.blocks) for s in made.slides
    )
    for absent in ("Solution", "Two.", "Books", "2 MB", "hidden", "..."):
        assert absent not in everything


def test_paragraphs_alone_are_a_statement():
    statement = deck(markdown("<!-- slide: Who spoke? -->\n\nCover it.")).slides[1]
    assert (statement.kind, statement.blocks) == ("statement", [])
    assert "Cover it." in statement.notes


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ("#| slide: S", ["code", "output"]),
        ("#| slide: S\n#| slide-show: code", ["code"]),
        ("#| slide: S\n#| slide-show: output", ["output"]),
        ("#| slide: S\n#| hide_input", ["output"]),
        ("#| slide: S\n#| hide_output", ["code"]),
    ],
)
def test_what_of_a_cell_is_shown(lines, wanted):
    assert kinds(deck(code(f"{lines}\nx", out=[printed("1")])).slides[1]) == wanted


def test_what_of_a_text_is_shown():
    source = """<!-- slide: S -->

Prose.

$$ \\label{eq-a} a = b $$

> A quotation.

> [!NOTE]
> A remark.

```python
x = 1
```

| a | b |
|---|---|
| 1 | 2 |
"""
    slide = deck(markdown(source)).slides[1]
    assert kinds(slide) == ["math", "text", "code", "table"]
    assert r"\tag{2.1}" in slide.blocks[0].html
    assert "remark" in slide.notes and "[!NOTE]" not in slide.notes
    assert "quotation" not in slide.notes


def picture():
    """A picture of 800 × 400, as a notebook holds it."""
    Image.new("L", (800, 400)).save(file := io.BytesIO(), "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_figures_have_their_words_and_numbers():
    figure = {"image/png": picture(), "text/plain": "<Figure>"}
    lines = "#| slide: S\n#| label: fig-a\n#| fig-cap: Growth.\n#| fig-alt: A line.\n"
    made = deck(
        markdown("[figure](#fig-a) and [equation](#eq-a) of $$ \\label{eq-a} a $$"),
        code(f"{lines}#| slide-show: output\nplot()", out=[shown(figure)]),
    )
    (block,) = made.slides[1].blocks
    assert 'alt="A line."' in block.html and "Growth." in block.html
    (name,) = made.images
    assert f'src="images/{name}"' in block.html
    assert ">Figure 2.1</a> and" in made.slides[1].notes
    assert ">Equation (2.1)</a>" in made.slides[1].notes
    assert "#fig-a" in made.slides[1].notes


def test_the_books_own_html_and_errors():
    strip = '<div role="group" aria-label="2 tokens">a</div>'
    error = {"output_type": "error", "ename": "ValueError", "evalue": "no <b>"}
    both = [shown({"text/html": strip, "text/plain": "a|b"}), error]
    first, second = (
        deck(code("#| slide: S\n#| hide_input\nx", out=both)).slides[1].blocks
    )
    assert first.kind == "strip" and strip in first.html
    assert "ValueError: no &lt;b&gt;" in second.html


def test_letters_grow_where_there_is_room():
    one = Block("code", "", [20])
    assert sizes([one], 500) == (slides.CODE[0], slides.CODE[0], slides.TEXT[-1])
    wide = Block("code", "", [88])
    small, large, _ = sizes([wide, Block("output", "", [20])], 500)
    assert small < slides.CODE[0] and 88 * slides.BROAD * small < slides.WIDTH
    assert large == slides.CODE[0]
    assert sizes([Block("code", "", [103])], 500) is None


def test_tables_that_are_printed_keep_their_lines():
    """Prevents columns that a larger letter would break; one long value may break."""
    _, table, _ = sizes([Block("output", "", [80, 80])], 500)
    _, value, _ = sizes([Block("output", "", [80])], 500)
    _, hopeless, _ = sizes([Block("output", "", [200, 80])], 500)
    assert 80 * slides.BROAD * table < slides.WIDTH and table < value
    assert value == hopeless == slides.CODE[0]


def test_what_does_not_fit_becomes_two_slides():
    long = "#| slide: S\n" + "x = 1\n" * 15 + "x"
    first, second = deck(code(long, out=[printed("1\n" * 14)])).slides[1:]
    assert (kinds(first), kinds(second)) == (["code"], ["output"])
    assert first.headline == second.headline and first.notes == second.notes


def test_long_lists_and_tables_are_dealt_out():
    points = "\n".join(f"- {n} {'word ' * 40}" for n in range(8))
    made = deck(markdown(f"<!-- slide: S -->\n\n{points}")).slides[1:]
    assert len(made) > 1
    assert sum(s.blocks[0].html.count("<li>") for s in made) == 8
    rows = "\n".join(f"| {n} | word |" for n in range(20))
    made = deck(markdown(f"<!-- slide: S -->\n\n| a | b |\n|--|--|\n{rows}")).slides[1:]
    assert len(made) > 1 and all("<th>a</th>" in s.blocks[0].html for s in made)
    assert sum(s.blocks[0].html.count("<tr>") for s in made) == 20 + len(made)


def test_nothing_is_lost_that_cannot_be_dealt_out():
    tall = Block("code", "tall", [1] * 99)
    assert [page[0] for page in pages([tall, tall], 500)] == [[tall], [tall]]


def test_the_page():
    made = deck(code("#| slide: `a < b` & c\nx", out=[printed("<1>")]))
    html = slides.page([made], made.title, made.promise, "https://x.org/", "a/b")
    assert "<title>2. Text — slides</title>" in html
    assert "<h2><code>a &lt; b</code> &amp; c</h2>" in html and "&lt;1&gt;" in html
    assert "https://x.org/chapters/02_text.html" in html and "mathjax" not in html
    assert 'href="../a/b.html"' in html
    assert html.count("<section") == html.count('<aside class="notes">') == 2
    again = deck(markdown("$x$"), code("#| slide: S\nx", out=[printed("1")]))
    assert "mathjax" in slides.page([again], "", "", "", "")


def test_links_find_the_ids_of_the_site():
    """Prevents links to places that the site calls by another name than a notebook."""
    places = {
        ("chapters/appendix/g", "term-kv-cache"): "term-KV-cache",
        ("chapters/02_text", "exercise-21-a"): "exercise-2-1-a",
    }
    address = slides.Markdown("chapters/02_text", [], places).address
    assert address("appendix/g.md#term-kv-cache") == (
        "../chapters/appendix/g.html#term-KV-cache"
    )
    assert address("#exercise-21-a") == "../chapters/02_text.html#exercise-2-1-a"
    assert address("labs/../01_a.ipynb#b") == "../chapters/01_a.html#b"
    assert address("../index.md") == "../index.html"
    assert address("https://x.org/a.md#b") == "https://x.org/a.md#b"


OURS = {"slides.css", "slides.js"}
THEIRS = {"reset.css", "reveal.css", "reveal.js", "notes.js", "LICENSE"}


def test_the_folder_holds_what_a_deck_asks_for(tmp_path):
    slides.lay_out(tmp_path)
    names = {path.name for path in (tmp_path / "reveal").iterdir()}
    assert names == OURS | THEIRS
    made = deck(code("#| slide: S\nx", out=[printed("1")]))
    html = slides.page([made], "", "", "", "")
    for name in names - {"LICENSE"}:
        assert f'"reveal/{name}"' in html
