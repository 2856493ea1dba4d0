"""The edition that is handed out has every exercise and no solution."""

import json
import zipfile

import pytest

from _tools import course
from tests.house.book import NOTEBOOKS, ROOT, SETTINGS

SITE = f"{SETTINGS['doc_host']}{SETTINGS['doc_baseurl']}/"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    course.main(folder)
    return folder


def cells(folder, edition, name):
    path = folder / f"llmbook-{edition}" / "chapters" / name
    return json.loads(path.read_text("utf-8"))["cells"] if path.exists() else []


def ids(cells):
    return [cell["id"] for cell in cells]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda n: n.name)
def test_only_solutions_are_missing(folder, notebook):
    """Prevents an edition that gives answers away, or lacks a question."""
    kept = cells(folder, "course", notebook.name)
    answers = notebook.tagged("solution")
    away = {cell.raw["id"] for cell in answers}
    assert ids(kept) == [i for i in ids(c.raw for c in notebook.cells) if i not in away]
    text = json.dumps(kept, ensure_ascii=False)
    assert "<summary>Solution" not in text and "mistake</summary>" not in text
    for cell in notebook.code:
        (same,) = [each for each in kept if each["id"] == cell.raw["id"]]
        assert same == cell.raw
    withheld = cells(folder, "solutions", notebook.name)
    assert away <= {*ids(withheld)} and bool(withheld) == bool(answers)
    assert len(withheld) == (1 + 2 * len(answers) if answers else 0)


def test_links_lead_out_of_the_edition():
    """Prevents links to pages that are not handed out."""

    def mended(source, **kept):
        return course.published(source, "chapters/labs", "https://x.org/", **kept)

    assert mended("[a](../appendix/g.md#t)") == (
        "[a](https://x.org/chapters/appendix/g.html#t)"
    )
    assert mended("[a](spam.ipynb)", kept={"chapters/labs/spam.ipynb"}) == (
        "[a](spam.ipynb)"
    )
    assert mended("[a](../01.ipynb#b)") == "[a](https://x.org/chapters/01.html#b)"
    for same in ("[a](https://y.org/b.md)", "x[0](y)", "[a](#here)"):
        assert mended(same) == same


def test_no_link_of_an_edition_is_relative_and_broken(folder):
    for path in folder.rglob("*.ipynb"):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            source = "".join(cell["source"]) if cell["cell_type"] == "markdown" else ""
            for match in course.LINK.finditer(source):
                target = path.parent / f"{match[1]}.{match[2]}"
                assert target.exists(), f"{path.name}: {match[0]}"


def test_published_links_name_pages_of_the_book(folder):
    text = "".join(path.read_text("utf-8") for path in folder.rglob("*.ipynb"))
    found = {part.split(")")[0] for part in text.split(f"]({SITE}")[1:]}
    assert found
    for page in {each.partition("#")[0].removesuffix(".html") for each in found}:
        assert any((ROOT / f"{page}{end}").exists() for end in (".md", ".ipynb")), page


@pytest.mark.parametrize("edition", ["course", "solutions"])
def test_packed(folder, edition):
    with zipfile.ZipFile(folder / f"llmbook-{edition}.zip") as packed:
        names = packed.namelist()
    top = f"llmbook-{edition}/"
    assert all(name.startswith(top) for name in names)
    wanted = {"README.md", "LICENSE", "LICENSE-TEXT", "chapters/02_tokenizer.ipynb"}
    assert {top + name for name in wanted} <= {*names}
