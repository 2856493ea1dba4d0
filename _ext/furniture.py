"""What stands around a chapter's text: where you are, how long it takes, what is next.

The road at the top, the time to read, the sentence about the chapter before and after,
and what the glossary says of a term where it is met: all of it is taken from the
notebooks, the map on the first page and the glossary, and stands in none of them twice.
"""

import html
import re
from dataclasses import dataclass
from pathlib import Path

from sphinx.util.osutil import relative_uri

from _ext.chapters import FENCED, METADATA, edit_cells, number, tags, text
from _ext.markdown import slug

PLACE = re.compile(  # a row of the map: number, title, file, sentence; or no file yet
    r"^\| *(\d+) *\| (?:\[([^\]]+)\]\(([\w/]+)\.ipynb\)|([^|*]+?) \*.*?) \| (.*) \|$",
    re.MULTILINE,
)
ENTRY = re.compile(r"^(\S.*)\n  (.+(?:\n  .+)*)", re.MULTILINE)
ROLE = re.compile(r"\{\w+\}`([^`<]+?)(?: <[^`]*>)?`")
TERM = re.compile(r'(<a class="reference internal"[^>]*glossary\.html)#term-([\w-]+)"')
PACE = 200  # words of prose that people read in a minute
LINES = 20  # lines of code, which is slower
EXERCISE = {"exercise", "stub", "check", "solution"}
LONGEST = 260  # characters of a definition that hover over the text


@dataclass
class About:
    """What the map on the first page says of a chapter."""

    number: int
    title: str
    docname: str  # "" where it is not written yet
    sentence: str


def road(index):
    """The chapters in order, from the tables of the first page."""
    return [
        About(int(place[1]), place[2] or place[4], place[3] or "", place[5])
        for place in PLACE.finditer(index)
    ]


def signs(chapters, here, address):
    """The road as a row of numbers, each a link, with the reader's place marked."""
    steps = []
    for each in chapters:
        label = html.escape(f"{each.number}. {each.title}")
        if not each.docname:
            mark = f'<span title="{label} (to come)">{each.number}</span>'
        else:
            link = f'href="{address(each.docname)}" aria-label="{label}"'
            link += ' aria-current="page"' if each.docname == here else ""
            mark = f'<a {link} title="{label}">{each.number}</a>'
        steps.append(f"<li>{mark}</li>")
    where = '<nav class="road" aria-label="Where you are in the book">'
    return f"{where}<ol>{''.join(steps)}</ol></nav>"


def minutes_to_read(cells):
    """How long a chapter takes to read, in minutes, to the next five."""
    words = lines = 0
    for cell in cells:
        if EXERCISE & set(tags(cell)):
            continue
        if cell["cell_type"] == "markdown":
            words += len(re.findall(r"\w+", FENCED.sub("", text(cell))))
        else:
            lines += sum(bool(line.strip()) for line in text(cell).splitlines())
    return max(5, 5 * round((words / PACE + lines / LINES) / 5))


def add_times(cells, docname, repository):
    """Say below a chapter's card how long it takes to read, and where to talk of it."""
    for cell in cells:
        if "spine-card" in tags(cell):
            talk = f"{repository}/discussions?discussions_q=chapter+{number(docname)}"
            cell["source"] = (
                f"{text(cell).rstrip()} On graphics cards (a T4, an H200): not "
                "measured. "
                f"To read it takes about {minutes_to_read(cells)} minutes, exercises "
                "apart. "
                f"[Talk about this chapter]({talk})."
            )
    return cells


def definitions(glossary):
    """What the glossary says of each term, as plain text: slug -> words."""
    found = {}
    for term, body in ENTRY.findall(glossary):
        words = ROLE.sub(r"\1", " ".join(body.split()))
        words = re.sub(r"\[([^\]]+)\]\([^)]*\)|[*`]", r"\1", words).replace("$", "")
        if len(words) > LONGEST:
            words = words[: words.rfind(" ", 0, LONGEST)] + " …"
        found[slug(term)] = words
    return found


def with_definitions(body, known):
    """Let each link to a term carry what the glossary says of it."""

    def carry(link):
        said = known.get(link[2])
        about = f' data-definition="{html.escape(said)}"' if said else ""
        return f'{link[1]}#term-{link[2]}"{about}'

    return TERM.sub(carry, body)


def on_builder_inited(app):
    root = Path(app.srcdir)
    app.llmbook_road = road((root / "index.md").read_text("utf-8"))
    glossary = root / "chapters" / "appendix" / "glossary.md"
    app.llmbook_definitions = definitions(glossary.read_text("utf-8"))


def on_source_read(app, docname, source):
    if app.builder.format == "html" and number(docname) is not None:
        repository = app.config.html_theme_options["repository_url"]
        edit_cells(source, lambda cells: add_times(cells, docname, repository))


def on_html_page_context(app, pagename, templatename, context, doctree):
    if "body" not in context:
        return
    context["body"] = with_definitions(context["body"], app.llmbook_definitions)
    if number(pagename) is None:
        return

    def address(docname):
        here, there = (app.builder.get_target_uri(n) for n in (pagename, docname))
        return relative_uri(here, there) or "#"

    context["body"] = signs(app.llmbook_road, pagename, address) + context["body"]
    sentences = {each.docname: each.sentence for each in app.llmbook_road}
    for way in ("prev", "next"):
        beside = context.get(way)
        found = [n for n in sentences if n and beside and address(n) == beside["link"]]
        if found:
            about = html.escape(sentences[found[0]].replace("`", ""))
            title = f'{beside["title"]}<span class="about">{about}</span>'
            context[way] = {**beside, "title": title}


def setup(app):
    app.connect("builder-inited", on_builder_inited)
    app.connect("source-read", on_source_read, priority=400)  # before Markdown's
    app.connect("html-page-context", on_html_page_context)
    return METADATA
