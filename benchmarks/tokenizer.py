"""How fast the tokenizer trains and encodes, beside its peers, in one run.

Usage: python benchmarks/tokenizer.py [--gigabyte]

Needs Tiny Shakespeare in LLMBOOK_DATA (tinyshakespeare.txt), and GPT-2's vocabulary
where tiktoken finds it (LLMBOOK_DATA/tiktoken or the network). `--gigabyte` also trains
on and encodes a file of 1 GB, in a process of its own, and reports its peak memory.
Times are seconds of wall clock; medians of five runs after a warm one where it says so.
"""

import argparse
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import regex

DATA = Path(os.environ.get("LLMBOOK_DATA", "."))
if (DATA / "tiktoken").is_dir():
    os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(DATA / "tiktoken"))

import tiktoken  # noqa: E402, it reads the variable above
import tokenizers  # noqa: E402

from llmbook.tokenizer import GPT2_PATTERN, BPETokenizer, merge, read_text  # noqa: E402


def timed(function, *arguments):
    """Run once; return the seconds and the result."""
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def median(function, *arguments):
    """The median seconds of five runs, after one that is not counted."""
    function(*arguments)
    return statistics.median(timed(function, *arguments)[0] for _ in range(5))


def train_slow(text, n_merges):
    """The trainer that chapter 2 builds first: it counts all pairs for every merge."""
    vocab = {i: bytes([i]) for i in range(256)}
    words = [list(piece.encode()) for piece in regex.findall(GPT2_PATTERN, text)]
    merges = []
    for new in range(256, 256 + n_merges):
        counts = Counter()
        for word in words:
            counts.update(pairwise(word))
        pair = max(counts, key=lambda p: (counts[p], vocab[p[0]], vocab[p[1]]))
        merges.append(pair)
        vocab[new] = vocab[pair[0]] + vocab[pair[1]]
        words = [merge(word, pair, new) for word in words]
    return merges


def train_tokenizers(text, vocab_size):
    """Hugging Face's trainer, in Rust, on the same pre-tokens."""
    peer = tokenizers.Tokenizer(tokenizers.models.BPE())
    peer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False
    )
    peer.train_from_iterator([text], trainer)
    return peer


def row(what, seconds, note=""):
    print(f"{what:48} {seconds:9.3f} s   {note}")


def training(text):
    first = text[:130_000]
    print(f"\nTraining, 500 merges on {len(first):,} characters of Tiny Shakespeare")
    fast = min(timed(BPETokenizer.train, first, 756)[0] for _ in range(3))
    slow, merges = timed(train_slow, first, 500)
    assert list(BPETokenizer.train(first, 756).merges) == merges
    row("llmbook (best of three)", fast)
    row("full recount (the chapter's first), same merges", slow, f"{slow / fast:.0f} x")
    row("tokenizers (Rust)", timed(train_tokenizers, first, 756)[0])
    print(f"\nTraining, 10,000 merges on all {len(text):,} characters")
    row("llmbook", timed(BPETokenizer.train, text, 10_256)[0])
    row("tokenizers (Rust)", timed(train_tokenizers, text, 10_256)[0])


def encoding(text):
    print(f"\nEncoding {len(text.encode()) / 1e6:.2f} MB with GPT-2's vocabulary")
    peer = tiktoken.get_encoding("gpt2")
    loading, ours = timed(BPETokenizer.from_tiktoken, peer)
    with tempfile.TemporaryDirectory() as folder:
        ours.to_huggingface(f"{folder}/tokenizer.json")
        other = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")
    cold, ids = timed(ours.encode, text)
    assert ids == peer.encode_ordinary(text) == other.encode(text).ids
    warm, rust = median(ours.encode, text), median(peer.encode_ordinary, text)
    size = len(text.encode()) / 1e6
    row("tiktoken (Rust), median of five", rust, f"{size / rust:5.1f} MB/s")
    share = f"{size / warm:5.1f} MB/s, {rust / warm:.2f} of tiktoken's rate"
    row("llmbook, median of five", warm, share)
    share = f"{size / cold:5.1f} MB/s, {rust / cold:.2f} of tiktoken's rate"
    row("llmbook, first-seen text (empty memory)", cold, share)
    hugging = median(other.encode, text)
    row("tokenizers (Rust), median of five", hugging, f"{size / hugging:5.1f} MB/s")
    row("llmbook, decoding, median of five", median(ours.decode, ids))
    row("llmbook, recovering GPT-2's merges", loading)


def long_words():
    print("\nOne word of 100,000 letters a")
    ours = BPETokenizer.train("a" * 300, 264)
    peer = ours.to_tiktoken()
    row("llmbook", timed(ours.encode, "a" * 100_000)[0])
    row("tiktoken (Rust)", timed(peer.encode_ordinary, "a" * 100_000)[0])


def gigabyte(text):
    print("\nA file of 1 GB, read in pieces")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.txt"
        with path.open("w", encoding="utf-8") as file:
            for n in range(10**9 // len(text) + 1):
                # Every copy has words of its own, as the parts of a corpus do.
                mark = "".join(chr(97 + int(digit)) for digit in str(n))
                file.write(re.sub(r"\b(\w{9,})\b", rf"\1{mark}", text))
        row(f"written: {path.stat().st_size / 1e9:.2f} GB", 0.0)
        for task in ("train", "encode"):
            command = [sys.executable, __file__, "--large", task, str(path)]
            subprocess.run(command, check=True)


def large(task, path):
    """Train on a large file or encode it, and print the time and the peak memory."""
    if task == "train":
        seconds, _ = timed(BPETokenizer.train, read_text(path), 8_192)
    else:
        tokenizer = BPETokenizer.train(next(read_text(path)), 8_192)

        def count():
            return sum(len(tokenizer.encode(piece)) for piece in read_text(path))

        seconds, _ = timed(count)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    size = Path(path).stat().st_size / 1e6
    row(task, seconds, f"{size / seconds:5.1f} MB/s, peak memory {peak:,.0f} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabyte", action="store_true", help="also a file of 1 GB")
    parser.add_argument("--large", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.large:
        return large(*given.large)
    path = DATA / "tinyshakespeare.txt"
    if not path.exists():
        sys.exit(f"{path} is missing: set LLMBOOK_DATA to a folder that has it")
    text = path.read_text("utf-8")
    versions = f"tiktoken {tiktoken.__version__}, tokenizers {tokenizers.__version__}"
    print(f"Python {platform.python_version()}, {versions}, {os.cpu_count()} cores")
    training(text)
    encoding(text)
    long_words()
    if given.gigabyte:
        gigabyte(text)


if __name__ == "__main__":
    main()
