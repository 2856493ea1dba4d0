"""What the labs measure by means what they say."""

import re

import pytest
import torch

from .session import functions


def slow_copy(written, source):
    pieces = (
        written[i:j]
        for i in range(len(written))
        for j in range(i + 1, len(written) + 1)
        if written[i:j] in source
    )
    return max(pieces, key=len, default="")


@pytest.mark.parametrize(
    "written",
    ["", "q", "a goose", "one goose too many", "xx a goose xx counted one", "ttt"],
)
def test_longest_copy(written):
    source = "a goose counted one too many, and a goose counted it twice"
    (longest_copy,) = functions("verdict", "longest_copy", read=source)
    assert longest_copy(written) == slow_copy(written, source)


def test_longest_copy_of_another_source():
    (longest_copy,) = functions("verdict", "longest_copy", read="unread")
    assert longest_copy("the goose", "a goose") == " goose"


def test_spelling():
    given = {"LONG": re.compile(r"[a-z]{3,}"), "known": {"the", "goose"}}
    (spelling,) = functions("shakespeare", "spelling", **given)
    assert spelling("The goose\ncounted a thing") == 0.5
    assert spelling("") == spelling("a b 12") == 0


def test_places_end_where_they_should_and_are_held_out():
    text = "to the sea, to the tree, to the goose, to the end of the tale" * 3
    ids, cut = torch.arange(len(text)), 90
    given = {"text": text, "ids": ids, "cut": cut, "T": 8, "re": re, "torch": torch}
    (places,) = functions("shakespeare", "places", **given)
    found = places(" th", 3)
    assert found.shape == (3, 8) and found.min() >= cut
    for row in found:
        assert "".join(text[i] for i in row).endswith(" th")
