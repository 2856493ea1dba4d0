"""Damaged, foreign, missing or pickled files: one clear error each, and no model."""

import hashlib
import http.server
import itertools
import json
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from llmbook import pretrained
from llmbook.gpt import GPT, GPTConfig
from llmbook.llama import Llama, LlamaConfig
from llmbook.lora import apply_lora, merge_lora, quantize
from llmbook.pretrained import (
    Layout,
    from_pretrained,
    read_header,
    read_model,
    register_layout,
    save_pretrained,
)
from llmbook.tokenizer import BPETokenizer


def change(path, **entries):
    """Give entries of a JSON file other values."""
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def rewrite(folder, change):
    """Change the tensors of a folder's file."""
    path = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(tensors)
    path.unlink()
    save_file(tensors, path)


@pytest.mark.parametrize("left", [0, 4, 8, 100, -1, -1000])
def test_truncated(folder, left):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(ValueError, match="cut short"):
        from_pretrained(folder)


@pytest.mark.parametrize(
    "content", [b"not a model", b"<html>404</html>" * 99, pickle.dumps([1]), b"\0" * 99]
)
def test_foreign(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="no safetensors file"):
        from_pretrained(folder)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_headers(tmp_path, data):
    """Any change of the header is refused, or read as the safetensors library does."""
    path = tmp_path / "small.safetensors"
    save_file({"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2)}, path)
    content = bytearray(path.read_bytes())
    length = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, length - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    try:
        with safe_open(path, "pt") as file:
            want = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError):
        with pytest.raises(ValueError, match="no safetensors file"):
            read_header(path)
        return
    got = read_header(path)
    assert {name: list(entry.shape) for name, entry in got.items()} == want
    assert all(8 < e.start <= e.end <= len(content) for e in got.values())


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        from_pretrained(folder)


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "[" * 9999, "\x00"])
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_damaged_json(folder, name, content):
    (folder / name).write_text(content)
    with pytest.raises(ValueError, match=name):
        from_pretrained(folder)


def test_wrong_shapes(folder):
    change(folder / "config.json", n_embd=32)
    with pytest.raises(ValueError, match=r"shape \[600, 64\].*asks for \[600, 32\]"):
        read_model(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.pop("transformer.h.1.ln_2.bias"), "lacks.*h.1.ln_2.bias"),
        (lambda t: t.update(extra=torch.ones(2)), "'extra'.*no gpt2"),
        (lambda t: t.update({"ln_f.bias": torch.ones(64)}), r"ln_f\.bias'"),  # twice
        (lambda t: t.update({"lm_head.weight": torch.ones(600, 64)}), "another"),
        (lambda t: t.update({"transformer.wpe.weight": torch.ones(96)}), "shape"),
        (
            lambda t: t.update({"transformer.ln_f.bias": torch.ones(64).int()}),
            "in I32, and readable are",
        ),
    ],
)
def test_wrong_tensors(folder, change, told):
    rewrite(folder, change)
    with pytest.raises(ValueError, match=told):
        read_model(folder)


def test_a_second_name_that_says_the_same_is_welcome(folder):
    rewrite(
        folder, lambda t: t.update({"lm_head.weight": t["transformer.wte.weight"] * 1})
    )
    assert read_model(folder).lm_head.weight.shape == (600, 64)


def test_biases_where_config_says_there_are_none(folder):
    change(folder / "config.json", bias=False)
    with pytest.raises(ValueError, match="does without"):
        read_model(folder)


@pytest.mark.parametrize(
    "entries",
    [
        {"activation_function": "relu"},
        {"layer_norm_epsilon": 1e-6},
        {"scale_attn_by_inverse_layer_idx": True},
        {"n_inner": 100},
        {"tie_word_embeddings": False},
        {"n_head": 5},
        {"n_layer": "two"},
        {"model_type": "bert"},
        {"model_type": None},
        {"model_type": ["gpt2"]},
    ],
)
def test_a_config_that_we_cannot_be(folder, entries):
    """A model that ignores what it does not understand computes something else."""
    change(folder / "config.json", **entries)
    with pytest.raises(ValueError, match=next(iter(entries)).split("_")[0]):
        read_model(folder)


def test_unknown_change_of_the_config(folder):
    with pytest.raises(ValueError, match="drop_out"):
        read_model(folder, drop_out=0.1)


def test_tokenizer_of_another_model(folder, tokenizer):
    small = BPETokenizer({}, {"<|endoftext|>": 256})
    with pytest.raises(ValueError, match="600 ids, and the model knows 257"):
        save_pretrained(GPT(GPTConfig(257, 8, 1, 1, 8)), tokenizer, folder / "new")
    assert not (folder / "new").exists()
    small_model = GPT(GPTConfig(257, 8, 1, 1, 8))
    save_pretrained(small_model, small, folder / "small")
    tokenizer.to_huggingface(folder / "small" / "tokenizer.json")
    with pytest.raises(ValueError, match="do not belong together"):
        from_pretrained(folder / "small")


def test_missing_shard(folder):
    peer = transformers.AutoModelForCausalLM.from_pretrained(folder)
    peer.save_pretrained(folder / "parts", max_shard_size="150KB")
    (parts := sorted(folder.glob("parts/*.safetensors")))[1].unlink()
    with pytest.raises(FileNotFoundError, match=f"1 of {len(parts)} parts.*00002-of"):
        read_model(folder / "parts")


@pytest.mark.parametrize(
    "name", ["../gpt2/model.safetensors", "/etc/passwd", 3, "x.bin"]
)
def test_an_index_that_leads_elsewhere(folder, name):
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    index = {"weight_map": {"transformer.wte.weight": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="names no files beside it"):
        read_model(folder)


class Bomb:
    """What would leave a trace if anybody opened it."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pt", "gpt2.ckpt", "w.pkl"]
)
def test_no_pickle_is_ever_read(folder, tmp_path, name):
    trace = tmp_path / "trace"
    (folder / "model.safetensors").unlink()
    bomb = pickle.dumps(Bomb(trace))
    (folder / name).write_bytes(bomb)
    for place in (folder, folder / name):
        with pytest.raises(ValueError, match="is not opened"):
            from_pretrained(place)
    (folder / "model.safetensors").write_bytes(bomb)  # under a good name
    with pytest.raises(ValueError, match="no safetensors file"):
        from_pretrained(folder)
    assert not trace.exists()
    pickle.loads(bomb)
    assert trace.exists()


def test_the_module_can_open_no_pickle():
    source = Path(pretrained.__file__).read_text("utf-8")
    for word in ("pickle.load", "torch.load", "import pickle", "trust_remote_code"):
        assert word not in source


def test_a_file_and_a_folder_that_is_none(folder, tmp_path):
    with pytest.raises(ValueError, match="is a file: give the folder"):
        from_pretrained(folder / "model.safetensors")
    with pytest.raises(FileNotFoundError, match="no folder"):
        from_pretrained(tmp_path / "nothing")


def test_no_half_loaded_model(folder, monkeypatch):
    """If reading breaks off in the middle, nobody gets the model that was begun."""
    made, read = [], pretrained.read_tensor

    def break_off(file, entry):
        made.append(entry)
        if len(made) > 5:
            raise OSError("the disk has gone")
        return read(file, entry)

    monkeypatch.setattr(pretrained, "read_tensor", break_off)
    with pytest.raises(OSError, match="the disk has gone"):
        read_model(folder, dtype=torch.bfloat16)


def test_a_buffer_that_no_file_holds(folder, monkeypatch):
    class Buffered(GPT):
        def __init__(self, config):
            super().__init__(config)
            self.register_buffer("table", torch.ones(3))

    gpt2 = pretrained.LAYOUTS["gpt2"]
    monkeypatch.setattr(pretrained, "LAYOUTS", {})
    fields = {name: getattr(gpt2, name) for name in gpt2.__dataclass_fields__}
    register_layout(Layout(**(fields | {"model": Buffered})))
    with pytest.raises(TypeError, match="makes a buffer 'table'"):
        read_model(folder)


def test_models_that_no_family_holds(tmp_path, tokenizer):
    rotary = GPT(GPTConfig(600, 8, 1, 1, 8, rotary=True))
    with pytest.raises(ValueError, match="rotary=True is no GPT-2"):
        save_pretrained(rotary, tokenizer, tmp_path)
    with pytest.raises(ValueError, match="no layout is registered for a Linear"):
        save_pretrained(torch.nn.Linear(2, 2), tokenizer, tmp_path)
    assert not list(tmp_path.iterdir())


def adapted(model):
    return apply_lora(model, 2)


def rounded(model):
    return quantize(model, 8)


def with_another_last_layer(model):
    model.lm_head = torch.nn.Linear(32, 2, bias=False)
    return model


def with_a_last_layer_of_its_own(model):
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    return model


def with_a_larger_table(model):
    name, old = next(iter(model.named_children()))
    setattr(model, name, torch.nn.Embedding(old.num_embeddings + 1, 32))
    model.lm_head.weight = getattr(model, name).weight
    return model


def with_a_stranger(model):
    model.probe = torch.nn.Linear(32, 3)
    return model


def turned_about(model):
    """A layer with a weight of the right shape that is no `nn.Linear`."""

    class Other(torch.nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.weight, self.bias = layer.weight, layer.bias

    block = model.h[0]
    block.attn.c_attn = Other(block.attn.c_attn)
    return model


PLAIN = {
    "GPT": lambda: GPT(GPTConfig(600, 8, 1, 2, 32)),
    "GPT without biases": lambda: GPT(GPTConfig(600, 8, 1, 2, 32, bias=False)),
    "Llama": lambda: Llama(LlamaConfig(600, 8, 1, 2, 32, tied=True)),
}
CHANGES = [adapted, rounded, with_another_last_layer, with_a_last_layer_of_its_own]
CHANGES += [with_a_larger_table, with_a_stranger]


@pytest.mark.parametrize(
    ("kind", "change"),
    [*itertools.product(PLAIN, CHANGES), ("GPT", turned_about)],
)
def test_a_model_that_its_config_does_not_describe(kind, change, tokenizer, tmp_path):
    """Prevents a folder whose tensors have wrong names, or are not all there."""
    model = change(PLAIN[kind]())
    with pytest.raises(ValueError, match=r"by its config the tensor '.*' is .* here"):
        save_pretrained(model, tokenizer, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", PLAIN)
def test_a_model_whose_adapters_are_merged_is_saved(kind, tokenizer, tmp_path):
    model = merge_lora(adapted(PLAIN[kind]()))
    save_pretrained(model.eval(), tokenizer, tmp_path)
    ids = torch.arange(8)[None]
    assert torch.equal(read_model(tmp_path)(ids), model(ids))


def test_a_save_that_breaks_off_leaves_no_model(folder, tokenizer, monkeypatch):
    """config.json goes first and comes last: in between there is nothing to be read."""
    model, _ = from_pretrained(folder)
    save_pretrained(model, tokenizer, folder / "new")

    def full(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(pretrained, "write_card", full)
    with pytest.raises(OSError, match="the disk is full"):
        save_pretrained(model, tokenizer, folder / "new")
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        from_pretrained(folder / "new")


def test_a_model_is_saved_over_the_file_that_it_lies_in(folder, tokenizer):
    model, words = from_pretrained(folder)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    save_pretrained(model, words, folder)
    again = read_model(folder).state_dict()
    assert all(torch.equal(again[name], t) for name, t in before.items())
    assert all(torch.equal(model.state_dict()[name], t) for name, t in before.items())


# Downloads, from a hub of our own.

OFFLINE = """
import os
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": %r}
from llmbook.pretrained import from_pretrained
try:
    from_pretrained(%r)
except OSError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("name", ["gpt2", "openai-community/gpt2-xl", "who/what"])
def test_no_network(tmp_path, name):
    code = OFFLINE % (str(tmp_path), name)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    told = done.stdout
    assert "cannot be reached" in told and "put them into one folder" in told, done
    assert f"https://huggingface.co/{'openai-community/' * ('/' not in name)}" in told


@pytest.mark.parametrize("name", ["no such name!", "a/b/c", "gpt2 "])
def test_a_name_that_can_be_no_model(name):
    with pytest.raises(FileNotFoundError, match="known by name are gpt2"):
        from_pretrained(name)


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(folder, tmp_path):
    """A server that speaks as the Hub does; `told` lists what it was asked."""
    told, bad = [], set()

    class Hub(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            self.answer(False)

        def do_GET(self):
            self.answer(True)

        def answer(self, body):
            name = self.path.rsplit("/", 1)[-1]
            start = self.headers.get("Range", "bytes=0-")[6:].split("-")[0]
            told.append((self.command, name, int(start or 0)))
            path = folder / name
            known = self.path.startswith("/owner/name/") and path.is_file()
            content = path.read_bytes() if known else b"{}"
            sum_ = hashlib.sha256(content).hexdigest()
            if name in bad:
                content = content[:-1] + bytes([content[-1] ^ 1])
            self.send_response(200 if known else 404)
            if not known:
                missing = "/owner/name/" in self.path
                kind = "EntryNotFound" if missing else "RepoNotFound"
                self.send_header("X-Error-Code", kind)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{sum_}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", told, bad
    server.shutdown()
    server.server_close()


ONLINE = """
import os, sys
os.environ |= {"HF_ENDPOINT": %r, "HF_HOME": %r, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
os.environ.pop("HF_HUB_OFFLINE", None)
from llmbook.pretrained import from_pretrained
for _ in range(%d):
    try:
        model, tokenizer = from_pretrained(%r)
        print("ok", model.config.n_embd, tokenizer.n_vocab)
    except Exception as error:
        print(type(error).__name__, error)
"""


def ask(address, home, name="owner/name", times=1):
    code = ONLINE % (address, str(home), times, name)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=home
    )
    assert done.stdout, done.stderr
    return done.stdout.splitlines()


def test_a_download_is_kept(hub, tmp_path):
    address, told, _ = hub
    assert ask(address, tmp_path, times=2) == ["ok 64 600"] * 2
    fetched = [name for kind, name, _ in told if kind == "GET"]
    assert fetched.count("model.safetensors") == 1


def test_a_download_with_a_wrong_sum_is_removed(hub, tmp_path):
    address, _, bad = hub
    bad.add("model.safetensors")
    (first,) = ask(address, tmp_path)
    assert "ValueError" in first and "SHA-256" in first and "removed" in first
    assert not list(tmp_path.glob("hub/**/model.safetensors"))
    bad.clear()
    assert ask(address, tmp_path) == ["ok 64 600"]


def test_a_name_that_is_not_on_the_hub(hub, tmp_path):
    address, _, _ = hub
    (told,) = ask(address, tmp_path, "nobody/nothing")
    assert "FileNotFoundError" in told and "known by name" in told


def test_a_model_without_safetensors_on_the_hub(hub, folder, tmp_path):
    address, asked, _ = hub
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    (told,) = ask(address, tmp_path)
    assert "ValueError" in told and "without danger" in told
    assert not any(name == "pytorch_model.bin" for _, name, _ in asked)


def test_our_own_sums_are_for_files_of_the_named_size():
    """GPT-2's file has 148 tensors, 12 masks of 1024 x 1024, and a list."""
    numbers = 124_439_808 * 4 + 12 * 1024 * 1024 * 4
    assert 0 < 548_105_171 - numbers < 20_000
    for release in pretrained.RELEASED.values():
        assert len(release.revision) == 40
        assert release.sha256 is None or len(release.sha256) == 64
