"""Small models with random numbers, and adapters that say something."""

import torch

from llmbook.gpt import GPT, GPTConfig
from llmbook.llama import Llama, LlamaConfig
from llmbook.lora import LoRALinear

KINDS = {
    "GPT": lambda: GPT(GPTConfig(300, 32, 2, 4, 32)),
    "GPT without biases": lambda: GPT(GPTConfig(300, 32, 2, 4, 32, bias=False)),
    "Llama": lambda: Llama(LlamaConfig(300, 32, 2, 4, 32, n_kv_head=2)),
    "tied Llama": lambda: Llama(LlamaConfig(300, 32, 2, 4, 32, tied=True)),
}
TOKENS = torch.randint(300, (3, 20), generator=torch.Generator().manual_seed(1))


def build(kind, seed=0):
    torch.manual_seed(seed)
    return KINDS[kind]().eval()


def speak(model, name="default", seed=2):
    """Fill an adapter, as training would."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, LoRALinear) and name in module.B:
            torch.nn.init.normal_(module.B[name], std=0.1)
    return model


@torch.no_grad()
def logits(model):
    return model(TOKENS)
