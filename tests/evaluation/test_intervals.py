"""Intervals cover what they say, and equal closed forms where there are any."""

import math

import numpy as np
import pytest
import torch

from llmbook.evaluation import (
    bleu,
    bootstrap,
    examples_needed,
    student_quantile,
    tail_of,
)


def covered(draw, truth, n_trials=2000):
    """The share of intervals that hold the truth."""
    return np.mean(
        [truth in bootstrap(draw(), n_resamples=1000, seed=i) for i in range(n_trials)]
    )


@pytest.mark.parametrize("n", [10, 30, 200])
def test_covers_a_normal_mean(n):
    rng = np.random.default_rng(n)
    assert 0.93 < covered(lambda: rng.normal(3, 2, n), 3) < 0.97


@pytest.mark.parametrize(("n", "p"), [(60, 0.43), (200, 0.5), (200, 0.8)])
def test_covers_a_proportion(n, p):
    rng = np.random.default_rng(n)
    assert 0.93 < covered(lambda: (rng.random(n) < p) * 1.0, p) < 0.97


def test_covers_a_skewed_mean():
    rng = np.random.default_rng(5)
    assert 0.92 < covered(lambda: rng.exponential(2, 100), 2) < 0.97


def test_covers_a_paired_difference():
    rng = np.random.default_rng(6)

    def held(seed):
        hard = rng.normal(0, 5, 50)
        a, b = hard + rng.normal(0.4, 1, 50), hard + rng.normal(0, 1, 50)
        return 0.4 in bootstrap(a, b, n_resamples=1000, seed=seed)

    assert 0.93 < np.mean([held(i) for i in range(2000)]) < 0.97


def test_covers_with_groups_and_not_without():
    rng = np.random.default_rng(7)
    numbers = np.repeat(np.arange(40), 5)

    def held(groups, seed):
        values = np.repeat(rng.normal(0, 1, 40), 5) + rng.normal(0, 0.5, 200)
        return 0 in bootstrap(values, groups=groups, n_resamples=1000, seed=seed)

    assert 0.92 < np.mean([held(numbers, i) for i in range(1000)]) < 0.98
    assert np.mean([held(None, i) for i in range(1000)]) < 0.75


def binomial_quantile(n, p, share):
    """The least count whose cumulative probability reaches the share."""
    total = 0.0
    for k in range(n + 1):
        total += math.comb(n, k) * p**k * (1 - p) ** (n - k)
        if total >= share:
            return k
    return n


@pytest.mark.parametrize(("n", "right"), [(20, 13), (60, 26), (400, 372)])
def test_equal_to_the_exact_binomial(n, right):
    interval = bootstrap([1.0] * right + [0.0] * (n - right), n_resamples=100_000)
    tail = tail_of(0.95, n)
    low, high = (binomial_quantile(n, right / n, q) / n for q in (tail, 1 - tail))
    assert abs(interval.low - low) < 1.01 / n and abs(interval.high - high) < 1.01 / n
    want = math.sqrt(right / n * (1 - right / n) / (n - 1))
    assert math.isclose(interval.standard_error, want, rel_tol=0.02)
    assert interval.estimate == pytest.approx(right / n)


def test_student_equals_the_tables():
    table = {10: 2.2622, 30: 2.0452, 100: 1.9842}
    for n, t in table.items():
        assert abs(student_quantile(0.975, n) - t) < 2e-3


def test_pairs_of_equal_values_differ_by_nothing():
    values = np.random.default_rng(0).random(50)
    both = bootstrap(values, values)
    assert (both.estimate, both.low, both.high, both.standard_error) == (0, 0, 0, 0)


def test_pairing_narrows():
    rng = np.random.default_rng(1)
    hard = rng.normal(0, 5, 100)
    a, b = hard + rng.normal(1, 1, 100), hard + rng.normal(0, 1, 100)
    alone, paired = bootstrap(a), bootstrap(a, b)
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)


def test_groups_of_one_are_no_groups():
    values = np.random.default_rng(2).random(40)
    assert bootstrap(values) == bootstrap(values, groups=[f"g{i}" for i in range(40)])


def test_a_statistic_of_its_own():
    values = np.random.default_rng(3).random(60)
    mean = bootstrap(values, n_resamples=2000)
    same = bootstrap(values, statistic=np.mean, n_resamples=2000)
    assert same.estimate == pytest.approx(mean.estimate)
    assert same.low == pytest.approx(mean.low, abs=0.01)
    texts, goals = ["a b c d", "a b x d", "y b c d e"] * 5, ["a b c d e"] * 15
    of_bleu = bootstrap(
        range(15),
        statistic=lambda rows: (
            bleu([texts[int(i)] for i in rows], [goals[int(i)] for i in rows]).score
        ),
        n_resamples=200,
    )
    assert of_bleu.low < bleu(texts, goals).score < of_bleu.high


def test_repeats_and_takes_tensors_and_flags():
    flags = [True, False, True, True]
    numbers = torch.tensor([1.0, 0.0, 1.0, 1.0])
    assert bootstrap(flags) == bootstrap(numbers) == bootstrap([1, 0, 1, 1])
    assert bootstrap(flags, seed=1).low <= 0.75 <= bootstrap(flags, seed=1).high


def test_power_is_as_promised():
    rng = np.random.default_rng(8)
    n = examples_needed(0.5, 2.0)
    found = [
        0 not in bootstrap(rng.normal(0.5, 2, n), n_resamples=500, seed=i)
        for i in range(1000)
    ]
    assert 0.75 < np.mean(found) < 0.85
    assert examples_needed(0.25, 2.0) == pytest.approx(4 * n, abs=4)
    assert examples_needed(-0.5, 2.0) == n


def test_refuses():
    for call, told in (
        (lambda: bootstrap([]), "give 2 or more"),
        (lambda: bootstrap([1.0]), "give 2 or more"),
        (lambda: bootstrap([1.0, math.nan]), "NaN or infinity"),
        (lambda: bootstrap([1.0, math.inf]), "NaN or infinity"),
        (lambda: bootstrap([[1.0], [2.0]]), "one number for each"),
        (lambda: bootstrap([1.0, 2.0], [1.0]), "same order"),
        (lambda: bootstrap([1.0, 2.0], groups=[1]), "group of each value"),
        (lambda: bootstrap([1.0, 2.0], groups=[1, 1]), "more groups"),
        (lambda: bootstrap([1.0, 2.0], confidence=95), "share such as 0.95"),
        (lambda: bootstrap([1.0, 2.0], n_resamples=10), "100 or more"),
        (lambda: examples_needed(0, 1), "not zero"),
        (lambda: examples_needed(1, math.nan), "finite"),
        (lambda: examples_needed(1, 1, power=1), "between 0 and 1"),
    ):
        with pytest.raises(ValueError, match=told):
            call()
