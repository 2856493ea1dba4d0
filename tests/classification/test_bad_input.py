"""Whatever is wrong is said at once, in one sentence that tells what to do."""

import pytest
import torch
from torch import nn

from llmbook.classification import (
    BagOfWords,
    Classifier,
    ClassifierConfig,
    finetune_classifier,
    precision_recall,
    predict,
)

from .conftest import TEXTS, make


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": ["x"]}, "two or more"),
        ({"labels": ["x", "x"]}, "each once"),
        ({"labels": ["x", "y"], "read": "middle"}, "choose of last, mean, first"),
        ({"labels": ["x", "y"], "body": "LSTM"}, "no model is called 'LSTM'"),
    ],
)
def test_config(settings, message):
    with pytest.raises(ValueError, match=message):
        ClassifierConfig(**settings)


def test_labels_are_texts():
    with pytest.raises(TypeError, match="give texts"):
        ClassifierConfig([0, 1])


def test_a_model_without_features(tokenizer):
    with pytest.raises(TypeError, match="a Linear has no features"):
        Classifier.on(nn.Linear(2, 2), tokenizer, ["x", "y"])


@pytest.mark.parametrize(
    ("texts", "kind", "message"),
    [
        ("a text", TypeError, "give a list"),
        ([b"a"], TypeError, "text 0 is of the type bytes"),
        (["a", "goat " * 100], ValueError, "text 1 has .* looks at 1 to 48"),
    ],
)
def test_texts(tokenizer, texts, kind, message):
    with pytest.raises(kind, match=message):
        predict(make(tokenizer), tokenizer, texts)


def test_batch_size(tokenizer):
    with pytest.raises(ValueError, match="batch_size is 0"):
        predict(make(tokenizer), tokenizer, TEXTS, batch_size=0)


@pytest.mark.parametrize(
    ("texts", "labels", "settings", "message"),
    [
        (TEXTS, ["x"], {}, "6 texts and 1 labels"),
        (TEXTS, ["x"] * 5 + ["q"], {}, "the labels q are unknown; known are x, y, z"),
        ([], [], {}, "1 or more of each"),
        (TEXTS, ["x"] * 6, {"n_epochs": 0}, "1 or more of each"),
        (TEXTS, ["x"] * 6, {"train": 3}, "the body has 2 blocks"),
        (TEXTS, ["x"] * 6, {"train": 0}, "the body has 2 blocks"),
        (TEXTS, ["x"] * 6, {"train": "some"}, "give 'all', 'head' or a number"),
        (TEXTS, ["x"] * 6, {"train": True}, "give 'all', 'head' or a number"),
    ],
)
def test_finetuning(tokenizer, texts, labels, settings, message):
    model = make(tokenizer)
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(ValueError, match=message):
        finetune_classifier(model, tokenizer, texts, labels, **settings)
    assert all(p.requires_grad for p in model.parameters())
    assert all(map(torch.equal, before, model.parameters()))


def test_measures():
    with pytest.raises(ValueError, match="a yes"):
        precision_recall([0.5], [False])
    with pytest.raises(ValueError, match="two or more"):
        BagOfWords.train(["a", "b"], ["x", "x"])
