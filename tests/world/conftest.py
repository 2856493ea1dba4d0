"""Levels, and stories drawn from them, that the world's tests share."""

from importlib.resources import files

import pytest

from llmbook.world import LEVELS, load_world
from tests.world.slow import Slow


@pytest.fixture(scope="session", params=LEVELS)
def level(request):
    return request.param


@pytest.fixture(scope="session")
def world(level):
    return load_world(level)


@pytest.fixture(scope="session")
def grammar(level):
    return files("llmbook").joinpath(f"data/{level}.txt").read_text("utf-8")


@pytest.fixture(scope="session")
def slow(grammar):
    return Slow(grammar)


@pytest.fixture(scope="session")
def drawn(world):
    """A thousand stories of each level."""
    return list(world.stories(1000, seed=7))


@pytest.fixture(scope="session")
def scores(world, drawn):
    return [world.score(story.text) for story in drawn]
