"""What cannot be is refused by one error, and nothing has changed."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from llmbook.lora import (
    apply_lora,
    load_adapter,
    merge_lora,
    quantize,
    remove_lora,
    save_adapter,
    use_adapter,
)
from llmbook.pretrained import save_pretrained
from llmbook.tokenizer import BPETokenizer

from .models import build, logits, speak


def refused(match, kind=ValueError):
    return pytest.raises(kind, match=match)


@pytest.fixture
def model():
    return build("GPT")


@pytest.fixture
def saved(tmp_path):
    save_adapter(speak(apply_lora(build("GPT"), 2)), tmp_path)
    return tmp_path


@pytest.mark.parametrize("rank", [0, -1, 1.5, "8", True, None])
def test_ranks(model, rank):
    with refused("rank is .*: give a whole number from 1 up"):
        apply_lora(model, rank)


def test_a_rank_above_that_of_all_layers(model):
    with refused("rank is 33, and the layers have a rank of 32 at most"):
        apply_lora(model, 33)


@pytest.mark.parametrize("alpha", [0, -1, float("nan"), float("inf"), "2", True])
def test_alphas(model, alpha):
    with refused("alpha is .*: give a number above 0"):
        apply_lora(model, alpha=alpha)


@pytest.mark.parametrize("dropout", [-0.1, 1, "0.5", None])
def test_dropouts(model, dropout):
    with refused("dropout is .*: give 0, or a share below 1"):
        apply_lora(model, dropout=dropout)


def test_targets_that_are_not_there(model):
    with refused("no linear layer is called 'q_proj': a GPT has c_attn, c_fc, c_proj"):
        apply_lora(model, targets=["c_attn", "q_proj"])
    assert all(p.requires_grad for p in model.parameters())
    with refused("targets is 'c_attn': give a list", TypeError):
        apply_lora(model, targets="c_attn")


def test_a_model_without_blocks():
    with refused("a Linear has no linear layers within blocks: name layers"):
        apply_lora(torch.nn.Linear(3, 3))


@pytest.mark.parametrize("name", ["", "a.b", "a/b", None, 3])
def test_names(model, name):
    with refused("an adapter cannot be called"):
        apply_lora(model, name=name)


def test_one_name_for_two(model, saved):
    apply_lora(model, 2)
    for again in (lambda: apply_lora(model, 2), lambda: load_adapter(model, saved)):
        with refused("there is an adapter 'default' already: give another name"):
            again()


@pytest.mark.parametrize("kind", ["GPT", "tied Llama"])
def test_a_shared_last_layer(kind):
    with refused("lm_head shares its numbers with .*: leave it out of targets"):
        apply_lora(build(kind), targets=["lm_head"])


def test_without_adapters(model, tmp_path):
    for use in (merge_lora, remove_lora, lambda m: use_adapter(m, None)):
        with refused("this model has no adapters: call apply_lora or load_adapter"):
            use(model)
    with refused("this model has no adapters"):
        save_adapter(model, tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_names_that_are_not_there(model, tmp_path):
    apply_lora(model, 2)
    for use in (use_adapter, lambda m, n: merge_lora(m, {n: 1.0})):
        with refused(r"there is no adapter 'b': this model has \['default'\]"):
            use(model, "b")
    use_adapter(model, None)
    for use in (merge_lora, lambda m: save_adapter(m, tmp_path)):
        with refused(r"no one adapter is at work: name one of \['default'\]"):
            use(model)


def test_no_adapted_model_is_saved_as_a_plain_one(model, tmp_path):
    apply_lora(model, 2)
    with refused("first call merge_lora, or remove_lora"):
        save_pretrained(model, BPETokenizer.train("a goat", 256), tmp_path)


@pytest.mark.parametrize("bits", [2, 16, "4", True, None, 4.5])
def test_bits(model, bits):
    with refused("bits is .*: choose 8 or 4"):
        quantize(model, bits)


@pytest.mark.parametrize("block_size", [0, 1, 63, "64", 64.0])
def test_blocks(model, block_size):
    with refused("block_size is .*: give an even number from 2 up"):
        quantize(model, 4, block_size=block_size)


def test_quantised_twice_or_too_late(model):
    quantize(model, 8)
    with refused("h.0.attn.c_attn is quantised already: quantise a plain model"):
        quantize(model, 4)
    with refused("h.0.attn.c_attn has adapters already: quantise a plain model"):
        quantize(apply_lora(build("GPT"), 2))


def test_weights_that_are_no_numbers(model):
    model.h[1].mlp.c_fc.weight.data[0, 0] = torch.nan
    with refused(r"h.1.mlp.c_fc has weights that are not finite"):
        quantize(model)
    assert isinstance(model.h[0].attn.c_attn, torch.nn.Linear)


def test_another_base(saved):
    for other in (build("Llama"),):
        before = logits(other)
        with refused("this Llama has no such layer: give the adapter's own base"):
            load_adapter(other, saved)
        assert torch.equal(logits(other), before)


def break_config(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def break_tensors(folder, change):
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


NAME = "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.update({NAME: torch.ones(2, 31)}), "h.0.attn.c_attn, which is 96"),
        (lambda t: t.update({NAME: torch.ones(3, 32)}), "shapes .* for h.0.attn"),
        (lambda t: t.update({NAME: torch.ones(2)}), "shapes .* for h.0.attn"),
        (lambda t: t.pop(NAME), "shapes .* for h.0.attn"),
        (lambda t: t.update({"x": torch.ones(2)}), "holds 'x'"),
        (lambda t: t.clear(), "holds no adapter"),
    ],
)
def test_damaged_tensors(model, saved, change, told):
    break_tensors(saved, change)
    before = logits(model)
    with refused(told):
        load_adapter(model, saved)
    assert torch.equal(logits(model), before)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"peft_type": "IA3"}, "of the kind 'IA3', and readable is 'LORA'"),
        ({"lora_alpha": "big"}, "is damaged: lora_alpha is 'big'"),
        ({"use_dora": True}, "use_dora=True"),
    ],
)
def test_other_settings(model, saved, changes, told):
    break_config(saved, **changes)
    with refused(told):
        load_adapter(model, saved)


def test_what_is_missing_cut_short_or_pickled(model, saved):
    path = saved / "adapter_model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    with refused("cut short, damaged or no safetensors file"):
        load_adapter(model, saved)
    path.rename(saved / "adapter_model.bin")
    with refused("is not opened: a file of this kind may run any program"):
        load_adapter(model, saved)
    (saved / "adapter_model.bin").unlink()
    with refused("there is no file", FileNotFoundError):
        load_adapter(model, saved)
    with refused("there is no adapter_config.json", FileNotFoundError):
        load_adapter(model, saved / "nowhere")
