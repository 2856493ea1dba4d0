"""Every chapter has questions to test oneself by, which cannot be answered by looks."""

from pathlib import Path

from _ext.quiz import FOLDER, Option, Question, load

from .book import CHAPTERS, ROOT, clear, each_chapter, headings, planted, text

LEAST, CHOICES, TYPED = 10, 7, 2  # questions, those with options, those without


def quiz_of(notebook):
    return ROOT / FOLDER / notebook.path.with_suffix(".yaml").name


def dull(name, asked):
    """What is wrong with the questions of a chapter as a whole."""
    choices = [each for each in asked if each.options]
    problems = []
    for what, n, least in [
        ("questions", len(asked), LEAST),
        ("questions with options", len(choices), CHOICES),
        ("questions with typed answers", len(asked) - len(choices), TYPED),
    ]:
        if n < least:
            problems.append(f"{name}: {n} {what}; write {least} or more.")
    longest, places = 0, set()
    for each in choices:
        lengths = [len(option.text) for option in each.options]
        right, *more = [i for i, option in enumerate(each.options) if option.right]
        others = [n for i, n in enumerate(lengths) if i != right]
        longest += lengths[right] > 1.25 * max(others)
        places.add(right)
        if more:
            problems.append(f"{name}: {each.ask[:50]!r} has two right options.")
    if choices and len(places) < 3:
        problems.append(f"{name}: the right option stands in {len(places)} places.")
    if 2 * longest > len(choices):
        problems.append(f"{name}: the right option is mostly the longest.")
    return problems


def malformed(notebook, asked):
    """What is wrong with single questions."""
    found = [heading for cell in notebook.prose for _, heading in headings(cell.source)]
    problems = []
    for each in asked:
        where = f"{notebook.name}, quiz, {each.ask[:50]!r}"
        if each.see not in found:
            problems.append(f"{where}: {each.see!r} is none of {found}.")
        if each.options and not 3 <= len(each.options) <= 5:
            problems.append(f"{where}: {len(each.options)} options; give 3 to 5.")
        if each.options and not any(option.right for option in each.options):
            problems.append(f"{where}: no option is right; mark one.")
        if len({option.text for option in each.options}) < len(each.options):
            problems.append(f"{where}: two options say the same; change one.")
    return problems


@each_chapter
def test_quiz(notebook):
    """Prevents a chapter without its quiz, or with one that looks give away."""
    path = quiz_of(notebook)
    assert path.exists(), f"{notebook.name}: write {FOLDER / path.name}."
    asked = load(path)
    clear(malformed(notebook, asked) or dull(notebook.name, asked))


def left_over(names, chapters):
    """The quizzes of no chapter."""
    stems = {Path(name).stem for name in chapters}
    return [
        f"{FOLDER / name} belongs to no chapter; rename or delete it."
        for name in names
        if Path(name).stem not in stems
    ]


def test_no_quiz_is_left_over():
    """Prevents questions on a chapter that is gone or has been renamed."""
    names = [path.name for path in (ROOT / FOLDER).iterdir()]
    clear(left_over(names, [notebook.name for notebook in CHAPTERS]))


def test_no_quiz_is_left_over_sees():
    assert left_over(["02_token.yaml"], ["02_tokenizer.ipynb"])
    assert not left_over(["02_tokenizer.yaml"], ["02_tokenizer.ipynb"])


def options(right=0, n=3, long=0):
    return [
        Option(f"number {i} {'x' * long * (i == right)}", i == right, "since")
        for i in range(n)
    ]


def asked(right, n=3, long=0):
    return Question(f"What is {right}?", "Idea", options(right, n, long))


TYPING = Question("How many?", "Idea", [], "2", within=0, why="Count.")


def test_quiz_sees():
    page = planted(text("# Title\n\n## Idea"))
    fine = [*(asked(i % 3) for i in range(8)), TYPING, TYPING]
    assert not malformed(page, fine) + dull("x", fine)
    assert malformed(page, [Question("?", "Other", options())])
    assert malformed(page, [Question("?", "Idea", options(n=2))])
    assert malformed(page, [Question("?", "Idea", options(right=9))])
    twice = [Option("a", True, "b"), Option("a", False, "b"), Option("c", False, "b")]
    assert malformed(page, [Question("?", "Idea", twice)])
    assert dull("x", fine[:9])
    assert dull("x", fine[:8] + fine[:2])
    assert dull("x", [*(asked(0) for _ in range(8)), TYPING, TYPING])
    assert dull("x", [*(asked(i % 3, long=9) for i in range(8)), TYPING, TYPING])
