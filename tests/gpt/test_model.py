"""The parts of the model keep what the chapter promises of them."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from llmbook.gpt import GPT, MLP, GPTConfig, LayerNorm

TINY = GPTConfig(vocab_size=31, context_length=32, n_layer=2, n_head=4, n_embd=32)


def test_layer_norm_equals_pytorchs():
    x = torch.randn(3, 5, 32) * 7 + 2
    ours, theirs = LayerNorm(32), torch.nn.LayerNorm(32)
    torch.testing.assert_close(ours(x), theirs(x))
    assert LayerNorm(32, bias=False).bias is None
    torch.testing.assert_close(LayerNorm(32, bias=False)(x), theirs(x))
    assert LayerNorm(4)(torch.full((1, 4), 5.0)).abs().max() == 0


@pytest.mark.parametrize("gelu", ["tanh", "none"])
def test_mlp(gelu):
    mlp = MLP(replace(TINY, gelu=gelu))
    x = torch.randn(2, 3, 32)
    inner = F.gelu(mlp.c_fc(x), approximate=gelu)
    torch.testing.assert_close(mlp(x), mlp.c_proj(inner))


def test_one_matrix_at_both_doors():
    model = GPT(TINY)
    assert model.lm_head.weight is model.wte.weight
    assert sum(1 for _ in model.parameters()) == 2 + 12 * 2 + 2
    model(torch.zeros(1, 2, dtype=torch.long)).sum().backward()
    assert model.wte.weight.grad is not None


def test_first_numbers():
    torch.manual_seed(0)
    model = GPT(GPTConfig.gpt2(vocab_size=1000, n_layer=8))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif parameter.dim() == 1:
            assert (parameter == 1).all(), name
        else:
            std = 0.02 / 4 if name.endswith("c_proj.weight") else 0.02
            assert abs(parameter.std().item() / std - 1) < 0.02, name


def test_features_are_what_the_last_layer_reads():
    model = GPT(TINY)
    tokens = torch.randint(31, (2, 7))
    x = model.features(tokens)
    assert x.shape == (2, 7, 32)
    torch.testing.assert_close(model.lm_head(x), model(tokens))


def test_dropout_in_training_only():
    torch.manual_seed(0)
    model = GPT(replace(TINY, dropout=0.5))
    tokens = torch.randint(31, (2, 7))
    assert not torch.equal(model(tokens), model(tokens))
    model.eval()
    assert torch.equal(model(tokens), model(tokens))


def test_dropout_reaches_every_part():
    """Each of three doors drops: the embedding, attention and the MLP."""
    config = replace(TINY, dropout=0.9)
    torch.manual_seed(0)
    x = torch.randn(1, 400, 32)
    mlp = MLP(config)
    assert 0.8 < (mlp(x) == 0).float().mean() < 0.97
    model = GPT(config)
    for block in model.h:  # silent: what is dropped was dropped at the door
        block.attn.c_proj.weight.data.zero_()
        block.mlp.c_proj.weight.data.zero_()
    seen = []
    model.ln_f.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(torch.randint(31, (4, 32)))
    assert 0.8 < (seen[0] == 0).float().mean() < 0.97


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rotary", [True, False])
def test_every_number_learns(bias, rotary):
    model = GPT(replace(TINY, bias=bias, rotary=rotary))
    tokens = torch.randint(31, (4, 32))
    logits = model(tokens[:, :-1])
    F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert (model.wpe is None) == rotary


def test_state_is_saved_and_loaded(tmp_path):
    model, other = GPT(TINY), GPT(TINY)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    tokens = torch.randint(31, (2, 7))
    assert torch.equal(model(tokens), other(tokens))


def test_untrained_model_echoes():
    torch.manual_seed(0)
    model = GPT(replace(TINY, vocab_size=200, n_embd=128)).eval()
    tokens = torch.randint(200, (8, 32))
    assert (model(tokens).argmax(-1) == tokens).float().mean() > 0.7


@pytest.mark.parametrize("rotary", [True, False])
def test_one_graph(rotary):
    """Compiling finds nothing that it must leave to Python."""
    model = GPT(replace(TINY, rotary=rotary)).eval()
    tokens = torch.randint(31, (2, 9))
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(tokens), model(tokens))
