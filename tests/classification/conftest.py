"""Small classifiers with random weights, bold enough that their scores differ."""

import pytest
import torch

from llmbook.classification import READS, Classifier, ClassifierConfig
from llmbook.tokenizer import BPETokenizer

END = "<|endoftext|>"
TEXTS = ["a", "ab ba", "abba", "the goat ate it", "it ate the goat and the bun", "b a"]


@pytest.fixture(scope="session")
def tokenizer():
    return BPETokenizer.train(" ".join(TEXTS) * 3, 270, [END])


def make(tokenizer, body="GPT", read="last", seed=0, **shape):
    """A tiny classifier with a head that is not zero."""
    torch.manual_seed(seed)
    sizes = {"context_length": 48, "n_layer": 2, "n_head": 2, "n_embd": 32}
    shape = {"vocab_size": tokenizer.n_vocab, **sizes, **shape}
    start = tokenizer.special_tokens[END]
    model = Classifier(ClassifierConfig(("x", "y", "z"), body, shape, read, start))
    with torch.no_grad():
        for parameter in model.body.parameters():
            if parameter.dim() == 2:
                parameter.mul_(6)
        model.head.weight.normal_(std=0.3)
        model.head.bias.normal_()
    return model.eval()


BODIES = {
    "learned": {},
    "rotary": {"rotary": True},
    "llama": {"body": "Llama", "n_kv_head": 1},
    "window": {"body": "Llama", "window": 4},
}


@pytest.fixture(params=[(b, r) for b in BODIES for r in READS], ids="-".join)
def model(request, tokenizer):
    body, read = request.param
    if BODIES[body].get("body") == "Llama":
        pytest.importorskip("llmbook.llama")
    return make(tokenizer, read=read, **BODIES[body])
