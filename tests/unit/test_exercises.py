"""llmbook.exercises: checks that are right about right and wrong, and never raise."""

import functools

import numpy as np
import pytest
import torch

from llmbook.exercises import Check, check, expect_error, same

DOUBLE = [((2,), 4), ((0.5,), 1.0), (([1],), [1, 1])]


def test_right():
    verdict = check(lambda x: 2 * x, DOUBLE, see="Doubling")
    assert verdict and repr(verdict) == "Right: 3 of 3 examples agree."
    assert repr(check(4, 4, see="Doubling")) == "Right."


def test_wrong_says_what_was_expected_what_came_and_where_to_look():
    def double(x):
        return x * x

    verdict = check(double, DOUBLE, see="Doubling")
    assert not verdict
    assert (
        repr(verdict) == 'Not yet: double(0.5) is 0.25; expected 1.0. See "Doubling".'
    )
    assert repr(check(3, 4)) == "Not yet: your answer is 3; expected 4."


def test_open():
    def double(x):
        return ...

    for verdict in (check(double, DOUBLE, see="D"), check(..., 4, see="D")):
        assert not verdict
        assert repr(verdict) == 'Open: not answered yet. See "D".'


def test_raising_is_wrong_and_not_an_error():
    def double(x):
        raise KeyError("x")

    verdict = check(double, DOUBLE)
    assert not verdict
    assert repr(verdict) == "Not yet: double(2) raised KeyError: 'x'; expected 4."


def test_wrong_number_of_parameters_is_wrong_and_not_an_error():
    assert "TypeError" in repr(check(lambda: 4, DOUBLE))


def test_answers_without_a_name():
    class Double:
        def __call__(self, x):
            return 2 * x

    assert check(Double(), DOUBLE)
    assert check(functools.partial(lambda n, x: n * x, 2), DOUBLE)
    assert not check(functools.partial(lambda n, x: n * x, 3), DOUBLE)


def test_answers_that_change_their_arguments_are_tried_fairly():
    examples = [(([3, 1],), [1, 3]), (([2, 1],), [1, 2])]

    def order(numbers):
        numbers.sort()
        return numbers

    def empty(numbers):
        numbers.clear()
        return numbers

    assert check(order, examples) and check(order, examples)
    assert "empty([3, 1]) is []" in repr(check(empty, examples))
    assert examples[0] == (([3, 1],), [1, 3])


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (0.1 + 0.2, 0.3),
        (2, 2.0),
        ([0.1 + 0.2, "a"], [0.3, "a"]),
        ((1, [0.1 + 0.2]), (1, [0.3])),
        (float("inf"), float("inf")),
        (np.array([0.1 + 0.2]), np.array([0.3])),
        (torch.tensor([0.1 + 0.2]), torch.tensor([0.3])),
        (np.float64(0.1 + 0.2), 0.3),
        ({1, 2}, {2, 1}),
        ({"a": 1}, {"a": 1}),
        (None, None),
        (b"\xc3", b"\xc3"),
        ([], []),
    ],
)
def test_same(got, want):
    assert same(got, want)
    assert check(got, want)


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (0.31, 0.3),
        ("2", 2),
        (2, "2"),
        (True, 1),
        (1, True),
        (True, 1.0),
        (2.5, 2),
        ([1], [1, 2]),
        ([1, 2], [1]),
        ([1, 2], (1, 2)),
        ([0.31], [0.3]),
        (np.array([1.0, 2.0]), np.array([1.0])),
        (np.array([[1.0]]), np.array([1.0])),
        (np.zeros((0, 2)), np.zeros((0, 3))),
        (np.array([1.0]), [1.0]),
        (torch.tensor([1.0]), torch.tensor([2.0])),
        (float("nan"), 0.0),
        ("a", b"a"),
        (None, 0),
        ({"a": 1}, {"a": 2}),
    ],
)
def test_not_same(got, want):
    assert not same(got, want)
    assert not check(got, want)


def test_tolerance():
    assert not same(1.01, 1.0) and same(1.01, 1.0, tolerance=0.02)
    assert not check([1.01], [1.0]) and check([1.01], [1.0], tolerance=0.02)
    assert check(lambda x: x + 0.01, [((1.0,), 1.0)], tolerance=0.02)


@pytest.mark.parametrize("verdict", ["Right", "Not yet", "Open"])
def test_verdict_as_html(verdict):
    source = Check(verdict, "f('<b>') & more", "A & B")._repr_html_()
    assert f"<strong>{verdict}</strong>: f(&#x27;&lt;b&gt;&#x27;) &amp; more" in source
    assert ("See &quot;A &amp; B&quot;" in source) is (verdict != "Right")


def test_expected_error_shows_its_message(capsys):
    with expect_error():
        raise ValueError("give one id a token")
    assert capsys.readouterr().out == "ValueError: give one id a token\n"


def test_expected_error_of_another_kind(capsys):
    with expect_error(KeyError):
        raise KeyError("a")
    assert capsys.readouterr().out == "KeyError: 'a'\n"
    with pytest.raises(TypeError), expect_error(KeyError):
        raise TypeError("another")


def test_expected_error_must_come():
    with pytest.raises(AssertionError, match="expected ValueError"), expect_error():
        pass


def test_numbers_from_arrays_and_inside_dictionaries():
    assert check(np.int64(3), 3) and check(2.0, 2) and check(torch.tensor(0.5), 0.5)
    assert check({"a": 0.1 + 0.2}, {"a": 0.3}) and not check({"a": 1}, {"b": 1})
    assert check({"a": np.arange(3)}, {"a": np.arange(3)})
    assert not check(True, 1) and not check(1, True)


def test_an_answer_that_leaves_python_is_wrong():
    assert "SystemExit" in repr(check(lambda: exit(), [((), 1)]))


@pytest.mark.parametrize("want", [3, [], None])
def test_a_function_needs_examples(want):
    with pytest.raises(ValueError, match=r"list of .arguments, value. pairs"):
        check(len, want)
