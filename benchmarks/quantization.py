"""What 8 and 4 bits cost the storyteller, beside bitsandbytes and torchao.

Usage: python benchmarks/quantization.py [--quick] [--save]

The matrices inside the blocks are rounded by llmbook, and by each of the two libraries
that is installed (`pip install bitsandbytes torchao`; a CPU will do). Compared are the
codes, number by number, the weights that they stand for, nats a story above those of
the unrounded model on stories that it has not read, and bytes. A standard error is that
of the difference between rounded and unrounded over stories. `--quick` shows that all
of it runs, on few stories. `--save` writes benchmarks/results.
"""

import argparse
import copy
import sys
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from machine import describe, save, say, version

from llmbook.lora import NF4, choose_layers, model_bytes, quantize
from llmbook.training import load_storyteller, read_stories
from llmbook.world import stories


def read(model, tokenizer, n_stories):
    """Give what each story costs a model, in nats."""
    texts = [each.text for each in stories(n_stories, seed=91)]
    read = read_stories(model, tokenizer, texts)
    return torch.tensor([sum(word.loss for word in words) for words in read])


def replaced(base, weigh):
    """Give the model with each inner matrix replaced by what `weigh` makes of it."""
    model = copy.deepcopy(base)
    for layer in choose_layers(model, None).values():
        layer.weight.data = weigh(layer.weight.data)
    return model


def inner_bytes(model):
    """Count the bytes of the matrices inside the blocks."""
    return sum(
        model_bytes(layer)["weights"] for layer in choose_layers(model, None).values()
    )


def by_bitsandbytes(base, ours):
    """Round by bitsandbytes; compare codes, scales and the table of values."""
    import bitsandbytes.functional as bnb

    table = bnb.get_4bit_type("nf4", device="cpu")
    say(f"NF4, bitsandbytes: values differ by {(table - NF4).abs().max():.0e} at most")
    other, weights = 0, 0.0
    small = choose_layers(ours, None)
    for path, layer in choose_layers(base, None).items():
        codes, state = bnb.quantize_4bit(layer.weight, blocksize=64, quant_type="nf4")
        pairs = codes.flatten() ^ small[path].codes
        other += int((pairs >> 4 != 0).sum() + (pairs & 15 != 0).sum())
        theirs = bnb.dequantize_4bit(codes, state)
        gap = (theirs - small[path].dequantize()).abs().max().item()
        weights = max(weights, gap)
    told = "all codes equal" if not other else f"{other} codes differ"
    say(f"NF4, bitsandbytes: {told}, weights within {weights:.0e}")

    def twice(double):
        def weigh(weight):
            settings = {"blocksize": 64, "quant_type": "nf4"}
            codes, state = bnb.quantize_4bit(
                weight, compress_statistics=double, **settings
            )
            return bnb.dequantize_4bit(codes, state)

        return weigh

    names = {"NF4, bitsandbytes": False, "NF4 twice, bitsandbytes": True}
    return {name: replaced(base, twice(double)) for name, double in names.items()}


def by_torchao(base, ours):
    """Round by torchao; compare codes and scales."""
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    model = copy.deepcopy(base)
    quantize_(model.h, Int8WeightOnlyConfig())
    small, other, scales = choose_layers(ours, None), 0, 0.0
    for path in small:
        theirs = model.get_submodule(path).weight
        other += int((theirs.qdata != small[path].codes).sum())
        gap = (theirs.scale / small[path].scale - 1).abs().max().item()
        scales = max(scales, gap)
    told = "all codes equal" if not other else f"{other} codes differ"
    say(f"int8, torchao: {told}, steps within {scales:.0e} of their size")
    return {"int8, torchao": model}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few stories, no meaning")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--alone", action="store_true", help="without the peers")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    describe(given.threads, "bitsandbytes", "torchao")
    base, tokenizer = load_storyteller()
    ways = {"int8": (8, {}), "NF4": (4, {}), "NF4 twice": (4, {"double": True})}
    models = {
        name: quantize(copy.deepcopy(base), bits, **changes)
        for name, (bits, changes) in ways.items()
    }
    sizes = {name: inner_bytes(model) for name, model in models.items()}
    say()
    if not given.alone:
        peers = {"bitsandbytes": (by_bitsandbytes, "NF4")}
        peers["torchao"] = (by_torchao, "int8")
        for package, (compare, name) in peers.items():
            if version(package) == "not installed":
                say(f"{package} is not installed: left out")
            else:
                models |= compare(base, models[name])
    n_stories = 20 if given.quick else 1000
    before = read(base, tokenizer, n_stories)
    n_numbers = inner_bytes(base) // 4
    say(f"\n{n_stories:,} stories; {n_numbers:,} numbers in matrices")
    say(f"{'':24} nats a story lost  bits a number  bytes of matrices")
    say(f"{'float32':24} {0:10.3f} {32:21.3f} {4 * n_numbers:18,}")
    for name, model in sorted(models.items()):
        lost = read(model, tokenizer, n_stories) - before
        told = f"{lost.mean():10.3f} ± {lost.std() / n_stories**0.5:5.3f}"
        size = sizes.get(name)
        bits = f"{8 * size / n_numbers:13.3f} {size:18,}" if size else ""
        say(f"{name:24} {told} {bits}".rstrip())
    if given.save:
        save("quantization")


if __name__ == "__main__":
    main()
