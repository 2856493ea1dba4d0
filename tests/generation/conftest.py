"""Small models with random weights, bold enough that their scores differ."""

import pytest
import torch

from llmbook.gpt import GPT, GPTConfig

VOCAB, CONTEXT = 101, 32


def make_model(rotary, seed=0):
    """A tiny GPT whose greedy choices are no near ties."""
    torch.manual_seed(seed)
    config = GPTConfig(VOCAB, CONTEXT, 3, 4, 48, dropout=0.1, rotary=rotary)
    model = GPT(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(6)
    return model


@pytest.fixture(scope="session", params=[False, True], ids=["learned", "rotary"])
def model(request):
    return make_model(request.param)
