"""What cannot be done is refused by one error: where, what was given, what may be."""

import re

import numpy as np
import pytest

from llmbook import world as module
from llmbook.world import (
    Facts,
    GrammarError,
    World,
    floor,
    load_world,
    next_words,
    score,
    stories,
    story,
)

HEAD = """\
list thing:
    bell  stuff=tin  tone=high
    egg   stuff=round
list number:
    one  value=1
    two  value=2
cast:
    hero: thing
    other: thing, not hero
    third: thing, not hero other
    like: thing, stuff = hero.stuff
    wanting: thing, stuff = hero.taste
    n: number
    mood:
"""  # 14 lines


def refused(match, kind=ValueError):
    return pytest.raises(kind, match=match)


# Prevents a level that is not there from looking like a missing file.
@pytest.mark.parametrize("level", ["city", "", "nursery.txt", None, 7])
def test_unknown_level(level):
    wanted = "there is no level .*; there are nursery, town"
    with refused(wanted):
        story(level=level)
    with refused(wanted):
        stories(3, level=level)
    with refused(wanted):
        score("text", level)
    with refused(wanted):
        next_words("", level)


# Prevents numbers that name no story from drawing one all the same.
@pytest.mark.parametrize("value", [-1, 1.0, 0.5, "3", None, 2**40, [1]])
def test_seeds_and_numbers_that_cannot_be(value):
    wanted = "a whole number from 0 to 1,099,511,627,775, not " + re.escape(repr(value))
    with refused(f"seed must be {wanted}"):
        story(seed=value)
    with refused(f"number must be {wanted}"):
        story(number=value)
    with refused(f"seed must be {wanted}"):
        load_world().retell(Facts({}, ()), seed=value)


# Prevents a wrong seed from being noticed only when the first story is drawn.
@pytest.mark.parametrize("value", [-1, 1.0, "3", None])
def test_seeds_are_checked_at_the_door(value):
    for name in ("seed", "start"):
        with refused(f"{name} must be a whole number"):
            stories(0, **{name: value})


# Prevents a count that is none from giving no stories, or all.
@pytest.mark.parametrize("n", [-1, 1.0, "3", None])
def test_counts_that_cannot_be(n):
    with refused("n must be a whole number from 0 to .*, not"):
        stories(n)


def test_no_stories_are_no_error():
    assert list(stories(0)) == []


# Prevents a stream from running over into the next one.
def test_a_stream_has_an_end():
    told = stories(2, seed=4, start=2**40 - 1)
    assert next(told) == story(4, 2**40 - 1)
    with refused("number must be a whole number from 0 to .*, not 1099511627776"):
        next(told)


# Prevents a seed that came out of an array from being refused, or from drawing another.
def test_whole_numbers_of_numpy():
    assert story(np.int64(3)) == story(3)


# Prevents anything but text from being read as a story.
@pytest.mark.parametrize("text", [None, b"bytes", 7, ["text"]])
def test_text_that_is_none(text):
    with refused("a story is a str, not", TypeError):
        score(text)


@pytest.mark.parametrize("text", [None, b"bytes", 7, ["text"]])
def test_beginning_that_is_none(text):
    with refused("is a str, not", TypeError):
        next_words(text)


# Prevents an error, or a number, for what the world cannot say.
@pytest.mark.parametrize(
    "text", ["", " ", "\n", "Once upon a time.", "\ud800", "\x00", "a" * 10**5, "🐐"]
)
def test_text_that_is_no_story(level, text):
    assert score(text, level) is None
    if text:
        assert next_words(text, level) == {}


# Prevents a story whose hero is somebody whom the world does not know.
@pytest.mark.parametrize(
    "given, message",
    [
        ({"hero": "Nobody"}, "'Nobody' cannot play 'hero' in this story"),
        ({"hero": ""}, "'' cannot play 'hero' in this story"),
        ({"hero": 7}, "7 cannot play 'hero' in this story"),
        ({"other": "egg", "hero": "egg"}, "'egg' cannot play 'other' in this story"),
        ({"like": "egg", "hero": "bell"}, "'egg' cannot play 'like' in this story"),
        ({"heroine": "egg"}, "given: no story casts the role 'heroine'"),
        ({"mood": "glad"}, "given: no story casts the role 'mood'"),
    ],
)
def test_given_that_cannot_be(given, message):
    rules = "story:\n    {hero} {other} {like}{mood := 'glad'}\n"
    with refused(message):
        World(HEAD + rules).story(0, 0, given)


# Prevents a floor, and above all its error, from being computed of next to nothing.
@pytest.mark.parametrize("n", [0, 1])
def test_floor_of_too_few(n):
    with refused(f"a floor needs two stories or more, not {n}"):
        floor(stories(n), type("Letters", (), {"encode": staticmethod(list)}))


ERRORS = {  # the lines after HEAD, the line of the mistake, the reason
    "no story": ("tale:\n    {hero}", 16, "there is no rule 'story:'"),
    "heading": ("story:\n    {hero}\nA rule:", 17, "expected a heading .*'A rule:'"),
    "no colon": ("story\n    {hero}", 15, "expected a heading .*'story'"),
    "twice": ("story:\n    a\nstory:\n    b", 17, "'story:' is here twice"),
    "list twice": ("list thing:\n    a", 15, "'list thing:' is here twice"),
    "role twice": ("cast:\n    hero: thing", 16, "role 'hero' is here twice"),
    "unknown role": ("story:\n    {a heroine}", 16, "no role 'heroine'"),
    "unknown rule": ("story:\n    {tale}", 16, "no role 'tale'"),
    "role in a condition": ("story:\n    [x = 'a'] b", 16, "no role 'x'"),
    "role in a sum": ("story:\n    {n}{n := m + 1}", 16, "no role 'm'"),
    "role set": ("story:\n    {x := hero}", 16, "no role 'x'"),
    "value set": ("story:\n    {mood := glad}", 16, "no role 'glad' .*quotes"),
    "rival": ("cast:\n    x: thing, not y", 16, "no role 'y'"),
    "wanted of": ("cast:\n    x: thing, stuff = y.z", 16, "no role 'y'"),
    "unknown list": ("cast:\n    x: things", 16, "no list 'things'"),
    "cast line": (
        "cast:\n    x y: thing",
        16,
        "expected 'role: list', got 'x y: thing'",
    ),
    "clause": ("cast:\n    x: thing, like hero", 16, "expected .*got 'like hero'"),
    "open brace": ("story:\n    a {hero b", 16, "'}' is missing"),
    "open bracket": ("story:\n    a <b|c", 16, "'>' is missing"),
    "crossed": ("story:\n    a <b{hero>}", 16, "'>' closes nothing"),
    "stray >": ("story:\n    a > b", 16, "'>' closes nothing"),
    "stray }": ("story:\n    a } b", 16, "'}' closes nothing"),
    "stray |": ("story:\n    a | b", 16, "'|' outside of"),
    "kind": ("story:\n    <a #magic>", 16, "no kind #magic; there are spelling, "),
    "kind of a role": ("story:\n    {hero #magic}", 16, "no kind #magic; there are"),
    "kind of a guard": ("story:\n    [hero #magic] a", 16, "no kind #magic; there are"),
    "no heading": ("", 1, "before the first heading"),
    "condition": ("story:\n    [hero is 'egg'] a", 16, 'not a condition: "hero is'),
    "two equals": ("story:\n    [hero == 'egg'] a", 16, "not a condition"),
    "or": ("story:\n    [hero or other] a", 16, "not a condition: 'hero or other'"),
    "empty condition": ("story:\n    [] a", 16, "not a condition: ''"),
    "zero weight": ("story:\n    (0) a", 16, "expected .*weight 1 or more: 'a'"),
    "zero inside": ("story:\n    <a|(0) b>", 16, "expected .*weight 1 or more: 'b'"),
    "weight below": ("story:\n    (-1) a", 16, "expected .*weight 1 or more: '.-1"),
    "open condition": (
        "story:\n    [hero = 'egg' a",
        16,
        "expected .*\\[condition\\] text.*: \"\\[hero = 'egg' a",
    ),
    "open inside": ("story:\n    <[hero = 'egg' a|b>", 16, "']' is missing"),
    "value": ("list x:\n    a  value=many", 16, "value= must be a whole .*not 'many'"),
    "rule of no use": ("story:\n    a\nb:\n    {b}", 18, "'b' leads back to itself"),
    "zero in a list": ("list x:\n    (0) a", 16, "expected '.weight. word"),
    "one space": ("list x:\n    a b=c", 16, "expected '.weight. word  trait=value'"),
    "they": ("list x:\n    a  they=we", 16, "they= must be one of he, she, it, they"),
    "circle": ("story:\n    a {story}", 16, "'story' leads back to itself"),
    "long circle": (
        "story:\n    {b}\nb:\n    so\n    <x|{c}>\nc:\n    {b}",
        21,
        "'b' leads back to itself",
    ),
    "form": ("story:\n    {tone hero}", 16, "'egg' has no form 'tone'"),
    "second line": ("story:\n    a\n      {b", 16, "'}' is missing"),
}
RUNNING = {  # noticed only when a story comes there
    "no option": (
        "story:\n    a\n    {b}\nb:\n    [hero] c",
        18,
        "none of these holds: hero",
    ),
    "nobody left": (
        "story:\n    {hero} {other} {third}",
        10,
        "nobody can play 'third'",
    ),
    "nobody fits": ("story:\n    {hero} {wanting}", 12, "nobody can play 'wanting'"),
    "nobody at all": ("story:\n    {mood}", 14, "nobody can play 'mood'"),
    "number": ("story:\n    {n}{n := n + 2}", 16, "there is no number [34]"),
    "number below": ("story:\n    {n}{n := 0 - n}", 16, "there is no number -[12]"),
    "not cast": ("story:\n    {mood := hero}a", 16, "'hero' is asked for before"),
    "no number yet": ("story:\n    [n > 1] a", 16, "'n' is asked for before"),
    "event": ("story:\n    a{+saw hero}", 16, "'hero' is asked for before"),
    "form of a guest": (
        "story:\n    {hero}{mood := hero}{tone mood}",
        16,
        "'mood' is 'egg', which has no form 'tone'",
    ),
}
HEADINGS = {  # mistakes of a whole section
    "empty rule": ("story:\n    a\n    {b}\nb:", 18, "'b:' has no lines"),
    "rule and role": (
        "story:\n    {hero}\nhero:\n    a",
        17,
        "'hero' is both a role and a rule",
    ),
    "list of nothing": (
        "list x:\ncast:\n    x: x\nstory:\n    {x}",
        15,
        "'list x:' has no lines",
    ),
}


def cases(errors):
    """Name the cases."""
    return [
        pytest.param(*case, id=name.replace(" ", "-")) for name, case in errors.items()
    ]


def check_error(rules, line, reason):
    head = "    an entry without a heading\n" if not rules else ""
    if "story:" not in rules and "tale" not in rules and line > 14:
        rules += "\nstory:\n    a"
    with pytest.raises(GrammarError) as caught:
        world = World(head + HEAD + rules + "\n", "tiny.txt")
        list(world.stories(60))
    message = str(caught.value)
    assert message.startswith(f"tiny.txt, line {line}: "), message
    assert re.search(reason, message), message


# Prevents a writer of grammars from searching for a mistake that the program has seen.
@pytest.mark.parametrize("rules, line, reason", cases(ERRORS))
def test_mistakes_are_named_with_their_line(rules, line, reason):
    check_error(rules, line, reason)


# Prevents the same where the mistake shows only in some stories.
@pytest.mark.parametrize("rules, line, reason", cases(RUNNING))
def test_mistakes_that_show_in_some_stories(rules, line, reason):
    check_error(rules, line, reason)


# Prevents the same where the mistake is one of a heading.
@pytest.mark.parametrize("rules, line, reason", cases(HEADINGS))
def test_mistakes_of_a_heading(rules, line, reason):
    check_error(rules, line, reason)


# Prevents a score from hiding what a draw would have shown.
@pytest.mark.parametrize("text", ["bell two bell", "egg two"])
def test_mistakes_show_when_a_text_is_read(text):
    with pytest.raises(GrammarError, match="there is no number 4"):
        World(HEAD + "story:\n    {hero} {n}{n := n + 2} {hero}\n", "tiny").score(text)


# Prevents a grammar of many rules from taking for ever to open.
def test_many_ways_to_the_same_rule(monkeypatch):
    calls, find = [0], module.find_circle

    def counted(*arguments):
        calls[0] += 1
        assert calls[0] < 1000
        return find(*arguments)

    monkeypatch.setattr(module, "find_circle", counted)
    rules = "story:\n    {a0}\n"
    for i in range(20):
        rules += f"a{i}:\n    x{{b{i}}}\n    y{{c{i}}}\n"
        rules += f"b{i}:\n    {{a{i + 1}}}\nc{i}:\n    {{a{i + 1}}}\n"
    World(rules + "a20:\n    so\n")
    assert calls[0] > 60


# Prevents a foreign story's facts from being told in this world.
def test_facts_of_another_world():
    nobody = Facts({"hero": "Quillamer"}, (("sailed", "Quillamer"),))
    with refused("this world cannot tell these facts"):
        load_world("nursery").retell(nobody)
