"""What transformers saves, we read to the same logits; what we save, it reads so."""

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from llmbook.generation import KVCache, generate
from llmbook.gpt import GPT, GPTConfig
from llmbook.pretrained import from_pretrained, read_model, save_pretrained
from llmbook.training import load_storyteller

from ..conftest import need
from .conftest import SHAPES, random_gpt2


def rows(config, B=3, T=40):
    torch.manual_seed(5)
    return torch.randint(config.vocab_size, (B, T))


def last_place(logits):
    """A unit in the last place of bfloat16, at the size of the largest logit."""
    return 2.0 ** (logits.abs().max().log2().floor().item() - 7)


@pytest.fixture(params=SHAPES)
def pair(request, tmp_path):
    """Their folder, and their model read from it."""
    random_gpt2(**SHAPES[request.param]).save_pretrained(tmp_path)
    return tmp_path, transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()


@torch.no_grad()
def test_logits_in_float32(pair):
    folder, peer = pair
    model = read_model(folder)
    tokens = rows(model.config)
    want = peer(tokens).logits
    assert want.abs().max() > 1
    assert (model(tokens) - want).abs().max() <= 1e-4
    assert model.lm_head.weight is model.wte.weight and not model.training


@torch.no_grad()
def test_logits_in_bfloat16(pair):
    """Two units in the last place of the largest logit: sums are rounded elsewhere."""
    folder, _ = pair
    load = transformers.AutoModelForCausalLM.from_pretrained
    peer = load(folder, dtype=torch.bfloat16).eval()
    model = read_model(folder, dtype=torch.bfloat16)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    tokens = rows(model.config)
    want, got = peer(tokens).logits.float(), model(tokens).float()
    assert (got - want).abs().max() <= 2 * last_place(want)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_with_a_cache(pair, dtype):
    folder, _ = pair
    load = transformers.AutoModelForCausalLM.from_pretrained
    peer, model = load(folder, dtype=dtype).eval(), read_model(folder, dtype=dtype)
    tokens, cache = rows(model.config, 2, 20), KVCache(model, 2)
    past, start = None, 0
    for end in (12, 13, 14, 20):
        piece = tokens[:, start:end]
        theirs = peer(piece, past_key_values=past, use_cache=True)
        past, start, want = theirs.past_key_values, end, theirs.logits.float()
        bound = 1e-4 if dtype == torch.float32 else 2 * last_place(want)
        assert (model(piece, cache).float() - want).abs().max() <= bound


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_of_padded_batches(pair, dtype):
    """Behind the text nothing is seen, so their mask changes nothing that counts."""
    folder, _ = pair
    load = transformers.AutoModelForCausalLM.from_pretrained
    peer, model = load(folder, dtype=dtype).eval(), read_model(folder, dtype=dtype)
    tokens, lengths = rows(model.config), torch.tensor([40, 17, 3])
    real = torch.arange(40) < lengths[:, None]
    want = peer(tokens * real, attention_mask=real.long()).logits.float()
    bound = 1e-4 if dtype == torch.float32 else 2 * last_place(want)
    off = (model(tokens * real).float() - want).abs().amax(-1)
    assert off[real].max() <= bound


def test_prompts_of_unequal_length_are_continued_alike(folder):
    """transformers pads them in front and masks; ours are written each alone."""
    model, tokenizer = from_pretrained(folder)
    peer = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    prompts = [
        tokenizer.encode(text) for text in ("The goose", "One day Dorla sat", "A")
    ]
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    written = peer.generate(
        ids, attention_mask=mask, max_new_tokens=12, do_sample=False, pad_token_id=0
    )
    stop = tokenizer.special_tokens["<|endoftext|>"]
    ours = generate(model, prompts, 12, temperature=0, stop=stop)
    for got, row in zip(ours, written[:, width:].tolist(), strict=True):
        assert got == row[: len(got)] and len(got) > 3


@pytest.mark.parametrize("changes", [{}, {"bias": False}, {"gelu": "none"}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_we_save_they_read(tmp_path, tokenizer, changes, dtype):
    torch.manual_seed(0)
    shape = {"context_length": 96, "n_layer": 3, "n_head": 4, "n_embd": 64}
    model = GPT(GPTConfig(tokenizer.n_vocab, **shape, **changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.1)
    save_pretrained(model.to(dtype), tokenizer, tmp_path / "saved")
    load = transformers.AutoModelForCausalLM.from_pretrained
    peer, told = load(tmp_path / "saved", output_loading_info=True)
    assert not any(told.values()) and peer.dtype == dtype
    tokens = rows(model.config)
    with torch.no_grad():
        want, got = peer.eval()(tokens).logits.float(), model(tokens).float()
    bound = 1e-4 if dtype == torch.float32 else 2 * last_place(want)
    assert (got - want).abs().max() <= bound
    again, words = from_pretrained(tmp_path / "saved")
    assert again.config == model.config and words.fingerprint == tokenizer.fingerprint
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_the_storyteller_goes_abroad_and_comes_back(tmp_path):
    try:
        model, words = load_storyteller()
    except FileNotFoundError as error:
        need(False, str(error))
    save_pretrained(model, words, tmp_path)
    peer = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    tokens = rows(model.config, 4, 160)
    with torch.no_grad():
        assert (peer(tokens).logits - model(tokens)).abs().max() <= 1e-4
    peer.save_pretrained(tmp_path / "theirs")  # which drops nothing that we need
    again = read_model(tmp_path / "theirs")
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_the_names_of_the_released_files(folder):
    """The Hub's GPT-2 has no prefix before its names, and masks among its tensors."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    old = {name.removeprefix("transformer."): t.clone() for name, t in tensors.items()}
    old |= {f"h.{i}.attn.bias": torch.ones(1, 1, 96, 96).tril() for i in range(2)}
    before = read_model(folder).state_dict()
    before = {name: tensor.clone() for name, tensor in before.items()}
    path.unlink()
    save_file(old, path)
    after = read_model(folder).state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_shards_are_read_as_one(folder):
    peer = transformers.AutoModelForCausalLM.from_pretrained(folder)
    peer.save_pretrained(folder / "parts", max_shard_size="150KB")
    parts = sorted(folder.glob("parts/*.safetensors"))
    assert len(parts) > 2 and (folder / "parts/model.safetensors.index.json").exists()
    whole, again = read_model(folder).state_dict(), read_model(folder / "parts")
    assert all(torch.equal(t, whole[name]) for name, t in again.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_are_converted_on_the_way(folder, dtype):
    plain, other = read_model(folder), read_model(folder, dtype=dtype)
    for name, tensor in other.state_dict().items():
        assert tensor.dtype == dtype
        assert torch.equal(tensor, plain.state_dict()[name].to(dtype)), name


def test_training_leaves_the_file_alone(folder):
    """The map is private: what is learned stays in memory, in all layers."""
    bytes_before = (folder / "model.safetensors").read_bytes()
    model = read_model(folder, dropout=0.1).train()
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(rows(model.config)).float().square().mean().backward()
    optimizer.step()
    assert model.config.dropout == 0.1
    both = zip(model.parameters(), before, strict=True)
    changed = [not torch.equal(p, q) for p, q in both]
    assert all(changed)
    assert (folder / "model.safetensors").read_bytes() == bytes_before


def test_what_is_written_for_others(folder, tokenizer):
    """config.json and its companions hold what transformers and vLLM look for."""
    model, words = from_pretrained(folder)
    save_pretrained(model, words, folder / "new", about="It knows nothing.")
    names = {path.name for path in (folder / "new").iterdir()}
    assert names == {
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    config = json.loads((folder / "new/config.json").read_text())
    assert config["architectures"] == ["GPT2LMHeadModel"]
    assert config["model_type"] == "gpt2" and config["torch_dtype"] == "float32"
    assert config["eos_token_id"] == tokenizer.special_tokens["<|endoftext|>"]
    card = (folder / "new/README.md").read_text()
    assert "It knows nothing." in card and "has not said" not in card
    loaded = transformers.GenerationConfig.from_pretrained(folder / "new")
    assert loaded.eos_token_id == config["eos_token_id"]
