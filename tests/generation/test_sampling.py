"""What is drawn follows the stated distribution, and that agrees with transformers."""

import itertools
import math

import pytest
import torch

from llmbook.generation import next_probs, sample_next

KNOBS = [
    {},
    {"temperature": 0.3},
    {"temperature": 2.5},
    {"top_k": 1},
    {"top_k": 7},
    {"top_k": 10_000},
    {"top_p": 0.35},
    {"top_p": 0.9},
    {"top_p": 1.0},
    {"min_p": 0.2},
    {"min_p": 0.0},
    {"temperature": 1.7, "top_k": 12, "top_p": 0.8, "min_p": 0.05},
    {"temperature": 0.6, "top_p": 0.5, "min_p": 0.4},
]


def by_hand(scores, temperature=1.0, top_k=None, top_p=1.0, min_p=0.0):
    """The distribution of one row, written for clarity with lists."""
    best = max(scores)
    odds = {i: math.exp((x - best) / temperature) for i, x in enumerate(scores)}
    order = sorted(odds, key=lambda i: (-scores[i], i))[:top_k]
    total, mass, kept = math.fsum(odds[i] for i in order), 0.0, []
    for i in order:
        if mass < top_p or top_p == 1:
            kept.append(i)
        mass += odds[i] / total
    kept = [i for i in kept if odds[i] >= min_p * odds[order[0]]]
    total = math.fsum(odds[i] for i in kept)
    return [odds[i] / total if i in kept else 0.0 for i in range(len(scores))]


@pytest.mark.parametrize("knobs", KNOBS, ids=str)
@pytest.mark.parametrize("size", [5, 100, 700])
def test_distribution_is_the_one_by_hand(knobs, size):
    torch.manual_seed(size)
    logits = 3 * torch.randn(4, size)
    probs = next_probs(logits, **knobs)
    for row, wanted in zip(probs, logits.tolist(), strict=True):
        wanted = torch.tensor(by_hand(wanted, **knobs), dtype=torch.float64)
        assert torch.equal(row > 0, wanted > 0)
        torch.testing.assert_close(row, wanted, rtol=1e-9, atol=0)


@pytest.mark.parametrize("knobs", KNOBS, ids=str)
def test_distribution_is_that_of_transformers(knobs):
    processors = pytest.importorskip("transformers.generation.logits_process")
    classes = {
        "temperature": processors.TemperatureLogitsWarper,
        "top_k": processors.TopKLogitsWarper,
        "top_p": processors.TopPLogitsWarper,
        "min_p": processors.MinPLogitsWarper,
    }
    torch.manual_seed(1)
    logits = 3 * torch.randn(50, 1000)
    scores = logits.double()
    for name, value in knobs.items():
        scores = classes[name](value)(None, scores)
    probs = next_probs(logits, **knobs)
    assert torch.equal(probs > 0, scores > -math.inf)
    torch.testing.assert_close(probs, scores.softmax(-1), rtol=1e-9, atol=0)


def test_repetition_penalty_is_that_of_transformers():
    processors = pytest.importorskip("transformers.generation.logits_process")
    torch.manual_seed(2)
    logits, previous = torch.randn(6, 40), torch.randint(0, 40, (6, 25))
    theirs = processors.RepetitionPenaltyLogitsProcessor(1.7)(previous, logits.clone())
    generators = [torch.Generator().manual_seed(i) for i in range(6)]
    ours = sample_next(
        logits, repetition_penalty=1.7, previous=previous, generator=generators
    )
    generators = [torch.Generator().manual_seed(i) for i in range(6)]
    assert torch.equal(ours, sample_next(theirs, generator=generators))
    greedy = {"temperature": 0, "repetition_penalty": 5.0}
    rows = previous.tolist()
    assert torch.equal(
        sample_next(logits, **greedy, previous=rows),
        processors.RepetitionPenaltyLogitsProcessor(5.0)(previous, logits).argmax(-1),
    )


@pytest.mark.parametrize(
    ("knobs", "kept"),
    [
        ({"temperature": 0}, [1]),
        ({"top_k": 1}, [1]),
        ({"top_k": 2}, [1, 2]),
        ({"top_k": 3}, [1, 2, 4]),
        ({"top_k": 4}, [0, 1, 2, 4]),
        ({"top_p": 0.2}, [1]),
        ({"top_p": 0.5}, [1, 2]),
        ({"min_p": 1.0}, [1, 2, 4]),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_among_equals_the_smaller_id_is_kept(knobs, kept, dtype):
    logits = torch.tensor([[1.0, 3.0, 3.0, 1.0, 3.0]], dtype=dtype)
    assert next_probs(logits, **knobs)[0].nonzero()[:, 0].tolist() == kept


@pytest.mark.parametrize("knobs", [{}, {"top_k": 3}, {"top_p": 0.6}, {"min_p": 0.3}])
@pytest.mark.parametrize("rows", [1, 4])
def test_draws_follow_the_distribution(knobs, rows):
    """Chi-square over 100,000 draws, at the 99.99th percentile."""
    logits = torch.tensor([2.0, 0.5, 1.5, -1.0, 1.0, 0.0, -math.inf, 1.2]).log_softmax(
        -1
    )
    probs = next_probs(logits[None], **knobs)[0]
    generator = torch.Generator().manual_seed(rows)
    counts = torch.zeros(8)
    for _ in range(20 // rows):
        batch = logits.expand(5000 * rows, 8)
        ids = sample_next(batch, generator=generator, **knobs)
        counts += torch.bincount(ids, minlength=8)
    kept = probs > 0
    assert counts.sum() == 100_000 and not counts[~kept].any()
    expected = 100_000 * probs[kept]
    chi2 = ((counts[kept] - expected) ** 2 / expected).sum().item()
    limit = {3: 18.4, 4: 21.1, 5: 23.5, 7: 27.9}  # by degrees of freedom plus one
    assert chi2 < limit[int(kept.sum())]


def test_a_number_near_one_draws_nothing_impossible(monkeypatch):
    almost = torch.full((1,), 1 - 2.0**-53, dtype=torch.float64)
    monkeypatch.setattr(torch, "rand", lambda *args, **kwargs: almost)
    for seed in range(300):
        logits = torch.randn(1, 50, generator=torch.Generator().manual_seed(seed))
        drawn = sample_next(logits, top_k=20)
        assert next_probs(logits, top_k=20)[0, drawn] > 0


def test_one_generator_a_row_makes_rows_independent():
    torch.manual_seed(3)
    logits = torch.randn(5, 30)
    for order in itertools.permutations(range(3)):
        generators = [torch.Generator().manual_seed(i) for i in order]
        drawn = sample_next(logits[list(order)], generator=generators)
        alone = [
            sample_next(logits[[i]], generator=[torch.Generator().manual_seed(i)])
            for i in order
        ]
        assert torch.equal(drawn, torch.cat(alone))


def test_masked_tokens_are_never_drawn():
    logits = torch.full((100, 9), -math.inf)
    logits[:, 4] = 0.0
    assert sample_next(logits, temperature=5.0).unique().tolist() == [4]


def test_logits_are_left_as_they_were():
    logits = torch.randn(2, 10)
    before = logits.clone()
    sample_next(
        logits, top_k=3, top_p=0.5, repetition_penalty=2.0, previous=[[1], [2, 3]]
    )
    assert torch.equal(logits, before)


class OnApple(torch.Tensor):
    """A tensor that refuses what one on Apple's GPUs refuses, wherever it lies."""

    device = torch.device("mps")

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if torch.float64 in (kwargs or {}).values() or function is torch.Tensor.double:
            raise TypeError("the MPS framework does not support float64")
        if function is torch.Tensor.cpu:
            return args[0].as_subclass(torch.Tensor)
        return super().__torch_function__(function, types, args, kwargs or {})


@pytest.mark.parametrize("knobs", [{}, {"temperature": 0}, {"top_k": 5, "top_p": 0.5}])
def test_devices_without_double_precision(knobs):
    """Prevents a model on Apple's GPU from being unable to write."""
    logits = torch.randn(3, 20)
    probs = next_probs(logits.as_subclass(OnApple), **knobs)
    torch.testing.assert_close(probs, next_probs(logits, **knobs), rtol=0, atol=0)
    draws = (
        sample_next(each, generator=torch.Generator().manual_seed(0), **knobs)
        for each in (logits, logits.as_subclass(OnApple))
    )
    assert len({tuple(ids.tolist()) for ids in draws}) == 1
