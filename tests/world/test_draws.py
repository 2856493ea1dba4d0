"""Draws are the same everywhere, from streams of their own, in constant memory."""

import hashlib
import os
import pickle
import random
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest

from llmbook import world as module
from llmbook.world import STREAM, World, stories, story
from tests.world.grammars import BASE, STORIES

# Of the first 1,000 stories as Python 3.10, 3.11, 3.12 and 3.13 draw them on Linux.
FINGERPRINTS = {
    "prefixes": "09437c430450218e25c16c37361f8a70d9bed7fe3e760f8c7bbfb98c7a79494a",
    "conditions": "7292aa8735d6b9153de1db36e5359f0a3ee9ac4141c5ce340a26eca98e6bcdd1",
    "numbers": "eec54c1fc83e26df7df67497ae9c0768233c1db6cffa0bb8b527547b12cdfc44",
    "inside": "1a51a4e28e355e86870309cda86828ec949a2a513ee52a509fb373f361d0e09d",
    "rivals": "5600f96a98e4cec94f60f40816ce63b3ce9bdfb06d478e11b7ccd4527c09d6b1",
    "holders": "3bb9cbd783047ba859fa4aee4e4c316f1d3db08debd61be57538d0e43c4ed10f",
    "signs": "077124966c413be7f46259dd75029ae44c9e57d8cdd31ab09fb3a4706a7667f6",
}


def fingerprint(told):
    return hashlib.sha256("\n".join(s.text for s in told).encode()).hexdigest()


# Prevents draws that differ between machines, or between versions of Python.
@pytest.mark.parametrize("name", FINGERPRINTS)
def test_first_stories_are_the_same_everywhere(name):
    world = World(BASE + STORIES[name])
    assert fingerprint(world.stories(1000)) == FINGERPRINTS[name]


SCRIPT = """
from llmbook.world import score, stories, next_words
told = list(stories(60, seed=3, level={level!r}))
print(told)
print([score(story.text, {level!r}) for story in told[:10]])
print(next_words("", {level!r}))
"""


# Prevents draws, scores or marks that depend on the order of a set.
def test_another_process_tells_the_same(level):
    script, told = SCRIPT.format(level=level), set()
    for seed in ("0", "1", "4294967295"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"}
        command = [sys.executable, "-c", script]
        told.add(subprocess.check_output(command, env=environment))
    assert len(told) == 1


# Prevents a story that depends on which stories were drawn or read before it.
def test_a_story_depends_on_its_seed_and_number_alone(world, drawn):
    assert list(islice(world.stories(10**9, seed=7), 30)) == drawn[:30]
    assert [world.story(7, number) for number in (29, 3, 29)] == [
        drawn[number] for number in (29, 3, 29)
    ]
    assert world.story(7, STREAM - 1) != world.story(8, 0)


# Prevents a process that joins in the middle from drawing other stories.
def test_a_stream_can_be_entered_anywhere(world, drawn):
    assert list(world.stories(20, seed=7, start=970)) == drawn[970:990]
    assert list(world.stories(0, seed=7, start=5)) == []


# Prevents a world that cannot be sent to another process, or that tells others there.
def test_a_world_can_be_pickled(world, drawn):
    sent = pickle.dumps(world)
    again = pickle.loads(sent)
    assert list(again.stories(30, seed=7)) == drawn[:30]
    assert again.score(drawn[0].text) == world.score(drawn[0].text)
    assert len(sent) < 1_000_000


# Prevents threads that share a world from seeing each other's half-made tables.
def test_threads_tell_the_same(world, grammar, drawn):
    fresh, pause = World(grammar), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as pool:
            tellings = [
                pool.submit(lambda: list(fresh.stories(60, seed=7))) for _ in range(2)
            ]
            told = [telling.result() for telling in tellings]
    finally:
        sys.setswitchinterval(pause)
    assert told == [drawn[:60]] * 2


# Prevents held-out stories that share random numbers with those of training.
def test_streams_are_disjoint(world, monkeypatch):
    seeds = []

    class Noted(random.Random):
        def __init__(self, seed):
            seeds.append(seed)
            super().__init__(seed)

    monkeypatch.setattr(module.random, "Random", Noted)
    for seed in (0, 1, 2, STREAM - 1):
        list(world.stories(20, seed))
        world.story(seed, STREAM - 1)
    assert len(seeds) == len(set(seeds)) == 4 * 21


# Prevents a training set that holds the stories which it is tested on.
def test_few_stories_come_twice(level, world, drawn):
    held_out = {s.text for s in world.stories(1000, seed=8)}
    assert sum(s.text in held_out for s in drawn) <= (5 if level == "nursery" else 0)
    assert len({s.text for s in drawn}) >= 990


# Prevents memory that grows with the number of stories.
def test_memory_is_constant(level, world):
    n = 8_000 if level == "nursery" else 2_000
    told = world.stories(n + n // 4, seed=1)
    for _ in islice(told, n // 4):  # what is cached is cached by now
        pass
    tracemalloc.start()
    for _ in islice(told, n // 40):
        pass
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    for _ in told:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - before < 300_000


# Prevents a world whose number of stories must be known, or held, before the first.
def test_stories_come_one_at_a_time(level):
    told = stories(10**12, level=level)
    assert next(told) == story(0, 0, level)


# Prevents a wish that is not granted, or that changes what it need not.
def test_who_plays_can_be_given(level, world, drawn):
    granted = 0
    for number, as_drawn in enumerate(drawn[:100]):
        if "hero" not in as_drawn.facts.roles:
            continue
        name = as_drawn.facts.roles["hero"]
        assert world.story(7, number, {"hero": name}) == as_drawn
        other = "Hobla" if name != "Hobla" else "Pelbo"
        try:
            told = world.story(7, number, {"hero": other})
        except ValueError as error:
            assert "cannot play" in str(error)
            continue
        granted += 1
        assert told.facts.roles["hero"] == other and other in told.text
        score = world.score(told.text)
        assert score.facts == told.facts
        assert abs(score.log_prob - told.log_prob) < 1e-9
    assert granted > 40
