"""An adapter adds to a model and never changes it; merged, it is the same model."""

import copy

import pytest
import torch

from llmbook.lora import (
    LoRALinear,
    apply_lora,
    load_adapter,
    merge_lora,
    model_bytes,
    quantize,
    remove_lora,
    save_adapter,
    use_adapter,
)
from llmbook.optim import fit
from llmbook.training import load_checkpoint, save_checkpoint

from .models import KINDS, TOKENS, build, logits, speak

every_kind = pytest.mark.parametrize("kind", KINDS)


def learn(model, n_steps=5):
    return fit(model, [(TOKENS[:, :-1], TOKENS[:, 1:])], n_steps, learning_rate=0.01)


@every_kind
def test_a_new_adapter_says_nothing(kind):
    model = build(kind)
    before = logits(model)
    assert torch.equal(logits(apply_lora(model, 4)), before)


@every_kind
def test_training_leaves_the_base_as_it_was_to_the_bit(kind):
    model = build(kind)
    before, said = copy.deepcopy(model.state_dict()), logits(model)
    losses = learn(apply_lora(model, 4), 20)
    assert losses[-1] < losses[0] - 0.1 and not torch.equal(logits(model), said)
    use_adapter(model, None)
    assert torch.equal(logits(model), said)
    remove_lora(model)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(p.requires_grad for p in model.parameters())


@every_kind
@pytest.mark.parametrize("rank", [1, 8])
def test_merged_equals_adapted(kind, rank):
    model = apply_lora(build(kind), rank, alpha=8)
    learn(model)
    adapted = logits(model)
    merged = merge_lora(model)
    assert not any(isinstance(module, LoRALinear) for module in merged.modules())
    assert (logits(merged) - adapted).abs().max() <= 1e-5
    assert merged.state_dict().keys() == build(kind).state_dict().keys()


def test_what_is_trained_and_what_it_takes():
    model = build("GPT without biases")
    n = sum(p.numel() for p in model.parameters())
    assert model_bytes(model) == {"weights": 4 * n, "gradients": 4 * n, "adam": 8 * n}
    apply_lora(model, 4)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * 4 * 2 and all(".default" in name for name in trained)
    added = 2 * 4 * ((32 + 96) + (32 + 32) + 2 * (32 + 128))
    counted = model_bytes(model)
    assert counted["weights"] == 4 * (n + added)
    assert counted["gradients"] == 4 * added and counted["adam"] == 8 * added


def test_targets_by_the_ends_of_paths():
    model = apply_lora(build("GPT"), 2, targets=["attn.c_proj"])
    found = [p for p, m in model.named_modules() if isinstance(m, LoRALinear)]
    assert found == ["h.0.attn.c_proj", "h.1.attn.c_proj"]


def test_an_adapter_on_an_untied_last_layer(tmp_path):
    model = speak(apply_lora(build("Llama"), 2, targets=["lm_head", "q_proj"]))
    save_adapter(model, tmp_path)
    again = load_adapter(build("Llama"), tmp_path)
    assert torch.equal(logits(again), logits(model))


def test_several_adapters():
    model = speak(apply_lora(build("GPT"), 2), seed=3)
    plain, first = logits(build("GPT")), logits(model)
    apply_lora(model, 4, targets=["c_attn"], name="second")
    assert torch.equal(logits(model), plain)
    second = logits(speak(model, "second", seed=4))
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained and all(name.endswith(".second") for name in trained)
    for name, said in {"default": first, None: plain, "second": second}.items():
        assert torch.equal(logits(use_adapter(model, name)), said)
        trained = [path for path, p in model.named_parameters() if p.requires_grad]
        assert bool(trained) == (name is not None)
        assert all(path.endswith(f".{name}") for path in trained)


def test_adapters_are_mixed_by_shares():
    model = speak(apply_lora(build("GPT"), 2), seed=3)
    speak(apply_lora(model, 2, name="second"), "second", seed=4)
    changes = {
        name: [m.change(name) for m in model.modules() if isinstance(m, LoRALinear)]
        for name in ("default", "second")
    }
    merge_lora(model, {"default": 0.25, "second": -2.0})
    plain = [m for m in build("GPT").h.modules() if isinstance(m, torch.nn.Linear)]
    mixed = [m for m in model.h.modules() if isinstance(m, torch.nn.Linear)]
    pairs = zip(plain, mixed, changes["default"], changes["second"], strict=True)
    for before, after, a, b in pairs:
        wanted = before.weight + 0.25 * a - 2 * b
        assert torch.allclose(after.weight, wanted, atol=1e-6)


def test_dropout_acts_in_training_alone():
    model = speak(apply_lora(build("GPT"), 4, dropout=0.5))
    assert torch.equal(logits(model), logits(model))
    model.train()
    assert not torch.equal(logits(model), logits(model))


def test_an_adapted_model_goes_on_from_a_checkpoint(tmp_path):
    model = apply_lora(build("GPT"), 2)
    learn(model)
    save_checkpoint(tmp_path / "run.safetensors", model)
    again, _ = load_checkpoint(
        tmp_path / "run.safetensors", apply_lora(build("GPT", 5), 2)
    )
    assert torch.equal(logits(again), logits(model))


def test_under_bfloat16():
    model = apply_lora(quantize(build("GPT")), 2)
    with torch.autocast("cpu", torch.bfloat16):
        model(TOKENS).float().square().mean().backward()
    grads = [p.grad for p in model.parameters() if p.requires_grad]
    assert grads and all(g is not None and g.isfinite().all() for g in grads)


def test_saving_keeps_the_adapter_alone(tmp_path):
    model = apply_lora(build("GPT"), 2)
    learn(model)
    save_adapter(model, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    n_trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    size = (tmp_path / "adapter_model.safetensors").stat().st_size
    assert 4 * n_trained < size < 4 * n_trained + 4000
    again = load_adapter(build("GPT"), tmp_path, "mine")
    assert torch.equal(logits(again), logits(model))
