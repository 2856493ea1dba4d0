"""The levels are worth reading: no skeleton wears out, and every line is of use."""

import re

import pytest

from llmbook.world import KINDS
from tests.world.texts import Skeletons, words_of


@pytest.fixture(scope="module")
def many(world):
    """Five thousand stories of a level."""
    return [story.text for story in world.stories(5000, seed=11)]


# Prevents a sentence that a reader meets in every second story.
def test_no_skeleton_wears_out(level, world, many):
    most = Skeletons(world).count(many).most_common(3)
    limit = {"nursery": 0.05, "town": 0.01}[level]
    assert most[0][1] <= limit * len(many), most


# Prevents skeletons that look different because a name, a number or an a is left in.
def test_skeletons_are_bare(level, world):
    bare = Skeletons(world).blank
    assert bare("Pelbo had an atlas.") == "_ had _ _."
    assert bare("She gave him 3 apples, or three kites.") == "_ gave _ _ _, or _ _."
    assert bare("Tambo's goat was there.") == "_'s _ was there."
    if level == "town":
        assert bare("The ball of string was under the pier.") == "The _ was _."


# Prevents a vocabulary without a long tail, which leaves a tokenizer nothing to do.
def test_vocabulary_of_the_town(level, many):
    stories_with = {}
    for text in many:
        for word in set(words_of(text)):
            stories_with[word] = stories_with.get(word, 0) + 1
    assert len(stories_with) >= {"nursery": 400, "town": 1000}[level]
    if level == "town":
        rare = [word for word, n in stories_with.items() if n <= len(many) / 1000]
        assert len(rare) >= len(stories_with) / 10
        tailed = {w for w in stories_with if "-" in w or w.endswith("less")}
        assert len(tailed) >= 10


# Prevents slips of the pen that only some casts make visible.
def test_sentences_are_well_formed(many):
    slip = re.compile(
        r"  | \n|\n |[{}<>\[\]|#_^]| [.,;:!?]|\b(?:a [aeio]|an [^aeiouh])"
        r"|\b(a|an|the|is|was|of|to|and) \1\b|(?<!P\.S)[.!?] [a-z]|,,|^\s|\s$"
    )
    slips = [
        text[max(0, match.start() - 30) : match.end() + 30]
        for text in many
        if (match := slip.search(text))
    ]
    assert not slips, slips[:20]


# Prevents signs that a reader's keyboard, or one of the book's tokenizers, lacks.
def test_stories_are_plain_text(many):
    odd = set("".join(many)) - set(map(chr, range(32, 127))) - {"\n"}
    assert not odd
    for text in many:
        assert text.count('"') % 2 == 0, text


# Prevents lines of a grammar that no story can reach: a reader would look for them.
def test_every_rule_list_and_role_is_used(slow):
    used = slow.touches(("pick", slow.rules["story"]))  # reads all that is reached
    picks = set(slow.touched)
    moves = [
        move
        for i in picks
        for _, _, text in slow.picks[i]
        for move in slow.compiled(text)
    ]
    assert not [name for name, i in slow.rules.items() if i not in picks]
    roles = used | {part for move in moves for part in move[1:]}
    unused = [role for role in slow.cast if role not in roles]
    assert not unused
    kinds = {kind for kind, _ in slow.cast.values()}
    assert set(slow.lists) <= kinds, set(slow.lists) - kinds


# Prevents marks of a kind that the book does not know.
def test_every_mark_is_a_kind(grammar):
    lines = [line for line in grammar.splitlines() if not line.startswith("#")]
    marks = set(re.findall(r"#(\w+)", "\n".join(lines)))
    assert marks and marks <= set(KINDS)


# Prevents an entity that is there twice, whose facts no text could tell apart.
def test_no_entity_is_there_twice(world):
    for name, listed in world.grammar.lists.items():
        known = [(e.word, tuple(sorted(e.traits.items()))) for e in listed]
        assert len(known) == len(set(known)), name
