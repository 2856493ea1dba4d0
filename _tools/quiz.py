"""Print the quizzes of all chapters as one PDF, with the solutions at the back.

Usage: python -m _tools.quiz FOLDER, where everything that is made goes
"""

import json
import sys
from pathlib import Path

from _ext.chapters import number, title
from _ext.quiz import FOLDER, LETTERS, load
from _tools import paper
from _tools.export import ROOT, chapters

FRONT = """# llmbook: test yourself

```{toctree}
:maxdepth: 1

%s
solutions
```
"""
INDENT = "   "


def item(mark, *paragraphs):
    """An entry of a list, in Markdown."""
    flat = "\n\n".join(paragraph.strip() for paragraph in paragraphs)
    return f"{mark} " + flat.replace("\n", f"\n{INDENT}") + "\n"


def question(each):
    """A question as one entry: what is asked, then what there is to choose from."""
    options = [
        f"{letter}) {option.text.strip()}"
        for letter, option in zip(LETTERS, each.options, strict=False)
    ]
    return item("1.", each.ask, *(options or [r"\_" * 24]))


def solution(each):
    """The right answer to a question and what is to be said about the others."""
    reasons = [
        f"{letter}) {option.why.strip()}"
        for letter, option in zip(LETTERS, each.options, strict=False)
    ]
    return item("1.", f"**{each.solution}**", *(reasons or [each.why]))


def write(folder):
    """Write the Markdown of all quizzes to a folder."""
    solved, names = ["# Solutions\n"], []
    for path in chapters():
        quiz = ROOT / FOLDER / f"{path.stem}.yaml"
        if number(path.stem) is None or not quiz.exists():
            continue
        asked = load(quiz)
        heading = title(json.loads(path.read_text("utf-8"))["cells"])
        page = "\n".join([f"# {heading}\n", *map(question, asked)])
        (folder / f"{path.stem}.md").write_text(page, "utf-8")
        solved += [f"\n## {heading}\n", *map(solution, asked)]
        names.append(path.stem)
    (folder / "solutions.md").write_text("\n".join(solved), "utf-8")
    (folder / "index.md").write_text(FRONT % "\n".join(names), "utf-8")


def main(folder):
    write(paper.empty(folder))
    print(paper.typeset(folder, paper.settings("quiz", "llmbook: test yourself")))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
