"""The road map's times are those of the chapters, and its PDF is one page."""

import json
import shutil

import pytest

from _ext.road import PAGE, fill, hours, stages
from _tools import road
from tests.house.book import ROOT

CARD = """| Time | Memory | Trains | Downloads | You need first |
|---|---|---|---|---|
| {time} | 300 MB | nothing | nothing | {needs} |
"""


def notebook(title, time, needs, words, exercises):
    """A chapter's file: a title, a card, so many words and so many exercises."""
    prose = [
        (f"# {title}", "chapter"),
        (CARD.format(time=time, needs=needs), "spine-card"),
    ]
    prose += [("word " * words, ""), *[("### Do it", "exercise")] * exercises]
    cells = [
        {"cell_type": "markdown", "source": text, "metadata": {"tags": [tag]}}
        for text, tag in prose
    ]
    return json.dumps({"cells": cells})


@pytest.fixture
def chapters(tmp_path):
    (tmp_path / "labs").mkdir()
    first = notebook("1. One", "60 s", "Python", 4000, 3)
    second = notebook("2. Two", "9 s", "[chapter 1](01_one.ipynb)", 1000, 0)
    lab = notebook("Lab: far", "not measured", "[chapter 1](../01_one.ipynb)", 2000, 0)
    (tmp_path / "01_one.ipynb").write_text(first)
    (tmp_path / "02_two.ipynb").write_text(second)
    (tmp_path / "labs" / "far.ipynb").write_text(lab)
    return stages(tmp_path)


def test_times_are_measured(chapters):
    """Prevents an hour that no chapter's words, run and exercises add up to."""
    one, two, lab = chapters.values()
    assert (one.read, one.run, one.exercises) == (20, 60, 3)
    assert one.minutes == 20 + 1 + 3 * 10 + 10 and one.reading == 21
    assert lab.run is None and lab.minutes == lab.read == 10
    assert two.needs == "[chapter 1](../01_one.ipynb)" and lab.needs == two.needs
    assert [hours(m) for m in (1, 61, 80, 130)] == ["0.5", "1", "1.5", "2"]


def test_tables_are_filled(chapters):
    """Prevents a plan whose hours are those of chapters as they once were."""
    page = "<!-- chapters -->\n\n<!-- labs -->\n\n<!-- {}hours -->\n\n{}\nAfter.\n"
    plan = "| W | C |\n|--:|:--|\n| 1 | [1](../01_one.ipynb) [f](../labs/far.ipynb) |\n"
    filled = fill(page.format("", plan), chapters).replace("\N{NO-BREAK SPACE}", " ")
    assert "| [1. One](../01_one.ipynb) | Python | 20 min | 60 s | 3 | 1 |" in filled
    assert (
        "| [Far](../labs/far.ipynb) | [chapter 1](../01_one.ipynb) | 10 min |" in filled
    )
    assert "| W | C | Hours |" in filled and "far.ipynb) | 1 |\n" in filled
    assert "far.ipynb) | 0.5 |\n" in fill(page.format("reading ", plan), chapters)
    assert filled.count("../02_two.ipynb") == 1 and filled.endswith("\nAfter.\n")


@pytest.mark.parametrize("row", ["| 1 | nothing |", "| 1 | [3](../03_no.ipynb) |"])
def test_rows_without_a_chapter_are_refused(chapters, row):
    """Prevents a week without hours, or with those of a chapter that is gone."""
    with pytest.raises(ValueError, match="the road map"):
        fill(f"<!-- hours -->\n\n| W | C |\n|--:|:--|\n{row}\n", chapters)


def test_every_chapter_is_on_the_road():
    """Prevents a chapter that three months of evenings leave out."""
    page = (ROOT / f"{PAGE}.md").read_text("utf-8")
    months = page.split("## Three months")[1].split("\n## ")[0]
    known = [name for name in stages(ROOT / "chapters") if "labs/" not in name]
    assert [name for name in known if f"(../{name}.ipynb)" not in months] == []


def test_printed_part_has_no_links():
    """Prevents a sheet of paper with half an address on it."""
    page = (ROOT / f"{PAGE}.md").read_text("utf-8")
    printed = road.one_page(fill(page, stages(ROOT / "chapters")))
    assert "](" not in printed and "<!--" not in printed
    assert printed.count("\n## ") == len(road.PRINTED)


@pytest.mark.skipif(not shutil.which("latexmk"), reason="no LaTeX")
def test_road_is_one_page(tmp_path, capsys):
    """Prevents a sheet to pin up that has become two."""
    road.main(tmp_path)
    pdf = tmp_path / "latex" / "road.pdf"
    assert str(pdf) in capsys.readouterr().out and pdf.read_bytes()[:4] == b"%PDF"
    assert road.pages_of(pdf) == 1
