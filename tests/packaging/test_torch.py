"""The environment takes a torch that is there, and fetches one only when none is."""

import os
import subprocess
import sys

import pytest

import make


def packages(folder, version):
    """A folder of packages with a torch in it, such as an environment in use has."""
    (folder / "torch").mkdir(parents=True)
    (folder / "torch" / "__init__.py").write_text("here = True\n")
    about = folder / f"torch-{version}.dist-info"
    about.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n"
    (about / "METADATA").write_text(metadata)
    return folder


def create(folder, beside):
    """Create an environment by a Python that finds these packages."""
    code = "import sys, make; make.install_torch = lambda e: print('fetched')\n"
    code += "make.Environment(sys.argv[1]).create()"
    variables = os.environ | {"PYTHONPATH": os.pathsep.join([str(beside), "."])}
    command = [sys._base_executable, "-c", code, str(folder)]
    done = subprocess.run(
        command,
        cwd=make.ROOT,
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_torch_that_is_there_is_taken(tmp_path):
    """Prevents gigabytes of torch beside the one that a machine has."""
    said = create(tmp_path / "env", packages(tmp_path / "packages", "2.13.0+cpu"))
    assert "taking the torch that is there" in said and "fetched" not in said
    python = make.Environment(tmp_path / "env").python
    command = [python, "-I", "-c", "import torch; print(torch.here)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_a_torch_that_is_too_old_is_not_taken(tmp_path):
    """Prevents a torch that pip would replace by the largest build there is."""
    said = create(tmp_path / "env", packages(tmp_path / "packages", "2.0.1"))
    assert "taking" not in said and "fetched" in said


def test_an_environment_that_was_cut_off_is_made_anew(tmp_path):
    """Prevents an interrupted first run that no later run can mend."""
    (tmp_path / "env" / "bin").mkdir(parents=True)
    (tmp_path / "env" / "bin" / "python").write_text("not a program")
    assert "creating env" in create(tmp_path / "env", tmp_path)
    assert make.Environment(tmp_path / "env").works("-m", "pip", "--version")


@pytest.mark.parametrize("driver", [True, False])
@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_cuda_is_for_machines_that_have_it(monkeypatch, tmp_path, driver, system):
    """Prevents CUDA's packages on a Linux machine without an NVIDIA driver."""
    asked = []
    monkeypatch.setattr(make.sys, "platform", system)
    monkeypatch.setattr(make.shutil, "which", lambda name: "/nvidia-smi" * driver)
    reached = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(
        make.subprocess, "run", lambda c, **_: asked.append(c) or reached
    )
    make.install_torch(make.Environment(tmp_path))
    (command,) = asked
    small = system == "linux" and not driver
    assert (make.TORCH_CPU in command) == small and command[-1] == make.TORCH


def test_an_index_out_of_reach_is_no_dead_end(monkeypatch, tmp_path):
    """Prevents a build that stops where PyTorch's own index is blocked."""
    asked = []

    def refuse(command, **options):
        asked.append([str(part) for part in command])
        return subprocess.CompletedProcess(command, make.TORCH_CPU in asked[-1])

    monkeypatch.setattr(make.sys, "platform", "linux")
    monkeypatch.setattr(make.shutil, "which", lambda name: None)
    monkeypatch.setattr(make.subprocess, "run", refuse)
    make.install_torch(make.Environment(tmp_path))
    assert len(asked) == 2 and make.TORCH_CPU not in asked[1]
