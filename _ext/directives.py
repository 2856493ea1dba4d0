"""Show nbdev notebooks as a reader wants them: no directives, no hidden cells.

nbdev's `#|` lines drive the export and the tests. Before myst-nb parses a notebook,
this extension deletes them and says the same in the words that myst-nb knows: tags for
what is shown, figure metadata for a caption, a label and an alternative text. Hidden
cells keep their code. For the style sheet, an exported cell gets the tag `exported`,
and one that prints sentences, which should wrap as no table may, `sentences`.
"""

import re

from _ext.chapters import DIRECTIVE, METADATA, edit_cells, text

TAGS = {
    ("hide", ""): "remove-cell",
    ("hide_input", ""): "remove-input",
    ("echo", "false"): "remove-input",
    ("hide_output", ""): "remove-output",
    ("output", "false"): "remove-output",
    ("code-fold", "true"): "hide-input",
}
DOCSTRING = re.compile(r'\s*(""".*?"""|".*?")\s*', re.DOTALL)
ERROR = re.compile(r"\w+Error: ")
WIDTH = 88  # characters of a printed line that the column holds


def split(source):
    """Split a cell's source into its leading directives and the code below them."""
    lines, found = source.splitlines(keepends=True), []
    while lines and (match := DIRECTIVE.match(lines[0])):
        found.append(match.groups())
        del lines[0]
    return found, "".join(lines)


def prints_sentences(cell):
    """Whether a cell prints an error's message, or a line too long for the column."""
    streams = [o for o in cell.get("outputs", ()) if o["output_type"] == "stream"]
    lines = [line for o in streams for line in "".join(o["text"]).splitlines()]
    return any(len(line) > WIDTH or ERROR.match(line) for line in lines)


def clean_cell(cell):
    """Turn a code cell's directives into tags and figure metadata."""
    found, code = split(text(cell))
    tags = [TAGS[pair] for pair in found if pair in TAGS]
    options = dict(found)
    if options.keys() & {"export", "exports", "exporti"}:
        tags.append("exported")
        if DOCSTRING.fullmatch(code):  # a module's docstring, which Jupyter echoes
            tags.append("remove-output")
    if prints_sentences(cell):
        tags.append("sentences")
    if not code.strip():  # such as a lone `default_exp`
        tags.append("remove-cell")
    metadata = dict(cell["metadata"])
    metadata["tags"] = [*metadata.get("tags", []), *tags]
    display = {}
    if "fig-cap" in options:
        display["figure"] = {"caption": options["fig-cap"]}
        if "label" in options:
            display["figure"]["name"] = options["label"]
    if "fig-alt" in options:
        display["image"] = {"alt": options["fig-alt"]}
    if display:
        metadata["mystnb"] = display
    return {**cell, "source": code, "metadata": metadata}


def clean(cells):
    """Clean every code cell of a notebook."""
    return [clean_cell(c) if c["cell_type"] == "code" else c for c in cells]


def on_source_read(app, docname, source):
    if str(app.env.doc2path(docname)).endswith(".ipynb"):
        edit_cells(source, clean)


def setup(app):
    app.connect("source-read", on_source_read, priority=400)
    return METADATA
