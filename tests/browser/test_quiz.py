"""Choices and typed answers in a quiz are answered at once, by keyboard too."""

import pytest

from _ext.quiz import FOLDER, load

from .conftest import ROOT, Tab, sources

QUIZZES = sorted((ROOT / FOLDER).glob("*.yaml"))


@pytest.fixture(scope="module", params=QUIZZES, ids=lambda path: path.stem)
def quiz(request, browser, site):
    """The questions of a chapter, and a tab that shows them."""
    tab = Tab(browser, site)
    page = next(name for name in sources() if name.endswith(f"/{request.param.stem}"))
    tab.open(f"{page}.html")
    tab.page.wait_for_function("document.querySelector('.quiz-count')")
    yield load(request.param), tab
    tab.page.close()


def verdict(page, at):
    """What is said about question `at`, by its first word."""
    return page.locator(f"#quiz-{at} .quiz-verdict").inner_text().split(".")[0]


def test_every_question_is_answered(quiz):
    asked, tab = quiz
    page = tab.page
    for at, each in enumerate(asked, 1):
        for letter, option in zip("abcdefgh", each.options, strict=False):
            page.locator(f"#quiz-{at}-{letter}").check()
            assert verdict(page, at) == ("Right" if option.right else "Not yet")
            told = page.locator(f"#quiz-{at} .quiz-verdict").inner_text()
            assert len(told) > len("Not yet. ") + 10, told
        if each.options:
            letter = "abcdefgh"[[o.right for o in each.options].index(True)]
            page.locator(f"#quiz-{at}-{letter}").check()
            continue
        field = page.locator(f"#quiz-{at}-typed")
        ways = [(f"{each.answer}x9", "Not yet"), ("", "Not yet")]
        ways += [(other, "Right") for other in each.accept]
        if each.within is not None:
            number = float(each.answer.replace(",", ""))
            ways += [(f"{100 * number:.6f} %", "Right"), (f"{each.answer}%", "Right")]
            ways.append((f"{number + 2 * each.within + 1}", "Not yet"))
        for typed, word in [*ways, (each.answer, "Right")]:
            field.fill(typed)
            field.press("Enter")
            assert verdict(page, at) == word, typed
    said = page.locator(".quiz-count").inner_text()
    assert said == f"{len(asked)} of {len(asked)} right so far."
    assert not tab.problems, tab.problems


def test_keyboard_alone_answers(quiz):
    asked, tab = quiz
    page = tab.page
    at = next(i for i, each in enumerate(asked, 1) if each.options)
    page.locator(f"#quiz-{at}-a").focus()
    page.keyboard.press("Space")
    first = verdict(page, at)
    page.keyboard.press("ArrowDown")
    assert page.locator(f"#quiz-{at}-b").is_checked()
    assert first in ("Right", "Not yet") and verdict(page, at) in ("Right", "Not yet")
    assert page.locator(f"#quiz-{at} .quiz-verdict").get_attribute("role") == "status"
