"""lm-evaluation-harness runs a model of this book, offline, on a task of the world."""

import math
from types import SimpleNamespace

import pytest
import torch

from llmbook.evaluation import choose, harness_model, story_questions, text_loss
from llmbook.generation import generate
from llmbook.pretrained import save_pretrained
from llmbook.training import END
from llmbook.world import stories

from .conftest import make_model


def requests(*arguments):
    """What the harness hands to a model."""
    return [SimpleNamespace(args=each) for each in arguments]


@pytest.fixture(scope="module")
def lm_eval():
    return pytest.importorskip("lm_eval", reason="the extra `harness` is not installed")


@pytest.fixture(scope="module")
def served(lm_eval, wide, tokenizer):
    return harness_model(wide, tokenizer)


@pytest.fixture(scope="module")
def questions():
    return story_questions(stories(6, seed=51))


def as_task(name, rows, **settings):
    """Make a task of rows that are there already."""
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask

    config = {"task": name, "test_split": "test", "target_delimiter": "", **settings}
    config["custom_dataset"] = lambda **kwargs: {"test": Dataset.from_list(rows)}
    return ConfigurableTask(config=config)


def run(lm_eval, model, task):
    """Run one task and give its results."""
    found = lm_eval.simple_evaluate(model, tasks=[task], bootstrap_iters=0)
    return next(iter(found["results"].values()))


def choice_task(questions):
    """The questions as the harness wants them."""
    rows = [
        {"context": q.context, "options": list(q.options), "answer": q.answer}
        for q in questions
    ]
    return as_task(
        "puddock",
        rows,
        output_type="multiple_choice",
        doc_to_text="{{context}}",
        doc_to_choice="{{options}}",
        doc_to_target="{{answer}}",
        metric_list=[{"metric": "acc"}],
    )


def test_accuracy_equals_ours(lm_eval, served, wide, tokenizer, questions):
    found = run(lm_eval, served, choice_task(questions))
    ours = choose(wide, tokenizer, questions)
    want = [c.index == q.answer for c, q in zip(ours, questions, strict=True)]
    assert found["acc,none"] == pytest.approx(sum(want) / len(want))


def test_loglikelihood_equals_ours(served, wide, tokenizer, questions):
    asked = questions[:10]
    pairs = [(q.context, option) for q in asked for option in q.options]
    got = served.loglikelihood(requests(*pairs), disable_tqdm=True)
    want = [s for choice in choose(wide, tokenizer, asked) for s in choice.scores]
    assert [nats for nats, _ in got] == pytest.approx(want, abs=1e-3)


def test_greedy_is_told(served, wide, tokenizer):
    end = tokenizer.special_tokens[END]
    prompt = "The goose had"
    ids = generate(wide, [[end, *tokenizer.encode(prompt)]], 1, temperature=0)[0]
    written = tokenizer.decode(ids)
    if tokenizer.encode(prompt + written) != [*tokenizer.encode(prompt), *ids]:
        pytest.skip("this token would be cut another way")
    (_, right), (_, wrong) = served.loglikelihood(
        requests((prompt, written), (prompt, " Tamla had a spoon")), disable_tqdm=True
    )
    assert right and not wrong


def test_rolling_equals_ours(lm_eval, served, wide, tokenizer):
    texts = [each.text for each in stories(5, seed=52)]
    got = served.loglikelihood_rolling(requests(*((t,) for t in texts)))
    for text, nats in zip(texts, got, strict=True):
        ids = [tokenizer.special_tokens[END], *tokenizer.encode(text)]
        logits = wide(torch.tensor([ids]))[0, :-1].log_softmax(-1)
        want = logits.gather(1, torch.tensor(ids[1:])[:, None]).sum().item()
        assert nats == pytest.approx(want, rel=1e-5)
    rows = [{"text": text} for text in texts]
    task = as_task(
        "telling",
        rows,
        output_type="loglikelihood_rolling",
        doc_to_text="",
        doc_to_target="{{text}}",
        metric_list=[{"metric": "bits_per_byte"}],
    )
    found = run(lm_eval, served, task)["bits_per_byte,none"]
    n_bytes = sum(len(text.encode()) for text in texts)
    assert found == pytest.approx(-sum(got) / math.log(2) / n_bytes)
    ours = text_loss(wide, tokenizer, texts)  # which counts the ends as well
    assert found < ours.bits_per_byte < 1.2 * found


def test_long_texts_roll(lm_eval, tokenizer):
    small = make_model(tokenizer.n_vocab)
    text = " ".join(each.text for each in stories(4, seed=53))
    nats = harness_model(small, tokenizer).loglikelihood_rolling(requests((text,)))[0]
    assert math.isfinite(nats) and nats < 0


def test_generation_stops(served, wide, tokenizer):
    end = tokenizer.special_tokens[END]
    prompt = "The goose had"
    ids = generate(
        wide, [[end, *tokenizer.encode(prompt)]], 20, temperature=0, stop=end
    )
    whole = tokenizer.decode(ids[0])
    settings = {"max_gen_toks": 20, "until": []}
    stop = whole[5:7]
    short, cut = served.generate_until(
        requests((prompt, settings), (prompt, settings | {"until": [stop]}))
    )
    assert short == whole and cut == whole[: whole.find(stop)]


def test_equal_to_the_harness_own_model(lm_eval, tokenizer, questions, tmp_path):
    """The same weights in transformers, read by the harness itself."""
    pytest.importorskip("accelerate", reason="the harness reads models with it")
    from lm_eval.models.huggingface import HFLM

    model = make_model(tokenizer.n_vocab, 256, rotary=False)
    save_pretrained(model, tokenizer, tmp_path)
    theirs = HFLM(pretrained=str(tmp_path), device="cpu", batch_size=8, max_length=256)
    ours = harness_model(model, tokenizer, prefix=False)
    asked = [(q.context, o) for q in questions[:12] for o in q.options if q.context]
    assert asked
    both = [
        m.loglikelihood(requests(*asked), disable_tqdm=True) for m in (ours, theirs)
    ]
    nats, greedy = zip(*(zip(*answers, strict=True) for answers in both), strict=True)
    assert nats[0] == pytest.approx(nats[1], abs=2e-3)
    assert greedy[0] == greedy[1]
    long = " ".join(each.text for each in stories(6, seed=54))
    a, b = (m.loglikelihood_rolling(requests((long,)))[0] for m in (ours, theirs))
    assert a == pytest.approx(b, rel=1e-4)
