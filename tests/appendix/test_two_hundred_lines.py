"""The one file is short, stands alone, and is the book's GPT."""

import ast
import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from llmbook import gpt

from .session import APPENDIX, written

NAME, SOURCE = written("two_hundred_lines")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The file, imported as a reader's program would import it."""
    path = tmp_path_factory.mktemp("reader") / NAME
    path.write_text(SOURCE, "utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[path.stem]


def imported(source):
    """The first names of all modules that a program imports."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or "").split(".")[0])
    return names


def test_imported_sees():
    program = "import torch.nn\ndef f():\n    from llmbook.gpt import GPT\n"
    assert imported(program) == {"torch", "llmbook"}
    assert imported("from . import x") == {"."}


def test_is_under_two_hundred_lines():
    """Prevents a title that is no longer true, comments and blank lines counted."""
    assert len(SOURCE.splitlines()) < 200


def test_needs_pytorch_alone():
    """Prevents a file that a reader takes along and that does not run elsewhere."""
    assert imported(SOURCE) - set(sys.stdlib_module_names) == {"torch"}


@pytest.mark.parametrize("task", [["check"], ["format", "--check"]])
def test_is_in_the_house_style(task, tmp_path):
    """Prevents a file in another style: ruff itself skips cells with a magic."""
    path = tmp_path / NAME
    path.write_text(SOURCE, "utf-8")
    config = ["--config", APPENDIX.parents[1] / "pyproject.toml"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *task, "--quiet", *config, path],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


SHAPES = [
    {},
    {"n_layer": 1, "n_head": 1},
    {"vocab_size": 11, "n_head": 6, "n_layer": 3},
]


@pytest.mark.parametrize("changes", SHAPES)
def test_is_the_gpt_of_chapter_5(tiny, changes):
    """Prevents a second, slightly different GPT: logits and gradients are the same."""
    torch.manual_seed(0)
    config = tiny.Config(**changes, dropout=0.0)
    book = gpt.GPT(gpt.GPTConfig(**vars(config)))
    for parameter in book.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model = tiny.GPT(config)
    model.load_state_dict(book.state_dict())
    ids = torch.randint(config.vocab_size, (3, config.context_length))
    mine, theirs = model(ids), book(ids)
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    for logits in (mine, theirs):
        logits.log_softmax(-1)[..., 0].mean().backward()
    named = dict(book.named_parameters())
    for name, parameter in model.named_parameters():
        other = named[name].grad
        torch.testing.assert_close(parameter.grad, other, rtol=1e-4, atol=1e-5)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == gpt.count_parameters(book.config)


def test_begins_as_the_gpt_of_chapter_5(tiny):
    """Prevents another scale of the first weights, which equal logits do not show."""
    torch.manual_seed(0)
    config = tiny.Config(n_layer=6)
    model, book = tiny.GPT(config), gpt.GPT(gpt.GPTConfig(**vars(config)))
    theirs = dict(book.named_parameters())
    for name, parameter in model.named_parameters():
        spread, wanted = parameter.std().item(), theirs[name].std().item()
        assert spread == pytest.approx(wanted, rel=0.1), name


def test_learns_and_writes(tiny, capsys):
    """Prevents a loop that prints falling numbers and has learned nothing."""
    text = "abcdefgh" * 200
    config = tiny.Config(context_length=32, n_layer=1, n_embd=32, dropout=0.0)
    model = tiny.train(text, config, n_steps=200, every=100)
    first, _, last = (line.split()[2] for line in capsys.readouterr().out.splitlines())
    assert 5 < float(first) < 6 and float(last) < 0.3
    assert tiny.write(model, "abcd", n_tokens=40) == "abcd" + "efghabcd" * 5
    assert not model.training


def test_measures_every_byte_once(tiny):
    """Prevents a mean over windows that counts the last, shorter batch too much."""
    torch.manual_seed(0)
    config = tiny.Config(context_length=8, n_layer=1, n_embd=16, dropout=0.0)
    model, ids = tiny.GPT(config), torch.randint(256, (8 * 5 + 1,))
    windows = zip(ids[:-1].split(8), ids[1:].split(8), strict=True)
    with torch.no_grad():
        each = [tiny.loss_of(model, x[None], y[None]).item() for x, y in windows]
    mean = pytest.approx(sum(each) / 5, rel=1e-5)
    assert tiny.measure(model, ids, batch_size=2) == mean


def test_text_goes_through_unchanged(tiny):
    assert tiny.decode(tiny.encode("Zwölf, 十二 🐐")) == "Zwölf, 十二 🐐"
    assert tiny.decode([0xF0, 0x9F, 65]) == "�A"  # half a goat


@pytest.mark.parametrize("size", [0, 1, 50, 70])
def test_refuses_a_text_that_is_too_short(tiny, size):
    with pytest.raises(ValueError, match="give 128 or more"):
        tiny.train("x" * size)


def test_runs_as_a_program(tmp_path):
    """Prevents a file that can be imported and not be run, as the page says it can."""
    (tmp_path / NAME).write_text(SOURCE.replace("n_steps=1500", "n_steps=2"), "utf-8")
    (tmp_path / "story.txt").write_text("Once there was a goat. " * 40, "utf-8")
    done = subprocess.run(
        [sys.executable, NAME, "story.txt", "Once"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, done.stderr
    assert "2 steps" in done.stdout and "\nOnce" in done.stdout
