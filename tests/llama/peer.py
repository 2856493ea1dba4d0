"""transformers' models with random weights, in the folders that transformers writes."""

import json
import math
import os
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import transformers

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

SHAPE = {
    "vocab_size": 97,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 80,
    "head_dim": 16,
    "max_position_embeddings": 128,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
MIXED = {"num_experts": 6, "moe_intermediate_size": 24, "num_experts_per_tok": 2}
CASES = {
    "Llama 2": ("Llama", {"num_key_value_heads": 4, "rms_norm_eps": 1e-5}),
    "Llama 2, grouped": ("Llama", {"rms_norm_eps": 1e-5}),
    "Llama 3": ("Llama", {"rope_parameters": LLAMA3}),
    "Llama 3.2, tied": (
        "Llama",
        {"rope_parameters": LLAMA3 | {"factor": 32.0}, "tie_word_embeddings": True},
    ),
    "Llama, linear": (
        "Llama",
        {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}},
    ),
    "Llama, one head of keys": ("Llama", {"num_key_value_heads": 1}),
    "Mistral": ("Mistral", {"sliding_window": 7}),
    "Mistral without a window": ("Mistral", {"sliding_window": None}),
    "Qwen3": (
        "Qwen3",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
    ),
    "Qwen3, tied": ("Qwen3", {"tie_word_embeddings": True, "num_attention_heads": 6}),
    "Mixtral": ("Mixtral", {"num_local_experts": 4}),
    "Qwen3 MoE": ("Qwen3Moe", MIXED | {"norm_topk_prob": True}),
    "Qwen3 MoE, shares as they are": ("Qwen3Moe", MIXED | {"norm_topk_prob": False}),
    "Qwen3 MoE, one of six": ("Qwen3Moe", MIXED | {"num_experts_per_tok": 1}),
}
DENSE = [name for name in CASES if "Mix" not in name and "MoE" not in name]


def random_peer(name, spread=0.15, seed=1):
    """A model of transformers, every one of its numbers random."""
    kind, changes = CASES[name]
    config = getattr(transformers, f"{kind}Config")(**(SHAPE | changes))
    torch.manual_seed(seed)
    peer = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for key, parameter in peer.named_parameters():
            parameter.normal_(std=spread)
            if "norm" in key:
                parameter.add_(1)
    return peer


def load_peer(folder, dtype=torch.float32):
    """Their model from a folder, in evaluation mode."""
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def rewrite(folder, change):
    """Change a folder's config.json."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def unit(logits):
    """The last place of bfloat16 at the size of the largest logit."""
    return 2.0 ** (math.floor(math.log2(logits.abs().max().item())) - 7)


@torch.no_grad()
def theirs(peer, tokens, steps=None):
    """Their logits in float32; with steps, read with a cache in these pieces."""
    if steps is None:
        return peer(tokens).logits.float()
    memory, parts, start = None, [], 0
    for n in steps:
        piece = tokens[:, start : start + n]
        said = peer(piece, past_key_values=memory, use_cache=True)
        memory, start = said.past_key_values, start + n
        parts.append(said.logits.float())
    return torch.cat(parts, dim=1)


@torch.no_grad()
def ours(model, tokens, steps=None):
    """Our logits in float32; with steps, read with llmbook's cache in these pieces."""
    from llmbook.generation import KVCache

    if steps is None:
        return model(tokens).float()
    cache, parts, start = KVCache(model, len(tokens)), [], 0
    for n in steps:
        parts.append(model(tokens[:, start : start + n], cache).float())
        start += n
    return torch.cat(parts, dim=1)
