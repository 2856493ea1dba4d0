"""Every link leads somewhere, as far as that can be known without a network."""

import ast
import functools
import posixpath
import re
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from .book import (
    NOTEBOOKS,
    ROOT,
    SETTINGS,
    anchors,
    clear,
    documents,
    files,
    images,
    links,
)

STATE = {  # what an address of the playground may set
    *("text", "story", "at", "to", "layer", "head", "mask"),
    *("temperature", "top_k", "top_p", "seed"),
}
REPOSITORY = SETTINGS["git_url"].removeprefix("https://github.com/")
OWN = [  # addresses of the project's own files, at the path in the group
    rf"https://github\.com/{REPOSITORY}/(?:blob|tree|edit|raw)/\w+/([^?#]*)",
    rf"https://colab\.research\.google\.com/github/{REPOSITORY}/blob/\w+/([^?#]*)",
    rf"https://mybinder\.org/v2/gh/{REPOSITORY}/\w+\?.*?path=([^&#]*)",
    rf"{re.escape(SETTINGS['doc_host'] + SETTINGS['doc_baseurl'])}/([^?#]+\.html)",
]


@functools.cache
def targets():
    """What `#…` may name, for each text of the project."""
    found = {name: anchors(markdown) for name, markdown in documents()}
    for name, markdown in documents():
        found[name] |= set(re.findall(r"\\label\{(eq-[\w-]+)\}", markdown))
    for notebook in NOTEBOOKS:
        labels = {cell.directives.get("label") for cell in notebook.code}
        found[f"chapters/{notebook.name}"] |= labels - {None}
    return found


def exists(path, names):
    """Whether a path is the project's; a page of the site stands for its source."""
    stem, end = posixpath.splitext(path)
    asked = {f"{stem}.md", f"{stem}.ipynb"} if end == ".html" else {path.rstrip("/")}
    folders = {f"{name}/"[: len(path.rstrip("/")) + 1] for name in names}
    return bool(asked & set(names)) or f"{path.rstrip('/')}/" in folders


def broken(name, address, names, anchors_of):
    """What is wrong with a link of a text, or None."""
    url = urlsplit(address)
    if url.scheme == "mailto":
        return None if "@" in url.path else "it has no address"
    if url.scheme or address.startswith("//"):
        if url.scheme not in ("http", "https"):
            return f"{url.scheme or 'no scheme'}: is no address of a page"
        host = url.hostname or ""
        sane = host == "localhost" or re.fullmatch(r"([\w-]+\.)+[a-z]{2,}", host)
        if not sane or re.search(r"[\s<>\"{}|\\^`]|\.\.\.|…|[.,;]$", address):
            return "it is no well-formed address"
        own = [match[1] for each in OWN if (match := re.match(each, address))]
        if own and own[0] and not exists(unquote(own[0]), names):
            return f"{own[0]} is no file of the project"
        return None
    path = name
    if url.path:
        folder = posixpath.dirname(name)
        path = posixpath.normpath(posixpath.join(folder, unquote(url.path)))
    if path.startswith("_build/"):  # drawn when the site is built, and checked there
        return None
    if not exists(path, names):
        return f"{path} is no file of the project"
    if not url.fragment or path not in anchors_of:
        return None
    if path.endswith("/api.md") and url.fragment.startswith("llmbook."):
        if url.fragment in public():
            return None
        return f"{url.fragment} is no public name of the package"
    if path.endswith("/playground.md") and "=" in url.fragment:
        wrong = parse_qs(url.fragment, keep_blank_values=True).keys() - STATE
        return f"the playground has no {min(wrong)}" if wrong else None
    if unquote(url.fragment) in anchors_of[path]:
        return None
    return f"{path} has no heading, label or term #{url.fragment}"


@functools.cache
def public():
    """The names on the API page: modules, what they define, and classes' methods."""
    found = set()
    for path in (ROOT / "llmbook").glob("[a-z]*.py"):
        todo = [(f"llmbook.{path.stem}", ast.parse(path.read_text("utf-8")))]
        for name, node in todo:
            found.add(name)
            if isinstance(node, (ast.Module, ast.ClassDef)):
                inner = [each for each in node.body if hasattr(each, "name")]
                todo += [(f"{name}.{each.name}", each) for each in inner]
                for each in node.body:
                    if isinstance(each, ast.Assign):
                        found |= {f"{name}.{ast.unparse(t)}" for t in each.targets}
    return found


def dead(name, markdown, names, anchors_of):
    """The links and images of a text that lead nowhere."""
    addresses = [*links(markdown), *(source for _, source in images(markdown))]
    return [
        f"{name}: the link to {address} leads nowhere: {wrong}."
        for address in dict.fromkeys(addresses)
        if (wrong := broken(name, address, names, anchors_of))
    ]


@pytest.mark.parametrize("document", documents(), ids=lambda each: each[0])
def test_links_lead_somewhere(document):
    """Prevents a reader who follows a link to nothing."""
    clear(dead(*document, files(), targets()))


HERE = "chapters/02_a.ipynb"
THERE = {HERE: {"the-idea", "fig-a"}, "chapters/appendix/glossary.md": {"term-token"}}
THERE["chapters/appendix/playground.md"] = {"playground"}
SITE = SETTINGS["doc_host"] + SETTINGS["doc_baseurl"]


@pytest.mark.parametrize(
    "address",
    [
        "#the-ideas",
        "#fig-b",
        "02_b.ipynb",
        "02_A.ipynb",
        "02_a.ipynb#fig-b",
        "chapters/02_a.ipynb",
        "../../outside.md",
        "appendix/glossary.md#term-tokens",
        "appendix/playground.md#heads",
        "appendix/playground.md#text=a+b&heads=2",
        "https://example",
        "https://a b.org",
        "https://arxiv.org/abs/1706...",
        "htps://arxiv.org",
        "//arxiv.org",
        "mailto:nobody",
        f"https://github.com/{REPOSITORY}/blob/main/chapters/02_b.ipynb",
        f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/02_a.ipynb",
        f"{SITE}/02_a.html",
    ],
)
def test_links_lead_somewhere_sees(address):
    assert dead(HERE, f"[text](<{address}>)", list(THERE), THERE)
    assert dead(HERE, f'<a href="{address}">text</a>', list(THERE), THERE)


@pytest.mark.parametrize(
    "address",
    [
        "#the-idea",
        "#fig-a",
        "02_a.ipynb#fig-a",
        "appendix",
        "appendix/glossary.md#term-token",
        "appendix/playground.md#text=a+b&layer=2",
        "../chapters/",
        "https://arxiv.org/abs/1706.03762",
        "http://localhost:8000",
        "mailto:authors@llmbook.invalid",
        f"https://github.com/{REPOSITORY}/issues",
        f"https://github.com/{REPOSITORY}/blob/main/chapters/02_a.ipynb",
        f"{SITE}/chapters/02_a.html#the-idea",
    ],
)
def test_links_lead_somewhere_passes(address):
    assert not dead(HERE, f"[text]({address})", list(THERE), THERE)


def test_links_lead_somewhere_knows_the_api():
    assert {"llmbook.exercises.check", "llmbook.plots.TokenStrip.colors"} <= public()
    assert "llmbook.exercises.chek" not in public()


def bibliography(source):
    """The entries of a bibliography whose address is missing or malformed."""
    problems = []
    for entry in re.split(r"^@", source, flags=re.MULTILINE)[1:]:
        key = re.match(r"\w+\{([^,]+),", entry)
        found = re.search(r"^\s*url\s*=\s*[{\"](.*?)[}\"]", entry, re.MULTILINE)
        if not key:
            problems.append(f"references.bib: no key in `@{entry[:40]}`.")
        elif not found:
            problems.append(
                f"references.bib: {key[1]} has no url, so none can cite it."
            )
        elif wrong := broken("references.bib", found[1], (), {}):
            problems.append(f"references.bib: {key[1]}, {found[1]}: {wrong}.")
    return problems


def test_bibliography_has_addresses():
    """Prevents a paper that no chapter can cite: a citation is a link to its url."""
    clear(bibliography((ROOT / "references.bib").read_text("utf-8")))


def test_bibliography_has_addresses_sees():
    entry = "@article{gage1994,\n  title = {A},\n  url = {%s},\n}\n"
    assert not bibliography(entry % "https://a.org/b_(c)")
    assert bibliography(entry % "a.org")
    assert bibliography("@book{gage1994,\n  title = {A},\n}\n")
