"""Precision, recall, calibration and the bag of words against known answers."""

import random

import pytest
import torch

from llmbook.classification import (
    BagOfWords,
    calibrate,
    fit_temperature,
    precision_recall,
    predict,
    reliability,
)

from .conftest import TEXTS, make


@pytest.mark.parametrize("seed", range(20))
def test_precision_recall_by_counting(seed):
    draw = random.Random(seed)
    n = draw.randrange(1, 30)
    probs = [draw.randrange(8) / 7 for _ in range(n)]  # with ties
    truth = [True] + [draw.random() < 0.3 for _ in range(n - 1)]
    curve = precision_recall(probs, truth)
    assert curve.thresholds == sorted(set(probs), reverse=True)
    for threshold, precision, recall in zip(*curve, strict=True):
        said = [t for p, t in zip(probs, truth, strict=True) if p >= threshold]
        assert precision == pytest.approx(sum(said) / len(said))
        assert recall == pytest.approx(sum(said) / sum(truth))
    assert curve.recall[-1] == 1


def drawn(temperature, n=4000, seed=0):
    """Scores, and labels drawn from their softmax at a temperature."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, 4, generator=generator)
    probs = (logits / temperature).softmax(-1)
    return logits, torch.multinomial(probs, 1, generator=generator)[:, 0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_found(temperature):
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.08)


def test_reliability_of_the_truth_and_of_a_boaster():
    logits, targets = drawn(1.0)
    honest = reliability(logits, targets)
    assert honest.error < 0.03 and sum(honest.count) == len(logits)
    assert reliability(5 * logits, targets).error > 0.1
    right = torch.tensor([[9.0, -9.0]] * 3), torch.tensor([0, 0, 1])
    (sure,), (share,), count = reliability(*right)
    assert sure == pytest.approx(1) and share == pytest.approx(2 / 3) and count == [3]


def test_calibrating_keeps_the_labels(tokenizer):
    model = make(tokenizer)
    before = predict(model, tokenizer, TEXTS)
    labels = [p.label for p in before]
    labels[0], labels[1] = labels[1], "xyz".replace(labels[1], "")[0]  # some are wrong
    temperature = calibrate(model, tokenizer, TEXTS, labels)
    after = predict(model, tokenizer, TEXTS)
    assert temperature > 0 and [p.label for p in before] == [p.label for p in after]
    again = calibrate(model, tokenizer, TEXTS, labels)
    assert again == pytest.approx(1, abs=0.01)


def test_what_a_bag_counts():
    counts = BagOfWords.count("The goat, the goat.")
    assert counts["goat"] == counts["the goat"] == 2 and counts[", the"] == 1
    assert BagOfWords.count("a b", n=1) == {"a": 1, "b": 1}


def test_a_bag_learns_words_and_pairs():
    draw = random.Random(0)
    words = ["owl", "fox", "hen", "not", "good"]
    texts = [" ".join(draw.choices(words, k=6)) for _ in range(400)]
    for sign in ("owl", "not good"):
        labels = ["yes" if sign in text else "no" for text in texts]
        bag = BagOfWords.train(texts[:300], labels[:300])
        said = [p.label for p in bag.predict(texts[300:])]
        hits = sum(a == b for a, b in zip(said, labels[300:], strict=True))
        assert hits >= 93


def test_the_bag_is_at_its_optimum():
    """At the least loss the gradient is zero."""
    texts = ["a b", "b c", "c a", "a a", "b b c", "c"] * 5
    labels = ["x", "y", "y", "x", "y", "x"] * 5
    bag = BagOfWords.train(texts, labels, penalties=[1e-2])
    x = bag.matrix(texts, bag.features).to_dense()
    weight = bag.weight.clone().requires_grad_()
    targets = torch.tensor(["xy".index(label) for label in labels])
    loss = torch.nn.functional.cross_entropy(x @ weight + bag.bias, targets)
    (loss + 1e-2 * weight.square().sum()).backward()
    assert weight.grad.abs().max() < 1e-3


def test_a_bag_of_unknown_words():
    bag = BagOfWords.train(["a b", "a b", "c d", "c d", "a", "c"], list("xxyyxy"))
    assert bag.predict(["zebra", ""])[0] == bag.predict(["zebra", ""])[1]
