"""Foreign tokenizers, read back: the ids that the `tokenizers` library gives."""

import json
import unicodedata

import pytest
import tokenizers
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer

from llmbook.gpt import GPT, GPTConfig
from llmbook.pretrained import read_tokenizer, save_pretrained
from llmbook.world import stories

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
SPECIAL = {
    "gpt2": ["<|endoftext|>"],
    "llama3": ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"],
    "qwen": ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>"],
}
TEXTS = [each.text for each in stories(200, seed=6)]
TEXTS += [
    "naïve café, 山 🐐🐐 12345 in 2024",
    "I'LL\n\n  go\t—\r\nnow   ",
    "e\u0301a\u0308",
]
TEXTS += [unicodedata.normalize("NFD", "Ångström déjà vu"), "", " ", "<|im_end|> <|eot"]


def trained(kind):
    """A tokenizer of the library's own making, in the manner of a released model."""
    peer = Tokenizer(models.BPE())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind == "gpt2")
    peer.pre_tokenizer = level
    if kind != "gpt2":
        pattern = Regex(LLAMA3 if kind == "llama3" else QWEN)
        cut = pre_tokenizers.Split(pattern, "isolated")
        peer.pre_tokenizer = pre_tokenizers.Sequence([cut, level])
    if kind == "qwen":
        peer.normalizer = normalizers.NFC()
    peer.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=700, initial_alphabet=letters, show_progress=False)
    peer.train_from_iterator(TEXTS, trainer)
    peer.add_special_tokens(SPECIAL[kind])
    return peer


def llama3_merges(content):
    """List every pair that makes a token, as the conversion of Llama 3 has done."""
    vocab = content["model"]["vocab"]
    pairs = []
    for token in sorted(vocab, key=vocab.get):
        cuts = ((token[:i], token[i:]) for i in range(1, len(token)))
        found = [(a, b) for a, b in cuts if a in vocab and b in vocab]
        pairs += sorted(found, key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
    content["model"] |= {
        "merges": [list(pair) for pair in pairs],
        "ignore_merges": True,
    }


@pytest.fixture(params=SPECIAL, scope="module")
def pair(request, tmp_path_factory):
    """The library's tokenizer, and ours read from its file."""
    path = tmp_path_factory.mktemp(request.param) / "tokenizer.json"
    peer = trained(request.param)
    peer.save(str(path))
    content = json.loads(path.read_text("utf-8"))
    if request.param == "llama3":
        before = len(content["model"]["merges"])
        llama3_merges(content)
        assert len(content["model"]["merges"]) > before
        path.write_text(json.dumps(content), "utf-8")
    return Tokenizer.from_file(str(path)), read_tokenizer(path)


def test_ids(pair):
    peer, ours = pair
    for text in TEXTS:
        want = peer.encode(text, add_special_tokens=False).ids
        assert ours.encode(text, allowed_special="all") == want, text


@settings(max_examples=200)
@given(st.text(st.characters(exclude_categories=["Cs", "Cn", "Mn", "Mc"]), max_size=40))
def test_ids_of_any_text(pair, text):
    """But for marks and what is not assigned, which Unicode's versions class apart."""
    peer, ours = pair
    want = peer.encode(text, add_special_tokens=False).ids
    assert ours.encode(text) == want


def test_special_tokens_are_text_unless_allowed(pair):
    peer, ours = pair
    name, number = next(reversed(ours.special_tokens.items()))
    assert peer.token_to_id(name) == number
    assert number not in ours.encode(f"a {name} b")
    assert number in ours.encode(f"a {name} b", allowed_special="all")
    if type(ours).__name__ == "NFCTokenizer":  # a mark behind it must not break it
        assert number in ours.encode(f"{name}\u0338", allowed_special="all")


def test_back_to_the_library(pair, tmp_path):
    """What save_pretrained writes, AutoTokenizer reads to the same ids."""
    peer, ours = pair
    save_pretrained(GPT(GPTConfig(ours.n_vocab, 8, 1, 1, 8)), ours, tmp_path)
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        want = peer.encode(text, add_special_tokens=False).ids
        assert auto(text).input_ids == want, text
        assert auto.decode(want) == peer.decode(want, skip_special_tokens=False)
    again = read_tokenizer(tmp_path)
    assert type(again) is type(ours) and again.fingerprint == ours.fingerprint


def test_what_joins_accents_is_not_saved_without_saying_so(tmp_path):
    path = tmp_path / "tokenizer.json"
    trained("qwen").save(str(path))
    with pytest.raises(TypeError, match="use save_pretrained"):
        read_tokenizer(path).save(tmp_path / "own.json")


FOREIGN = {
    "WordPiece": (tokenizers.models.WordPiece, "not byte-level BPE"),
    "Unigram": (tokenizers.models.Unigram, "not byte-level BPE"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_other_kinds_are_refused(tmp_path, kind):
    model, told = FOREIGN[kind]
    Tokenizer(model()).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match=told):
        read_tokenizer(tmp_path)


def change_model(**entries):
    return lambda content: content["model"].update(entries)


def swap_merges(content):
    merges = content["model"]["merges"]
    merges[0], merges[-1] = merges[-1], merges[0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (change_model(byte_fallback=True), "not byte-level BPE"),
        (change_model(continuing_subword_prefix="##"), "continuing_subword_prefix"),
        (change_model(dropout=0.1), "dropout"),
        (change_model(merges=[["a", "zzz"]]), "lacks 'zzz'"),
        (change_model(vocab={"a": 0}), "holds no tokenizer"),
        (lambda content: content.pop("model"), "lacks 'model'"),
        (lambda content: content.update(normalizer={"type": "Lowercase"}), "Lowercase"),
        (lambda content: content["pre_tokenizer"].update(type="Whitespace"), "Whites"),
        (
            lambda content: content["pre_tokenizer"].update(add_prefix_space=True),
            "ByteLevel, not by one pattern",
        ),
        (lambda content: content["added_tokens"][0].update(lstrip=True), "borders"),
        (swap_merges, "merge"),
    ],
)
def test_what_would_give_other_ids_is_refused(tmp_path, change, told):
    path = tmp_path / "tokenizer.json"
    trained("gpt2").save(str(path))
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(ValueError, match=told):
        read_tokenizer(path)


def test_merges_as_older_files_write_them(tmp_path):
    """GPT-2's file has its merges as texts with a space, and does not say BPE."""
    path = tmp_path / "tokenizer.json"
    trained("gpt2").save(str(path))
    new = read_tokenizer(path)
    content = json.loads(path.read_text("utf-8"))
    model = content["model"]
    model["merges"] = [" ".join(pair) for pair in model["merges"]]
    model.pop("type")
    name, number = "<|endoftext|>", content["added_tokens"][0]["id"]
    model["vocab"][name] = number  # and the special token stands among the others
    path.write_text(json.dumps(content), "utf-8")
    assert read_tokenizer(path).fingerprint == new.fingerprint
