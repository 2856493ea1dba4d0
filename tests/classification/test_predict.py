"""A text gets the same scores in any order, batch size and company."""

import random

import pytest
import torch

from llmbook.classification import predict, predict_logits
from llmbook.training import load_model, save_model

from .conftest import TEXTS, make


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_batch_size(model, tokenizer, batch_size):
    want = torch.cat([predict_logits(model, tokenizer, [text]) for text in TEXTS])
    got = predict_logits(model, tokenizer, TEXTS, batch_size)
    assert (got - want).abs().max() <= 1e-5 * max(1, want.abs().max())


def test_order(model, tokenizer):
    want = predict_logits(model, tokenizer, TEXTS, 3)
    order = list(range(len(TEXTS)))
    for seed in range(5):
        random.Random(seed).shuffle(order)
        got = predict_logits(model, tokenizer, [TEXTS[i] for i in order], 3)
        assert (got - want[order]).abs().max() <= 1e-5 * max(1, want.abs().max())


def test_predictions_are_the_scores(tokenizer):
    model = make(tokenizer)
    logits = predict_logits(model, tokenizer, TEXTS)
    for row, said in zip(logits, predict(model, tokenizer, TEXTS), strict=True):
        assert said.label == "xyz"[row.argmax()]
        assert list(said.probs) == ["x", "y", "z"]
        assert sum(said.probs.values()) == pytest.approx(1)
        assert list(said.probs.values()) == pytest.approx(row.softmax(0).tolist())


def test_no_texts_and_an_empty_one(tokenizer):
    model = make(tokenizer)
    assert predict(model, tokenizer, []) == []
    assert predict(model, tokenizer, [""])[0].label in "xyz"


def test_predicting_leaves_the_mode(tokenizer):
    model = make(tokenizer, dropout=0.5).train()
    first, again = (predict_logits(model, tokenizer, TEXTS) for _ in range(2))
    assert model.training and model.body.training and torch.equal(first, again)


@pytest.mark.parametrize("body", ["GPT", "Llama"])
def test_saved_and_read(tokenizer, tmp_path, body):
    if body == "Llama":
        pytest.importorskip("llmbook.llama")
    model = make(tokenizer, body)
    save_model(tmp_path, model, tokenizer)
    again, words = load_model(tmp_path)
    assert again.config == model.config and not again.training
    same = predict_logits(again, words, TEXTS)
    assert torch.equal(same, predict_logits(model, tokenizer, TEXTS))
