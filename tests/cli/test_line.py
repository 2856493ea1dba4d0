"""The command line itself: files of settings, completion, help, and how it ends."""

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from llmbook import cli
from llmbook.cli import main, make_parser, parse

TASKS = sorted(cli.TASKS)


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Write a file of settings."""
    monkeypatch.chdir(tmp_path)

    def write(text):
        Path("recipe.toml").write_text(text, "utf-8")

    return write


def test_a_file_fills_in_what_the_line_leaves_open(recipe):
    recipe('steps = 7\nlearning_rate = 1\nn-layer = 2\nfiles = ["a.txt", "b.txt"]')
    given = parse(["train", "--config", "recipe.toml"])
    assert (given.steps, given.n_layer, given.n_head) == (7, 2, 4)
    assert given.learning_rate == 1.0 and isinstance(given.learning_rate, float)
    assert given.files == ["a.txt", "b.txt"]
    given = parse(["train", "c.txt", "--config=recipe.toml", "--steps", "9"])
    assert given.steps == 9 and given.files == ["c.txt"] and given.n_layer == 2
    assert parse(["train", "c.txt"]).steps == 1000  # and nothing stays behind


def test_every_sort_of_setting(recipe):
    recipe('model = "mine"\nweb = true\nport = 80')
    given = parse(["serve", "--config", "recipe.toml"])
    assert (given.model, given.web, given.port) == ("mine", True, 80)
    recipe('special = ["<a>"]\nfiles = ["x"]')
    given = parse(["tokenizer", "train", "--config", "recipe.toml"])
    assert given.special == ["<a>"]
    recipe('prompt = "Once"')
    assert parse(["generate", "--config", "recipe.toml"]).prompt == "Once"
    recipe('file = "x.jsonl"')
    assert parse(["finetune", "--config", "recipe.toml"]).file == "x.jsonl"


@pytest.mark.parametrize(
    "task, text, why",
    [
        ("train", "stepz = 3", "no setting 'stepz': it has batch-size, context-length"),
        ("train", 'steps = "3"', "steps is '3': give a whole number"),
        ("train", "steps = 3.5", "steps is 3.5: give a whole number"),
        ("train", "steps = true", "steps is True: give a whole number"),
        ("train", "learning-rate = false", "give a number"),
        ("train", "output = 3", "give a text"),
        ("train", 'files = "a.txt"', "give a list of texts"),
        ("serve", "web = 1", "give true or false"),
        ("export", 'dtype = "int8"', "give float32, bfloat16, float16"),
        ("train", "steps = ", "is no TOML"),
        ("train", "[steps]\nn = 3", "give a whole number"),
        ("train", "config = 'other.toml'", "no setting 'config'"),
    ],
)
def test_a_file_that_cannot_be(recipe, task, text, why):
    """Prevents a misspelt setting that changes nothing, for hours."""
    recipe(text)
    with pytest.raises(SystemExit) as raised:
        main([task, "a.txt", "--config", "recipe.toml"])
    told = str(raised.value)
    assert told.startswith("llmbook: recipe.toml") and why in told
    assert "\n" not in told and os.listdir() == ["recipe.toml"]


def test_a_file_that_is_not_there():
    with pytest.raises(SystemExit, match="absent"):
        main(["train", "a.txt", "--config", "absent.toml"])


@pytest.mark.parametrize("task", TASKS)
def test_help_shows_examples(task, capsys):
    with pytest.raises(SystemExit) as raised:
        main([*task.split(), "--help"])
    assert raised.value.code == 0
    told = capsys.readouterr().out
    examples = re.search(r"examples:\n((?:  llmbook .*\n)+)", told)
    assert examples and all(
        line.strip().startswith(f"llmbook {task}") for line in examples[1].splitlines()
    )


@pytest.mark.parametrize("task", TASKS)
def test_examples_can_be_parsed(task):
    """Prevents an example that its own help would refuse."""
    import shlex

    for example in cli.TASKS[task][3]:
        words = shlex.split(f"{task} {example}".split(" > ")[0])
        if "--config" not in words:
            assert parse(words).run is cli.TASKS[task][0]


@pytest.mark.parametrize("line", ["", "nothing", "train", "train a --steps x", "chat"])
def test_a_line_that_is_no_command_ends_with_2(line, capsys):
    with pytest.raises(SystemExit) as raised:
        main(line.split())
    told = capsys.readouterr()
    assert raised.value.code == 2 and "usage: llmbook" in told.err and not told.out


def test_words_are_not_abbreviated():
    """Prevents a script that breaks when a new flag begins like an old one."""
    with pytest.raises(SystemExit):
        parse(["train", "a.txt", "--step", "3"])


def completion(shell, capsys):
    main(["completion", shell])
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_task(shell, capsys):
    script = completion(shell, capsys)
    words = {word for task in TASKS for word in task.split()}
    assert all(word in script for word in words) and "muon-learning-rate" in script
    checker = shutil.which(shell)
    if checker:
        done = subprocess.run([checker, "-n"], input=script, text=True, check=False)
        assert done.returncode == 0


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    "line, wanted",
    [
        ("llmbook ", {"tour", "train", "finetune", "chat", "export", "completion"}),
        ("llmbook fi", {"finetune"}),
        ("llmbook tokenizer ", {"train", "encode", "decode"}),
        ("llmbook train --n-", {"--n-layer", "--n-head", "--n-embd"}),
        ("llmbook export --dtype ", {"float32", "bfloat16", "float16"}),
        ("llmbook completion ", {"bash", "zsh", "fish"}),
        ("llmbook evaluate let", {"letters.txt"}),
    ],
)
def test_completion_in_bash(line, wanted, capsys, tmp_path):
    """Prevents a completion script that no shell understands."""
    (tmp_path / "letters.txt").write_text("x")
    (tmp_path / "llmbook.sh").write_text(completion("bash", capsys))
    script = (
        "shopt -s progcomp; source ./llmbook.sh; "
        f"COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}; "
        "COMP_WORDS=($COMP_LINE); [[ $COMP_LINE == *' ' ]] && COMP_WORDS+=(''); "
        "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_TYPE=9; "
        "spec=$(complete -p llmbook); function=${spec##*-F }; "
        "function=${function%% *}; "
        "$function llmbook \"${COMP_WORDS[COMP_CWORD]}\" '' 2>/dev/null; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert wanted <= set(done.stdout.split()), done.stderr


def test_every_task_has_a_file_of_settings():
    _, tasks = make_parser()
    for name, task in tasks.items():
        flags = {flag for action in task._actions for flag in action.option_strings}
        assert ("--config" in flags) is (name != "completion")


def test_the_tour_ends_in_a_chat(tmp_path, monkeypatch, capsys):
    """Prevents a tour that ends before its guest may ask."""
    from llmbook.instruction import load_chat

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO("1\nWho is it?\n5\n\nWho?\nq\n"))
    main(["tour", "--steps", "3", "--tune-steps", "2", "--output", "teller"])
    told = capsys.readouterr().out
    assert told.count("above the floor") >= 3 and "Puddock:" in told
    assert re.search(r"\d+ of \d+ questions about stories", told)
    assert told.count("> ") >= 5 and told.count("\n  1  ") == 2  # a second story
    model, tokenizer, template = load_chat("teller")
    assert tokenizer.n_vocab == model.config.vocab_size and template.stop == "<|end|>"


@pytest.mark.parametrize("end", ["", "exit\n"])
def test_the_tour_can_be_left(tmp_path, monkeypatch, capsys, end):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO(end))
    main(["tour", "--steps", "2", "--tune-steps", "1"])
    assert os.listdir() == []


def test_tours_that_cannot_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("x")
    for line, why in (
        (["--steps", "0"], "--steps is 0"),
        (["--tune-steps", "-1"], "--tune-steps is -1"),
        (["--output", "a.txt"], "a.txt"),
    ):
        with pytest.raises(SystemExit, match=why):
            main(["tour", *line])


def test_the_tours_lessons_are_true():
    """Prevents a school that teaches what the world denies."""
    from llmbook.instruction import NOT_TOLD, questions

    world, kinds = cli.tour_world(), set()
    lessons = list(cli.tour_lessons(world, 60, 0))
    for messages in lessons:
        text, first = messages[0]["content"].rsplit("\n", 1)
        assert world.score(text) is not None
        answers = {each.text: each.answer for each in told_of(world, text)}
        asked = [first, *(m["content"] for m in messages[2::2])]
        for question, reply in zip(asked, messages[1::2], strict=True):
            kinds.add(reply["content"] == NOT_TOLD)
            assert answers.get(question, NOT_TOLD) == reply["content"]
    assert kinds == {True, False} and callable(questions)


def told_of(world, text):
    from llmbook.instruction import questions
    from llmbook.world import Story

    story = Story(text, 0.0, world.score(text).facts)
    return [e for seed in range(1) for e in questions(story, seed)]


def test_judge():
    from llmbook.world import story

    text = story(3).text
    assert "yes" in cli.judge(text)
    said = cli.judge("goat " + text)
    assert "'goat'" in said and "begins" in said
    first, *_ = text.split()
    said = cli.judge(f"{first} xyzzy")
    assert "'xyzzy'" in said and first in said
    assert "no end" in cli.judge(text.rsplit(" ", 1)[0])
