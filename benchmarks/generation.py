"""How fast GPT-2 124M writes on a CPU, beside a peer and what memory allows.

Usage: python benchmarks/generation.py [--quick] [--save]

Weights are random, since speed does not depend on them, and the same in all models, so
that all must write the same. The peer is measured where it is installed: `pip install
transformers`. (llms-from-scratch 1.0.19 has a GPT-2 with a cache as well; it raises an
error at the second token, since its mask is cut along the wrong axis.)

One prompt of 32 tokens is continued greedily with a cache, in float32 and in bfloat16.
The time of a token is that of a long continuation less that of one token, divided by
the tokens between them: neither reading the prompt nor starting counts. All in turn,
medians. `--quick` shows that all of it runs, with a model too small to mean anything.
`--save` writes benchmarks/results.
"""

import argparse
import statistics
import sys
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from machine import describe, save, say, timed, version

from llmbook.generation import generate, pack
from llmbook.gpt import GPT, GPTConfig

PROMPT = 32  # tokens


def ours(model, prompt):
    """Write with the model as it is, and with its packed twin."""
    packed = pack(model)
    return {
        "llmbook": lambda n: generate(model, prompt, n, temperature=0)[0],
        "llmbook, packed": lambda n: generate(packed, prompt, n, temperature=0)[0],
    }


def transformers(model, prompt):
    """Give the same weights to transformers' GPT-2."""
    from transformers import GPT2Config, GPT2LMHeadModel

    c = model.config
    shape = {"n_layer": c.n_layer, "n_head": c.n_head, "n_embd": c.n_embd}
    shape |= {"vocab_size": c.vocab_size, "n_positions": c.context_length}
    peer = GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=None, eos_token_id=None))
    state = model.state_dict()
    with torch.no_grad():
        for name, tensor in peer.state_dict().items():
            weight = state[name.removeprefix("transformer.")]
            lies = name.endswith("weight") and ".c_" in name  # inputs by outputs there
            tensor.copy_(weight.T if lies else weight)
    peer.eval().to(model.wte.weight.dtype).generation_config.pad_token_id = 0
    tokens = torch.tensor(prompt)
    settings = {"do_sample": False, "attention_mask": torch.ones_like(tokens)}

    def write(n):
        out = peer.generate(tokens, max_new_tokens=n, **settings)
        return out[0, tokens.shape[1] :].tolist()

    return {"transformers": write}


def writers(model, prompt, alone):
    """Everybody who is here."""
    found = ours(model, prompt)
    if not alone and version("transformers") != "not installed":
        found |= transformers(model, prompt)
    return found


def measure(write, rounds, n):
    """Give the median seconds of a token, for each, and what each has written."""
    written = {name: each(n) for name, each in write.items()}
    times = {name: [] for name in write}
    for _ in range(rounds):
        for name, each in write.items():
            short = timed(each, 1)
            times[name].append((timed(each, n) - short) / (n - 1))
    return {name: statistics.median(each) for name, each in times.items()}, written


def decoding(config, dtype, bandwidth, given):
    """Write in one precision, and compare."""
    torch.manual_seed(0)
    model = GPT(config).eval().to(dtype)
    prompt = torch.randint(config.vocab_size, (1, PROMPT)).tolist()
    rounds, n = (3, 24) if given.quick else (9, 48)
    taken, written = measure(writers(model, prompt, given.alone), rounds, n)
    # Every weight is read for every token, but for the positions' table.
    weights = sum(p.nbytes for p in model.parameters()) - model.wpe.weight.nbytes
    ceiling = bandwidth / weights
    say(f"\nWriting in {str(dtype).removeprefix('torch.')}: {weights / 1e6:,.0f} MB")
    say(f"{'':20} tokens/s  of what memory allows  same tokens as llmbook")
    for name, seconds in taken.items():
        both = zip(written[name], written["llmbook"], strict=True)
        same = sum(a == b for a, b in both) / n
        share = f"{1 / seconds / ceiling:21.0%}  {same:22.0%}"
        say(f"{name:20} {1 / seconds:8.1f} {share}")
    say(f"{'weights read once':20} {ceiling:8.1f}")
    peer = taken.get("transformers")
    if peer:
        for name in ("llmbook, packed", "llmbook"):
            say(f"{name}: {peer / taken[name]:.2f} times transformers")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tiny model, no meaning")
    parser.add_argument("--alone", action="store_true", help="without the peer")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    _, bandwidth = describe(given.threads, "transformers")
    config = GPTConfig.gpt2()
    if given.quick:
        config = GPTConfig(101, 64, n_layer=2, n_head=2, n_embd=32)
    for dtype in (torch.float32, torch.bfloat16):
        decoding(config, dtype, bandwidth, given)
    if given.save:
        save("generation")


if __name__ == "__main__":
    main()
