"""transformers' GPT-2 with random weights, and the same weights in our model."""

import os
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import transformers

from llmbook.gpt import GPT

transformers.utils.logging.set_verbosity_error()
TURNED = ("c_attn.weight", "c_proj.weight", "c_fc.weight")  # (in, out) in Conv1D


def peer_config(config):
    """transformers' name for the same shape."""
    return transformers.GPT2Config(
        vocab_size=config.vocab_size,
        n_positions=config.context_length,
        n_layer=config.n_layer,
        n_head=config.n_head,
        n_embd=config.n_embd,
    )


def random_peer(config, spread=0.1):
    """A GPT-2 of transformers, every one of its numbers random."""
    torch.manual_seed(1)
    peer = transformers.GPT2LMHeadModel(peer_config(config)).eval()
    with torch.no_grad():
        for name, parameter in peer.named_parameters():
            parameter.normal_(std=spread)
            if ".ln_" in name and name.endswith("weight"):
                parameter.add_(1)
    return peer


def weight_map(peer, model):
    """Its state_dict by our names, its matrices turned where ours lie the other way."""
    theirs = {
        name.removeprefix("transformer."): value
        for name, value in peer.state_dict().items()
    }
    return {
        name: theirs[name].T if name.endswith(TURNED) else theirs[name]
        for name in model.state_dict()
    }


def twin(peer, config):
    """Our model with the weights of theirs."""
    model = GPT(config).eval()
    model.load_state_dict(weight_map(peer, model), strict=True)
    return model


class SmallCache:
    """A memory of keys and values that grows by joining."""

    def __init__(self):
        self.length, self.k, self.v = 0, None, None

    def append(self, k, v):
        if self.k is not None:
            k, v = torch.cat([self.k, k], dim=2), torch.cat([self.v, v], dim=2)
        self.k, self.v, self.length = k, v, k.shape[2]
        return k, v
