"""The lab on a released model runs on random numbers in the layout of the real one."""

import re

import pytest
import torch

from llmbook import data, gpt, llama, plots
from llmbook.tokenizer import BPETokenizer
from llmbook.world import stories

from .session import LABS, cells, play

END = "<|endoftext|>"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Two folders as transformers writes them, each with a tokenizer of ours."""
    transformers = pytest.importorskip("transformers")
    texts = [each.text for each in stories(300, seed=1)]
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    old_tokenizer = BPETokenizer.train(texts, 320, [END])
    new_tokenizer = BPETokenizer.train(texts, 400, [END])
    torch.manual_seed(0)
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128}
    old = transformers.GPT2Config(vocab_size=old_tokenizer.n_vocab, **sizes, **ends)
    new = transformers.Qwen3Config(
        vocab_size=new_tokenizer.n_vocab
        + 3,  # more rows than tokens, as in the real one
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        **ends,
    )
    made = {
        "old": (transformers.GPT2LMHeadModel(old), old_tokenizer),
        "new": (transformers.Qwen3ForCausalLM(new), new_tokenizer),
    }
    folder = tmp_path_factory.mktemp("released")
    for name, (model, tokenizer) in made.items():
        model.save_pretrained(folder / name)
        tokenizer.to_huggingface(folder / name / "tokenizer.json")
    return folder


@pytest.fixture
def lab(saved, tmp_path, monkeypatch):
    """What the lab leaves behind when it has run on the stand-ins."""
    told = tmp_path / "story.txt"
    told.write_text("\n".join(each.text for each in stories(8, seed=7)), "utf-8")
    monkeypatch.setattr(data, "load_dataset", lambda name: told)
    monkeypatch.setattr(plots, "pick_device", lambda: torch.device("cpu"))
    smaller = {"NEW": str(saved / "new"), "OLD": str(saved / "old")}
    return play("llama", **smaller, N_STORIES=2, N_WRITTEN=6)


def test_it_runs(lab, capsys):
    assert lab["new"].config.qk_norm and lab["new"].config.n_kv_head == 2
    assert lab["new"].config.context_length == lab["old"].config.context_length == 128
    assert len(lab["results"]) == 8 and lab["curves"].keys() == {"GPT-2", "Qwen3"}
    # random numbers know nothing: each byte costs about a die's throw a token
    for name, bits in lab["bits"].items():
        assert bits > 3, name


def test_what_stands_before_costs_nothing(lab):
    new, tokenizer = lab["new"], lab["new_tokenizer"]
    before, text = ["A goose. A goose."], "One goose too many."
    ids = tokenizer.encode(text)
    row = [tokenizer.special_tokens[END], *tokenizer.encode(before[0] + "\n\n"), *ids]
    with torch.no_grad():
        chances = new(torch.tensor([row]))[0].log_softmax(-1)
    first = len(row) - len(ids)
    true = -sum(chances[i - 1, row[i]].item() for i in range(first, len(row)))
    assert lab["nats"](new, tokenizer, text, before) == pytest.approx(true, rel=1e-4)


def test_examples_that_do_not_fit_are_cut_in_front(lab):
    new, tokenizer = lab["new"], lab["new_tokenizer"]
    many = [each.text for each in stories(10, seed=5)]
    cut = lab["nats"](new, tokenizer, "One goose.", many)
    other = ["Something else altogether. " * 9, *many[-5:]]
    assert cut == pytest.approx(lab["nats"](new, tokenizer, "One goose.", other))


def test_the_numbers_that_follow_from_shapes():
    page = (LABS / "llama.ipynb").read_text("utf-8")
    qwen, medium = llama.LlamaConfig.qwen3("0.6b"), gpt.GPTConfig.gpt2("medium")
    counts = llama.count_parameters(qwen), gpt.count_parameters(medium)
    cache = llama.count_cache(qwen, 1), gpt.count_memory(medium, n_tokens=1, n_bytes=2)
    assert "| numbers | {:,} | {:,} |".format(*counts) in page
    row = f"bfloat16 | {cache[0]:,} | {cache[1]['cache']:,} |"
    assert row in page
    bounds = [int(320e9 / 4 / count) for count in reversed(counts)]
    told = re.findall(r"below (\d+) in float32", page)
    assert [*map(int, told)] == bounds[::-1]


def test_it_shows_nothing_that_nobody_has_run():
    """Outputs that need the weights are missing as long as the page says so."""
    page = (LABS / "llama.ipynb").read_text("utf-8")
    shown = any(
        cell.outputs
        for cell in cells("llama")
        if "nbval-skip" in cell.metadata.get("tags", [])
    )
    assert shown is ("| not measured | not measured | nothing |" not in page)
