"""The project's own files agree with each other, and speak of the project alone."""

import re

import pytest
import yaml

from .book import ROOT, SETTINGS, clear, fences, files

REPOSITORY = SETTINGS["git_url"]
SITE = SETTINGS["doc_host"] + SETTINGS["doc_baseurl"]
NAME = SETTINGS["repo"]
ELSEWHERE = {  # forms of address that name the repository or the site
    rf"github\.com[/:]([\w.-]+)/{NAME}\b": SETTINGS["user"],
    rf"githubusercontent\.com/([\w.-]+)/{NAME}\b": SETTINGS["user"],
    rf"colab\.research\.google\.com/github/([\w.-]+)/{NAME}\b": SETTINGS["user"],
    rf"mybinder\.org/v2/gh/([\w.-]+)/{NAME}\b": SETTINGS["user"],
    rf"(https?://[\w.-]+\.github\.io)/{NAME}\b": SETTINGS["doc_host"],
    rf"{re.escape(SETTINGS['doc_host'])}(/[\w-]+)": SETTINGS["doc_baseurl"],
}
MUST_NAME = {
    "pyproject.toml": (REPOSITORY, SITE),
    "CITATION.cff": (REPOSITORY, SITE),
    "_config.yml": (REPOSITORY, SITE),
    "README.md": (REPOSITORY, SITE),
}
INDEXES = {"pypi.org", "test.pypi.org", "download.pytorch.org"}
FOREIGN = {
    "a path of one machine": re.compile(
        r"(?<![\w.:/$}~*-])/(?:wor[k]|roo[t]|home/\w+|Users/\w+|tmp/\w)/"
    ),
    "a mirror of a package index": re.compile(
        r"(?:index[-_]url|INDEX[-_]URL|find-links|--proxy)[ =:\"']+"
        rf"(?!https://(?:{'|'.join(map(re.escape, INDEXES))})\b)\w+://\S+"
    ),
    "a word on how the text came to be": re.compile(
        r"\bAI[- ](?:generated|written|assistant)|coding assistant"
        r"|\b(?:this|previous|last|next) session\b|\bsub-?agent|\bas an AI\b",
        re.IGNORECASE,
    ),
}


def texts():
    """The project's text files, (name, content) each."""
    for name in files():
        try:
            yield name, (ROOT / name).read_text("utf-8")
        except UnicodeDecodeError:
            continue  # a picture


def other_addresses(name, content):
    """The addresses of a text that name another repository or site as the project's."""
    problems = []
    for pattern, right in ELSEWHERE.items():
        for match in re.finditer(pattern, content):
            if match[1] != right:
                line = content.count("\n", 0, match.start()) + 1
                problems.append(
                    f"{name}, line {line}: {match[0]} is not the address in "
                    f"settings.ini, {REPOSITORY} and {SITE}."
                )
    return problems


def test_one_address():
    """Prevents a launch button, an edit link or a citation that leads elsewhere."""
    found = dict(texts())
    problems = [
        each
        for name, content in found.items()
        for each in other_addresses(name, content)
    ]
    problems += [
        f"{name}: it does not name {address}, which settings.ini gives."
        for name, addresses in MUST_NAME.items()
        for address in addresses
        if address not in found.get(name, "")
    ]
    config = yaml.safe_load(found.get("_config.yml", "{}"))
    repository = {"url": REPOSITORY, "branch": SETTINGS["branch"]}
    repository["path_to_book"] = ""
    for key, right in repository.items():
        given = config["repository"].get(key, "")
        if given != right:
            problems.append(
                f"_config.yml: repository.{key} is {given!r}, not {right!r}."
            )
    clear(problems)


@pytest.mark.parametrize(
    "address",
    [
        f"https://github.com/someone/{NAME}",
        f"git@github.com:someone/{NAME}.git",
        f"https://raw.githubusercontent.com/someone/{NAME}/main/x",
        f"https://colab.research.google.com/github/someone/{NAME}/blob/main/x.ipynb",
        f"https://mybinder.org/v2/gh/someone/{NAME}/main",
        f"https://someone.github.io/{NAME}",
        f"https://{SETTINGS['user']}.github.io/another",
    ],
)
def test_one_address_sees(address):
    assert other_addresses("x.md", f"one\nSee <{address}>.")
    right = f"{REPOSITORY}.git {REPOSITORY}/issues {SITE}/index.html"
    assert not other_addresses("x.md", right)


def foreign(name, content):
    """What in a text speaks of something else than the project."""
    return [
        f"{name}, line {content.count(chr(10), 0, match.start()) + 1}: "
        f"{match[0][:60]!r} is {what}; say it without."
        for what, pattern in FOREIGN.items()
        for match in pattern.finditer(content)
    ]


def test_project_speaks_of_the_project_alone():
    """Prevents a file that works, or makes sense, only where it was written."""
    here = "tests/house/test_project.py"  # which plants the words below
    clear(
        [each for name, text in texts() if name != here for each in foreign(name, text)]
    )


@pytest.mark.parametrize(
    "content",
    [
        "cd /wor|k/main",
        '"/home|/me/llmbook/x.txt"',
        "open('/tmp|/a/b.txt')",
        "pip install --index-url| http://10.0.0.1:8080/simple torch",
        "PIP_INDEX_URL|=https://mirror.example.org/simple",
        '"index-url|": "https://pypi.example.com/simple"',
        "This text is AI|-generated.",
        "As decided in the last ses|sion, ...",
    ],
)
def test_project_speaks_of_the_project_alone_sees(content):
    assert foreign("x.md", content.replace("|", ""))  # the bar keeps this file clean


@pytest.mark.parametrize(
    "content",
    [
        "https://example.org/home/me/x and ./tmp/a/b and $ROOT/work/x",
        "pip install torch --index-url https://download.pytorch.org/whl/cpu",
        "The assistant answers; the session of a chat goes on.",
    ],
)
def test_project_speaks_of_the_project_alone_passes(content):
    assert not foreign("x.md", content)


def tree(readme):
    """The (paths, note) rows of the annotated tree in a README."""
    for block in fences(readme, "text"):
        rows, folder = [], ""
        for line in filter(str.strip, block.splitlines()):
            inside = re.match(r"[\s│├└─]*", line)[0]
            names, _, note = line[len(inside) :].partition("  ")
            folder = folder if inside else ""
            rows.append(([folder + name for name in names.split()], note.strip()))
            folder = folder or (names.strip() if names.strip().endswith("/") else "")
        if any("chapters/" in names for names, _ in rows):
            return rows
    return []


def _top(path):
    """The first step of a path, with its slash if it is a folder."""
    return path[: path.find("/") + 1] or path


def misdrawn(readme, names):
    """Where the README's tree differs from the real one."""
    rows = tree(readme)
    if not rows:
        return [
            "README.md: no ```text block draws the tree, with a line `chapters/  …`."
        ]
    drawn = [path for paths, _ in rows for path in paths]
    problems = [
        f"README.md: the tree's {' '.join(paths)} has no note; say what it is."
        for paths, note in rows
        if not note
    ]
    for path in drawn:
        inside = path.endswith("/") and any(name.startswith(path) for name in names)
        if not inside and path not in names:
            problems.append(f"README.md: the tree shows {path}, which is not there.")
    real = {_top(path) for path in names if not re.match(r"\.[^/]+$", path)}
    opened = {_top(path) for path in drawn if path.count("/") > 1}
    for path in names:
        first, *inner = path.split("/")
        if f"{first}/" in opened and len(inner) > 1:
            real.add(f"{first}/{inner[0]}/")
    missing = sorted(real - {*drawn, *map(_top, drawn)})
    return problems + [
        f"README.md: the tree does not show {name}; add it with a note."
        for name in missing
    ]


def test_readme_draws_the_real_tree():
    """Prevents a map that sends a contributor to a place that is gone."""
    clear(misdrawn(dict(texts()).get("README.md", ""), files()))


DRAWN = """
```text
chapters/          the source
  appendix/        pages
  labs/ x.md       more
.github/workflows/  tests
a.ini b.toml       settings
```
"""
REAL = ["chapters/1.ipynb", "chapters/appendix/a.md", "chapters/labs/l.md"]
REAL += ["chapters/x.md", ".github/workflows/t.yml", "a.ini", "b.toml"]


def test_readme_draws_the_real_tree_sees():
    assert not misdrawn(DRAWN, REAL)
    assert not misdrawn(DRAWN.replace("  appendix", "├── appendix"), REAL)
    assert misdrawn("No tree.", REAL)
    assert misdrawn(DRAWN.replace("       settings", ""), REAL)
    for name in REAL[1:]:
        assert misdrawn(DRAWN, [other for other in REAL if other != name])
    assert misdrawn(DRAWN, [*REAL, "new.md"])
    assert misdrawn(DRAWN, [*REAL, ".new/a"])
    assert misdrawn(DRAWN, [*REAL, "chapters/new/a.md"])
    assert not misdrawn(DRAWN, [*REAL, ".gitignore"])
    assert misdrawn(DRAWN, [*REAL, "new/a.md"])
