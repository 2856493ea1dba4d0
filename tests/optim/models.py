"""A GPT small enough to train for a hundred steps in a second, and its batches."""

import torch

from llmbook.gpt import GPT, GPTConfig
from llmbook.optim import cross_entropy


def small_gpt(dtype=torch.float64, **changes):
    """The same weights at each call."""
    shape = {"vocab_size": 64, "context_length": 32, "n_layer": 2, "n_head": 2}
    torch.manual_seed(0)
    return GPT(GPTConfig(**(shape | {"n_embd": 32} | changes))).to(dtype)


def learn(model, optimizers, n_steps=100):
    """Train on the same random batches at each call, and give the losses."""
    draw, losses = torch.Generator().manual_seed(1), []
    for _ in range(n_steps):
        tokens = torch.randint(64, (4, 17), generator=draw)
        loss = cross_entropy(model(tokens[:, :-1]), tokens[:, 1:])
        model.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.item())
    return losses


def weights(model):
    """All parameters in a row."""
    return torch.cat([p.detach().flatten() for p in model.parameters()])
