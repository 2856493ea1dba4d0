"""A stream holds back what may be cut off, and no character is broken."""

import pytest

from llmbook.generation import generate, stream, stream_text
from llmbook.tokenizer import BPETokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train("the goat 🐐 the goat 山 é", 262, ["<|end|>"])


@pytest.mark.parametrize(
    "text", ["plain", "a goat 🐐!", "山é", "🐐", "", "naïve 🐐🐐 <|end|>"]
)
def test_pieces_are_the_text(tokenizer, text):
    ids = tokenizer.encode(text, allowed_special="all")
    pieces = list(stream_text(tokenizer, ids))
    assert "".join(pieces) == text
    assert all(pieces) and not any("\ufffd" in piece for piece in pieces)


def test_a_character_comes_with_its_last_byte(tokenizer):
    ids = list("🐐".encode())
    assert tokenizer.decode_bytes(ids) == "🐐".encode()
    taken = []

    def watched():
        for token in ids:
            taken.append(token)
            yield token

    pieces = stream_text(tokenizer, watched())
    assert next(pieces) == "🐐" and len(taken) == 4


@pytest.mark.parametrize(
    "ids", [list("🐐".encode())[:3], [0xFF], [0x80, 97], list("é".encode())[1:]]
)
def test_broken_text_is_replaced_as_decode_does(tokenizer, ids):
    pieces = "".join(stream_text(tokenizer, ids))
    assert pieces == tokenizer.decode(ids) and "\ufffd" in pieces


def test_ids_come_as_they_are_drawn(model):
    """Nothing is computed ahead of the reader."""
    calls = []
    hook = model.lm_head.register_forward_hook(lambda *call: calls.append(1))
    ids = stream(model, [1, 2, 3], 20, seed=0)
    assert not calls
    for n in range(1, 6):
        next(ids)
        assert len(calls) == n
    ids.close()
    hook.remove()


def test_the_beginning_of_a_stop_is_held_back(model):
    (ids,) = generate(model, [[1, 2, 3]], 12, seed=0)
    calls = []
    hook = model.lm_head.register_forward_hook(lambda *call: calls.append(1))
    other = (ids[4] + 1) % model.config.vocab_size
    reading = stream(model, [1, 2, 3], 12, seed=0, stop=[[*ids[2:4], other]])
    drawn = []
    for each in ids[:4]:
        assert next(reading) == each
        drawn.append(len(calls))
    assert drawn == [1, 2, 5, 5]  # the third waits until the fifth is no stop
    assert list(reading) == ids[4:]
    held = stream(model, [1, 2, 3], 4, seed=0, stop=[[*ids[2:4], other]])
    assert list(held) == ids[:4]  # the end sets free what was held
    hook.remove()
