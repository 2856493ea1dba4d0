"""The playground: its data are the world's; its still needs no model."""

from pathlib import Path

import pytest
from docutils import nodes

from _ext.playground import (
    PAGE,
    PlaygroundLink,
    count_tokens,
    describe,
    generate,
    set_lines,
    told,
    trained,
)
from llmbook.tokenizer import BPETokenizer

from ..conftest import need

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train([text for text, _ in told(200, seed=8)], 600)


def test_words_have_their_tokens_and_their_floor(tokenizer):
    """Prevents bars that stand over other words than those they measure."""
    for text, spans in told(30):
        words = describe(text, spans, tokenizer)["words"]
        assert "".join(word for word, _, _ in words) == text
        ids, at = tokenizer.encode(text), 0
        for word, n, nats in words[:-1]:
            assert tokenizer.decode(ids[at : at + n]) == word and nats >= 0
            at += n
        assert at == len(ids) and words[-1][:2] == ["", 1]
        assert count_tokens(text, spans, tokenizer) == [n for _, n, _ in words]


def test_no_word_of_the_still_stands_on_another():
    words = ["a", "bb", "ccc", "dddd", "e"]
    places = set_lines(words, width=10)
    assert places == [(0, 0), (4, 0), (0, 1), (4, 1), (0, 2)]


def test_without_models_there_is_a_still_and_nothing_else(tmp_path):
    """Prevents a first build that fails, or trains, because nothing was trained."""
    assert not trained(tmp_path)
    alt = generate(tmp_path, tmp_path / "generated")
    assert "the floor 21.4." in alt
    found = sorted(path.name for path in (tmp_path / "generated").iterdir())
    assert found == ["playground.pdf", "playground.svg"]


def test_with_models_the_page_has_what_it_asks_for(tmp_path):
    need(trained(ROOT), "no storyteller: `make storyteller` trains it")
    for name in ("llmbook", "_build"):
        (tmp_path / name).symlink_to(ROOT / name)
    assert "without its mask" in generate(tmp_path, tmp_path / "generated")
    found = sorted(path.name for path in (tmp_path / "generated/playground").iterdir())
    assert found == [
        "peeker.safetensors",
        "stories.json",
        "storyteller.safetensors",
        "tokenizer.json",
    ]


def test_a_link_keeps_its_state():
    role = PlaygroundLink()
    role.rawtext, role.text = "", "see this head <text=a+b&layer=2>"
    ((link,), problems) = role.run()
    assert isinstance(link, nodes.reference) and not problems
    assert link.astext() == "see this head"
    assert link["playground"] == "text=a+b&layer=2"
    assert (ROOT / f"{PAGE}.md").exists()
