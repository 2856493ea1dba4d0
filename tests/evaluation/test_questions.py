"""Questions whose answers are certain, and choices between them."""

import math

import pytest
import torch

from llmbook.evaluation import (
    SCORES,
    Question,
    choose,
    exact_match,
    normalise,
    story_questions,
)
from llmbook.tokenizer import BPETokenizer
from llmbook.training import END
from llmbook.world import next_words, score, stories

from .conftest import make_model


@pytest.mark.parametrize("level", ["nursery", "town"])
def test_one_answer_is_certain_and_the_others_impossible(level):
    told = list(stories(12 if level == "nursery" else 4, seed=43, level=level))
    questions = story_questions(told, level=level)
    assert len(questions) > 3 * len(told)
    for question in questions:
        answer = question.options[question.answer]
        text = told[question.group].text
        assert text.startswith(question.context + answer)
        assert len(set(question.options)) == len(question.options) > 1
        others = [o for o in question.options if o != answer]
        assert not any(
            a.startswith(b) or b.startswith(a) for a in [answer] for b in others
        )
        behind = text[len(question.context) + len(answer) :]
        for other in others:
            assert score(question.context + other + behind, level) is None


def test_the_world_gives_the_answers_first_word_all_the_mass():
    for question in story_questions(stories(6, seed=44))[::3]:
        words = next_words(question.context)
        best, mass = next(iter(words.items()))
        assert mass > 0.99
        assert question.options[question.answer].startswith(best)


def test_answers_stand_in_every_place():
    questions = [
        q for q in story_questions(stories(80, seed=45)) if len(q.options) == 4
    ]
    share = [sum(q.answer == i for q in questions) / len(questions) for i in range(4)]
    assert all(0.2 < each < 0.3 for each in share)


def test_questions_repeat():
    told = [each.text for each in stories(5, seed=46)]
    assert story_questions(told) == story_questions(told)
    assert story_questions(told, seed=1) != story_questions(told)
    assert {len(q.options) for q in story_questions(told, n_options=2)} == {2}


def test_foreign_text_is_refused():
    with pytest.raises(ValueError, match="is no story of nursery"):
        story_questions(["Call me Ishmael."])


def by_hand(model, tokenizer, context, option):
    """The log-probability of an option, a token at a time."""
    ids = [tokenizer.special_tokens[END], *tokenizer.encode(context + option)]
    first = 1 + len(tokenizer.encode(context))
    total = 0.0
    for i in range(first, len(ids)):
        past = torch.tensor([ids[max(0, i - model.config.context_length) : i]])
        total += model(past)[0, -1].log_softmax(-1)[ids[i]].item()
    return total, len(ids) - first


@torch.no_grad()
def test_scores_equal_those_by_hand(wide, tokenizer):
    options = (" Tamla", " under the bed", " an egg, and was sorry", "\n")
    question = Question("The goose had a spoon, said", options, 2)
    sums, sizes = zip(
        *(by_hand(wide, tokenizer, question.context, o) for o in options), strict=True
    )
    alone = [by_hand(wide, tokenizer, "", option)[0] for option in options]
    want = {
        "sum": sums,
        "token": [s / n for s, n in zip(sums, sizes, strict=True)],
        "byte": [s / len(o.encode()) for s, o in zip(sums, options, strict=True)],
        "prior": [s - a for s, a in zip(sums, alone, strict=True)],
    }
    for by in SCORES:
        choice = choose(wide, tokenizer, [question], by)[0]
        assert choice.scores == pytest.approx(want[by], abs=1e-3)
        assert choice.index == max(range(4), key=want[by].__getitem__)
        assert choice.credit == float(choice.index == 2)


def test_choices_do_not_depend_on_batches(wide, tokenizer):
    questions = story_questions(stories(5, seed=47))
    for other in (1, 7, 500):
        pairs = zip(
            choose(wide, tokenizer, questions),
            choose(wide, tokenizer, questions, batch_size=other),
            strict=True,
        )
        for a, b in pairs:
            assert a.scores == pytest.approx(b.scores, abs=1e-3)


def test_a_tie_shares_the_credit(wide, tokenizer):
    twins = (" Tamla", " Tamla", " under the bed in the bath")
    for answer in (0, 1):
        choice = choose(wide, tokenizer, [Question("It was", twins, answer)])[0]
        assert (choice.index, choice.credit) == (0, 0.5)
    assert choose(wide, tokenizer, [Question("It was", twins, 2)])[0].credit == 0


def test_a_long_context_loses_its_beginning(model, tokenizer):
    long = " ".join(each.text for each in stories(3, seed=48))
    options = (" Tamla", " an egg")
    a, b = choose(
        model,
        tokenizer,
        [Question(long, options, 0), Question("Once. " + long, options, 0)],
    )
    assert a.scores == pytest.approx(b.scores, abs=1e-4)


def test_choose_refuses(model, tokenizer):
    for question, told in (
        (Question("A", (" b",), 0), "two texts or more"),
        (Question("A", (" b", ""), 0), "none empty"),
        (Question("A", " b", 0), "two texts or more"),
        (Question("A", (" b", " c"), 2), "from 0 to 1"),
        (Question("A", (" b", " c"), -1), "from 0 to 1"),
        (Question("Tamla has the tur", ("nip", "tle"), 0), "crosses the border"),
        (Question("A", (" b", " c" * 40), 0), "shorter option"),
    ):
        with pytest.raises(ValueError, match=told):
            choose(model, tokenizer, [question])
    with pytest.raises(ValueError, match="choose of sum, token"):
        choose(model, tokenizer, [], by="mean")
    assert choose(model, tokenizer, []) == []


def test_without_an_end_a_context_is_needed():
    plain = BPETokenizer.train("a b c " * 9, 258)
    small = make_model(plain.n_vocab)
    assert choose(small, plain, [Question("a", (" b", " c"), 0)])[0].credit in (0, 1)
    with pytest.raises(ValueError, match="a context before it"):
        choose(small, plain, [Question("", ("a", "b"), 0)])


def test_nan_is_told(tokenizer):
    sick = make_model(tokenizer.n_vocab)
    with torch.no_grad():
        sick.ln_f.weight.fill_(math.nan)
    with pytest.raises(ValueError, match="diverged"):
        choose(sick, tokenizer, [Question("A", (" b", " c"), 0)])


def test_exact_match():
    assert normalise("  The  Spoon, and a\tbell! ") == "spoon and bell"
    assert exact_match("The spoon.", "spoon") and exact_match("b", ["a", "b"])
    assert not exact_match("spoons", "spoon")
    assert not exact_match("The spoon.", "spoon", normalise=None)
    assert exact_match("", "") and exact_match("a", "the")
    with pytest.raises(ValueError, match="no right answer"):
        exact_match("a", [])
