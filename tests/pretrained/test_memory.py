"""Loading GPT-2's 124 million takes no second copy, measured in a fresh process."""

import json
import subprocess
import sys

import pytest
import torch

from llmbook.gpt import GPT, GPTConfig
from llmbook.pretrained import save_pretrained
from llmbook.tokenizer import BPETokenizer

from ..conftest import need

PROBE = r"""
import json, re, sys
from pathlib import Path
import torch
from llmbook.pretrained import read_model

def told(name):
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(name + r":\s+(\d+)", status)[1])

before = told("VmRSS")
model = read_model(sys.argv[1], dtype=getattr(torch, sys.argv[2]))
loaded = told("VmHWM") - before
with torch.no_grad():
    model(torch.arange(64)[None])
size = sum(p.nbytes for p in model.parameters())
print(json.dumps([loaded / size, (told("VmHWM") - before) / size]))
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    need(sys.platform == "linux", "memory is read from /proc, which Linux has")
    folder = tmp_path_factory.mktemp("large")
    torch.manual_seed(0)
    letters = BPETokenizer({}, {"<|endoftext|>": 256})
    save_pretrained(GPT(GPTConfig.gpt2()), letters, folder)
    yield folder
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_no_second_copy(large, dtype):
    command = [sys.executable, "-c", PROBE, str(large), dtype]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded, used = json.loads(done.stdout)
    assert loaded <= 1.2
    assert 0.9 < used <= 1.35  # with a forward pass: every page has been touched
