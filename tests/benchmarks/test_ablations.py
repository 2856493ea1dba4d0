"""The ablations compare what they say they compare, and keep what has been run."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from llmbook.gpt import GPT
from llmbook.llama import Llama, LlamaConfig
from llmbook.world import World

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import ablations

SHAPE = {"context_length": 48, "n_layer": 2, "n_head": 4, "n_embd": 32}
V = 61


def logits(model, T=40):
    torch.manual_seed(1)
    with torch.no_grad():
        return model(torch.randint(V, (2, T)))


def run(folder, monkeypatch, capsys, *options):
    """What the benchmark prints, in its smallest shape."""
    made = str(folder / "runs.jsonl")
    command = ["ablations.py", "--quick", "--seeds", "2", "--runs", made, *options]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setenv("LLMBOOK_DATA", str(folder))
    before = torch.get_num_threads()
    try:
        ablations.main()
    finally:
        torch.set_num_threads(before)
    return capsys.readouterr().out, [*map(json.loads, open(made, encoding="utf-8"))]


def test_all_of_it_runs_and_nothing_twice(tmp_path, monkeypatch, capsys):
    alphabet = "".join(map(chr, range(33, 33 + 65)))
    (tmp_path / "tinyshakespeare.txt").write_text(alphabet * 100)
    out, runs = run(tmp_path, monkeypatch, capsys)
    for name in ablations.VARIANTS:
        if name != "GPT":
            assert re.search(rf"^{name} +\d+ +[+-]\d", out, re.M), name
    assert len(re.findall(r"^\S.+ [\d,]+ +\d\.\d\d +\d+\.\d +\d+%$", out, re.M)) == 13
    assert len(re.findall(r"^Llama.+ \d\.\d\d +\d+\.\d{3} .+ loss$", out, re.M)) == 4
    assert len(runs) == 2 * len(ablations.VARIANTS) + 2 * 9
    monkeypatch.setattr(ablations.Runs, "add", lambda *_, **__: pytest.fail("again"))
    out, again = run(tmp_path, monkeypatch, capsys, "--only", "world")
    assert again == runs
    left = {
        made["model"]: made["nats_left"]
        for made in runs
        if made["part"] == "world" and made["seed"] == 1
    }
    apart = left["without SwiGLU"] - left["all seven"]
    row = re.search(r"^without SwiGLU +\d+ .+ (\S+)$", out, re.M)
    assert float(row[1]) == pytest.approx(apart, abs=0.006)


def test_the_race_says_what_it_needs(tmp_path, monkeypatch, capsys):
    out, runs = run(tmp_path, monkeypatch, capsys, "--only", "race")
    assert "LLMBOOK_DATA" in out and {made["part"] for made in runs} == {"the nursery"}


def test_no_change_is_the_gpt_of_chapter_5():
    model = ablations.build((), V, 0, SHAPE)
    assert type(model) is GPT
    same = GPT(model.config)
    same.load_state_dict(model.state_dict())
    assert torch.equal(logits(model), logits(same))


@pytest.mark.parametrize("seed", [0, 3])
def test_seven_changes_make_the_llama_of_chapter_11(seed):
    model = ablations.build(ablations.SEVEN, V, seed, SHAPE)
    llama = Llama(LlamaConfig(V, **SHAPE, n_kv_head=2, qk_norm=True))
    theirs = {"embed_tokens.weight": model.wte.weight, "norm.weight": model.ln_f.weight}
    theirs["lm_head.weight"] = model.lm_head.weight
    for i, block in enumerate(model.h):
        q, k, v = block.attn.c_attn.weight.split((32, 16, 16))
        parts = {"self_attn.q_proj": q, "self_attn.k_proj": k, "self_attn.v_proj": v}
        parts |= {"self_attn.o_proj": block.attn.c_proj.weight}
        parts |= {
            f"self_attn.{n}_norm": getattr(block.attn, f"{n}_norm").weight for n in "qk"
        }
        parts |= {
            f"mlp.{name}": part.weight for name, part in block.mlp.named_children()
        }
        parts |= {"input_layernorm": block.ln_1.weight}
        parts |= {"post_attention_layernorm": block.ln_2.weight}
        theirs |= {f"layers.{i}.{name}.weight": part for name, part in parts.items()}
    llama.load_state_dict(theirs)
    torch.testing.assert_close(logits(model), logits(llama))


@pytest.mark.parametrize("name", [*ablations.SEVEN, "window of 32", "2 of 4 experts"])
def test_a_change_leaves_the_rest_as_it_was(name):
    changes, other = ablations.VARIANTS[name]
    changed = ablations.build(changes, V, 0, SHAPE)
    unchanged = ablations.build(ablations.VARIANTS[other][0], V, 0, SHAPE)
    same = torch.allclose(logits(changed), logits(unchanged), atol=1e-6)
    assert same is (name == "no biases")  # which begin at zero
    mine, theirs = (dict(each.named_parameters()) for each in (changed, unchanged))
    assert mine.keys() != theirs.keys() or name in ("grouped queries", "window of 32")
    for key in mine.keys() & theirs.keys():
        if mine[key].shape == theirs[key].shape:
            moved = name == "grouped queries" and key.endswith("attn.c_proj.weight")
            assert torch.equal(mine[key], theirs[key]) is not moved, key


def test_a_window_sees_32_tokens_and_no_more():
    one_layer = SHAPE | {"n_layer": 1}
    model = ablations.build(("window of 32",), V, 0, one_layer)
    tokens = torch.randint(V, (1, 40))
    other = tokens.clone()
    other[0, 7] = (tokens[0, 7] + 1) % V
    with torch.no_grad():
        moved = (model(tokens) - model(other)).abs().amax(-1)[0] > 1e-7
    assert moved[7:39].all() and not moved[39] and not moved[:7].any()


def test_experts_work_as_much_as_the_mlp_that_they_replace():
    model, dense = (
        ablations.build(ablations.VARIANTS[name][0], V, 0, SHAPE)
        for name in ("2 of 4 experts", "SwiGLU")
    )
    router = 6 * SHAPE["n_layer"] * 4 * SHAPE["n_embd"]
    mlp, half = (6 * 2 * 3 * 32 * width for width in (88, 2 * 44))
    assert ablations.hidden_width(32) == 88
    assert ablations.work(model, 10) - ablations.work(dense, 10) == router + half - mlp


def test_all_get_the_same_number_of_operations():
    corner = ablations.Corner(SimpleNamespace(quick=True))
    corner.n_steps = 400
    spent = {
        name: round(400 * corner.cost("GPT") / corner.cost(name)) * corner.cost(name)
        for name in ablations.VARIANTS
    }
    assert max(spent.values()) / min(spent.values()) < 1.01
    for name in ("GPT", "grouped queries"):
        n = corner.run(name, 0).config.n_steps
        assert n == round(400 * corner.cost("GPT") / corner.cost(name))


def test_the_floor_is_that_of_the_corner():
    corner = ablations.Corner(SimpleNamespace(quick=True))
    assert isinstance(corner.world, World)

    told = list(corner.world.stories(corner.n_fresh, seed=2))
    whole = -sum(corner.world.score(each.text).log_prob for each in told)
    assert corner.floor == pytest.approx(whole / len(told))


def test_mean_and_error():
    mean, error = ablations.mean_and_error([1.0, 2.0, 4.0, 5.0])
    assert mean == 3 and error == pytest.approx((10 / 3) ** 0.5 / 2)
