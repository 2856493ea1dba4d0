"""What the other extensions know about the chapters, read from the notebooks.

A chapter's number is the number in its file's name. An exported cell is one that begins
with nbdev's `#| export`; its names are those that a reader can import.
"""

import ast
import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

DIRECTIVE = re.compile(r"\s*#\s*\|\s*([\w-]+)\s*:?[ \t]*(.*?)\s*$")
HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*$", re.MULTILINE)
FENCED = re.compile(r"^(```+|~~~+).*?^\1", re.MULTILINE | re.DOTALL)

# What each extension tells Sphinx: a change in any of them makes it read all anew.
SOURCES = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
METADATA = {
    "env_version": zlib.crc32(b"".join(SOURCES)),
    "parallel_read_safe": True,
    "parallel_write_safe": True,
}


@dataclass
class Export:
    """A name of the package, and the place in a chapter where it is built."""

    module: str  # such as llmbook.tokenizer
    name: str  # such as BPETokenizer
    docname: str  # such as chapters/02_tokenizer
    chapter: str  # the chapter's title
    section: str  # the heading above the cell
    kind: str  # function, class or data

    @property
    def qualified(self):
        return f"{self.module}.{self.name}"

    @property
    def label(self):
        """The target before the cell in the rendered chapter; targets ignore case."""
        name = re.sub("[A-Z]", lambda letter: f"-{letter[0].lower()}", self.qualified)
        return "built-" + name.replace(".", "-")


def number(docname):
    """The chapter number in a document's name, or None."""
    found = re.match(r"(\d+)_", docname.rsplit("/", 1)[-1])
    return int(found[1]) if found else None


def text(cell):
    """The source of a cell as one string."""
    return "".join(cell["source"])


def tags(cell):
    """The tags of a cell."""
    return cell["metadata"].get("tags", ())


def title(cells):
    """The first heading of a notebook, such as `2. Text into tokens`."""
    prose = "\n".join(text(cell) for cell in cells if cell["cell_type"] == "markdown")
    return HEADING.search(prose)[2]


def directives(source):
    """The (name, value) pairs of the directive lines at the top of a code cell."""
    found = []
    for line in source.splitlines():
        match = DIRECTIVE.match(line)
        if not match:
            break
        found.append(match.groups())
    return found


def names(source):
    """The public names that a cell defines at its top level, and their kinds."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found[node.name] = "function"
        elif isinstance(node, ast.ClassDef):
            found[node.name] = "class"
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = getattr(node, "targets", None) or [node.target]
            found.update({t.id: "data" for t in targets if isinstance(t, ast.Name)})
    return {name: kind for name, kind in found.items() if not name.startswith("_")}


def exported(cell, default):
    """The module that a code cell is exported to, or None."""
    for name, value in directives(text(cell)):
        if name in ("export", "exports"):
            return "llmbook." + (value or default)
    return None


def default_module(cells):
    """The module that a notebook fills unless a cell names another."""
    for cell in cells:
        if cell["cell_type"] == "code":
            for name, value in directives(text(cell)):
                if name == "default_exp":
                    return value
    return ""


def exports(cells, docname):
    """For each exported cell of a notebook, by its index, the names that it builds."""
    default = default_module(cells)
    chapter = section = ""
    found = {}
    for index, cell in enumerate(cells):
        if cell["cell_type"] == "markdown":
            for _, title in HEADING.findall(FENCED.sub("", text(cell))):
                chapter, section = chapter or title, title
        elif cell["cell_type"] == "code" and (module := exported(cell, default)):
            found[index] = [
                Export(module, name, docname, chapter, section, kind)
                for name, kind in names(text(cell)).items()
            ]
    return found


def index(root):
    """Every exported name of the book by its qualified name, in the book's order."""
    found = {}
    for path in sorted(Path(root, "chapters").glob("[0-9]*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        for entries in exports(cells, f"chapters/{path.stem}").values():
            found.update({entry.qualified: entry for entry in entries})
    return found


def edit_cells(source, edit):
    """Let a function change the list of cells of a notebook that Sphinx is reading."""
    notebook = json.loads(source[0])
    notebook["cells"] = edit(notebook["cells"])
    source[0] = json.dumps(notebook, ensure_ascii=False)
