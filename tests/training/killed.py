"""A run in a process of its own, which somebody kills."""

import os
import time
from contextlib import contextmanager

import torch
import torch._dynamo  # optimisers import it, and each process would again

import llmbook.training as training
from llmbook.gpt import GPT, GPTConfig
from llmbook.tokenizer import write_whole
from llmbook.training import TrainConfig, train

N_STEPS = 150


@contextmanager
def write_slowly(path):
    """Write like a slow disk: in small parts, with a pause after each."""
    with write_whole(path) as file:
        whole = file.write

        def write(content):
            part = -(-len(content) // 8)
            for i in range(0, len(content), part):
                whole(content[i : i + part])
                file.flush()
                time.sleep(0.005)

        slow = type("SlowFile", (), {"write": staticmethod(write)})()
        slow.flush, slow.fileno = file.flush, file.fileno
        yield slow


def tokens(n, seed):
    """Numbers in which there is something to learn."""
    draw = torch.Generator().manual_seed(seed)
    jumps = torch.randint(0, 3, (n,), generator=draw)
    return ((jumps.cumsum(0) * 7) % 50).tolist()


def run(path, result):
    """Train to the end, and write down how it went."""
    torch.set_num_threads(1)
    training.write_whole = write_slowly
    torch.manual_seed(os.getpid())  # a resumed run must not depend on it ...
    shape = {"context_length": 16, "n_layer": 1, "n_head": 2, "n_embd": 16}
    if not os.path.exists(path):
        torch.manual_seed(0)  # ... and a new one has its weights from here
    model = GPT(GPTConfig(vocab_size=50, dropout=0.1, **shape))
    config = TrainConfig(N_STEPS, 4, eval_every=10, checkpoint_every=3)
    corpora = (tokens(2000, 1), tokens(200, 2))
    history = train(model, *corpora, config, checkpoint=path)
    with open(result, "w") as file:
        file.write(history.to_json())
