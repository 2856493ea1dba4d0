"""Docments in the API pages, and links both ways between an entry and its chapter.

The package says what a parameter means in a comment beside it (a "docment"):

    def show_tokens(
        pieces: Iterable[str],  # the tokens, in order
    ) -> TokenStrip:  # what a notebook displays

Autodoc does not read these comments; this extension gives them to it. (fastcore's
reader loses the comment of a parameter whose annotation the formatter has wrapped.)
Each entry then says in which section it is built, and each exported cell of a chapter
gets a line above it that leads to the entries.

The line `<!-- modules -->` in chapters/appendix/api.md becomes one section per module,
in the chapters' order, so that a new chapter is in the API without further ado.
"""

import ast
import inspect
import io
import re
import textwrap
import tokenize
from dataclasses import is_dataclass

from _ext import chapters

API = "chapters/appendix/api"
MODULES = "<!-- modules -->"
FOREIGN = "object, dict, Exception, Module, Optimizer, Dataset"  # bases not shown again


def comments(source):
    """The comments that stand behind code, by their line numbers."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: token.string.lstrip("#").strip()
        for token in tokens
        if token.type == tokenize.COMMENT and token.line.lstrip()[0] != "#"
    }


def of_function(node, said):
    """The docments of a function's syntax tree: {parameter or "return": text}."""
    given = node.args
    defaults = [d for d in [*given.defaults, *given.kw_defaults] if d]
    parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    parameters += [a for a in (given.vararg, given.kwarg) if a]
    last = max((n.end_lineno for n in [*parameters, *defaults]), default=0)
    if last == node.lineno:  # a signature on one line: its comment is about the result
        parameters = []
    found = {}
    for line, comment in said.items():
        if not node.lineno <= line < node.body[0].lineno:
            continue
        above = [a for a in parameters if a.lineno <= line <= last]
        owner = max(above, key=lambda a: (a.lineno, a.col_offset), default=None)
        found["return" if owner is None else owner.arg] = comment
    return found


def of_fields(node, said):
    """The docments of a dataclass: the comments beside its fields."""
    return {
        item.target.id: said[item.end_lineno]
        for item in node.body
        if isinstance(item, ast.AnnAssign) and item.end_lineno in said
    }


def docments(thing):
    """The comments beside the parameters of a function, a class or a dataclass."""
    if inspect.isclass(thing) and not is_dataclass(thing):
        thing = thing.__init__
    try:
        source = textwrap.dedent(inspect.getsource(thing))
    except (OSError, TypeError):  # built in, or not written in Python
        return {}
    node = ast.parse(source).body[0]
    if isinstance(node, ast.ClassDef):
        return of_fields(node, comments(source))
    return of_function(node, comments(source)) if hasattr(node, "args") else {}


def to_rst(words):
    """A sentence with Markdown's code spans, as reStructuredText."""
    parts = re.split(r"(`+)(.+?)\1", words)
    for at in range(0, len(parts), 3):
        parts[at] = re.sub(r"([\\*|_])", r"\\\1", parts[at])
        if at + 2 < len(parts):
            parts[at + 1 : at + 3] = ["", f"``{parts[at + 2]}``"]
    return "".join(parts)


def process_docstring(app, what, name, obj, options, lines):
    """Add to a docstring what its docments say, and where the thing is built."""
    lines[:] = [line if line.startswith(" ") else to_rst(line) for line in lines]
    if not lines or lines[-1]:
        lines.append("")
    if entry := app.llmbook_exports.get(name):
        place = f"{entry.chapter}: {entry.section}".replace("`", "")
        lines += [".. rst-class:: built-in", ""]
        lines += [f"   Built in :ref:`{place} <{entry.label}>`.", ""]
    if isinstance(obj, property):
        obj = obj.fget
    if what not in ("function", "method", "property", "class", "exception"):
        return
    while inspect.isfunction(obj) and hasattr(obj, "__wrapped__"):
        obj = obj.__wrapped__
    for parameter, comment in docments(obj).items():
        kind = "returns" if parameter == "return" else f"param {parameter}"
        lines.append(f":{kind}: {to_rst(comment)}")
    lines.append("")


def api_line(entries):
    """The line of MyST above an exported cell: the mark, the module and the links."""
    targets = "".join(f"({entry.label})=\n" for entry in entries)
    links = ", ".join(f"{{py:obj}}`{e.name} <{e.qualified}>`" for e in entries)
    return f"{targets}:::{{div}} api-line\n`{entries[0].module}` {links}\n:::"


def link_cells(cells, docname):
    """Put a line with API links above each exported cell that has public names."""
    found = chapters.exports(cells, docname)
    linked = []
    for index, cell in enumerate(cells):
        if found.get(index):
            source, key = api_line(found[index]), f"api{index}"
            line = {
                "cell_type": "markdown",
                "id": key,
                "metadata": {},
                "source": source,
            }
            linked.append(line)
        linked.append(cell)
    return linked


def api_sections(entries):
    """The sections of the API page: a module's docstring, then what it exports."""
    sections = {}
    for entry in entries:
        if entry.module not in sections:
            sections[entry.module] = (
                f"## `{entry.module}`\n\n"
                f"Chapter [{entry.chapter}](/{entry.docname}.ipynb).\n\n"
                f"```{{eval-rst}}\n.. automodule:: {entry.module}\n"
            )
        sections[entry.module] += f"\n.. auto{entry.kind}:: {entry.qualified}\n"
        if entry.kind == "class":
            sections[entry.module] += (
                f"   :members:\n   :inherited-members: {FOREIGN}\n"
            )
        if entry.kind == "data":  # a table's value may be wider than a phone
            sections[entry.module] += "   :no-value:\n"
    return "\n".join(section + "```\n" for section in sections.values())


def on_builder_inited(app):
    app.llmbook_exports = chapters.index(app.srcdir)


def on_source_read(app, docname, source):
    if str(app.env.doc2path(docname)).endswith(".ipynb"):
        chapters.edit_cells(source, lambda cells: link_cells(cells, docname))
    elif docname == API:
        entries = app.llmbook_exports.values()
        source[0] = source[0].replace(MODULES, api_sections(entries))
        for entry in entries:
            app.env.note_dependency(f"{app.srcdir}/{entry.docname}.ipynb")


def setup(app):
    app.connect("builder-inited", on_builder_inited)
    app.connect("source-read", on_source_read, priority=300)
    app.connect("autodoc-process-docstring", process_docstring)
    return chapters.METADATA
