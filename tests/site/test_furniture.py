"""What stands around a chapter is true of the book: road, times, definitions."""

from pathlib import Path

from _ext.furniture import (
    add_times,
    definitions,
    minutes_to_read,
    road,
    signs,
    with_definitions,
)

ROOT = Path(__file__).resolve().parents[2]


def test_the_road_names_every_chapter_once():
    places = road((ROOT / "index.md").read_text("utf-8"))
    assert [each.number for each in places] == list(range(23))
    written = [each for each in places if each.docname]
    found = sorted(path.stem for path in ROOT.glob("chapters/[0-9]*.ipynb"))
    assert [each.docname for each in written] == [f"chapters/{stem}" for stem in found]
    assert all(len(each.sentence) > 10 for each in places)


def test_signs_mark_one_place():
    places = road(
        "| 0 | [One](a/00_one.ipynb) | first |\n| 1 | Two *(to come)* | then |"
    )
    drawn = signs(places, "a/00_one", "{}.html".format)
    assert drawn.count('aria-current="page"') == 1
    assert 'href="a/00_one.html"' in drawn and "1. Two (to come)" in drawn
    assert "aria-current" not in signs(places, "a/05_other", "{}.html".format)


def cell(kind, source, *tags):
    return {"cell_type": kind, "source": source, "metadata": {"tags": list(tags)}}


def test_time_to_read_leaves_exercises_out():
    page = [cell("markdown", "word " * 2000), cell("code", "x = 1\n" * 100)]
    assert minutes_to_read(page) == 15
    more = [
        cell("markdown", "word " * 5000, "solution"),
        cell("code", "y\n" * 99, "stub"),
    ]
    assert minutes_to_read(page + more) == 15


def test_card_says_how_long_to_read():
    card = cell("markdown", "| Time |\n\nMeasured.", "spine-card")
    (said,) = add_times([card], "chapters/04_attention", "https://example.org/b")
    assert "about 5 minutes" in said["source"]
    assert "discussions_q=chapter+4" in said["source"]


def test_definitions_are_plain_words():
    known = definitions((ROOT / "chapters/appendix/glossary.md").read_text("utf-8"))
    assert len(known) > 100
    assert known["token"]
    assert not [said for said in known.values() if "{" in said or "`" in said]
    assert max(map(len, known.values())) < 270


def test_links_to_terms_carry_their_definition():
    link = '<a class="reference internal" href="appendix/glossary.html#term-{}">'
    known = {"token": 'a "piece"'}
    assert 'data-definition="a &quot;piece&quot;"' in with_definitions(
        link.format("token"), known
    )
    assert with_definitions(link.format("none"), known) == link.format("none")
