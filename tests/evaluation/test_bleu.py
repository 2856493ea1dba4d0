"""BLEU equals sacrebleu's, on generated and on real texts."""

import math
import random
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmbook.evaluation import bleu, words_13a
from llmbook.world import load_world, stories

sacrebleu = pytest.importorskip("sacrebleu", reason="peers are not installed")
PIECES = [*"ab 1,.-&;\n\t'\"!~[]é山🐐", "&amp;", "<skipped>", " the", "&lt;"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


@given(TEXTS)
@settings(deadline=None, max_examples=500)
def test_words_equal(text):
    theirs = sacrebleu.BLEU(effective_order=True)
    assert words_13a(text) == theirs._preprocess_segment(text).split()


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3))
@settings(deadline=None, max_examples=1000)
def test_sentences_equal(text, references):
    theirs = sacrebleu.sentence_bleu(text, references)
    ours = bleu([text], [references], effective_order=True)
    assert math.isclose(ours.score, theirs.score, rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_corpora_equal(seed, smooth):
    rng = random.Random(seed)
    bits = ["the", "goose", "1,000.5", "3-4", "&quot;", "it's", "-", "a.b", "é山", "$5"]
    rows = [
        [" ".join(rng.choices(bits, k=rng.randrange(9))) for _ in range(4)]
        for _ in range(100)
    ]
    texts = [row[0] for row in rows]
    ours = bleu(texts, [row[1:] for row in rows], smooth=smooth)
    theirs = sacrebleu.corpus_bleu(
        texts,
        [*zip(*(row[1:] for row in rows), strict=True)],
        smooth_method="exp" if smooth else "none",
    )
    assert math.isclose(ours.score, theirs.score, abs_tol=1e-9)
    assert ours.precisions == pytest.approx(theirs.precisions)
    assert ours.brevity_penalty == pytest.approx(theirs.bp)
    assert (ours.n_words, ours.n_reference_words) == (theirs.sys_len, theirs.ref_len)


def test_real_texts_equal():
    book = files("llmbook").joinpath("data/ten_words.txt").read_text("utf-8")
    lines = [line for line in book.split("\n") if line]
    told = list(stories(60, seed=49))
    retold = [
        load_world().retell(each.facts, seed=i).text for i, each in enumerate(told)
    ]
    town = [each.text for each in stories(30, seed=50, level="town")]
    pairs = {
        "retold": (retold, [each.text for each in told]),
        "next line": (lines[:-1], lines[1:]),
        "town": (town[:-1], town[1:]),
    }
    for texts, references in pairs.values():
        theirs = sacrebleu.corpus_bleu(texts, [references])
        assert abs(bleu(texts, references).score - theirs.score) < 1e-9
        for text, reference in zip(texts, references, strict=True):
            one = sacrebleu.sentence_bleu(text, [reference]).score
            ours = bleu([text], [reference], effective_order=True).score
            assert abs(ours - one) < 1e-9


def test_by_hand():
    assert bleu(["a b c d e"], ["a b c d e"]).score == pytest.approx(100)
    assert bleu(["a b c d"], ["a b c d e"]).score == pytest.approx(
        100 * math.exp(-1 / 4)
    )
    assert (
        bleu([""], ["a"]).score
        == bleu(["a"], [""]).score
        == bleu([""], [""]).score
        == 0
    )
    assert bleu(["the the the the"], ["the cat"]).precisions[0] == 25


def test_refuses():
    for call, told in (
        (lambda: bleu([], []), "one or more"),
        (lambda: bleu(["a"], []), "as many of"),
        (lambda: bleu(["a"], [[]]), "no reference"),
    ):
        with pytest.raises(ValueError, match=told):
            call()
    with pytest.raises(TypeError, match="compares lists"):
        bleu("a", "b")
