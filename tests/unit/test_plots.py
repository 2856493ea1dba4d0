"""llmbook.plots: pictures that say the same in text, and runs that repeat."""

import html
import io
import random
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle
from PIL import Image

from llmbook.plots import (
    AXIS_COLORS,
    CURVE_COLORS,
    CUT_COLORS,
    Moving,
    TokenStrip,
    pick_device,
    plot_curves,
    plot_cuts,
    plot_losses,
    set_seed,
    show_attention,
    show_matrix,
    show_tokens,
    visible,
)


@pytest.mark.parametrize(
    ("piece", "shown"),
    [
        (" the", "·the"),
        ("\n\t", "↵⇥"),
        ("é", "é"),
        (b"\xc3\xa9", "é"),
        (b"caf\xc3", "caf\\xc3"),
        ("\x00", "\\x00"),
        ("\u200b", "\\u200b"),
        ("", ""),
    ],
)
def test_visible(piece, shown):
    assert visible(piece) == shown


@given(st.one_of(st.text(), st.binary()))
def test_visible_leaves_nothing_unseen(piece):
    shown = visible(piece)
    assert shown.isprintable() and " " not in shown
    if isinstance(piece, bytes):
        piece = piece.decode("utf-8", errors="replace")
    assert len(shown) >= len(piece)


def test_strip_as_text():
    assert repr(show_tokens(["The", " cat"])) == "The|·cat"
    assert repr(show_tokens(["The", b"\xc3"], [5, 195])) == "The 5|\\xc3 195"
    assert repr(show_tokens([])) == ""


def test_strip_takes_any_iterable_once():
    strip = show_tokens(iter(["a", "b"]), np.array([1, 2]))
    assert repr(strip) == repr(strip) == "a 1|b 2"


@pytest.mark.parametrize("ids", [[1], [1, 2, 3], []])
def test_strip_needs_one_id_a_token(ids):
    with pytest.raises(ValueError, match=f"2 tokens but {len(ids)} ids"):
        TokenStrip(["a", "b"], ids)


@given(st.lists(st.text(), max_size=8))
def test_strip_as_html_escapes_and_keeps_the_text(pieces):
    source = show_tokens(pieces)._repr_html_()
    boxes = re.findall(r"inline-block\">(.*?)</span>", source)
    assert [html.unescape(box) for box in boxes] == [visible(p) for p in pieces]
    assert not any("<" in box for box in boxes)


@pytest.mark.parametrize(
    ("count", "label"), [(0, "0 tokens"), (1, "1 token"), (2, "2 tokens")]
)
def test_strip_as_html_tells_a_screen_reader_its_length(count, label):
    source = show_tokens(["a"] * count, range(count))._repr_html_()
    assert f'role="group" aria-label="{label}"' in source
    assert source.count("<sub>") == count


def test_strip_as_html_can_be_copied_with_its_cuts():
    source = show_tokens(["a", "b", "c"])._repr_html_()
    assert re.sub(r"<[^>]+>", "", source) == "a|b|c"


def luminance(color):
    """The relative luminance of a colour, as WCAG 2 defines it."""
    if len(color) == 4:  # "#fff" for "#ffffff"
        color = "#" + "".join(2 * digit for digit in color[1:])
    total = 0
    for start, weight in ((1, 0.2126), (3, 0.7152), (5, 0.0722)):
        part = int(color[start : start + 2], 16) / 255
        small = part <= 0.04045
        total += weight * (part / 12.92 if small else ((part + 0.055) / 1.055) ** 2.4)
    return total


def contrast(one, other):
    light, dark = sorted([luminance(one), luminance(other)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colors_can_be_read():
    assert contrast("#fff", "#000000") == pytest.approx(21)
    assert all(contrast(color, "#111") >= 7 for color in TokenStrip.colors)
    assert all(contrast(color, "#fff") >= 4.5 for color in CURVE_COLORS)
    assert all(contrast(color, "#fff") >= 4.5 for color in AXIS_COLORS.values())
    assert all(contrast(color, ink) >= 4.5 for color, ink in CUT_COLORS)


CURVES = {"squares": [1, 4, 9], "doubles": [2, 4, 8]}


def test_curves_are_labelled():
    figure = plot_curves([1, 2, 3], CURVES, "steps", "loss (nats)")
    (axes,) = figure.axes
    assert axes.get_xlabel() == "steps" and axes.get_ylabel() == "loss (nats)"
    assert [text.get_text() for text in axes.texts] == list(CURVES)
    assert [list(line.get_ydata()) for line in axes.lines] == list(CURVES.values())
    assert axes.get_xscale() == "linear"


def test_curves_differ_without_colour():
    figure = plot_curves([1, 2, 3], {str(n): [n, n, n] for n in range(4)}, "x", "y")
    strokes = [line.get_linestyle() for line in figure.axes[0].lines]
    assert len(set(strokes)) == 4


def test_curves_over_doublings():
    figure = plot_curves(range(1, 4), CURVES, "x", "y", log_x=True)
    figure.canvas.draw()
    assert figure.axes[0].get_xscale() == "log"
    assert all("^" not in t.get_text() for t in figure.axes[0].get_xticklabels())


def test_figures_are_shown_once():
    from matplotlib import pyplot as plt

    before = plt.get_fignums()
    plot_curves([1, 2, 3], CURVES, "x", "y")
    plot_cuts({"one": ["a"]})
    show_matrix([[1]])
    show_attention([[1]], ["a"])
    plot_losses([1], {"a": [1]})
    assert plt.get_fignums() == before


def test_cuts_of_one_row_draw_without_a_warning(recwarn):
    plot_cuts({"one": ["a", " cat"]}).canvas.draw()
    assert not [str(warning.message) for warning in recwarn]


def test_cuts_draw_each_token_of_each_row():
    rows = {"bytes": list("a cat"), "words": ["a", " cat"]}
    (axes,) = plot_cuts(rows, "vocabulary").axes
    assert len(axes.patches) == 7
    assert "".join(text.get_text() for text in axes.texts) == "a·cat" * 2
    assert [label.get_text() for label in axes.get_yticklabels()] == list(rows)
    assert axes.get_ylabel() == "vocabulary"


@pytest.mark.parametrize(
    ("cuda", "mps", "device"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_device_is_the_fastest(monkeypatch, cuda, mps, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert pick_device() == torch.device(device)


def draws():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_seed_repeats_every_source_of_chance():
    set_seed(1)
    first = draws()
    assert all(a != b for a, b in zip(first, draws(), strict=True))
    set_seed(1)
    assert draws() == first
    set_seed(2)
    assert all(a != b for a, b in zip(first, draws(), strict=True))


def test_nothing_to_draw():
    for curves, x in (({}, [1]), ({"a": []}, [])):
        with pytest.raises(ValueError, match="nothing to draw"):
            plot_curves(x, curves, "x", "y")
    for rows in ({}, {"a": []}):
        with pytest.raises(ValueError, match="nothing to draw"):
            plot_cuts(rows)


PNG = b"\x89PNG"
SMALL = [[1, -2.5], [0.25, 4]]


@pytest.mark.parametrize(
    "matrix",
    [
        SMALL,
        np.array(SMALL),
        torch.tensor(SMALL, requires_grad=True),
        torch.tensor(SMALL, dtype=torch.bfloat16),
    ],
)
def test_matrix_as_text(matrix):
    lines = repr(show_matrix(matrix, "T", "C", [" a", b"\xc3"])).splitlines()
    assert [line.split() for line in lines] == [
        ["0", "1"],
        ["·a", "1.00", "-2.50"],
        ["\\xc3", "0.25", "4.00"],
    ]
    assert len({len(line) for line in lines}) == 1


def test_matrix_as_picture():
    picture = show_matrix(SMALL, "T (tokens)", "C", column_labels=["x", "y"])
    (axes,) = picture.figure.axes
    assert picture._repr_png_().startswith(PNG)
    assert axes.get_ylabel() == "T (tokens)" and axes.get_xlabel() == "C"
    assert axes.yaxis.label.get_color() == AXIS_COLORS["T"]
    assert axes.xaxis.label.get_color() == AXIS_COLORS["C"]
    assert [text.get_text() for text in axes.texts] == ["1.00", "-2.50", "0.25", "4.00"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["x", "y"]


def test_only_a_letter_colours_an_axis():
    figure = show_matrix(SMALL, "Tokens", "").figure
    assert figure.axes[0].yaxis.label.get_color() not in AXIS_COLORS.values()


def test_large_matrix_has_a_scale_in_place_of_values():
    picture = show_matrix(torch.arange(400.0).view(20, 20), decimals=0)
    assert repr(picture) == "20 rows and 20 columns of numbers from 0 to 399"
    assert len(picture.figure.axes) == 2 and not picture.figure.axes[0].texts


@pytest.mark.parametrize("matrix", [[], [1, 2], np.zeros((2, 2, 2)), np.zeros((0, 3))])
def test_matrix_needs_two_axes(matrix):
    with pytest.raises(ValueError, match="two axes and this has the shape"):
        show_matrix(matrix)


def test_matrix_needs_rows_of_one_length_and_a_label_each():
    with pytest.raises(ValueError, match="equally many numbers"):
        show_matrix([[1, 2], [3]])
    with pytest.raises(ValueError, match="2 rows but 1 labels"):
        show_matrix(SMALL, row_labels=["a"])
    with pytest.raises(ValueError, match="2 columns but 3 labels"):
        show_matrix(SMALL, column_labels="abc")


def test_matrix_of_zeros_draws():
    assert show_matrix([[0, 0]])._repr_png_().startswith(PNG)


def test_attention_hides_what_is_masked():
    picture = show_attention([[1, 0], [0.25, 0.75]], ["A", " b"])
    lines = [line.split() for line in repr(picture).splitlines()]
    assert lines == [["A", "·b"], ["A", "1.00", "-"], ["·b", "0.25", "0.75"]]
    (axes,) = picture.figure.axes
    assert axes.images[0].get_array().mask.tolist() == [[False, True], [False, False]]
    assert axes.patch.get_hatch()
    assert axes.get_ylabel() == "T (who looks)" and axes.get_xlabel() == "T (at whom)"


def test_attention_of_many_tokens_says_where_each_looks_most():
    weights = torch.full((12, 12), 0.02)
    weights[:, 3] = 1 - 11 * 0.02
    lines = repr(show_attention(weights, [f"t{n}" for n in range(12)])).splitlines()
    assert len(lines) == 12 and lines[5] == "t5 looks at t3 0.78"


def test_attention_refuses_what_is_none():
    with pytest.raises(ValueError, match="T by T"):
        show_attention([[0.5, 0.5]], ["a"])
    with pytest.raises(ValueError, match="2 rows but 1 labels"):
        show_attention([[1, 0], [0.5, 0.5]], ["a"])
    with pytest.raises(ValueError, match=r"'b' sum to 3\.00.*softmax"):
        show_attention([[1, 0], [1, 2]], ["a", "b"])
    with pytest.raises(ValueError, match="softmax"):
        show_attention([[1, 0], [-1, 2]], ["a", "b"])
    with pytest.raises(ValueError, match="softmax"):
        show_attention([[1, 0], [float("nan"), 1]], ["a", "b"])


def test_losses_as_text():
    picture = plot_losses([10, 1000], {"small": [4, 2], "large": [3, 1.5]}, floor=1)
    assert repr(picture).splitlines() == [
        "small: 4.000 at 10, 2.000 at 1,000 steps",
        "large: 3.000 at 10, 1.500 at 1,000 steps",
        "floor: 1.000",
    ]
    assert picture._repr_png_().startswith(PNG)


def test_losses_of_seeds_are_a_band():
    picture = plot_losses([1, 2], {"runs": [[4, 2], [2, 1]]})
    assert (
        repr(picture) == "runs, 2 seeds: 3.000 at 1, 1.500 (1.000 to 2.000) at 2 steps"
    )
    (axes,) = picture.figure.axes
    (band,) = axes.collections
    heights = {tuple(map(float, point)) for point in band.get_paths()[0].vertices}
    assert {(1.0, 2.0), (1.0, 4.0), (2.0, 1.0), (2.0, 2.0)} <= heights
    assert list(axes.lines[0].get_ydata()) == [3, 1.5]


def test_losses_name_axes_and_floor():
    picture = plot_losses([1, 2], {"a": [4, 2]}, "tokens", floor=0.5, log_x=True)
    (axes,) = picture.figure.axes
    assert (axes.get_xlabel(), axes.get_xscale()) == ("tokens", "log")
    assert axes.get_ylabel() == "loss (nats per token)"
    assert {text.get_text() for text in axes.texts} == {"a", "floor 0.50"}
    assert axes.get_ylim()[0] == 0


def test_losses_refuse_what_cannot_be_drawn():
    for x, losses in (([], {"a": []}), ([1], {})):
        with pytest.raises(ValueError, match="nothing to draw"):
            plot_losses(x, losses)
    with pytest.raises(ValueError, match="'a' has 3 losses at 2 places"):
        plot_losses([1, 2], {"a": [1, 2, 3]})
    with pytest.raises(ValueError, match="begins at 0"):
        plot_losses([0, 2], {"a": [1, 2]}, log_x=True)


@pytest.fixture
def moving():
    """A dot that walks along a line, in five states."""
    figure, axes = plt.subplots(figsize=(3, 1))
    (dot,) = axes.plot(0, 0, "o", color="#b3261e", markersize=9)
    axes.set_xlim(-1, 5)
    plt.close(figure)
    return Moving(figure, lambda n: dot.set_data([n], [0]), 5, "a dot walks", 1.0)


def test_a_moving_picture_shows_its_states(moving):
    """Another reader of the format finds each state whole, the last one first."""
    states = np.split(np.asarray(moving.states().convert("RGB")), 5)
    assert all((a != b).any() for a, b in pairwise(states))
    with Image.open(io.BytesIO(moving._repr_png_())) as file:
        assert (file.n_frames, file.default_image) == (6, True)
        shown, times = [], []
        for n in range(file.n_frames):
            file.seek(n)
            shown.append(np.asarray(file.convert("RGB")))
            times.append(file.info.get("duration"))
    assert times[1:] == [200, 200, 200, 200, 2200] and file.info["loop"] == 0
    for want, got in zip([states[-1], *states], shown, strict=True):
        assert (want == got).all() and (got[0, 0] == 255).all()  # white stays white
    assert repr(moving) == "a dot walks"


def test_a_moving_picture_of_few_colours():
    """With less than a full palette, what has not changed still shines through."""
    figure = plt.figure(figsize=(2, 1))
    plt.close(figure)
    box = Rectangle((0, 0), 0.25, 1, color="#1f5fa8", antialiased=False)
    figure.add_artist(box)
    picture = Moving(figure, lambda n: box.set_x(n / 4), 4, "a box walks")
    states = np.split(np.asarray(picture.states().convert("RGB")), 4)
    assert len(np.unique(np.concatenate(states).reshape(-1, 3), axis=0)) < 10
    with Image.open(io.BytesIO(picture._repr_png_())) as file:
        for n, want in enumerate([states[-1], *states]):
            file.seek(n)
            assert (np.asarray(file.convert("RGB")) == want).all()


def test_a_moving_picture_is_light(moving):
    """What does not change is stored once."""
    moving.states().crop((0, 0, 300, 100)).save(one := io.BytesIO(), format="png")
    assert len(moving._repr_png_()) < 0.6 * 6 * one.tell()


def test_one_state_does_not_move():
    with pytest.raises(ValueError, match="1 states do not move: give two or more"):
        Moving(plt.figure(), print, 1, "nothing")
