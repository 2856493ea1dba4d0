"""The landing page's picture draws every sign of every row, and says so in words."""

import re

from _ext.picture import Row, describe, opening, shade, svg

ROWS = [Row(256, ["a", "·", "b", "<"]), Row(1300, ["a·b", "<"])]


def test_opening_is_the_first_clause_below_the_title():
    assert opening("Title\n\nOne two, three. Four.\n\nFive") == "One two,"


def test_drawings_hold_every_sign_and_one_box_a_token():
    for name in ("wide", "narrow"):
        drawing = svg(ROWS, name, cell=10, height=20, gap=4)
        assert drawing.count("<rect") == 6
        letters = re.findall(r'<text text-anchor="middle"[^>]*>([^<]*)<', drawing)
        assert letters == ["a", "·", "b", "&lt;", "a·b", "&lt;"]


def test_nothing_is_drawn_outside_the_picture():
    drawing = svg(ROWS, "wide", cell=10, height=20, gap=4)
    width, height = map(
        float, re.search(r'viewBox="0 0 (\S+) (\S+)"', drawing).groups()
    )
    for x, w, y in re.findall(r'<rect y="(\S+)".*?x="(\S+)" width="(\S+)"', drawing):
        top, left, wide = float(x), float(w), float(y)
        assert left >= 0 and left + wide <= width and 0 <= top <= height - 20


def test_the_description_counts_tokens():
    assert "“a b<”" in describe(ROWS)
    assert "1,300 tokens cut it into 2" in describe(ROWS)


def test_longer_tokens_are_darker_up_to_five():
    assert [shade("x" * n) for n in (1, 2, 5, 9)] == [0, 1, 4, 4]
