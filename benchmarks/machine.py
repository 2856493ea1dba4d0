"""What the benchmarks of training and generation share: machine and fair timing."""

import ctypes
import importlib.metadata
import os
import platform
import re
import statistics
import sys
import time
from datetime import datetime
from pathlib import Path

import torch

from llmbook.training import matmul_peak

RESULTS = Path(__file__).resolve().parent / "results"
LINES = []  # what has been said


def say(line=""):
    """Print a line, and keep it for the file of results."""
    print(line, flush=True)
    LINES.append(line)


def result_file(name, ending):
    """Name a file of results by machine and date."""
    where = re.sub(r"\W+", "-", f"{name} {processor()}").strip("-").lower()
    return RESULTS / f"{where}-{datetime.now():%Y-%m-%d}.{ending}"


def save(name):
    """Write what has been said to benchmarks/results, under machine and date."""
    path = result_file(name, "txt")
    RESULTS.mkdir(exist_ok=True)
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    print(f"\nwritten to {path}")


def processor():
    """Name the processor."""
    try:
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def keep_memory():
    """Let freed memory stay with the process, for everybody who is measured.

    By default, glibc gives a step's activations back to the system and has them cleared
    and mapped anew in the next one: up to a fifth of the time, by chance of the heap.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        libc.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD


def read_bandwidth(megabytes=500):
    """Measure how many bytes a second can be summed up, which is to read them."""
    numbers = torch.ones(megabytes * 250_000)
    times = [timed(numbers.sum) for _ in range(7)]
    return numbers.nbytes / statistics.median(times[1:])


def describe(threads, *packages):
    """Say what this is measured on; return peaks by precision, and the bandwidth."""
    torch.set_num_threads(threads)
    keep_memory()
    names = ("torch", *packages)
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    say(f"{datetime.now():%Y-%m-%d %H:%M}, {processor()}, {threads} threads")
    say(f"Python {platform.python_version()}, {versions}")
    if hasattr(os, "getloadavg"):
        say(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    peaks = {name: matmul_peak("cpu", name) for name in ("float32", "bfloat16")}
    speed = read_bandwidth()
    told = ", ".join(f"{name} {peak / 1e9:.0f}" for name, peak in peaks.items())
    say(f"matrix products of 1024 x 1024, GFLOP/s: {told}")
    say(f"memory, reading: {speed / 1e9:.1f} GB/s")
    return peaks, speed


def version(name):
    """Give a package's version, or "not installed"."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def timed(function, *arguments):
    """Run once; return the seconds."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def alternate(contenders, rounds, repeats=1):
    """Time functions in turn, so that a busy machine hits all alike.

    Returns the median seconds of each by name, of `rounds` times `repeats` runs; each
    turn begins with a run that is not counted.
    """
    times = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, function in contenders.items():
            function()
            times[name] += [timed(function) for _ in range(repeats)]
    return {name: statistics.median(each) for name, each in times.items()}
