"""Raise plain Markdown, as GitHub and Colab show it, to what Sphinx can do with it.

| in the source | in the book |
|---|---|
| `> [!NOTE]` (TIP, IMPORTANT, WARNING, CAUTION) | an admonition |
| `<details><summary>…</summary> … </details>` | a dropdown |
| `<aside> … </aside>` | a note in the margin |
| a link to the `url` of an entry in references.bib | a citation |
| `[token](appendix/glossary.md#term-token)` | a glossary term |
| `[figure](#fig-name)`, `[equation](#eq-name)` | a numbered reference |
| `[encode](appendix/api.md#llmbook.tokenizer.X)` | a link to the API entry |
| `[it](appendix/playground.md#story=1&head=2)` | a link to a state of that page |
| `$$ \\label{eq-name} … $$` | a numbered equation |
| a cell with the tag `spine-card` | the chapter's card |

Code stays as it is: fenced and indented blocks are found by a Markdown parser, code
spans are stepped over. A link that names nothing known stays a link, and if it leads
nowhere Sphinx says so.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt
from pybtex.database import parse_file

from _ext.chapters import METADATA, edit_cells, tags, text

ALERT = re.compile(r"\[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\]\s*$")
OPEN, CLOSE = re.compile(r"<details\b[^>]*>"), re.compile(r"</details>")
ASIDE = re.compile(r"<aside>\s*$")
SUMMARY = re.compile(r"<summary>(.*?)</summary>", re.DOTALL)
PARAGRAPH = r"(?:(?!\n\s*\n).)"  # any character, but never over a blank line
INLINE = re.compile(
    rf"""
    (?P<code>(?P<ticks>`+)(?!`){PARAGRAPH}+?(?<!`)(?P=ticks)(?!`))
    | (?P<math>\$\${PARAGRAPH}+?\$\$)
    | (?P<before>\()?(?<!!)\[(?P<text>(?:[^\[\]`]|`[^`\n]*`|\[[^\[\]]*\])+)\]
      \((?P<url>[^()\s]+(?:\([^()\s]*\)[^()\s]*)*)\)(?P<after>\))?
    """,
    re.VERBOSE | re.DOTALL,
)
LABEL = re.compile(r"\\label\{([\w-]+)\}\s*")
NUMBERED = re.compile(r"(?:[\w./-]+)?#((fig|eq)-[\w-]+)")
TERM = re.compile(r"(?:[\w./-]*/)?glossary\.md#term-([\w-]+)")
API = re.compile(r"(?:[\w./-]*/)?api\.md#(llmbook\.[\w.]+)")
STATE = re.compile(r"(?:[\w./-]*/)?playground\.md#(\w+=[^\s<>`]+)")


def slug(term):
    """The part of a glossary link behind `#term-`: "byte-pair encoding" has its own."""
    return re.sub(r"\W+", "-", term.lower()).strip("-")


@dataclass
class Converter:
    """What turns one text into the other: where links lead decides what they become."""

    citations: dict[str, str] = field(default_factory=dict)  # url -> key in the .bib
    terms: dict[str, str] = field(default_factory=dict)  # slug -> term

    @classmethod
    def from_files(cls, bibliography, glossary):
        """Learn the citations from a .bib file and the terms from the glossary page."""
        entries = parse_file(str(bibliography)).entries
        urls = {e.fields["url"]: k for k, e in entries.items() if "url" in e.fields}
        block = re.search(
            r"```\{glossary\}\n(.*?)```", glossary.read_text("utf-8"), re.DOTALL
        )
        terms = re.findall(r"^(?![:\s])(.+?)\s*$", block[1], re.MULTILINE)
        return cls(urls, {slug(term): term for term in terms})

    def convert(self, source):
        """Convert a whole text."""
        lines = source.split("\n")
        code, quotes, html = structure(source)
        out, prose, at = [], [], 0

        def flush():
            if prose:
                out.append(self.inline("\n".join(prose)))
                prose.clear()

        while at < len(lines):
            if at in quotes and (alert := ALERT.match(unquote(lines[at]))):
                flush()
                body = "\n".join(unquote(line) for line in lines[at + 1 : quotes[at]])
                out.append(directive(alert[1].lower(), self.convert(body)))
                at = quotes[at]
            elif at in html and OPEN.match(lines[at]):
                flush()
                end = closing(lines, at, html)
                out.append(self.details("\n".join(lines[at:end])))
                at = end
            elif at in html and ASIDE.match(lines[at]):
                flush()
                end = next(
                    (n for n in sorted(html) if n > at and lines[n] == "</aside>"), None
                )
                if end is None:
                    raise ValueError(
                        f"an <aside> is never closed: {lines[at + 1 :][:2]}"
                    )
                body = self.convert("\n".join(lines[at + 1 : end]))
                out.append(directive("margin", body))
                at = end + 1
            elif at in code:
                flush()
                out.append(lines[at])
                at += 1
            else:
                prose.append(lines[at])
                at += 1
        flush()
        return "\n".join(out)

    def details(self, block):
        """Convert a folded block to a dropdown."""
        body = OPEN.sub("", block, count=1).rstrip().removesuffix("</details>")
        title = SUMMARY.search(body)
        rest = self.convert(SUMMARY.sub("", body, count=1).strip("\n"))
        summary = re.sub(r"</?code>", "`", title[1].strip()) if title else "More"
        return directive("dropdown", rest, re.sub(r"<[^>]+>", "", summary))

    def inline(self, prose):
        """Convert the links and labelled equations of a text without code blocks."""
        return INLINE.sub(self.replace, prose)

    def replace(self, match):
        if match["code"]:
            return match[0]
        if match["math"]:
            return equation(match[0])
        before, after = match["before"] or "", match["after"] or ""
        label, url = " ".join(match["text"].split()), match["url"]
        if key := self.citations.get(url):
            if label.endswith(")"):
                return f"{before}{{cite:t}}`{key}`{after}"
            if before and after:  # the citation brings its own brackets
                before = after = ""
            return f"{before}{{cite:p}}`{key}`{after}"
        return before + self.reference(label, url) + after

    def reference(self, label, url):
        """Convert a link to a term, an API entry, a figure or an equation."""
        plain = label.replace("`", "")
        if (found := TERM.fullmatch(url)) and (term := self.terms.get(found[1])):
            return f"{{term}}`{plain} <{term}>`"
        if found := API.fullmatch(url):
            return f"{{py:obj}}`{plain} <{found[1]}>`"
        if found := STATE.fullmatch(url):
            return f"{{playground}}`{plain} <{found[1]}>`"
        if found := NUMBERED.fullmatch(url):
            name, kind = found.groups()
            if kind == "eq":
                return f"{{eq}}`{name}`"
            if label.lower() in ("figure", "fig", "fig."):
                return f"{{numref}}`{name}`"
            return f"{{ref}}`{plain} <{name}>`"
        return f"[{label}]({url})"


def structure(source):
    """Find the lines of a text that are code, quotes at the top level, and HTML.

    Returns a set of line numbers, a dictionary {first line: line behind the quote}, and
    a set of line numbers.
    """
    code, quotes, html = set(), {}, set()
    for token in MarkdownIt("commonmark").parse(source):
        if token.type in ("fence", "code_block"):
            code.update(range(*token.map))
        elif token.type == "blockquote_open" and token.level == 0:
            quotes[token.map[0]] = token.map[1]
        elif token.type == "html_block" and token.level == 0:
            html.update(range(*token.map))
    return code, quotes, html


def closing(lines, start, html):
    """The line behind the `</details>` that closes the `<details>` at a line."""
    depth = 0
    for at in range(start, len(lines)):
        if at in html:
            depth += len(OPEN.findall(lines[at])) - len(CLOSE.findall(lines[at]))
            if depth == 0:
                return at + 1
    raise ValueError(f"a <details> block is never closed: {lines[start]}")


def unquote(line):
    """A line of a block quote without its mark."""
    return re.sub(r"^ {0,3}> ?", "", line)


def directive(name, body, argument=""):
    """A MyST directive, fenced with more colons than anything inside it."""
    inner = max((len(run) for run in re.findall(r"^:{3,}", body, re.M)), default=2)
    fence = ":" * (inner + 1)
    return f"{fence}{{{name}}} {argument}".rstrip() + f"\n{body.strip()}\n{fence}"


def equation(source):
    """Move the label of a display equation to where MyST expects it."""
    label = LABEL.search(source)
    if not label:
        return source
    body = LABEL.sub("", source, count=1)[2:-2].strip()
    return f"$$\n{body}\n$$ ({label[1]})"


def convert_cells(cells, converter):
    """Convert every Markdown cell of a notebook; the card becomes a box of its own."""
    for cell in cells:
        if cell["cell_type"] == "markdown":
            cell["source"] = converter.convert(text(cell))
            if "spine-card" in tags(cell):
                cell["source"] = directive("div", cell["source"], "spine-card")
    return cells


def on_builder_inited(app):
    root = Path(app.srcdir)
    app.llmbook_converter = Converter.from_files(
        root / "references.bib", root / "chapters" / "appendix" / "glossary.md"
    )


def on_source_read(app, docname, source):
    converter = app.llmbook_converter
    app.env.note_dependency(f"{app.srcdir}/references.bib")
    app.env.note_dependency(f"{app.srcdir}/chapters/appendix/glossary.md")
    if str(app.env.doc2path(docname)).endswith(".ipynb"):
        edit_cells(source, lambda cells: convert_cells(cells, converter))
    else:
        source[0] = converter.convert(source[0])


def setup(app):
    app.connect("builder-inited", on_builder_inited)
    app.connect("source-read", on_source_read, priority=500)
    return METADATA
