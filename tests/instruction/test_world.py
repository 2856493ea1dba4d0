"""The world's instructions: their answers are right, and wrong ones are refused."""

import re

import pytest

from llmbook.instruction import (
    INSTRUCTION_KINDS,
    NOT_TOLD,
    REFUSED_KINDS,
    comparisons,
    conversations,
    instructions,
    questions,
)
from llmbook.world import score, stories


@pytest.mark.parametrize("kind", INSTRUCTION_KINDS)
def test_right_answers_are_right(kind):
    """The answer that is given is accepted, and another is not."""
    for each in instructions(20, kind):
        assert each.kind == kind
        assert each.right(each.answer)
        assert not each.right(each.answer + " And the goose agreed.")
        assert not each.right("")
        assert (each.answer == NOT_TOLD) == (kind in REFUSED_KINDS)


@pytest.mark.parametrize("kind", ["retell", "continue", "ending"])
def test_free_answers_are_judged_by_the_world(kind):
    """Another telling is right as well, and one with a false word is not."""
    made = instructions(30, kind)
    told = [each for each in made if each.right(each.answer.replace("It", "I"))]
    assert len(told) < len(made)
    if kind == "retell":
        names = [re.search(r"with (\w+) instead of (\w+)", e.prompt) for e in made]
        for each, (new, old) in zip(made, [n.groups() for n in names], strict=True):
            assert not each.right(each.answer.replace(new, old))
            assert each.right(each.story.text.replace(old, new))


def test_questions_say_what_the_facts_say():
    """On a story that a person has read."""
    plots = {}
    for story in stories(300, seed=11):
        plots.setdefault(story.facts.roles["plot"], story)
    for plot, story in plots.items():
        roles, asked = story.facts.roles, {q.text: q.answer for q in questions(story)}
        question = f"Where is the {roles.get('thing')} now?"
        if plot in ("moving", "letter"):
            assert asked[question].lower() == f"{roles['where']}."
        if plot == "counting":
            left = f"How many {roles['thing']}s are left?"
            assert asked.get(left, f"{roles['left'].capitalize()}.") == (
                f"{roles['left'].capitalize()}."
            )
        if plot == "race":
            assert asked["Who won?"] == f"{roles['first']}."
    assert len(plots) == 12


def test_refusals_ask_what_the_story_does_not_hold():
    """Whoever is named in a question that names somebody else is not in the story."""
    for story in stories(300, seed=12):
        for each in questions(story):
            assert (each.answer == NOT_TOLD) == (each.kind in REFUSED_KINDS)
            if each.kind == "not there":
                words = re.findall(r"[a-z]+|[A-Z]\w+", each.text)
                assert any(word.lower() not in story.text.lower() for word in words)
            elif each.answer != NOT_TOLD and each.kind in ("who", "where"):
                heart = each.answer.rstrip(".").removeprefix("The ").lower()
                assert heart in story.text.lower(), each


def test_every_word_of_a_question_is_swapped_once():
    """A question that names two gives two that name somebody who is not there."""
    story = next(s for s in stories(50) if s.facts.roles["plot"] == "moving")
    roles = story.facts.roles
    texts = [q.text for q in questions(story) if q.kind == "not there"]
    texts = [text for text in texts if text.startswith("Where did")]
    pattern = r"Where did (\w+) put the (\w+)[?]"
    pairs = [found.groups() for text in texts if (found := re.match(pattern, text))]
    assert len(pairs) == 2
    assert [name == roles["hero"] for name, _ in pairs].count(True) == 1
    assert [thing == roles["thing"] for _, thing in pairs].count(True) == 1


def test_comparisons_say_what_the_text_says():
    """Yes where the word is in the story, half of the time; no word is asked twice."""
    n_yes = n_all = 0
    for talk in comparisons(300, seed=13):
        text = talk[0]["content"].rpartition("\n")[0]
        asked = []
        for user, assistant in zip(talk[::2], talk[1::2], strict=True):
            question = user["content"].rpartition("\n")[2]
            asked.append(re.fullmatch(r"Is (?:there an? )?(\w+) in it[?]", question)[1])
            there = re.search(rf"\b{asked[-1]}\b", text) is not None
            assert assistant["content"] == ("Yes." if there else "No.")
            n_yes, n_all = n_yes + there, n_all + 1
        assert len(set(asked)) == len(asked)
    assert n_all == 1200 and 0.4 < n_yes / n_all < 0.55
    assert list(comparisons(5)) == list(comparisons(5)) != list(comparisons(5, seed=3))


def test_stories_of_all_plots_are_asked_about():
    """However many longer tasks there are for a plot."""
    told, asked = {}, {}
    for story, talk in zip(stories(900, seed=2), conversations(900), strict=True):
        plot = story.facts.roles["plot"]
        told[plot] = told.get(plot, 0) + 1
        ends = [m["content"].endswith("?") for m in talk[::2]]
        asked[plot] = asked.get(plot, 0) + any(ends)
    assert len(told) == 12
    for plot, n in told.items():
        assert asked[plot] > 0.15 * n, plot


def test_the_same_seed_draws_the_same():
    """And another seed other stories."""
    first, again, other = (list(conversations(20, seed=s)) for s in (5, 5, 6))
    assert first == again != other
    for talk in first:
        assert [m["role"] for m in talk] == ["user", "assistant"] * (len(talk) // 2)
    a, b = instructions(5, "who", seed=5), instructions(5, "who", seed=5)
    assert [each.prompt for each in a] == [each.prompt for each in b]


def test_retold_stories_have_the_asked_facts():
    """The world reads the new name in every role of the old."""
    for each in instructions(20, "retell"):
        new, old = re.search(r"with (\w+) instead of (\w+)", each.prompt).groups()
        read = score(each.answer).facts
        for role, word in each.story.facts.roles.items():
            assert read.roles[role] == (new if word == old else word)


def test_refusals_can_be_left_out():
    """So that the chapter can show what happens then."""
    talks = list(conversations(200, refusals=0.0))
    assert not any(m["content"] == NOT_TOLD for talk in talks for m in talk)
    talks = list(conversations(200))
    share = sum(m["content"] == NOT_TOLD for talk in talks for m in talk)
    assert share > 50


def test_an_unknown_kind_is_refused():
    """With the kinds that there are."""
    with pytest.raises(ValueError, match=r"there is no kind 'whom'.*who, what"):
        instructions(1, "whom")
