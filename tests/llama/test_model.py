"""A Llama in the hands of the other chapters: writing, training, saving, counting."""

import dataclasses
import json
import subprocess
import sys

import pytest
import torch

from llmbook.generation import KVCache, generate, pack, stream
from llmbook.gpt import GPT, GPTConfig
from llmbook.llama import (
    GroupedAttention,
    Llama,
    LlamaConfig,
    RMSNorm,
    RopeScaling,
    SwiGLU,
    count_cache,
    count_parameters,
)
from llmbook.optim import inner_matrices
from llmbook.tokenizer import BPETokenizer
from llmbook.training import (
    TrainConfig,
    evaluate_loss,
    load_checkpoint,
    load_model,
    save_checkpoint,
    save_model,
    train,
)

TINY = LlamaConfig(61, 24, n_layer=2, n_head=4, n_embd=32, n_kv_head=2)
VARIANTS = {
    "plain": TINY,
    "qk_norm": dataclasses.replace(TINY, qk_norm=True),
    "tied": dataclasses.replace(TINY, tied=True),
    "one head of keys": dataclasses.replace(TINY, n_kv_head=1),
    "wide heads": dataclasses.replace(TINY, head_width=16),
    "window": dataclasses.replace(TINY, window=5),
    "slowed": dataclasses.replace(TINY, rope_scaling=RopeScaling(8.0, original=16)),
    "experts": dataclasses.replace(TINY, n_expert=4),
    "all": LlamaConfig(
        61, 24, 2, 4, 32, 2, 24, 10, qk_norm=True, tied=True, window=7, n_expert=3
    ),
}
PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10]]


def build(config, seed=0):
    torch.manual_seed(seed)
    model = Llama(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module", params=VARIANTS)
def model(request):
    return build(VARIANTS[request.param])


@pytest.mark.parametrize("n_new", [8, 60])
def test_written_with_a_cache_and_without(model, n_new):
    """Beyond the context too, where the older half is dropped."""
    written = generate(model, PROMPTS, n_new, seed=3)
    assert written == generate(model, PROMPTS, n_new, seed=3, use_cache=False)
    assert written[1] == generate(model, [PROMPTS[1]], n_new, seed=4)[0]
    assert [*stream(model, PROMPTS[0], n_new, seed=3)] == written[0]


def test_packed(model):
    tokens = torch.tensor([[1, 2, 3, 4]])
    with torch.no_grad():
        torch.testing.assert_close(pack(model)(tokens), model(tokens))


@torch.no_grad()
def test_a_prompt_in_pieces(model):
    tokens = torch.randint(61, (2, 24))
    cache, parts, start = KVCache(model, 2), [], 0
    for n in (1, 6, 2, 1, 9, 5):
        parts.append(model(tokens[:, start : start + n], cache))
        start += n
    torch.testing.assert_close(torch.cat(parts, 1), model(tokens), atol=1e-5, rtol=1e-4)


def test_the_future_does_not_leak(model):
    tokens = torch.randint(61, (1, 24))
    other = tokens.clone()
    other[0, 15] = (other[0, 15] + 1) % 61
    same = (model(tokens) - model(other)).abs().amax(-1)[0] < 1e-5
    assert same[:15].all() and not same[15]


def test_features_and_the_last_layer(model):
    tokens = torch.randint(61, (2, 10))
    assert torch.equal(model.lm_head(model.features(tokens)), model(tokens))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_it_learns(optimizer, precision):
    ids = list(range(30)) * 40
    for config in (VARIANTS["qk_norm"], VARIANTS["all"]):
        torch.manual_seed(0)
        fresh = Llama(config)
        settings = {"optimizer": optimizer, "precision": precision}
        settings |= {"learning_rate": 0.01, "weight_decay": 0.0, "batch_size": 8}
        train(fresh, ids, ids, TrainConfig(60, **settings), progress=False)
        assert evaluate_loss(fresh, ids) < 0.5  # guessing blindly: 3.4


def test_muon_takes_the_matrices_of_experts():
    inner = inner_matrices(build(VARIANTS["experts"]))
    shapes = [tuple(each.shape) for each in inner]
    assert shapes.count((TINY.n_hidden, 32)) == 2 * 4 * 2
    assert len(inner) == 2 * (4 + 1 + 4 * 3)
    assert len({id(each) for each in inner}) == len(inner)


def test_a_run_goes_on(tmp_path):
    ids, config = list(range(30)) * 20, VARIANTS["all"]
    settings = TrainConfig(12, batch_size=4, optimizer="muon")
    whole = build(config).train()
    train(whole, ids, None, settings, progress=False)
    path, stopped = tmp_path / "run.safetensors", build(config).train()

    def stop(run):
        if run.step == 7:
            raise KeyboardInterrupt

    settings = dataclasses.replace(settings, checkpoint_every=5)
    with pytest.raises(KeyboardInterrupt):
        options = {"checkpoint": path, "progress": False, "on_step": stop}
        train(stopped, ids, None, settings, **options)
    resumed = build(config, seed=5).train()
    train(resumed, ids, None, settings, checkpoint=path, progress=False)
    for one, two in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, two)


def test_a_checkpoint(tmp_path, model):
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, model)
    back, _ = load_checkpoint(path)
    tokens = torch.randint(61, (1, 9))
    assert type(back) is Llama and back.config == model.config
    torch.testing.assert_close(back(tokens), model(tokens))


def test_a_folder(tmp_path):
    tokenizer = BPETokenizer.train("a map and a mat", 260, ["<|endoftext|>"])
    config = dataclasses.replace(VARIANTS["slowed"], vocab_size=tokenizer.n_vocab)
    save_model(tmp_path, build(config), tokenizer)
    back, words = load_model(tmp_path)
    assert back.config == config and words.fingerprint == tokenizer.fingerprint


def on_meta(config):
    with torch.device("meta"):
        return Llama(config)


PUBLISHED = {  # as counted from the released files
    ("llama2", "7b"): 6_738_415_616,
    ("llama2", "13b"): 13_015_864_320,
    ("llama2", "70b"): 68_976_648_192,
    ("llama3", "1b"): 1_235_814_400,
    ("llama3", "3b"): 3_212_749_824,
    ("llama3", "8b"): 8_030_261_248,
    ("llama3", "70b"): 70_553_706_496,
    ("qwen3", "0.6b"): 596_049_920,
    ("qwen3", "1.7b"): 1_720_574_976,
    ("qwen3", "4b"): 4_022_468_096,
    ("qwen3", "8b"): 8_190_735_360,
    ("qwen3", "14b"): 14_768_307_200,
    ("qwen3", "32b"): 32_762_123_264,
    ("qwen3", "30b-a3b"): 30_532_122_624,
}


@pytest.mark.parametrize("family, size", PUBLISHED)
def test_published_sizes(family, size):
    config = getattr(LlamaConfig, family)(size)
    if size != "30b-a3b":  # 18,000 modules: seconds; its blocks are counted below
        numbers = sum(p.numel() for p in on_meta(config).parameters())
        assert numbers == PUBLISHED[family, size]
    assert count_parameters(config) == PUBLISHED[family, size]


def test_the_active_part_of_a_mixture():
    config = LlamaConfig.qwen3("30b-a3b")
    assert 3.2e9 < count_parameters(config, active=True) < 3.4e9
    assert count_parameters(TINY, active=True) == count_parameters(TINY)


def test_parameters(model):
    numbers = sum(p.numel() for p in model.parameters())
    assert count_parameters(model.config) == numbers


@pytest.mark.parametrize("dtype, n_bytes", [(torch.float32, 4), (torch.bfloat16, 2)])
def test_cache(model, dtype, n_bytes):
    cache = KVCache(model, 3, 20, dtype=dtype)
    assert cache.n_bytes == count_cache(model.config, 20, 3, n_bytes)
    storage = cache[0].keys.untyped_storage().nbytes()
    assert storage == cache.n_bytes  # all in one piece, and nothing beside it


def test_the_cache_of_released_models():
    two, three = LlamaConfig.llama2(), LlamaConfig.llama3()
    assert count_cache(two, 4096) == 2**31
    assert count_cache(three, 1) * 4 == count_cache(two, 1)


def test_a_gpt_with_seven_changes_is_a_llama():
    config = LlamaConfig(50, 32, 2, 4, 64, 2, qk_norm=True)
    llama = build(config)
    gpt = GPT(GPTConfig(50, 32, 2, 4, 64, bias=False, rotary=True)).eval()
    for block in gpt.h:
        block.ln_1, block.ln_2 = RMSNorm(64), RMSNorm(64)
        block.attn, block.mlp = GroupedAttention(config), SwiGLU(64)
    gpt.ln_f, gpt.lm_head = RMSNorm(64), torch.nn.Linear(64, 50, bias=False)
    for theirs, ours in zip(gpt.parameters(), llama.parameters(), strict=True):
        theirs.data = ours.data
    tokens = torch.randint(50, (2, 20))
    assert torch.equal(gpt(tokens), llama(tokens))


@pytest.mark.parametrize("n_layer, W", [(1, 1), (1, 4), (3, 2), (2, 5), (4, 3)])
def test_how_far_windows_see(n_layer, W):
    model = Llama(LlamaConfig(50, 32, n_layer, 2, 16, window=W)).eval()
    x = model.embed_tokens(torch.randint(50, (1, 32))).detach().requires_grad_()
    y = x
    for layer in model.layers:
        y = layer(y)
    y[0, -1].sum().backward()
    heard = x.grad[0].abs().sum(-1).nonzero().flatten().tolist()
    assert heard == [*range(32 - n_layer * (W - 1) - 1, 32)]


def test_compiled():
    model = build(VARIANTS["qk_norm"])
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    tokens = torch.randint(61, (2, 8))
    torch.testing.assert_close(compiled(tokens), model(tokens))


def test_chapter_10_finds_it_by_itself(tmp_path):
    """from_pretrained reads a Llama though nobody has imported this module."""
    from .peer import random_peer

    random_peer("Qwen3").save_pretrained(tmp_path)
    code = "import sys; from llmbook.pretrained import read_model; "
    code += "print(type(read_model(sys.argv[1])).__name__)"
    command = [sys.executable, "-c", code, str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.stdout.strip() == "Llama", told.stderr
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "qwen3"
