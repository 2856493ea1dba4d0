"""Losses of texts: equal to slow references, to training's and to transformers'."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmbook.evaluation import (
    bits_per_byte,
    cut_windows,
    perplexity,
    text_loss,
    token_losses,
)
from llmbook.tokenizer import BPETokenizer
from llmbook.training import END, evaluate_loss, excess, read_stories
from llmbook.world import floor, stories

from .conftest import CONTEXT, make_model

IDS = [7 * i * i % 301 for i in range(150)]


def one_by_one(model, ids, T, stride):
    """Predict each token by itself, with the context that its window leaves it."""
    losses = []
    for i in range(1, len(ids)):
        begin = 0 if i <= T else stride * math.ceil((i - T) / stride)
        logits = model(torch.tensor([ids[begin:i]]))[0, -1]
        losses.append(-logits.log_softmax(-1)[ids[i]].item())
    return torch.tensor(losses)


@torch.no_grad()
@pytest.mark.parametrize("stride", [1, 3, 16, 31, 32])
@pytest.mark.parametrize("n", [2, 3, 32, 33, 34, 65, 150])
def test_equal_to_one_by_one(model, n, stride):
    got = token_losses(model, IDS[:n], stride)
    torch.testing.assert_close(
        got, one_by_one(model, IDS[:n], CONTEXT, stride), atol=1e-3, rtol=1e-4
    )


@given(st.integers(0, 200), st.integers(1, 40), st.data())
@settings(deadline=None)
def test_windows_predict_each_token_once(n, T, data):
    stride = data.draw(st.integers(1, T))
    predicted = []
    for row in cut_windows(range(n), T, stride):
        assert 1 <= row.n < len(row.ids) <= T + 1
        predicted += row.ids[-row.n :]
    assert predicted == list(range(1, n))


def test_batches_do_not_matter(model, tokenizer):
    texts = [each.text for each in stories(9, seed=40)]
    alone = sum(text_loss(model, tokenizer, text).nats for text in texts)
    for batch_size in (1, 4, 100):
        together = text_loss(model, tokenizer, texts, batch_size=batch_size)
        assert math.isclose(together.nats, alone, rel_tol=1e-5)


def test_equal_to_training(wide, tokenizer):
    told = list(stories(20, seed=41))
    texts, end = [each.text for each in told], tokenizer.special_tokens[END]
    whole = text_loss(wide, tokenizer, texts)
    tokens = [i for text in texts for i in (*tokenizer.encode(text), end)]
    assert whole.n_tokens == len(tokens)
    assert math.isclose(whole.loss, excess(wide, tokenizer, told).loss, rel_tol=1e-5)
    assert math.isclose(
        whole.loss, evaluate_loss(wide, tokens, end_token=end), rel_tol=1e-5
    )
    words = [word for each in read_stories(wide, tokenizer, texts) for word in each]
    assert math.isclose(whole.nats, sum(word.loss for word in words), rel_tol=1e-5)


def test_units_agree_with_the_floor(wide, tokenizer):
    told = list(stories(20, seed=42))
    whole, best = (
        text_loss(wide, tokenizer, [each.text for each in told]),
        floor(told, tokenizer),
    )
    ratio = whole.loss / best.nats_per_token
    assert math.isclose(whole.bits_per_byte, ratio * best.bits_per_byte, rel_tol=1e-6)
    assert perplexity(wide, tokenizer, told[0].text) == pytest.approx(
        math.exp(text_loss(wide, tokenizer, told[0].text).loss)
    )


def test_equal_to_the_recipe_of_transformers():
    transformers = pytest.importorskip("transformers", reason="peers are not installed")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=301, n_positions=33, n_embd=32, n_layer=2, n_head=2
    )
    peer = transformers.GPT2LMHeadModel(config).eval()
    ours = make_model(301, 33, rotary=False)
    with torch.no_grad():
        for name, weight in ours.state_dict().items():
            theirs = peer.state_dict()[
                name if name.startswith("lm_head") else f"transformer.{name}"
            ]
            theirs.copy_(
                weight.T
                if theirs.shape != weight.shape
                or (name.endswith("c_proj.weight") and "attn" in name)
                else weight
            )
    stride, longest, nll, counted, before = 16, 33, 0.0, 0, 0
    ids = torch.tensor([IDS])
    for begin in range(0, len(IDS), stride):  # as the documentation has it
        end = min(begin + longest, len(IDS))
        inputs = ids[:, begin:end]
        targets = inputs.clone()
        targets[:, : -(end - before)] = -100
        with torch.no_grad():
            loss = peer(inputs, labels=targets).loss
        valid = int((targets != -100).sum()) - int(targets[0, 0] != -100)
        nll, counted, before = nll + loss.item() * valid, counted + valid, end
        if end == len(IDS):
            break
    got = token_losses(ours, IDS, stride, context_length=longest - 1)
    assert counted == len(got) == len(IDS) - 1
    assert math.isclose(got.mean().item(), nll / counted, rel_tol=1e-5)


def test_without_an_end_the_first_token_is_left_out(model):
    plain = BPETokenizer.train("naïve 山🐐 " * 9, 270)
    small = make_model(plain.n_vocab)
    text = "naïve goat 🐐\x00\ud7ff"
    whole = text_loss(small, plain, text)
    ids = plain.encode(text)
    assert whole.n_tokens == len(ids) - 1
    assert whole.n_bytes == len(text.encode()) - len(plain.tokens[ids[0]])
    assert math.isclose(whole.nats, token_losses(small, ids).sum().item(), rel_tol=1e-5)


def test_an_empty_text_among_others_costs_its_end(model, tokenizer):
    alone = text_loss(model, tokenizer, ["The goose."])
    both = text_loss(model, tokenizer, ["The goose.", ""])
    assert both.n_tokens == alone.n_tokens + 1 and both.n_bytes == alone.n_bytes
    assert both.nats > alone.nats


class Certain(torch.nn.Module):
    """A model without features that thinks everything but one token impossible."""

    def __init__(self, config, token):
        super().__init__()
        self.config, self.token = config, token
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, tokens):
        logits = torch.full((*tokens.shape, self.config.vocab_size), -math.inf)
        logits[..., self.token] = 0
        return logits


def test_impossible_is_infinite_and_sure_is_zero(model):
    sure = Certain(model.config, 5)
    assert token_losses(sure, [1, 5, 5]).tolist() == [0, 0]
    assert math.isinf(token_losses(sure, [1, 5, 6]).sum())


def test_impossible_texts_have_no_finite_perplexity(model, tokenizer):
    sure = Certain(model.config, 5)
    assert math.isinf(perplexity(sure, tokenizer, "The goose."))
    assert math.isinf(bits_per_byte(sure, tokenizer, "The goose."))


def test_mode_is_restored(model, tokenizer):
    model.train()
    text_loss(model, tokenizer, "The goose.")
    assert model.training
    model.eval()


def test_refuses(model, tokenizer):
    for call, told in (
        (lambda: token_losses(model, [1]), "give 2 or more"),
        (lambda: token_losses(model, []), "give 2 or more"),
        (lambda: token_losses(model, IDS, stride=0), "give 1 to 32"),
        (lambda: token_losses(model, IDS, stride=33), "give 1 to 32"),
        (lambda: token_losses(model, IDS, context_length=33), "1 to 32"),
        (lambda: text_loss(model, tokenizer, ""), "no byte"),
        (lambda: text_loss(model, tokenizer, []), "no byte"),
        (lambda: token_losses(model, [0, model.config.vocab_size]), "vocabulary"),
    ):
        with pytest.raises(ValueError, match=told):
            call()
    with pytest.raises(TypeError, match="decode it first"):
        text_loss(model, tokenizer, [b"bytes"])


def test_nan_is_told(tokenizer):
    sick = make_model(tokenizer.n_vocab)
    with torch.no_grad():
        sick.ln_f.weight.fill_(math.nan)
    with pytest.raises(ValueError, match="diverged"):
        text_loss(sick, tokenizer, "The goose.")
