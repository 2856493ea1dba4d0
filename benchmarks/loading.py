"""How long GPT-2 124M takes to load, and how much memory, beside transformers.

Usage: python benchmarks/loading.py [--quick] [--save]

Weights are random, since loading does not depend on them, and transformers has saved
them. Each loading happens in a fresh process, the two libraries in turn, after imports,
which are not counted: the seconds until the model is there, and until a first forward
pass over 32 tokens has touched every weight. Memory is what the process has at its
peak above what it had before, in copies of the weights; it is read from Linux's /proc.
The file has been read before, so the disk is not measured. Medians. `--quick` shows
that all of it runs, with a model too small to mean anything. `--save` writes
benchmarks/results.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from machine import describe, save, say, version


def peak(name="VmHWM"):
    """Give the bytes that this process has had at its peak; 0 where nobody knows."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    return 1024 * int(re.search(name + r":\s+(\d+)", status.read_text())[1])


def loader(who):
    """Import a library, and give what it loads a folder with."""
    if who == "llmbook":
        from llmbook.gpt import GPT  # noqa: F401
        from llmbook.pretrained import read_model

        return read_model
    from transformers import GPT2LMHeadModel
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return GPT2LMHeadModel.from_pretrained


def one(who, folder, precision, threads):
    """Load once, in this process, and print what it took."""
    torch.set_num_threads(threads)
    load, dtype = loader(who), getattr(torch, precision)
    tokens, before = torch.arange(32)[None], peak("VmRSS")
    start = time.perf_counter()
    model = load(folder, dtype=dtype)
    loaded, memory = time.perf_counter() - start, peak()
    with torch.no_grad():
        model(tokens)
    used = time.perf_counter() - start
    size = sum(p.nbytes for p in model.parameters())
    taken = [(at - before) / size for at in (memory, peak())]
    print(json.dumps([loaded, used, *taken, size]))


def measure(who, folder, precision, threads):
    """Load once in a fresh process."""
    command = [sys.executable, __file__, "--one", who, folder, precision]
    command += ["--threads", str(threads)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    return json.loads(done.stdout)


def compare(folder, precision, given):
    """Load in turn, and print a table."""
    everybody = ("llmbook", "transformers")
    rounds = [
        {who: measure(who, folder, precision, given.threads) for who in everybody}
        for _ in range(2 if given.quick else 9)
    ]
    size = rounds[0]["llmbook"][-1]
    say(f"\nFrom a float32 file to {precision}: {size / 1e6:,.0f} MB")
    say(f"{'':14} loaded  and used once  copies of the weights: loaded  and used once")
    medians = {}
    for who in everybody:
        each = zip(*(taken[who] for taken in rounds), strict=True)
        medians[who] = load, use, full, later, _ = [*map(statistics.median, each)]
        say(f"{who:14} {load:5.3f} s {use:12.3f} s {full:29.2f} {later:14.2f}")
    ours, theirs = (medians[who] for who in everybody)
    say(f"llmbook: loaded in {ours[0] / theirs[0]:.2f} times transformers' time,")
    say(f"loaded and used once in {ours[1] / theirs[1]:.2f} times")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tiny model, no meaning")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(*given.one, given.threads)
        return
    if version("transformers") == "not installed":
        sys.exit("there is nobody to compare with: pip install transformers")
    warnings.filterwarnings("ignore")
    describe(given.threads, "transformers", "safetensors")
    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    shape = {"n_layer": 2, "n_head": 2, "n_embd": 32} if given.quick else {}
    with tempfile.TemporaryDirectory() as folder:
        GPT2LMHeadModel(GPT2Config(**shape)).save_pretrained(folder)
        for precision in ("float32", "bfloat16"):
            compare(folder, precision, given)
    if given.save:
        save("loading")


if __name__ == "__main__":
    main()
