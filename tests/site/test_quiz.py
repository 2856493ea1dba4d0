"""Questions are read as they are written, or it is said what is wrong with them."""

import pytest

from _ext.quiz import question


@pytest.mark.parametrize(
    "raw",
    [
        "text",
        {"ask": "?"},
        {"ask": "?", "see": "Idea"},
        {"ask": "?", "see": "Idea", "answer": 1},
        {"ask": "?", "see": "Idea", "answer": 1, "why": "x", "hint": "y"},
        {"ask": "?", "see": "Idea", "options": [{"right": "a"}]},
        {"ask": "?", "see": "Idea", "options": [{"right": "a", "why": ""}]},
        {"ask": "?", "see": "Idea", "options": [{"maybe": "a", "why": "b"}]},
    ],
)
def test_a_malformed_question_is_refused(raw):
    with pytest.raises(ValueError):
        question(raw)


def test_a_typed_answer_is_read():
    raw = {"ask": "?", "see": "Idea", "answer": 12345, "within": 5, "why": "Count."}
    assert question(raw).answer == "12,345"
    assert question(raw).within == 5
    assert question({**raw, "answer": "no"} | {"accept": ["none"]}).within is None
