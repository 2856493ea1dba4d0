"""Where the padding stands, and how much of it there is, changes no score."""

import pytest
import torch

from llmbook.classification import PADDING, to_front


def place(rows, before, behind):
    """Rows of unequal length in one tensor, each with padding on both sides."""
    width = max(map(len, rows)) + behind
    return torch.tensor(
        [[PADDING] * before + r + [PADDING] * (width - len(r)) for r in rows]
    )


def shifted(rows):
    """The same with the padding before the rows."""
    width = max(map(len, rows))
    return torch.tensor([[PADDING] * (width - len(r)) + r for r in rows])


ROWS = [[3], [4, 5, 6], [7, 8, 9, 10, 11, 12, 13], [0, 0]]


@pytest.mark.parametrize("before", [0, 1, 5, 100])
@pytest.mark.parametrize("behind", [0, 1, 9, 100])
def test_any_side_and_length(model, before, behind):
    with torch.no_grad():
        alone = torch.cat([model(torch.tensor([row])) for row in ROWS])
        together = model(place(ROWS, before, behind))
    assert (alone - together).abs().max() <= 1e-5 * max(1, alone.abs().max())


def test_left_padding_of_unequal_rows(model):
    with torch.no_grad():
        gap = model(shifted(ROWS)) - model(place(ROWS, 0, 0))
    assert gap.abs().max() <= 1e-5 * 10


def test_the_scores_differ_between_rows(model):
    """Else the tests above would prove nothing; the first token alone knows nothing."""
    with torch.no_grad():
        scores = model(torch.tensor([[3, 4, 5], [3, 6, 7]]))
    same = bool((scores[0] - scores[1]).abs().max() < 1e-6)
    assert same == (model.config.read == "first")


def test_reading_the_last_column_would_fail(model):
    """The bug that the chapter shows is one that these tests would catch."""
    if model.config.read != "last":
        pytest.skip("the bug is about the last token")
    row = [4, 5, 6]
    with torch.no_grad():
        right = model(torch.tensor([row]))
        wrong = model.head(model.body.features(torch.tensor([[*row, 0, 0]]))[:, -1])
    assert (right - wrong).abs().max() > 1e-3


def test_to_front_drops_empty_columns():
    moved, lengths = to_front(place(ROWS, 20, 20))
    assert moved.shape == (4, 7) and lengths.tolist() == [1, 3, 7, 2]
    assert [row[:n].tolist() for row, n in zip(moved, lengths, strict=True)] == ROWS


def test_a_row_of_padding():
    with pytest.raises(ValueError, match="row 1 is nothing but padding"):
        to_front(torch.tensor([[1, 2], [-1, -1]]))


@pytest.mark.parametrize("row", [[1, -1, 2], [-1, 1, -1, 2], [1, 2, -1, 3, -1]])
def test_a_hole(row):
    with pytest.raises(ValueError, match="between the tokens"):
        to_front(torch.tensor([row]))
