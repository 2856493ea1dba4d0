"""In worlds small enough to list, every probability equals the count of all stories."""

import math
from collections import defaultdict
from fractions import Fraction
from itertools import islice, pairwise

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from llmbook.tokenizer import GPT2_PATTERN
from llmbook.world import WORD, World, floor
from tests.world.grammars import BASE, LONGER, STORIES
from tests.world.slow import Slow


def listed(grammar):
    """Every text with its probability and its facts, by the slow reader."""
    texts, facts = defaultdict(Fraction), defaultdict(list)
    for text, p, known in Slow(grammar).tellings():
        texts[text] += p
        facts[text].append(known)
    return texts, facts


def ends(text):
    return [match.end() for match in WORD.finditer(text)]


def begun(texts):
    """The probability of every beginning that is a row of whole words."""
    mass = defaultdict(Fraction)
    for text, p in texts.items():
        for end in (0, *ends(text)):
            mass[text[:end]] += p
    return mass


def check_scores(world, texts, facts):
    mass = begun(texts)
    for text, p in texts.items():
        score = world.score(text)
        assert score.log_prob == pytest.approx(math.log(p), abs=1e-9)
        assert (score.facts.roles, score.facts.events) in facts[text]
        cuts = [0, *ends(text)]
        assert [span[:2] for span in score.spans] == [
            *pairwise(cuts),
            (len(text), len(text)),
        ]
        true = [mass[text[:b]] / mass[text[:a]] for a, b, *_ in score.spans[:-1]]
        true.append(p / mass[text])
        for span, q in zip(score.spans, true, strict=True):
            assert span.log_prob == pytest.approx(math.log(q), abs=1e-9), span


def check_next_words(world, texts):
    for prefix in begun(texts):
        true = defaultdict(Fraction)
        for text, p in texts.items():
            if prefix == text:
                true[""] += p
            elif text.startswith(prefix) and len(prefix) in (0, *ends(text)):
                true[WORD.match(text, len(prefix))[0]] += p
        total = sum(true.values())
        words = world.next_words(prefix)
        assert words == pytest.approx({w: float(p / total) for w, p in true.items()})
        assert sum(words.values()) == pytest.approx(1)
        assert list(words.values()) == sorted(words.values(), reverse=True)


def check_corruptions(world, texts, most=40):
    few = sorted(texts)[:: 1 + len(texts) // most]
    vocabulary = sorted({word for text in few for word in WORD.findall(text)})[::3]
    for text in few:
        words = WORD.findall(text)
        wrong = {text[:-1], text[1:], text + " ", " " + text, text + text, text + "\n"}
        for i, word in enumerate(words):
            head, tail = words[:i], words[i + 1 :]
            wrong.add("".join(head + tail))
            wrong.add("".join([*head, word, word, *tail]))
            wrong.add("".join([*head, *tail[:1], word, *tail[1:]]))
            wrong |= {"".join([*head, other, *tail]) for other in vocabulary}
        for each in wrong:
            assert (world.score(each) is not None) == (each in texts), each


@pytest.fixture(scope="module", params=[*STORIES, *LONGER])
def tiny(request):
    grammar = BASE + (STORIES | LONGER)[request.param]
    return World(grammar, f"{request.param}.txt"), *listed(grammar)


# Prevents a lister that misses stories, tells one twice or with another probability.
def test_all_stories_are_listed(tiny):
    world, texts, facts = tiny
    assert sum(texts.values()) == 1 and len(texts) > 3
    found = defaultdict(float)
    for story in world.all_stories():
        found[story.text] += math.exp(story.log_prob)
        assert (story.facts.roles, story.facts.events) in facts[story.text]
    assert found == pytest.approx({text: float(p) for text, p in texts.items()})


# Prevents word probabilities that forget a way in which the story might have gone on.
def test_words_have_the_probability_of_all_stories_that_begin_so(tiny):
    check_scores(*tiny)


# Prevents a world that takes a broken story for one of its own, or the reverse.
def test_a_story_with_a_word_wrong_is_none_of_the_world_s(tiny):
    world, texts, _ = tiny
    check_corruptions(world, texts)


# Prevents next words that are missing, cut short, or do not sum to one.
def test_next_words_equal_the_count_of_all_stories(tiny):
    world, texts, _ = tiny
    check_next_words(world, texts)


# Prevents a draw that does something else than its probability says.
@pytest.mark.parametrize("name", ["rivals", "conditions", "numbers"])
def test_draws_follow_the_probabilities(name):
    grammar, n = BASE + STORIES[name], 20_000
    texts, _ = listed(grammar)
    told = {(text, round(math.log(p), 9)) for text, p, _ in Slow(grammar).tellings()}
    counts = dict.fromkeys(texts, 0)
    for story in World(grammar).stories(n, seed=3):
        assert (story.text, round(story.log_prob, 9)) in told
        counts[story.text] += 1
    for text, p in texts.items():
        spread = math.sqrt(n * p * (1 - p))
        assert abs(counts[text] - n * p) < 5 * spread + 1, text


# Prevents a number in a condition from being compared with the word for it.
@pytest.mark.parametrize(
    "condition, true",
    [
        ("many = 2", {"two"}),
        ("many != 2", {"one", "three"}),
        ("2 = many", {"two"}),
        ("many > 1", {"two", "three"}),
        ("many < 2", {"one"}),
        ("many = 'two'", {"two"}),
        ("many > 1 and many < 3", {"two"}),
    ],
)
def test_numbers_in_conditions(condition, true):
    rules = "story:\n    {many}{more}\nmore:\n    so\n"
    world = World(BASE + rules + f"    [{condition}] yes\n")
    told = {story.text for story in world.all_stories()}
    assert {text[:-3] for text in told if text.endswith("yes")} == true


# Prevents a plural from being looked for under the first letter of its singular.
def test_a_plural_with_another_first_letter():
    lists = "list thing:\n    cow  s=kine\n    egg\nlist number:\n    one  value=1\n"
    cast = "    two  value=2\ncast:\n    n: number\n    thing: thing\n"
    world = World(lists + cast + "story:\n    {n thing}.\n")
    told = {story.text: world.score(story.text) for story in world.all_stories()}
    assert set(told) == {"one cow.", "two kine.", "one egg.", "two eggs."}
    assert None not in told.values()


# Prevents a text with no words from breaking the reader of a world that has it.
def test_the_empty_story():
    score = World("story:\n    <|Ann.>\n").score("")
    assert score.log_prob == pytest.approx(-math.log(2))
    assert [span[:2] for span in score.spans] == [(0, 0)]


# Prevents an infinity, or a bare ZeroDivisionError, for a story of too many choices.
def test_a_story_less_probable_than_any_float():
    world = World("story:\n    " + "<a |b |c >" * 1000 + "\n")
    story = world.story(0)
    assert story.log_prob == pytest.approx(-1000 * math.log(3))
    with pytest.raises(ValueError, match="less probable than a float can say"):
        world.score(story.text)


@pytest.mark.parametrize("call", ["next_words", "retell", "all_stories"])
def test_calls_that_need_the_probability_of_such_a_story(call):
    world = World("story:\n    " + "<a |b |c >" * 1000 + "\n")
    story = world.story(0)
    given = {"next_words": [story.text], "retell": [story.facts]}.get(call, [])
    with pytest.raises(ValueError, match="less probable than a float can say"):
        next(iter(getattr(world, call)(*given)), None)


# Prevents a probability of few binary digits from passing for an exact one.
def test_a_story_hardly_as_probable_as_a_float():
    world = World("story:\n    " + "<a |b |c >" * 677 + "\n")
    story = world.story(0)
    try:
        score = world.score(story.text)
    except ValueError:
        return
    assert score.log_prob == pytest.approx(story.log_prob, abs=1e-9)


# Prevents a telling that is too improbable to count from hiding one that is not.
def test_a_story_that_is_told_in_a_probable_way_as_well():
    world = World(f"story:\n    <{'a ' * 700}|{'<a |b |c >' * 700}>\n")
    assert world.score("a " * 700).log_prob == pytest.approx(-math.log(2))


# A space counts as a word as soon as it is printed, though it may turn out to be part
# of the next word. So a text that ends in one has an exact probability all the same.
def test_a_story_that_ends_with_a_space():
    score = World("story:\n    x< | b>\n").score("x ")
    assert score.log_prob == pytest.approx(-math.log(2))
    assert [span[:2] for span in score.spans] == [(0, 1), (1, 2), (2, 2)]
    assert math.fsum(span.log_prob for span in score.spans) == score.log_prob


# Prevents a token of the book's tokenizer from lying across two words of the world,
# for all that the levels print.
@pytest.mark.parametrize(
    "text",
    [
        "The goat's spoon, one-eyed, was 7 pence.",
        '"No," said Ann. "P.S. Wait!"',
        "Dear Bo,\nso it is.\n\nYours",
        "a: b; c? (d) ... e -- f",
    ],
)
def test_words_are_unions_of_the_tokenizer_s_pieces(text):
    cuts = {match.end() for match in regex.finditer(GPT2_PATTERN, text)}
    grammar = "story:\n    " + text.replace("\n", "\\n") + "\n"
    assert {span.end for span in World(grammar).score(text).spans} <= cuts


# Prevents a word from losing its apostrophe or its hyphens, where GPT-2 cuts them off.
def test_words_keep_apostrophes_hyphens_and_underscores():
    words = ["The", " goats'", " so-so-", ",", " a_b", "!?", "\n", "no"]
    text = "".join(words)
    score = World("story:\n    " + text.replace("\n", "\\n") + "\n").score(text)
    assert [text[span.start : span.end] for span in score.spans] == [*words, ""]


# Prevents a score that depends on what was read before: these two share a table.
@pytest.mark.parametrize(
    "texts", [("one fig.", "two folk."), ("two folk.", "one fig.")]
)
def test_scores_do_not_depend_on_what_was_read_before(texts):
    grammar = (
        "list thing:\n    person  s=folk\n    fig\n"
        "list number:\n    one  value=1\n    two  value=2\n"
        "cast:\n    n: number\n    thing: thing\n"
        "story:\n    {n thing}.\n"
    )
    world = World(grammar)
    for text in texts:
        score = world.score(text)
        assert score == World(grammar).score(text)
        assert score.log_prob == pytest.approx(-math.log(4))


MOST = 60
WORDS = st.sampled_from(["a", "an", "ann", "anna", "bell", "bells", "bell's", "b-b"])
FORMS = ("", "^", "the ", "The ", "a ", "A ", "s ", "They ", "their ")


@st.composite
def small_grammars(draw):
    """A grammar at random: lists, roles, rules, conditions, numbers and tails."""
    lines = ["list thing:"]
    for word in draw(st.lists(WORDS, min_size=3, max_size=4, unique=True)):
        weight, k = draw(st.integers(1, 3)), draw(st.sampled_from("xy"))
        they = draw(st.sampled_from(["", "  they=he", f"  s={word[0]}ells"]))
        lines.append(f"    ({weight}) {word}  k={k}{they}")
    lines += ["list number:", "    (2) one  value=1", "    two  value=2"]
    lines += ["    three  value=3", "cast:", "    p: thing", "    q: thing, not p"]
    lines += ["    r: thing, k = p.k", "    n: number", "    m:"]
    slot = st.sampled_from(
        [
            *(f"{{{form}{role}}}" for form in FORMS[:1] + FORMS[2:] for role in "pq"),
            *(
                "{^p}",
                "{n p}",
                "{^n q}",
                "{m := 'bell'}{m}",
                "{p} {m := p}{m}",
                "{p}{+x p the egg}",
            ),
            *(
                "{n}{m := 'b'}",
                "{n}<[n != 'three'] {n := n + 1}{n q}|>",
                "{p}{m := p}",
                "{p}{r := p}",
                "{p} {r}",
                "{p}{r} <{q}|{r}>",
            ),
        ]
    )
    literal = WORDS | st.sampled_from([",", "Ann", "Bell", "-", "\\n", '"'])
    guards = st.sampled_from(
        [
            *("", "", "", "[p]", "[not q]", "[p = q]", "[p.k = 'x']", "[m = 'b']"),
            *("[p != 'a']", "[not n and q.k = 'y']", "[r.k != p.k and p]"),
        ]
    )

    def text(depth, rules):
        parts = []
        for _ in range(draw(st.integers(1, 3 - depth))):
            kind = draw(st.integers(0, 3 if depth < 2 else 1))
            if kind == 0:
                part = draw(literal)
            elif kind == 1:
                part = draw(slot)
            elif kind == 2 and rules:
                part = f"{{{draw(st.sampled_from(rules))}}}"
            else:
                options = [guard() + text(depth + 1, rules) for _ in range(2)]
                part = f"<{'|'.join(options)}|{draw(st.sampled_from(['', 'a']))}>"
            parts.append(part)
        return draw(st.sampled_from([" ", " ", ""])).join(parts)

    def guard():
        weight, condition = draw(st.integers(0, 2)), draw(guards)
        return f"({weight}) " * (weight > 0) + f"{condition} " * bool(condition)

    def rule(name, rules, end=""):
        last = draw(st.sampled_from(["so", "bell", "{p}"]))
        lines.append(f"{name}:")
        for _ in range(draw(st.integers(1, 2))):
            lines.append(f"    {guard()}{text(0, rules)}{end}")
        lines.append(f"    {last}{end}")

    rule("low", [])
    rule("high", ["low"])
    rule("story", ["low", "high"], ".")
    return "\n".join(lines) + "\n"


# Prevents what no one thought of: random grammars agree with the count of all stories.
@settings(max_examples=MOST, deadline=None, database=None)
@given(grammar=small_grammars())
def test_random_grammars(grammar):
    tellings = Slow(grammar).tellings()
    if sum(1 for _ in islice(tellings, 300)) == 300:  # too many to list
        return
    texts, facts = listed(grammar)
    world = World(grammar)
    assert math.fsum(math.exp(s.log_prob) for s in world.all_stories()) == (
        pytest.approx(1)
    )
    check_scores(world, texts, facts)
    if len(texts) < 60:
        check_next_words(world, texts)
        check_corruptions(world, texts, 5)


def entropy(texts):
    return -sum(p * math.log(p) for p in texts.values())


# Prevents a floor that leaves out a story's end or counts characters for bytes.
def test_floor_of_a_listed_world():
    grammar = "story:\n    <é|(3) ab>\n"
    world = World(grammar)
    stories = list(world.stories(4000, seed=1))
    known = floor(stories, type("Letters", (), {"encode": staticmethod(list)}))
    total = -math.fsum(story.log_prob for story in stories)
    tokens = sum(len(story.text) + 1 for story in stories)
    assert known.nats_per_token == pytest.approx(total / tokens)
    assert known.bits_per_byte == pytest.approx(total / math.log(2) / (2 * 4000))
    assert known.nats_per_story == pytest.approx(total / 4000)
    true = entropy(listed(grammar)[0])
    assert abs(known.nats_per_story - true) < 4 * known.standard_error < 0.1
