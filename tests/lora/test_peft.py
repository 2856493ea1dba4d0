"""What we save, peft opens with the same logits, and what peft saves we open."""

import json
import os
import warnings

import pytest
import torch

from llmbook.lora import apply_lora, load_adapter, save_adapter
from llmbook.pretrained import save_pretrained
from llmbook.tokenizer import BPETokenizer

from .models import KINDS, TOKENS, build, logits, speak

os.environ["HF_HUB_OFFLINE"] = "1"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")

every_kind = pytest.mark.parametrize("kind", KINDS)
TARGETS = {
    "GPT": (None, ["c_attn"], ["attn.c_proj", "c_fc"]),
    "Llama": (None, ["q_proj", "v_proj"], ["down_proj"]),
}
CASES = [
    (kind, targets)
    for kind in KINDS
    for targets in TARGETS["Llama" if "Llama" in kind else "GPT"]
]


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Each model as transformers opens it."""
    made = {}
    for kind in KINDS:
        made[kind] = tmp_path_factory.mktemp("base")
        save_pretrained(build(kind), BPETokenizer.train("a goat", 256), made[kind])
    return {
        kind: lambda folder=folder: transformers.AutoModelForCausalLM.from_pretrained(
            folder
        ).eval()
        for kind, folder in made.items()
    }


@torch.no_grad()
def differ(model, theirs):
    return (logits(model) - theirs(TOKENS).logits).abs().max().item()


@pytest.mark.parametrize(("kind", "targets"), CASES)
def test_ours_in_peft(bases, tmp_path, kind, targets):
    model = speak(apply_lora(build(kind), 3, alpha=5.0, targets=targets))
    save_adapter(model, tmp_path)
    theirs = peft.PeftModel.from_pretrained(bases[kind](), tmp_path).eval()
    assert differ(model, theirs) <= 1e-5
    assert differ(build(kind), theirs) > 0.01
    adapted = [name for name, _ in theirs.named_parameters() if "lora_A" in name]
    ours = [name for name, _ in model.named_parameters() if ".A." in name]
    assert len(adapted) == len(ours)  # and no layer besides


@every_kind
@pytest.mark.parametrize("rooted", [False, True], ids=["alpha/r", "alpha/sqrt(r)"])
def test_theirs_in_ours(bases, tmp_path, kind, rooted):
    settings = peft.LoraConfig(
        r=3,
        lora_alpha=5,
        target_modules="all-linear",
        init_lora_weights=False,
        use_rslora=rooted,
        fan_in_fan_out="GPT" in kind,
    )
    torch.manual_seed(0)
    theirs = peft.get_peft_model(bases[kind](), settings).eval()
    theirs.save_pretrained(tmp_path)
    model = load_adapter(build(kind), tmp_path)
    assert differ(model, theirs) <= 1e-5
    assert differ(build(kind), theirs) > 0.001


@every_kind
def test_theirs_again_saved_by_us(bases, tmp_path, kind):
    settings = peft.LoraConfig(
        r=2, target_modules="all-linear", init_lora_weights=False
    )
    theirs = peft.get_peft_model(bases[kind](), settings).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    model = load_adapter(build(kind), tmp_path / "theirs")
    save_adapter(model, tmp_path / "ours")
    again = peft.PeftModel.from_pretrained(bases[kind](), tmp_path / "ours").eval()
    with torch.no_grad():
        assert torch.equal(again(TOKENS).logits, theirs(TOKENS).logits)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"rank_pattern": {"c_attn": 1}}, "rank_pattern"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
    ],
)
def test_kinds_that_are_not_ours(bases, tmp_path, changes, named):
    settings = peft.LoraConfig(r=2, target_modules=["c_attn", "c_fc"], **changes)
    peft.get_peft_model(bases["GPT"](), settings).save_pretrained(tmp_path)
    model = build("GPT")
    before = logits(model)
    with pytest.raises(ValueError, match=f"{named}=.*cannot do"):
        load_adapter(model, tmp_path)
    assert torch.equal(logits(model), before)


def test_the_settings_that_are_written(tmp_path):
    model = speak(apply_lora(build("GPT"), 3, alpha=5.0, targets=["attn.c_proj"]))
    save_adapter(model, tmp_path, base="somewhere")
    told = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (told["r"], told["lora_alpha"], told["fan_in_fan_out"]) == (3, 5.0, True)
    assert told["base_model_name_or_path"] == "somewhere"
    assert told["target_modules"] == [f"transformer.h.{n}.attn.c_proj" for n in (0, 1)]
