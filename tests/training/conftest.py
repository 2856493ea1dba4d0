"""Small models and small data that the tests of training share."""

import pytest
import torch

from llmbook.gpt import GPT, GPTConfig
from llmbook.training import TrainConfig, storyteller_data


@pytest.fixture(autouse=True)
def one_thread():
    """Bits repeat on any number of threads; small models are faster on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data():
    """A few stories and their tokenizer."""
    return storyteller_data(300, 30)


@pytest.fixture
def build(data):
    """A function that builds the same small model each time."""

    def build(**changes):
        shape = {"context_length": 128, "n_layer": 1, "n_head": 2, "n_embd": 32}
        shape |= {"vocab_size": data.tokenizer.n_vocab, "rotary": True, **changes}
        torch.manual_seed(0)
        return GPT(GPTConfig(**shape))

    return build


@pytest.fixture
def settings(data):
    """A function that makes the settings of a short run."""

    def settings(n_steps=12, **changes):
        given = {"batch_size": 4, "learning_rate": 3e-3, "warmup_steps": 2}
        given["end_token"] = data.tokenizer.special_tokens["<|endoftext|>"]
        return TrainConfig(n_steps, **(given | changes))

    return settings


def same_weights(one, other):
    """Whether two models have the same numbers, to the last bit."""
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))
