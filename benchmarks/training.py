"""How fast a small GPT learns on a CPU, beside its peers, and a race to one loss.

Usage: python benchmarks/training.py [--only steps|race|gpu] [--quick] [--save]

Needs Tiny Shakespeare in LLMBOOK_DATA (tinyshakespeare.txt). Peers are measured where
they are installed: `pip install transformers`, and, since it pins an older NumPy that
it does not need for its models, `pip install --no-deps llms-from-scratch`.

Steps: whole training steps of one shape on random tokens, ours through
`llmbook.training.Run`, each peer with the same loss, clipping and PyTorch's fused
AdamW; every one in float32 and under bfloat16 autocast, and both of them compiled where
there is a compiler; in turn, medians. Race: seconds of training until the validation
split of Tiny Shakespeare, by letters, is predicted with 1.886 nats each, all of it in
windows of 64. GPU: GPT-2 124M, bfloat16, compiled, where there is CUDA. `--quick` shows
that all of it runs, in shapes too small to mean anything. `--save` writes
benchmarks/results.
"""

import argparse
import os
import shutil
import statistics
import sys
import time
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from machine import alternate, describe, save, say, version

from llmbook.gpt import GPT, GPTConfig
from llmbook.training import (
    Run,
    TrainConfig,
    best_precision,
    evaluate_loss,
    flops_per_token,
    matmul_peak,
)

SHAPES = [(12, 64), (16, 256)]  # B, T
GOAL = 1.886  # nats a letter


# --- Steps ------------------------------------------------------------------------


def our_step(gelu):
    def make(B, T, precision, compiled):
        shape = {"n_layer": 4, "n_head": 4, "n_embd": 128}
        model = GPT(GPTConfig(65, T, **shape, gelu=gelu))
        settings = {"precision": precision, "compile": compiled}
        ids = torch.randint(65, (1200 * T + 1,)).tolist()  # whole batches
        config = TrainConfig(10**6, batch_size=B, schedule="constant", **settings)
        return Run(model, ids, config).advance

    return make


def their_step(model, logits_of, B, T, precision, compiled):
    """Train a peer as we train: loss, clipping, PyTorch's fused AdamW."""
    fast = torch.compile(model) if compiled else model
    rates = {"betas": (0.9, 0.95), "weight_decay": 0.1, "fused": True}
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, **rates)
    inputs, targets = torch.randint(65, (2, B, T))

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            logits = logits_of(fast(inputs))
        F.cross_entropy(logits.float().flatten(0, 1), targets.flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def transformers_step(B, T, precision, compiled):
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = {"n_positions": T, "n_layer": 4, "n_head": 4, "n_embd": 128}
    none = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    ends = {"bos_token_id": 0, "eos_token_id": 0, "use_cache": False}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=65, **shape, **none, **ends)).train()
    return their_step(model, lambda out: out.logits, B, T, precision, compiled)


def scratch_step(kind):
    def make(B, T, precision, compiled):
        from llms_from_scratch import ch04

        shape = {"context_length": T, "emb_dim": 128, "n_heads": 4, "n_layers": 4}
        config = {"vocab_size": 65, **shape, "drop_rate": 0.0, "qkv_bias": True}
        model = getattr(ch04, kind)(config)
        return their_step(model, lambda out: out, B, T, precision, compiled)

    return make


def contenders(alone):
    """Name everybody who is here, with a function that makes a training step."""
    found = {"llmbook": our_step("tanh"), "llmbook, exact GELU": our_step("none")}
    if not alone and version("transformers") != "not installed":
        found["transformers"] = transformers_step
    if not alone and version("llms-from-scratch") != "not installed":
        found["llms-from-scratch"] = scratch_step("GPTModel")
        found["llms-from-scratch, Fast"] = scratch_step("GPTModelFast")
    return found


def steps(given, peaks):
    """Measure training steps of all contenders in all ways, and compare the best."""
    ways = [("float32", False), ("bfloat16", False)]
    if shutil.which("g++") and not given.quick and not given.eager:
        ways += [("float32", True), ("bfloat16", True)]
    for B, T in [(2, 8)] if given.quick else SHAPES:
        say(f"\nA training step: 4 layers, 4 heads, 128 wide, T {T} x B {B}")
        say(f"{'':24} {'':18} {'ms':>7} {'tokens/s':>9}  of the peak")
        made = {}
        for name, make in contenders(given.alone).items():
            for precision, compiled in ways:
                torch.manual_seed(0)
                step = make(B, T, precision, compiled)
                step()  # compiles
                made[name, precision, compiled] = step
        taken = alternate(made, *((1, 1) if given.quick else (15, 3)))
        work = B * T * flops_per_token(GPT(GPTConfig(65, T, 4, 4, 128)), T)
        for (name, precision, compiled), seconds in taken.items():
            way = precision + (", compiled" if compiled else "")
            share = work / seconds / peaks[precision]
            rate = f"{1000 * seconds:7.1f} {B * T / seconds:9,.0f}"
            say(f"{name:24} {way:18} {rate}  {share:.0%}")
        for told, allowed in (("eager", [False]), ("any way", [False, True])):
            compare(told, {way: s for way, s in taken.items() if way[2] in allowed})


def compare(told, taken):
    """Say how our best way does beside the peers' best."""
    ours = min(s for way, s in taken.items() if way[0].startswith("llmbook"))
    theirs = {way: s for way, s in taken.items() if not way[0].startswith("llmbook")}
    if theirs:
        peer = min(theirs, key=theirs.get)
        way = f"{peer[0]}, {peer[1]}{', compiled' if peer[2] else ''}"
        say(f"best of each, {told}: {theirs[peer] / ours:.2f} times {way}")


# --- Race -------------------------------------------------------------------------


class NearbyLetters(nn.Embedding):
    """Vectors of letters, with one for each pair and one for each three in a row."""

    def __init__(self, letters, n_threes=8191):
        super().__init__(*letters.weight.shape)
        V, C = letters.weight.shape
        self.weight = letters.weight  # shared with the last layer, as in the model
        self.pairs, self.threes = nn.Embedding(V * V, C), nn.Embedding(n_threes, C)
        nn.init.normal_(self.pairs.weight, std=0.1)
        nn.init.normal_(self.threes.weight, std=0.1)

    def forward(self, tokens):
        V = self.num_embeddings
        one, two = (F.pad(tokens, (n, 0))[:, :-n] for n in (1, 2))  # letters before
        pair = one * V + tokens
        three = (two * V * V + pair) % self.threes.num_embeddings  # some share a row
        return super().forward(tokens) + self.pairs(pair) + self.threes(three)


def quiet(model):
    """Let every block begin with adding nothing."""
    for block in model.h:
        nn.init.zeros_(block.attn.c_proj.weight)
        nn.init.zeros_(block.mlp.c_proj.weight)


def nano(seed, ids, precision, n_steps):
    """nanoGPT's recipe for CPUs: https://github.com/karpathy/nanoGPT#quick-start"""
    torch.manual_seed(seed)
    shape = {"n_layer": 4, "n_head": 4, "n_embd": 128, "bias": False, "gelu": "none"}
    rates = {"learning_rate": 1e-3, "final_learning_rate": 1e-4, "betas": (0.9, 0.99)}
    rates["warmup_steps"] = min(100, n_steps)
    rates |= {"batch_size": 12, "precision": precision, "seed": seed}
    return Run(GPT(GPTConfig(65, 64, **shape)), ids, TrainConfig(n_steps, **rates))


def ours(seed, ids, precision, n_steps, n_layer=2, nearby=False):
    """Two layers, rotary positions, Muon with a high rate, and no more than needed."""
    torch.manual_seed(seed)
    shape = {"n_layer": n_layer, "n_head": 4, "n_embd": 128, "bias": False}
    model = GPT(GPTConfig(65, 64, **shape, gelu="none", rotary=True))
    quiet(model)
    if nearby:
        model.wte = NearbyLetters(model.wte)
    rates = {"optimizer": "muon", "learning_rate": 0.01, "muon_learning_rate": 0.05}
    rates |= {"schedule": "linear", "warmup_steps": min(10, n_steps)}
    rates |= {"weight_decay": 0.0, "batch_size": 32}
    config = TrainConfig(n_steps, **rates, precision=precision, seed=seed)
    run = Run(model, ids, config)
    run.optimizers[1].param_groups[0]["momentum"] = 0.9  # a short run, a short memory
    return run


def with_nearby(seed, ids, precision, n_steps):
    """One layer, with a table of pairs and threes of letters below it."""
    return ours(seed, ids, precision, n_steps, n_layer=1, nearby=True)


RECIPES = {
    "nanoGPT's, 4 layers": (nano, 2000),
    "ours, GPT of 2 layers": (ours, 220),
    "ours, pairs and threes": (with_nearby, 100),
}


def race(given):
    """Train by each recipe, in turn over seeds, and see what it reaches how fast."""
    path = Path(os.environ.get("LLMBOOK_DATA", ".")) / "tinyshakespeare.txt"
    if not path.exists():
        return say(f"\n{path} is missing: set LLMBOOK_DATA to a folder that has it")
    text = path.read_text("utf-8")
    number = {letter: i for i, letter in enumerate(sorted(set(text)))}
    ids = [number[letter] for letter in text]
    cut = len(ids) * 9 // 10
    learned, held_out = ids[:cut], ids[cut:]
    if given.quick:
        held_out = held_out[:640]
    precision = best_precision()
    say(f"\nTiny Shakespeare by letters to {GOAL} nats, windows of 64, {precision}")
    say(f"{'':24} {'steps':>5} {'letters':>9} {'seconds':>8}  of the first  loss")
    seconds, losses = ({name: [] for name in RECIPES} for _ in range(2))
    recipes = RECIPES
    if given.quick:
        recipes = {name: (recipe, 2) for name, (recipe, _) in RECIPES.items()}
    for seed in range(1 if given.quick else given.seeds):
        for name, (recipe, n_steps) in recipes.items():
            run = recipe(seed, learned, precision, n_steps)
            while run.step < run.config.n_steps:
                run.advance()
            seconds[name].append(run.seconds)
            losses[name].append(evaluate_loss(run.model, held_out, batch_size=64))
    first = statistics.median(next(iter(seconds.values())))
    for name, (recipe, n_steps) in recipes.items():
        config = recipe(0, learned, precision, n_steps).config
        taken, letters = statistics.median(seconds[name]), config.batch_size * 64
        row = (
            f"{n_steps:5,} {n_steps * letters:9,} {taken:8.1f}  {first / taken:9.1f} x"
        )
        reached = ", ".join(f"{loss:.3f}" for loss in losses[name])
        missed = " (above)" if max(losses[name]) > GOAL else ""
        say(f"{name:24} {row}    {reached}{missed}")


# --- GPU --------------------------------------------------------------------------


def gpu(given):
    """Train GPT-2 124M in bfloat16, compiled, on random tokens."""
    if not torch.cuda.is_available():
        return say("\nNo CUDA device: the GPU part was not run")
    B, T = (4, 128) if given.quick else (given.gpu_batch, 1024)
    torch.manual_seed(0)
    shape = {"n_layer": 2, "n_embd": 128, "n_head": 4} if given.quick else {}
    model = GPT(GPTConfig(50_304, T, **shape))  # a round number of rows is faster
    ways = {"precision": "bfloat16", "compile": True, "device": "cuda"}
    ids = torch.randint(50_257, (100 * B * T,)).tolist()
    run = Run(model, ids, TrainConfig(10**6, batch_size=B, **ways, schedule="constant"))
    for _ in range(12):
        run.advance()
    rates = []
    for _ in range(2 if given.quick else 10):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(10):
            run.advance()
        torch.cuda.synchronize()
        rates.append(10 * B * T / (time.perf_counter() - start))
    rate, peak = statistics.median(rates), matmul_peak("cuda", "bfloat16")
    work = rate * flops_per_token(model, T)
    say(f"\nGPT-2 124M on {torch.cuda.get_device_name()}, bfloat16, compiled, B {B}")
    say(f"tokens a second: {rate:,.0f}, {work / 1e12:.0f} TFLOP/s")
    say(f"of the measured peak of {peak / 1e12:.0f} TFLOP/s: {work / peak:.0%}")
    for name, nominal in {"H200": 989e12, "H100": 989e12, "A100": 312e12}.items():
        if name in torch.cuda.get_device_name():
            say(f"MFU, of the data sheet's {nominal / 1e12:.0f}: {work / nominal:.0%}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["steps", "race", "gpu"])
    parser.add_argument("--quick", action="store_true", help="tiny shapes, no meaning")
    parser.add_argument("--alone", action="store_true", help="without the peers")
    parser.add_argument("--eager", action="store_true", help="compile nothing")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seeds", type=int, default=3, help="runs of each recipe")
    parser.add_argument("--gpu-batch", type=int, default=32, help="rows of 1024 tokens")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    peaks, _ = describe(given.threads, "transformers", "llms-from-scratch")
    if given.only in (None, "steps"):
        steps(given, peaks)
    if given.only in (None, "race"):
        race(given)
    if given.only in (None, "gpu"):
        gpu(given)
    if given.save:
        save("training")


if __name__ == "__main__":
    main()
