"""A packed model writes what the model writes, and leaves the model alone."""

import pytest
import torch
from torch import nn

from llmbook.generation import KVCache, PackedLinear, can_pack, generate, pack
from llmbook.gpt import GPT, GPTConfig
from llmbook.training import save_checkpoint

from .conftest import VOCAB, make_model


def packed_layers(model):
    """How many matrices have been laid out anew."""
    return sum(isinstance(module, PackedLinear) for module in model.modules())


@torch.no_grad()
def test_logits_are_the_models(model):
    model.eval()
    twin = pack(model)
    for shape in [(1, 1), (1, 32), (5, 7)]:
        tokens = torch.randint(0, VOCAB, shape)
        torch.testing.assert_close(twin(tokens), model(tokens), rtol=1e-4, atol=2e-4)


def test_it_writes_the_same(model):
    prompts, twin = [[5, 6, 7], [1], [3] * 20], pack(model)
    for knobs in ({"temperature": 0}, {"seed": 3, "top_p": 0.9}):
        assert generate(twin, prompts, 40, **knobs) == generate(
            model, prompts, 40, **knobs
        )


def test_all_matrices_are_packed_where_there_is_a_kernel(model):
    n_linear = sum(isinstance(module, nn.Linear) for module in model.modules())
    wanted = n_linear if can_pack(torch.float32) else 0
    assert packed_layers(pack(model)) == wanted
    assert packed_layers(model) == 0


def test_the_model_is_left_alone():
    model = make_model(rotary=True).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    twin = pack(model)
    assert model.training and not twin.training
    assert twin.wte.weight is model.wte.weight
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)
    model(torch.tensor([[1, 2]])).sum().backward()
    assert model.h[0].mlp.c_fc.weight.grad is not None


def test_half_precision():
    if not can_pack(torch.bfloat16):
        pytest.skip("no bfloat16 kernel on this machine")
    torch.manual_seed(0)
    model = GPT(GPTConfig(VOCAB, 32, 2, 4, 64)).eval().to(torch.bfloat16)
    twin, tokens = pack(model), torch.randint(0, VOCAB, (2, 9))
    with torch.no_grad():
        torch.testing.assert_close(twin(tokens), model(tokens), rtol=0.05, atol=0.05)
    assert packed_layers(twin) and KVCache(twin)[0].keys.dtype == torch.bfloat16


def test_what_has_no_kernel_stays():
    assert not can_pack(torch.float64)
    model = GPT(GPTConfig(VOCAB, 32, 1, 2, 8)).double()
    twin = pack(model)
    assert packed_layers(twin) == 0
    assert generate(twin, [[1]], 5, seed=0) == generate(model, [[1]], 5, seed=0)


@pytest.mark.skipif(not can_pack(torch.float32), reason="no packed kernel here")
def test_a_packed_model_is_not_saved_without_its_matrices(model, tmp_path):
    """Prevents a checkpoint that is written without a word and cannot be read."""
    with pytest.raises(TypeError, match="save the model that it was made from"):
        save_checkpoint(tmp_path / "packed.safetensors", pack(model))
    assert not list(tmp_path.iterdir())
