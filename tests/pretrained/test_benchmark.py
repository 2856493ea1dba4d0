"""The benchmark of loading runs, and prints its tables; times are not asserted."""

import re
import subprocess
import sys
from pathlib import Path

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "loading.py"


def test_both_libraries_load_in_both_precisions():
    command = [sys.executable, FILE, "--quick", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    row = r"^(llmbook|transformers) +\d\.\d{3} s +\d\.\d{3} s +\d+\.\d\d +\d+\.\d\d$"
    assert re.findall(row, done.stdout, re.M) == ["llmbook", "transformers"] * 2
