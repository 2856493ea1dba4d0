"""What all tests share: nbval's reading of cleaned chapters, and honest skips."""

import os

import pytest
from hypothesis import settings

settings.register_profile("book", derandomize=True, deadline=None)
settings.load_profile("book")


def pytest_collection_modifyitems(items):
    """Let nbval compare the outputs of cleaned chapters.

    Cleaning blanks the execution counts, so that diffs stay small, and nbval takes a
    cell without a count for one that never ran.
    """
    for item in items:
        cell = getattr(item, "cell", None)
        if cell is not None and cell.get("execution_count") is None:
            cell["execution_count"] = 0


def need(condition, reason):
    """Skip a test that lacks a tool; under CI, where nothing may lack, fail it."""
    if not condition and os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    elif not condition:
        pytest.skip(reason)
