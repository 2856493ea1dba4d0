"""Plain Markdown is raised to MyST, and code is left alone."""

import pytest

from _ext.markdown import Converter, convert_cells

PAPER = "https://example.org/paper_(final).pdf"
CONVERTER = Converter(
    citations={"https://example.org/a": "gage1994", PAPER: "odd2000"},
    terms={"token": "token", "utf-8": "UTF-8", "stop-word": "stop word"},
)


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("[Gage (1994)](https://example.org/a)", "{cite:t}`gage1994`"),
        ("older [Gage, 1994](https://example.org/a).", "older {cite:p}`gage1994`."),
        ("older ([Gage, 1994](https://example.org/a)).", "older {cite:p}`gage1994`."),
        ("(see [Gage, 1994](https://example.org/a))", "(see {cite:p}`gage1994`)"),
        (f"[Odd, 2000]({PAPER})", "{cite:p}`odd2000`"),
        ("[other](https://example.org/b)", "[other](https://example.org/b)"),
        ("([other](https://example.org/b))", "([other](https://example.org/b))"),
        ("[tokens](appendix/glossary.md#term-token)", "{term}`tokens <token>`"),
        ("[UTF-8](glossary.md#term-utf-8)", "{term}`UTF-8 <UTF-8>`"),
        ("[x](glossary.md#term-none)", "[x](glossary.md#term-none)"),
        ("[figure](#fig-a)", "{numref}`fig-a`"),
        ("[Figure](02_tokenizer.ipynb#fig-a)", "{numref}`fig-a`"),
        ("[the curve](#fig-a)", "{ref}`the curve <fig-a>`"),
        ("[equation](#eq-a)", "{eq}`eq-a`"),
        ("[a heading](#figures)", "[a heading](#figures)"),
        ("![alt](#fig-a)", "![alt](#fig-a)"),
        ("`[figure](#fig-a)`", "`[figure](#fig-a)`"),
        ("``a ` [figure](#fig-a)`` [figure](#fig-b)", None),
        ("one ` tick\n\n[figure](#fig-a) ` two", "one ` tick\n\n{numref}`fig-a` ` two"),
        ("[`f`](appendix/api.md#llmbook.x.f)", "{py:obj}`f <llmbook.x.f>`"),
        (
            "[a](appendix/playground.md#text=b+c&at=1)",
            "{playground}`a <text=b+c&at=1>`",
        ),
        ("[a](playground.md#what-you-see)", "[a](playground.md#what-you-see)"),
        ("$$ \\label{eq-a} x = 1 $$", "$$\nx = 1\n$$ (eq-a)"),
        ("$$\n\\label{eq-a}\nx\n$$", "$$\nx\n$$ (eq-a)"),
        ("$$ x = 1 $$", "$$ x = 1 $$"),
    ],
)
def test_inline(source, want):
    if want is None:
        want = source.replace("[figure](#fig-b)", "{numref}`fig-b`")
    assert CONVERTER.convert(source) == want


def test_code_blocks_stay():
    source = (
        "```md\n> [!NOTE]\n> x\n<details>\n[figure](#fig-a)\n$$ \\label{eq-a} $$\n```"
    )
    assert CONVERTER.convert(source) == source
    listed = "- item\n  ```\n  [figure](#fig-a)\n  ```\n\n      [figure](#fig-a)"
    assert CONVERTER.convert(listed) == listed


def test_alert():
    assert CONVERTER.convert("a\n\n> [!TIP]\n> one [figure](#fig-a)\n> two\n\nb") == (
        "a\n\n:::{tip}\none {numref}`fig-a`\ntwo\n:::\n\nb"
    )


def test_a_quotation_is_no_alert():
    source = "> [!NOTE] is how an alert begins"
    assert CONVERTER.convert(source) == source


def test_details_hold_everything_else():
    source = (
        "<details>\n<summary>The <code>mask</code></summary>\n\n"
        "> [!NOTE]\n> inner\n\n```python\nx = '</details>'\n```\n</details>\n"
        "<details><summary>Next</summary>\n\ntext\n\n</details>\n\nafter"
    )
    assert CONVERTER.convert(source) == (
        "::::{dropdown} The `mask`\n:::{note}\ninner\n:::\n\n"
        "```python\nx = '</details>'\n```\n::::\n"
        ":::{dropdown} Next\ntext\n:::\n\nafter"
    )


def test_details_that_are_never_closed_are_an_error():
    with pytest.raises(ValueError, match="never closed"):
        CONVERTER.convert("<details>\n<summary>x</summary>\n\ntext")


def test_an_aside_is_a_note_in_the_margin():
    source = "a\n\n<aside>\n\nsee [figure](#fig-a)\n\n</aside>\n\nb\n`<aside>`"
    assert CONVERTER.convert(source) == (
        "a\n\n:::{margin}\nsee {numref}`fig-a`\n:::\n\nb\n`<aside>`"
    )
    with pytest.raises(ValueError, match="never closed"):
        CONVERTER.convert("<aside>\n\ntext")


def test_only_the_card_gets_a_box():
    cells = [
        {
            "cell_type": "markdown",
            "metadata": {"tags": ["spine-card"]},
            "source": "| a |",
        },
        {"cell_type": "markdown", "metadata": {}, "source": ["a\n", "b"]},
        {"cell_type": "code", "metadata": {}, "source": "[figure](#fig-a)"},
    ]
    sources = [cell["source"] for cell in convert_cells(cells, CONVERTER)]
    assert sources == [":::{div} spine-card\n| a |\n:::", "a\nb", "[figure](#fig-a)"]
