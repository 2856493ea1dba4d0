"""Directives become display, exports become links, files' numbers become numbers."""

from _ext import chapters, docments, numbering
from _ext.directives import clean_cell
from _ext.offline import is_thebe
from _ext.pdf import strip_boxes


def code(source, tags=()):
    return {"cell_type": "code", "metadata": {"tags": [*tags]}, "source": source}


def markdown(source):
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def test_a_figure_gets_its_caption_label_and_alt_text():
    cell = clean_cell(
        code("#| label: fig-a\n#| fig-cap: One: two.\n#| fig-alt: A line.\nplot()")
    )
    assert cell["source"] == "plot()"
    assert cell["metadata"]["mystnb"] == {
        "figure": {"caption": "One: two.", "name": "fig-a"},
        "image": {"alt": "A line."},
    }


def test_hidden_cells_keep_their_code():
    cell = clean_cell(code("#| hide\nassert f()", tags=["nbval-skip"]))
    assert cell["source"] == "assert f()"
    assert cell["metadata"]["tags"] == ["nbval-skip", "remove-cell"]


def test_directives_below_code_are_comments():
    cell = clean_cell(code("x = 1\n#| hide\n"))
    assert cell["source"] == "x = 1\n#| hide\n"
    assert cell["metadata"]["tags"] == []


def test_exported_cells_are_marked_and_a_docstring_has_no_echo():
    assert clean_cell(code("#| export\ndef f(): ..."))["metadata"]["tags"] == [
        "exported"
    ]
    docstring = clean_cell(code('#| export\n"""What it is.\n\nMore."""'))
    assert docstring["metadata"]["tags"] == ["exported", "remove-output"]
    assert "remove-cell" in clean_cell(code("#| default_exp x"))["metadata"]["tags"]


def test_sentences_that_are_printed_wrap_and_tables_do_not():
    def tags(*lines):
        output = {"output_type": "stream", "name": "stdout", "text": [*lines]}
        return clean_cell(code("f()") | {"outputs": [output]})["metadata"]["tags"]

    assert tags("ValueError: 5 heads cannot share a width of 64\n") == ["sentences"]
    assert tags("0.3  ", "'I was not " + 80 * "o" + "'\n") == ["sentences"]
    assert tags("word    before\n", "had       6.79\n") == []


CELLS = [
    markdown("# 7. A title\n\n```\n# no heading\n```"),
    code("#| default_exp some"),
    code("#| export\nimport os\n\nLIMIT = 1\n_hidden = 2\n\n\ndef go(): ...\n"),
    markdown("## Later"),
    code("#| exporti\ndef inner(): ..."),
    code("#| export other\nclass Go: ..."),
]


def test_exports_name_their_module_kind_and_section():
    found = chapters.exports(CELLS, "chapters/07_x")
    entries = [entry for group in found.values() for entry in group]
    assert [(e.qualified, e.kind, e.section) for e in entries] == [
        ("llmbook.some.LIMIT", "data", "7. A title"),
        ("llmbook.some.go", "function", "7. A title"),
        ("llmbook.other.Go", "class", "Later"),
    ]
    assert {e.chapter for e in entries} == {"7. A title"}


def test_labels_tell_capitals_apart():
    def label(name):
        return chapters.Export("llmbook.m", name, "d", "c", "s", "class").label

    assert label("Check") != label("check")


def test_each_exported_cell_gets_one_line_of_links():
    linked = docments.link_cells(CELLS, "chapters/07_x")
    lines = [c["source"] for c in linked if "api-line" in c["source"]]
    assert len(lines) == 2
    assert "{py:obj}`go <llmbook.some.go>`" in lines[0]
    assert "(built-llmbook-some-go)=\n" in lines[0]
    assert linked.index(CELLS[2]) == 3  # right below its line


def test_docments_survive_wrapped_annotations_and_defaults():
    def f(
        a: list[str] | None = None,  # first
        *rest,  # others
        b: int = (1 + 1),  # second
    ) -> int:  # a number
        """Do."""  # not about a parameter

    assert docments.docments(f) == {
        "a": "first",
        "rest": "others",
        "b": "second",
        "return": "a number",
    }


def test_a_comment_on_a_one_line_signature_is_about_the_result():
    class A:
        def f(self) -> int:  # a number
            """Do."""

    assert docments.docments(A.f) == {"return": "a number"}


def test_docments_of_a_function_without_parameters():
    def f():  # a number
        return 1

    assert docments.docments(f) == {"return": "a number"}


def test_markdown_in_docstrings_becomes_rst():
    assert docments.to_rst("a `*x*` of *y*, z_ | w") == r"a ``*x*`` of \*y\*, z\_ \| w"


def test_figures_count_within_their_file():
    figures = {
        "chapters/02_x": {"figure": {"a": (1,), "b": (2,)}, "displaymath": {"c": (1,)}},
        "chapters/10_y": {"figure": {"d": (3,)}},
        "chapters/appendix/z": {"figure": {"e": (4,)}},
    }
    numbering.renumber(figures)
    assert figures["chapters/02_x"]["figure"] == {"a": (2, 1), "b": (2, 2)}
    assert figures["chapters/02_x"]["displaymath"] == {"c": (2, 1)}
    assert figures["chapters/10_y"]["figure"] == {"d": (10, 1)}
    assert figures["chapters/appendix/z"]["figure"] == {"e": (1,)}


def test_token_strips_become_boxes_in_the_pdf():
    from llmbook.plots import show_tokens

    boxes = strip_boxes(show_tokens(["a_<", b"\xc3"], [5, 195])._repr_html_())
    assert boxes.count(r"\tokenbox") == 2
    assert r"{a\_<}{5}" in boxes
    assert r"\textbackslash{}xc3}{195}" in boxes
    assert strip_boxes("<table></table>") == ""


def test_scripts_of_thebe_are_found_by_name_and_by_body():
    class Asset:
        def __init__(self, filename, **attributes):
            self.filename, self.attributes = filename, attributes

    assert is_thebe(Asset(None, body="const THEBE_JS_URL = 1"))
    assert is_thebe(Asset("_static/sphinx-thebe.js"))
    assert is_thebe("_static/sphinx-thebe.css")
    assert not is_thebe(Asset("_static/book.css", media="all"))
