"""What a model has not learned is added up rightly, and a leak is caught."""

import math

import pytest
import torch
from torch.nn import functional as F

import llmbook.attention
from llmbook.training import (
    Excess,
    excess,
    load_model,
    read_stories,
    storyteller_data,
    storyteller_model,
    train,
    train_storyteller,
)
from llmbook.world import score, stories
from tests.training.conftest import same_weights


@pytest.fixture(scope="module")
def fresh():
    return list(stories(12, seed=77))


def slow_losses(model, tokenizer, text):
    """Nats and hits of each token, one prefix at a time."""
    end = tokenizer.special_tokens["<|endoftext|>"]
    ids = [end, *tokenizer.encode(text), end]
    for t in range(1, len(ids)):
        with torch.no_grad():
            logits = model(torch.tensor([ids[:t]]))[0, -1].double()
        yield (
            ids[t],
            -F.log_softmax(logits, -1)[ids[t]].item(),
            logits.argmax() == ids[t],
        )


def test_words_cost_what_their_tokens_cost(data, build, fresh):
    model = build().eval()
    read = read_stories(model, data.tokenizer, [s.text for s in fresh], 5)
    for story, words in zip(fresh, read, strict=True):
        spans = score(story.text).spans
        assert [word.span for word in words] == spans
        assert "".join(word.text for word in words) == story.text and not words[-1].text
        tokens = list(slow_losses(model, data.tokenizer, story.text))
        for word in words[:-1]:
            built, cost, hit = b"", 0.0, True
            while len(built) < len(word.text.encode()):
                token, loss, right = tokens.pop(0)
                built += data.tokenizer.tokens[token]
                cost, hit = cost + loss, hit and bool(right)
            assert built.decode() == word.text
            assert word.loss == pytest.approx(cost, abs=1e-4) and word.hit == hit
        assert len(tokens) == 1  # the end
        assert words[-1].loss == pytest.approx(tokens[0][1], abs=1e-4)


def test_excess_adds_up(data, build, fresh):
    model = build()
    model.train()
    found = excess(model, data.tokenizer, fresh, 5)
    assert model.training
    slow = [
        sum(loss for _, loss, _ in slow_losses(model.eval(), data.tokenizer, s.text))
        for s in fresh
    ]
    above = [a + s.log_prob for a, s in zip(slow, fresh, strict=True)]
    mean = sum(above) / len(above)
    spread = sum((x - mean) ** 2 for x in above) / (len(above) - 1)
    assert found.mean == pytest.approx(mean, rel=1e-5)
    assert found.standard_error == pytest.approx(
        math.sqrt(spread / len(above)), rel=1e-4
    )
    n_tokens = sum(len(data.tokenizer.encode(s.text)) + 1 for s in fresh)
    assert found.loss == pytest.approx(sum(slow) / n_tokens, rel=1e-5)
    assert found.floor == pytest.approx(-sum(s.log_prob for s in fresh) / n_tokens)
    assert found.ratio == pytest.approx(found.loss / found.floor)
    assert sum(found.by_kind.values()) == pytest.approx(found.mean, rel=1e-5)
    assert list(found.by_kind.values()) == sorted(found.by_kind.values(), reverse=True)
    counts = dict.fromkeys(found.by_kind, 0.0)
    for s in fresh:
        for span in score(s.text).spans:
            for kind in span.kinds or ("grammar",):
                counts[kind] += 1 / len(span.kinds or ("grammar",))
    for kind, total in found.by_kind.items():
        assert found.by_word[kind] * counts[kind] / len(fresh) == pytest.approx(total)
    assert all(0 <= share <= 1 for share in found.known.values()) and not found.leaks
    texts = [s.text for s in fresh]
    assert excess(model, data.tokenizer, texts, 1).mean == pytest.approx(mean, rel=1e-5)


def test_what_counts_as_a_leak():
    rest = (0.3, 0.3, {}, {}, {})
    assert Excess(-0.31, 0.1, *rest).leaks
    assert not Excess(-0.29, 0.1, *rest).leaks and not Excess(2.0, 0.1, *rest).leaks


def test_what_cannot_be_read(data, build):
    with pytest.raises(ValueError, match=r"'No such tale\.' is no story of nursery"):
        excess(build(), data.tokenizer, ["No such tale.", "Nor this."])
    with pytest.raises(ValueError, match="1 stories have no standard error"):
        excess(build(), data.tokenizer, stories(1))


def test_a_broken_mask_goes_below_the_floor(data, settings, monkeypatch):
    """The same short training with the mask leaves nats, and without it convicts."""

    def peek(q, k, v, dropout=0.0):
        return F.scaled_dot_product_attention(q, k, v)

    def short():
        model = storyteller_model(data.tokenizer.n_vocab, n_layer=1)
        rates = {"learning_rate": 0.01, "muon_learning_rate": 0.02, "batch_size": 8}
        config = settings(150, optimizer="muon", weight_decay=0.0, **rates)
        train(model, stories_of(data), None, config)
        return excess(model, data.tokenizer, stories(60, seed=78))

    def stories_of(data):
        return storyteller_data(1200, 2, tokenizer=data.tokenizer).train_tokens

    honest = short()
    assert honest.mean > 0 and not honest.leaks
    monkeypatch.setattr(llmbook.attention, "causal_attention", peek)
    assert short().leaks


def test_the_storyteller_begins_by_copying(data):
    model = storyteller_model(data.tokenizer.n_vocab)
    for block in model.h:
        values = block.attn.c_attn.weight[-model.config.n_embd :]
        product = block.attn.c_proj.weight @ values
        torch.testing.assert_close(product, 0.2 * torch.eye(128), rtol=0, atol=1e-5)
    same = storyteller_model(data.tokenizer.n_vocab)
    assert all(map(torch.equal, model.parameters(), same.parameters()))
    other = storyteller_model(data.tokenizer.n_vocab, seed=1)
    assert not torch.equal(model.wte.weight, other.wte.weight)


def test_a_short_storyteller(tmp_path):
    seen = []
    short = {"n_steps": 4, "precision": "float32", "eval_every": 4}
    model, tokenizer, history = train_storyteller(
        tmp_path / "teller", on_step=lambda run: seen.append(run.step), **short
    )
    assert seen == [1, 2, 3, 4] and history.finished
    assert model.config.vocab_size == tokenizer.n_vocab == 1024
    assert sum(p.numel() for p in model.parameters()) <= 1_000_000
    size = sum(path.stat().st_size for path in (tmp_path / "teller").iterdir())
    assert size < 4e6
    loaded, _ = load_model(tmp_path / "teller")
    assert same_weights(model.half(), loaded.half())
    assert 0.2 < history.floor < 0.5 < history.val_losses[-1] < history.val_losses[0]
