"""What each change from GPT-2's block to today's is worth, at equal compute.

Usage: python benchmarks/ablations.py [--only cost|world|race] [--quick] [--save]

World: a GPT of chapter 5 learns the corner of the nursery of chapter 7, whose floor is
known, by the storyteller's recipe: as it is, with one change, with the seven of a
Llama, and with the seven but for one. Runs of one seed see the same stories in the same
order, and begin with the same numbers wherever shapes are the same. Each gets the same
number of operations, as `llmbook.training` counts them, so that a cheaper model sees
more stories. The measure is what is left of the loss of a story above the floor, on
stories that nobody has learned from; the tables give its difference from the unchanged
run of the same seed. Nothing was tuned for the changes: the recipe is the GPT's.

Queries, keys and values stand in one matrix, as in GPT-2, in all models but the one
called Llama, which is chapter 11's own; so Muon straightens the same matrices.

Race: chapter 5's GPT against chapter 11's Llamas for the same time, told by steps of
all taken in turn, on the whole nursery and on Tiny Shakespeare by letters (from the
folder in LLMBOOK_DATA). Cost: steps of all models, taken in turn, on one thread.

Every run is added to `--runs` as soon as it has ended, a line of JSON; what is there is
not run again. `--quick` shows that all of it runs, in shapes too small to mean
anything. `--save` writes benchmarks/results.
"""

import argparse
import json
import os
import statistics
import sys
import warnings
import zlib
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from machine import alternate, describe, result_file, save, say

from llmbook.attention import rotate
from llmbook.gpt import GPT, GPTConfig
from llmbook.llama import (
    Experts,
    Llama,
    LlamaConfig,
    RMSNorm,
    SwiGLU,
    copying_start,
    grouped_attention,
    hand_on,
    hidden_width,
)
from llmbook.tokenizer import BPETokenizer
from llmbook.training import (
    END,
    RECIPE,
    Run,
    TrainConfig,
    best_precision,
    evaluate_loss,
    excess,
    flops_per_token,
    storyteller_data,
    storyteller_model,
)
from llmbook.world import World, stories

SHAPE = {"context_length": 160, "n_layer": 2, "n_head": 4, "n_embd": 128}
N_STEPS, N_FRESH = 400, 500  # updates of 16 stories; stories to measure by
ADAMW_RATE = 0.003  # of 0.0015, 0.003 and 0.006 the best for AdamW alone
SEVEN = ("RMSNorm", "rotary positions", "SwiGLU", "no biases")
SEVEN += ("grouped queries", "QK norm", "head of its own")
WINDOW, N_KV, N_EXPERT, N_ACTIVE = 32, 2, 4, 2

# name -> its changes, and the model that it differs from by one
VARIANTS = {"GPT": ((), None)}
VARIANTS |= {change: ((change,), "GPT") for change in SEVEN}
VARIANTS["window of 32"] = ("window of 32",), "GPT"
VARIANTS["2 of 4 experts"] = ("SwiGLU", "2 of 4 experts"), "SwiGLU"
VARIANTS["AdamW for Muon"] = ("AdamW for Muon",), "GPT"
VARIANTS["all seven"] = SEVEN, "GPT"
VARIANTS["Llama"] = "Llama", "all seven"
VARIANTS |= {
    f"without {change}": (tuple(each for each in SEVEN if each != change), "all seven")
    for change in SEVEN
}


# --- Models -----------------------------------------------------------------------


class Attention(nn.Module):
    """Chapter 4's, with fewer keys than queries, norms upon both, or a window."""

    def __init__(self, config, changes):
        super().__init__()
        C, self.n_head, self.rotary = config.n_embd, config.n_head, config.rotary
        self.n_kv = N_KV if "grouped queries" in changes else self.n_head
        self.window = WINDOW if "window of 32" in changes else None
        self.width, normed = C // self.n_head, "QK norm" in changes
        rows = C + 2 * self.n_kv * self.width
        self.c_attn = nn.Linear(C, rows, bias=config.bias)
        self.c_proj = nn.Linear(C, C, bias=config.bias)
        self.q_norm = RMSNorm(self.width) if normed else nn.Identity()
        self.k_norm = RMSNorm(self.width) if normed else nn.Identity()

    def forward(self, x, cache=None):
        heads = self.c_attn(x).unflatten(-1, (-1, self.width)).transpose(1, 2)
        q, k, v = heads.split((self.n_head, self.n_kv, self.n_kv), dim=1)
        q, k = self.q_norm(q), self.k_norm(k)
        if self.rotary:
            q, k = rotate(q), rotate(k)
        y = grouped_attention(q, k, v, self.window)
        return self.c_proj(y.transpose(1, 2).flatten(2))


def with_biases(mlp):
    """Add biases to the linear layers of chapter 11's MLP, which has none."""
    for layer in mlp.modules():
        if isinstance(layer, nn.Linear):
            layer.bias = nn.Parameter(torch.zeros(layer.out_features))
    return mlp


def make_mlp(config, changes):
    """Build an MLP with gates, or experts that do as much work."""
    C, mlp = config.n_embd, None
    if "2 of 4 experts" in changes:
        shape = {"n_head": config.n_head, "n_embd": C, "n_expert": N_EXPERT}
        shape |= {"n_expert_active": N_ACTIVE, "n_hidden": hidden_width(C) // N_ACTIVE}
        mlp = Experts(LlamaConfig(**shape))
    else:
        mlp = SwiGLU(C)
    return with_biases(mlp) if config.bias else mlp


def build(changes, V, seed, shape=SHAPE):
    """Build chapter 5's GPT with some changes, ready to learn stories."""
    if changes == "Llama":
        torch.manual_seed(seed)
        model = Llama(LlamaConfig(V, **shape, n_kv_head=N_KV, qk_norm=True))
        copying_start(model)
        return model
    bias, rotary = "no biases" not in changes, "rotary positions" in changes
    model = GPT(GPTConfig(V, **shape, bias=bias, rotary=rotary))
    C = model.config.n_embd
    for block in model.h:
        if {"grouped queries", "QK norm", "window of 32"} & {*changes}:
            block.attn = Attention(model.config, changes)
        if "SwiGLU" in changes:
            block.mlp = make_mlp(model.config, changes)
        if "RMSNorm" in changes:
            block.ln_1, block.ln_2 = RMSNorm(C), RMSNorm(C)
    if "RMSNorm" in changes:
        model.ln_f = RMSNorm(C)
    if "head of its own" in changes:
        model.lm_head = nn.Linear(C, V, bias=False)
    begin(model, seed)
    return model


@torch.no_grad()
def begin(model, seed):
    """Draw each tensor by its name, so that what two models share begins alike.

    They begin as the storyteller does: embeddings of 0.2, and heads that hand on what
    they look at.
    """
    n_layer, n_head = model.config.n_layer, model.config.n_head
    width = model.config.n_embd // n_head
    for name, tensor in model.named_parameters():
        torch.manual_seed(zlib.crc32(f"{seed} {name}".encode()))
        if name.endswith("bias"):
            nn.init.zeros_(tensor)
        elif tensor.dim() == 2:
            last = name.endswith(("c_proj.weight", "down_proj.weight"))
            size = 0.2 if name.startswith(("wte", "wpe")) else 0.02
            nn.init.normal_(tensor, std=size / (2 * n_layer if last else 1) ** 0.5)
    for i, block in enumerate(model.h):
        torch.manual_seed(zlib.crc32(f"{seed} {i}".encode()))
        into, out = block.attn.c_attn.weight, block.attn.c_proj.weight
        rows = (len(into) - model.config.n_embd) // 2  # the last ones make values
        hand_on(into[-rows:], out, width, n_head, 0.2)


def work(model, T):
    """Count the operations for a token; of experts, those of the ones at work."""
    idle = sum(
        parameter.numel() * (N_EXPERT - N_ACTIVE) // N_EXPERT
        for experts in model.modules()
        if isinstance(experts, Experts)
        for parameter in experts.experts.parameters()
        if parameter.dim() == 2
    )
    return flops_per_token(model, T) - 6.0 * idle


# --- Runs -------------------------------------------------------------------------


class Runs:
    """Runs that have been made, each a line of a file; none is made twice."""

    def __init__(self, path):
        self.path, lines = path, path.read_text("utf-8") if path.exists() else ""
        self.made = [json.loads(line) for line in lines.splitlines()]

    def find(self, **wanted):
        """Give the runs that have these entries."""
        return [made for made in self.made if wanted.items() <= made.items()]

    def add(self, run, **entries):
        """Train to the last step, measure, and write it down."""
        measure = entries.pop("measure")
        while run.step < run.config.n_steps:
            run.advance()
        entries |= {"n_steps": run.step, "n_tokens": run.n_tokens}
        entries |= {"seconds": round(run.seconds, 2), **measure(run.model)}
        self.made.append(entries)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entries) + "\n")


def mean_and_error(numbers):
    """Give the mean of numbers, and its standard error."""
    if len(numbers) < 2:
        return numbers[0], float("nan")
    return statistics.mean(numbers), statistics.stdev(numbers) / len(numbers) ** 0.5


def steps_in_turn(made, given):
    """Measure the steps of several runs in turn: name -> seconds."""
    return alternate(made, *((1, 1) if given.quick else (15, 2)))


# --- The world --------------------------------------------------------------------


class Corner:
    """Two of the nursery's plots: a world with a floor of its own."""

    def __init__(self, given):
        nursery = files("llmbook").joinpath("data/nursery.txt").read_text("utf-8")
        lines = nursery.splitlines()
        plots = [line for line in lines if "{plot :=" in line]
        kept = [line for line in plots if "minding" in line or "counting" in line]
        text = "\n".join(line for line in lines if line in kept or line not in plots)
        self.world, self.precision = World(text, "corner"), best_precision()
        self.n_steps = 4 if given.quick else N_STEPS
        self.shape = SHAPE | ({"n_layer": 1, "n_embd": 32} if given.quick else {})
        drawn = [each.text for each in self.world.stories(4000, seed=1)]
        self.tokenizer = BPETokenizer.train(drawn, 900, [END])
        self.end = self.tokenizer.special_tokens[END]
        fresh = list(self.world.stories(8 if given.quick else N_FRESH, seed=2))
        self.n_fresh = len(fresh)
        self.fresh = self.encode(each.text for each in fresh)
        self.floor = -sum(each.log_prob for each in fresh) / self.n_fresh
        self.drawn = None, None

    def encode(self, texts):
        ids = (i for text in texts for i in (*self.tokenizer.encode(text), self.end))
        return np.fromiter(ids, np.uint16)

    def tokens(self, seed):
        """Give a seed's stories, one set for all models, enough for the cheapest."""
        if self.drawn[0] != seed:
            n = self.n_steps * RECIPE["batch_size"] * 5 // 4
            told = self.world.stories(n, seed=100 + seed)
            self.drawn = seed, self.encode(each.text for each in told)
        return self.drawn[1]

    def model(self, name, seed):
        return build(VARIANTS[name][0], self.tokenizer.n_vocab, seed, self.shape)

    def cost(self, name):
        """Count a token's operations in a model."""
        T = round(len(self.fresh) / self.n_fresh)
        return work(self.model(name, 0), T)

    def run(self, name, seed):
        """Set up a run, of as many steps as its operations allow."""
        n_steps = round(self.n_steps * self.cost("GPT") / self.cost(name))
        settings = {**RECIPE, "precision": self.precision, "seed": seed}
        settings |= {"warmup_steps": min(30, n_steps // 4), "end_token": self.end}
        if name == "AdamW for Muon":
            settings |= {"optimizer": "adamw", "learning_rate": ADAMW_RATE}
        config = TrainConfig(n_steps, **settings)
        return Run(self.model(name, seed), self.tokens(seed), config)

    def measure(self, model):
        """Say what a model has not learned."""
        loss = evaluate_loss(model, self.fresh, 64, end_token=self.end)
        length = len(self.fresh) / self.n_fresh  # tokens a story
        told = {"loss": loss, "floor": self.floor / length}
        return told | {"nats_left": loss * length - self.floor}


def cost(given):
    """Measure a step of each model, all in turn."""
    corner = Corner(given)
    runs = {name: corner.run(name, 0) for name in VARIANTS if "without" not in name}
    seconds = steps_in_turn({name: run.advance for name, run in runs.items()}, given)
    shape = "{n_layer} layers, {n_head} heads, {n_embd} wide".format(**corner.shape)
    say(f"\nA training step of 16 stories: {shape}, {corner.precision}")
    say(f"{'':18} {'parameters':>10} {'MFLOP/token':>11} {'ms':>6}  of the GPT's")
    for name, run in runs.items():
        n = sum(parameter.numel() for parameter in run.model.parameters())
        share, ms = seconds[name] / seconds["GPT"], 1000 * seconds[name]
        flops = corner.cost(name) / 1e6
        say(f"{name:18} {n:10,} {flops:11.2f} {ms:6.1f}  {share:12.0%}")


def world(given, runs):
    """Train each model with each seed, as far as that has not been done."""
    corner = Corner(given)
    for seed in range(given.seeds):
        for name in VARIANTS:
            entries = {"part": "world", "model": name, "seed": seed}
            if not runs.find(**entries):
                run, measure = corner.run(name, seed), corner.measure
                runs.add(
                    run, **entries, flops_per_token=corner.cost(name), measure=measure
                )
    floor = f"of {corner.floor:.1f} at the floor"
    say(f"\nThe corner of the nursery: nats a story left, {floor}")
    for other in ("GPT", "SwiGLU", "all seven"):
        tabulate(other, runs)


def tabulate(other, runs):
    """Say by how much models differ from another, seed by seed."""
    left = {}
    for made in runs.find(part="world"):
        left.setdefault(made["model"], {})[made["seed"]] = made["nats_left"]
    told = ", ".join(f"{left[other][seed]:.2f}" for seed in sorted(left[other]))
    say(f"\n{other}: {told}")
    say(f"{'difference':26} {'steps':>5}  {'mean':>5} and error  each seed")
    for name, (_, reference) in VARIANTS.items():
        if reference == other and name in left:
            seeds = sorted(left[name].keys() & left[other].keys())
            apart = [left[name][seed] - left[other][seed] for seed in seeds]
            mean, error = mean_and_error(apart)
            n_steps = runs.find(part="world", model=name)[0]["n_steps"]
            each = " ".join(f"{number:+.2f}" for number in apart)
            say(f"{name:26} {n_steps:5}  {mean:+.2f} ± {error:.2f}    {each}")


# --- The race ---------------------------------------------------------------------


def racers(gpt, llama):
    """Name the models of a race: a Llama by its defaults, and one like Qwen3."""
    grouped = partial(llama, n_kv_head=N_KV, qk_norm=True)
    return {"GPT": gpt, "Llama": llama, "Llama, grouped, QK norm": grouped}


def nursery(given):
    """Set up the race on the whole nursery, by the storyteller's recipe."""
    n_steps = 4 if given.quick else 700
    tokenizer = storyteller_data(4000).tokenizer
    fresh = list(stories(8 if given.quick else 400, seed=10**6))
    settings = {**RECIPE, "end_token": tokenizer.special_tokens[END]}
    drawn = {}

    def tokens(seed):
        if seed not in drawn:
            n = n_steps * RECIPE["batch_size"] * 5 // 4
            drawn[seed] = storyteller_data(n, 1, seed + 1, tokenizer).train_tokens
        return drawn[seed]

    def measure(model):
        left = excess(model, tokenizer, fresh)
        told = {"loss": left.loss, "floor": left.floor, "nats_left": left.mean}
        return told | {"ratio": left.ratio, "nats_left_by_kind": left.by_kind}

    def gpt(seed):
        return storyteller_model(tokenizer.n_vocab, seed)

    def llama(seed, **more):
        torch.manual_seed(seed)
        shape = SHAPE | {"n_layer": 4} | more
        model = Llama(LlamaConfig(tokenizer.n_vocab, **shape))
        copying_start(model)
        return model

    return racers(gpt, llama), tokens, settings, n_steps, measure


def letters(given):
    """Set up the race on Tiny Shakespeare, by letters; None if it is not there."""
    path = Path(os.environ.get("LLMBOOK_DATA", ".")) / "tinyshakespeare.txt"
    if not path.exists():
        return say(f"\n{path} is missing: set LLMBOOK_DATA to a folder that has it")
    text = path.read_text("utf-8")
    number = {letter: i for i, letter in enumerate(sorted(set(text)))}
    ids = [number[letter] for letter in text]
    cut = len(ids) * 9 // 10
    held_out = ids[cut:] if not given.quick else ids[cut : cut + 640]
    rates = {"optimizer": "muon", "learning_rate": 0.01, "muon_learning_rate": 0.02}
    settings = {**rates, "schedule": "linear", "weight_decay": 0.0, "batch_size": 32}
    shape = SHAPE | {"context_length": 64, "n_layer": 4}

    def gpt(seed):
        torch.manual_seed(seed)
        return GPT(GPTConfig(len(number), **shape, bias=False))

    def llama(seed, **more):
        torch.manual_seed(seed)
        return Llama(LlamaConfig(len(number), **shape, **more))

    def measure(model):
        return {"loss": evaluate_loss(model, held_out, 64)}

    n_steps = 4 if given.quick else 300
    models = racers(gpt, llama)
    return models, lambda seed: ids[:cut], settings, n_steps, measure


def race(name, course, given, runs):
    """Train models for the same time, with each seed."""
    models, tokens, settings, n_steps, measure = course
    settings |= {"precision": best_precision()}

    def start(model, seed, n_steps):
        ways = {"warmup_steps": min(30, n_steps // 4), "seed": seed}
        config = TrainConfig(n_steps, **settings, **ways)
        return Run(models[model](seed), tokens(seed), config)

    missing = [
        (seed, model)
        for seed in range(3)
        for model in models
        if not runs.find(part=name, model=model, seed=seed)
    ]
    if missing:
        made = {model: start(model, 0, 10**6).advance for model in models}
        seconds = steps_in_turn(made, given)
    for seed, model in missing:
        pace = seconds[model] / seconds["GPT"]
        run = start(model, seed, round(n_steps / pace))
        entries = {"part": name, "model": model, "seed": seed, "pace": pace}
        runs.add(run, **entries, measure=measure)
    say(f"\nRace on {name}: as many steps as fit into the GPT's time")
    say(f"{'':24} {'steps':>5} {'a step takes':>12}  {'mean':>6}  each seed")
    for key in ("loss", "nats_left"):
        for model in models:
            found = runs.find(part=name, model=model)
            if key in found[0]:
                row = [each[key] for each in found]
                told = " ".join(f"{number:.3f}" for number in row)
                way = f"{found[0]['n_steps']:5} {found[0]['pace']:12.2f}"
                say(f"{model:24} {way}  {statistics.mean(row):6.3f}  {told}  {key}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["cost", "world", "race"])
    parser.add_argument("--quick", action="store_true", help="tiny shapes, no meaning")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each model")
    parser.add_argument("--runs", type=Path, default=result_file("ablations", "jsonl"))
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    describe(1)
    runs = Runs(given.runs)
    if given.only in (None, "cost"):
        cost(given)
    if given.only in (None, "world"):
        world(given, runs)
    if given.only in (None, "race"):
        race("the nursery", nursery(given), given, runs)
        if course := letters(given):
            race("Tiny Shakespeare", course, given, runs)
    if given.save:
        save("ablations")


if __name__ == "__main__":
    main()
