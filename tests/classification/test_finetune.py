"""What is to learn learns, and what is frozen stays the same to the bit."""

import random

import pytest
import torch

from llmbook.classification import BagOfWords, Classifier, finetune_classifier, predict
from llmbook.gpt import GPT, GPTConfig

from .conftest import END, TEXTS, make

LABELS = ["x", "y", "z", "x", "y", "z"]


def changed(model, before):
    after = model.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}


def copy_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("muon", [None, 0.01])
@pytest.mark.parametrize(
    ("train", "parts"),
    [
        ("head", ("head.",)),
        (1, ("head.", "body.h.1.", "body.ln_f.")),
        (2, ("head.", "body.h.", "body.ln_f.")),
        ("all", ("head.", "body.")),
    ],
)
def test_only_these_parts_change(tokenizer, train, parts, muon):
    model = make(tokenizer)
    before = copy_of(model)
    settings = {"n_epochs": 2, "train": train, "muon_learning_rate": muon}
    finetune_classifier(model, tokenizer, TEXTS, LABELS, **settings)
    names = changed(model, before)
    assert names and all(name.startswith(parts) for name in names)
    assert all(any(name.startswith(part) for name in names) for part in parts)
    assert all(p.requires_grad for p in model.parameters()) and not model.training


def test_the_model_it_is_put_on_stays(tokenizer):
    torch.manual_seed(0)
    gpt = GPT(GPTConfig(tokenizer.n_vocab, 48, 2, 2, 32))
    before = copy_of(gpt)
    model = Classifier.on(gpt, tokenizer, ["x", "y", "z"])
    finetune_classifier(model, tokenizer, TEXTS, LABELS)
    assert not changed(gpt, before)
    assert model.config.start_token == tokenizer.special_tokens[END]


@pytest.mark.parametrize("train", ["head", 1, "all"])
def test_the_same_seed_gives_the_same_model(tokenizer, train):
    states = []
    for seed in (0, 0, 1):
        model = make(tokenizer)
        settings = {"train": train, "seed": seed, "batch_size": 2}
        finetune_classifier(model, tokenizer, TEXTS, LABELS, **settings)
        states.append(copy_of(model))
    assert not any(not torch.equal(states[0][n], states[1][n]) for n in states[0])
    assert any(not torch.equal(states[0][n], states[2][n]) for n in states[0])


def ordered(n, seed):
    """Texts with the same words, whose label is the word that comes last."""
    draw, texts, labels = random.Random(seed), [], []
    for _ in range(n):
        words = ["it"] * draw.randrange(1, 5) + ["the"] * draw.randrange(1, 4)
        draw.shuffle(words)
        for a, b in (("goat", "bun"), ("bun", "goat")):
            texts.append(" ".join([*words, a, "ate", *words[::-1], b, "and", "it"]))
            labels.append(b)
    return texts, labels


def test_order_is_learned_and_a_bag_cannot(tokenizer):
    texts, labels = ordered(80, 0)
    fresh, truth = ordered(40, 1)
    torch.manual_seed(0)
    gpt = GPT(GPTConfig(tokenizer.n_vocab, 48, 2, 2, 32, rotary=True))
    model = Classifier.on(gpt, tokenizer, ["goat", "bun"])
    settings = {"n_epochs": 8, "learning_rate": 3e-3}
    losses = finetune_classifier(model, tokenizer, texts, labels, **settings)
    assert losses[0] == pytest.approx(0.6931, abs=1e-3)  # a head of zeros is fair
    hits = [
        p.label == t
        for p, t in zip(predict(model, tokenizer, fresh), truth, strict=True)
    ]
    assert sum(hits) > 0.95 * len(hits)
    bag = BagOfWords.train(texts, labels, n=1)
    hits = [p.label == t for p, t in zip(bag.predict(fresh), truth, strict=True)]
    assert sum(hits) == len(hits) / 2


def test_frozen_head_equals_the_slow_way(tokenizer):
    """Asking the body once gives what training the head in place gives."""
    quick, slow = make(tokenizer), make(tokenizer)
    settings = {"n_epochs": 3, "batch_size": len(TEXTS), "weight_decay": 0.0}
    finetune_classifier(quick, tokenizer, TEXTS, LABELS, train="head", **settings)
    slow.body.requires_grad_(False)
    from llmbook.classification import pad, rows_of
    from llmbook.optim import fit

    batch = pad(rows_of(slow, tokenizer, TEXTS)), torch.tensor([0, 1, 2, 0, 1, 2])
    fit(slow, [batch], 3, learning_rate=1e-3, weight_decay=0.0)
    assert torch.allclose(quick.head.weight, slow.head.weight, atol=1e-5)
    assert torch.allclose(quick.head.bias, slow.head.bias, atol=1e-5)
