"""GPT-2s with random weights as transformers saves them, and a tokenizer for them."""

import os
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import transformers

from llmbook.tokenizer import BPETokenizer
from llmbook.world import stories

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
END = "<|endoftext|>"

#: Four shapes of GPT-2: as released but small; deep; the exact GELU; odd numbers.
SHAPES = {
    "small": {"n_layer": 2, "n_head": 4, "n_embd": 64, "n_positions": 96},
    "deep": {"n_layer": 7, "n_head": 2, "n_embd": 32, "n_positions": 64},
    "exact": {"n_layer": 2, "n_head": 1, "n_embd": 48, "activation_function": "gelu"},
    "odd": {"n_layer": 1, "n_head": 3, "n_embd": 33, "n_inner": 132, "vocab_size": 701},
}


@pytest.fixture(scope="session")
def tokenizer():
    """A byte-level BPE of 600 tokens."""
    texts = [each.text for each in stories(300, seed=4)]
    return BPETokenizer.train(texts, 600, [END])


def random_gpt2(**changes):
    """transformers' GPT-2, every one of its numbers random."""
    torch.manual_seed(3)
    shape = {"vocab_size": 600, "bos_token_id": 599, "eos_token_id": 599, **changes}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(std=0.1)
            if ".ln_" in name and name.endswith("weight"):
                parameter.add_(1)
    return model


@pytest.fixture
def folder(tmp_path, tokenizer):
    """A GPT-2 with its tokenizer, as transformers has written them."""
    random_gpt2(**SHAPES["small"]).save_pretrained(tmp_path / "gpt2")
    tokenizer.to_huggingface(tmp_path / "gpt2" / "tokenizer.json")
    return tmp_path / "gpt2"
