"""Each token is a target exactly once, and the loader gives what a plain loop gives."""

import json
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from llmbook.data import TokenDataset, token_loader

from . import slow

ids = st.lists(st.integers(0, 6), min_size=2, max_size=60)


@st.composite
def cuts(draw):
    """A row of tokens, a context length and a stride."""
    tokens, T = draw(ids), draw(st.integers(1, 20))
    return tokens, T, draw(st.integers(1, T))


def lists(pair):
    return tuple(tensor.tolist() for tensor in pair)


def targets_of(batches):
    return Counter(t for _, y in batches for t in y.flatten().tolist() if t != -100)


def test_each_token_but_the_first_is_a_target_once():
    for n in range(2, 50):
        for T in range(1, n):
            for stride in range(1, T + 1):
                rows = [lists(pair) for pair in TokenDataset(range(n), T, stride)]
                pairs = [
                    (a, b) for xy in rows for a, b in zip(*xy, strict=True) if b >= 0
                ]
                assert pairs == [(i, i + 1) for i in range(n - 1)]
                assert all(len(x) == len(y) == T for x, y in rows)


@given(cuts())
def test_windows_are_those_of_a_plain_loop(cut):
    tokens, T, stride = cut
    assume(len(tokens) > T)
    rows = [lists(pair) for pair in TokenDataset(tokens, T, stride)]
    assert rows == slow.windows(tokens, T, stride)


@given(cuts())
def test_overlap_is_context(cut):
    tokens, T, stride = cut
    assume(len(tokens) > T)
    for i, (_, targets) in enumerate(TokenDataset(tokens, T, stride)):
        known = (targets == -100).sum().item()
        assert known == 0 if i == 0 else known >= T - stride


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor, np.uint16])
def test_any_row_of_ids_will_do(kind):
    tokens = kind([3, 1, 4, 1, 5, 9])
    x, y = TokenDataset(tokens, 2)[1]
    assert x.tolist() == [4, 1] and y.tolist() == [1, 5]
    assert x.dtype == y.dtype == torch.int64


def test_a_window_does_not_share_its_memory():
    tokens = np.arange(10)
    x, y = TokenDataset(tokens, 4)[0]
    x.zero_()
    y.zero_()
    assert tokens.tolist() == list(range(10))
    data = token_loader(tokens, 2, 4, shuffle=False)
    for x, y in data:
        x.zero_()
        assert y.max() > 0
    assert tokens.tolist() == list(range(10))


@given(cuts(), st.integers(1, 5))
def test_the_loader_gives_what_pytorch_gives(cut, B):
    tokens, T, stride = cut
    assume(len(tokens) > T)
    theirs = DataLoader(TokenDataset(tokens, T, stride), batch_size=B)
    ours = token_loader(tokens, B, T, stride=stride, shuffle=False)
    assert len(ours) == len(theirs)
    assert [lists(pair) for pair in ours] == [lists(pair) for pair in theirs]


@given(cuts(), st.integers(1, 5))
def test_documents_are_those_of_a_plain_loop(cut, B):
    tokens, T, stride = cut
    assume(0 in tokens)
    rows = slow.documents(tokens, T, stride, 0)
    want = [slow.batch(rows[i : i + B], T, 0) for i in range(0, len(rows), B)]
    ours = token_loader(tokens, B, T, stride=stride, shuffle=False, end_token=0)
    assert [lists(pair) for pair in ours] == want


def bare(batches):
    """The rows of some batches as they were before they were filled up, as a bag."""
    bag = Counter()
    for inputs, targets in batches:
        for x, y in zip(inputs.tolist(), targets.tolist(), strict=True):
            while y[-1] == -100:
                x, y = x[:-1], y[:-1]
            bag[tuple(x), tuple(y)] += 1
    return bag


@settings(max_examples=200)
@given(cuts(), st.integers(1, 5), st.integers(0, 99))
def test_shuffled_batches_hold_the_same_rows(cut, B, seed):
    tokens, T, stride = cut
    assume(0 in tokens)
    plain = token_loader(tokens, B, T, stride=stride, shuffle=False, end_token=0)
    mixed = token_loader(tokens, B, T, stride=stride, seed=seed, end_token=0)
    for _ in range(2):  # two epochs
        assert bare(mixed) == bare(plain)
    assert targets_of(mixed) == Counter(tokens)
    assume(len(tokens) > T)
    plain = token_loader(tokens, B, T, stride=stride, shuffle=False)
    mixed = token_loader(tokens, B, T, stride=stride, seed=seed)
    for _ in range(2):
        assert bare(mixed) == bare(plain)


def test_a_long_document_is_cut_with_half_a_context_before_each_guess():
    tokens = [*range(1, 30), 0]
    loader = token_loader(tokens, 1, 8, shuffle=False, end_token=0)
    rows = [(x[0].tolist(), y[0].tolist()) for x, y in loader]
    assert rows[0] == ([0, *range(1, 8)], [*range(1, 9)])
    for _, y in rows[1:]:
        assert y[:4] == [-100] * 4
    assert targets_of(loader) == Counter(tokens)


def test_text_that_goes_on_behind_the_last_end():
    loader = token_loader([1, 2, 0, 3, 4], 2, 8, shuffle=False, end_token=0)
    assert lists(next(iter(loader)))[1][1][:3] == [3, 4, -100]  # no end was seen


def test_documents_of_like_length_go_together(texts, tokenizer):
    end = tokenizer.special_tokens["<|endoftext|>"]
    tokens = [i for text in texts for i in [*tokenizer.encode(text), end]]
    used = {}
    for shuffle in (False, True):
        batches = list(token_loader(tokens, 8, 256, shuffle=shuffle, end_token=end))
        places = sum(y.numel() for _, y in batches)
        used[shuffle] = len(tokens) / places
        assert all(y.shape[1] % 8 == 0 for _, y in batches)
    assert used[True] > 0.85 > used[False]


def test_no_batch_is_wider_than_the_context():
    tokens = [*range(1, 30), 0] * 3
    for T in (5, 8, 11, 13):
        assert all(x.shape[1] <= T for x, _ in token_loader(tokens, 2, T, end_token=0))


def test_epochs_differ_and_seeds_differ_and_both_repeat():
    tokens = list(range(1000))

    def order(loader):
        return torch.cat([x[:, 0] for x, _ in loader]).tolist()

    one, same = token_loader(tokens, 4, 8, seed=1), token_loader(tokens, 4, 8, seed=1)
    first, second = order(one), order(one)
    assert [first, second] == [order(same), order(same)]
    other = order(token_loader(tokens, 4, 8, seed=2))
    assert first != second and first != other
    assert sorted(first) == sorted(second) == sorted(other)


def test_the_order_is_the_same_everywhere():
    """Random numbers that would change with NumPy's version would break resuming."""
    loader = token_loader(list(range(81)), 2, 8, seed=7)
    assert torch.cat([x[:, 0] for x, _ in loader]).tolist() == [
        48,
        24,
        32,
        72,
        0,
        16,
        64,
        56,
        40,
        8,
    ]


def test_drop_last():
    tokens = list(range(85))  # ten windows of eight and a rest
    kept = token_loader(tokens, 4, 8, drop_last=True)
    assert len(kept) == 2 and all(len(x) == 4 for x, _ in kept)
    assert len(token_loader(tokens, 4, 8)) == 3
    documents = [1, 0] * 3 + [*range(1, 20), 0]
    seen = set()
    loader = token_loader(documents, 3, 32, end_token=0, drop_last=True)
    for _ in range(20):
        seen |= {x.shape[1] for x, _ in loader}
    assert seen == {8, 24}  # it is not always the longest that is left out


@pytest.mark.parametrize("end_token", [None, 0])
@pytest.mark.parametrize("shuffle", [False, True])
def test_resumed_in_the_middle_equals_uninterrupted(end_token, shuffle):
    tokens = [*range(1, 9), 0, 5, 0, *range(1, 30), 0] * 9
    setup = {"shuffle": shuffle, "end_token": end_token, "seed": 3}

    def batches(loader, epochs):
        return [lists(pair) for _ in range(epochs) for pair in loader]

    whole = batches(token_loader(tokens, 4, 16, **setup), 3)
    n = len(token_loader(tokens, 4, 16, **setup))
    for stop in range(3 * n):
        first, given = token_loader(tokens, 4, 16, **setup), []
        while len(given) < stop:
            for pair in first:
                given.append(lists(pair))
                if len(given) == stop:
                    break
        note = json.dumps(first.state_dict())
        second = token_loader(tokens, 4, 16, **setup)
        second.load_state_dict(json.loads(note))
        rest = batches(second, 3 - stop // n)
        assert given + rest == whole, stop


def test_a_state_is_taken_up_by_a_loader_in_use():
    tokens = list(range(100))
    loader = token_loader(tokens, 2, 8)
    start = loader.state_dict()
    first = [lists(pair) for pair in loader]
    loader.load_state_dict(start)
    assert [lists(pair) for pair in loader] == first


def test_a_broken_off_epoch_is_not_taken_up_again():
    loader = token_loader(list(range(100)), 2, 8, shuffle=False)
    first = lists(next(iter(loader)))
    assert lists(next(iter(loader))) == first  # a look at the first batch takes none
    assert len(list(loader)) == len(loader)


def test_a_memory_map_is_read_where_it_lies(file, tokenizer):
    from llmbook.data import read_tokens

    tokens = read_tokens(file, tokenizer)
    loader = token_loader(tokens, 4, 32, shuffle=False)
    listed = token_loader(tokens.tolist(), 4, 32, shuffle=False)
    assert isinstance(loader.tokens.base, np.memmap)
    assert [lists(p) for p in loader] == [lists(p) for p in listed]
