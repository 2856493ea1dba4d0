"""Every task of the project, in plain Python: `python make.py book` is `make book`.

Needs nothing but Python 3.10 or newer. Tasks make their own virtual environment in
`.venv` and install into it what they need, once; a changed `pyproject.toml` or
`constraints.txt` installs again.
"""

import argparse
import functools
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
BUILD = ROOT / "_build"
TORCH = "2.13.0"  # what the book is built and tested with; users may have any torch >= 2.4
TORCH_CPU = "https://download.pytorch.org/whl/cpu"  # PyTorch's own index of builds without CUDA
LATEX = (
    "latexmk texlive-xetex texlive-latex-recommended texlive-latex-extra "
    "texlive-fonts-recommended fonts-freefont-otf fonts-noto-core xindy tex-gyre"
)


def run(*command, **options):
    """Run a command from the project's root; stop the task when it fails."""
    options = {"cwd": ROOT, **options}
    status = subprocess.run([str(part) for part in command], **options).returncode
    if status:
        sys.exit(f"make: stopped, since this failed with status {status}: {' '.join(map(str, command))}")


class Environment:
    """A virtual environment in a folder of the project."""

    def __init__(self, folder):
        self.folder = ROOT / folder
        self.bin = self.folder / ("Scripts" if os.name == "nt" else "bin")
        self.python = self.bin / ("python.exe" if os.name == "nt" else "python")

    def has(self, module):
        """Whether the environment can import a module."""
        code = f"import importlib.util, sys; sys.exit(not importlib.util.find_spec({module!r}))"
        return self.python.exists() and subprocess.run([str(self.python), "-c", code]).returncode == 0

    def create(self):
        """Make the environment, over a torch that this Python already has, if it has one."""
        if not self.python.exists():
            print(f"make: creating {self.folder.name} with Python {sys.version.split()[0]}", flush=True)
            has_torch = importlib_has("torch")
            venv.create(self.folder, with_pip=True, system_site_packages=has_torch)
        if not self.has("torch"):
            install_torch(self)

    def pip(self, *arguments):
        run(self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments)

    def install(self, extras):
        """Install this project, editable, with its extras and the book's pinned tools."""
        recipe = [(ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
        digest = hashlib.sha256(b"\0".join([*recipe, extras.encode()])).hexdigest()
        stamp = self.folder / "llmbook-installed"
        if stamp.exists() and stamp.read_text() == digest:
            return
        self.create()
        print(f"make: installing llmbook[{extras}]; the first time takes some minutes", flush=True)
        self.pip("-c", "constraints.txt", "-e", f".[{extras}]")
        stamp.write_text(digest)


def importlib_has(module):
    """Whether the Python that runs this file can import a module (not from a venv of ours)."""
    from importlib.util import find_spec

    return find_spec(module) is not None


def install_torch(environment):
    """The one place that decides which torch is installed: never CUDA for a machine without it.

    Builds for macOS and Windows on the Python package index are small; those for Linux
    bring several gigabytes of CUDA packages. So a Linux machine without an NVIDIA driver
    asks PyTorch's own index of CPU builds first, and the package index only if that fails.
    """
    print("make: installing torch", flush=True)
    if sys.platform == "linux" and not shutil.which("nvidia-smi"):
        quick = ["--retries", "0", "--timeout", "20", "--index-url", TORCH_CPU]
        command = [environment.python, "-m", "pip", "install", "--quiet", *quick, f"torch=={TORCH}"]
        if subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0:
            return
    environment.pip(f"torch=={TORCH}")


def project(extras="book,check,test"):
    environment = Environment(".venv")
    environment.install(extras)
    return environment


def export():
    """write llmbook/*.py from the chapters, and clean the notebooks"""
    run(project().python, "-m", "_ext.export")


def book():
    """render the site to _build/html"""
    environment = project()
    export()
    run(environment.bin / "jupyter-book", "build", ".", "-n", "-W", "--keep-going", "-q")
    print(f"make: the book is at {BUILD / 'html' / 'index.html'}; `make serve` shows it")


def pdf():
    """render the same book to _build/llmbook.pdf"""
    if not (shutil.which("latexmk") and shutil.which("xelatex")):
        sys.exit(f"make: the PDF needs LaTeX, which is missing. On Debian or Ubuntu:\n  apt-get install --no-install-recommends {LATEX}")
    environment = project()
    export()
    run(environment.bin / "jupyter-book", "build", ".", "-n", "-W", "--keep-going", "-q", "--builder", "pdflatex")
    shutil.copy(BUILD / "latex" / "llmbook.pdf", BUILD / "llmbook.pdf")
    print(f"make: the PDF is at {BUILD / 'llmbook.pdf'}")


def serve(port=8000):
    """show the rendered site on http://localhost:8000"""
    if not (BUILD / "html" / "index.html").exists():
        book()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(BUILD / "html"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"make: http://localhost:{port} (stop with Ctrl-C)", flush=True)
        server.serve_forever()


def wheel():
    """build the wheel into dist/"""
    environment = project()
    export()
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    run(environment.python, "-m", "build", "--wheel", "--outdir", "dist", ".", stdout=subprocess.DEVNULL)
    (path,) = (ROOT / "dist").glob("*.whl")
    print(f"make: the wheel is at {path}")
    return path


def reader(wheel_path):
    """The reader's environment: only the wheel with its `check` extra, and a kernel to run it."""
    environment = Environment(".venv-reader")
    environment.create()
    environment.pip("-c", "constraints.txt", "ipykernel", f"{wheel_path}[check]")
    environment.pip("--force-reinstall", "--no-deps", wheel_path)
    spec = BUILD / "jupyter" / "kernels" / "llmbook-reader"
    spec.mkdir(parents=True, exist_ok=True)
    start = [str(environment.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = {"argv": start, "display_name": "llmbook reader", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(kernel))
    return environment


def test():
    """run everything: gates, unit tests, parity, and every chapter as a reader would"""
    environment = project()
    reader(wheel())
    chapters = BUILD / "reader"
    run(environment.python, "-m", "_tools.reader", chapters)
    run(
        environment.python, "-m", "pytest", "tests", chapters, "-n", "2", "--dist", "loadscope",
        "--nbval", "--nbval-kernel-name", "llmbook-reader", "--nbval-cell-timeout", "300",
        "--nbval-sanitize-with", "tests/nbval_sanitize.cfg",
        env=os.environ | {"JUPYTER_PATH": str(BUILD / "jupyter")},
    )


def lint():
    """check style, spelling and the house gates"""
    environment = project()
    run(environment.bin / "ruff", "check", ".")
    run(environment.bin / "codespell")
    run(environment.python, "-m", "pytest", "tests/house", "-q")


def clean():
    """delete what was built, keeping the environments"""
    for name in ("_build", "dist", "build", "llmbook.egg-info"):
        shutil.rmtree(ROOT / name, ignore_errors=True)


def chapter(number):
    """run one chapter in place, measure it, fill in its card, and clean it (CHAPTER=02)"""
    environment = project()
    export()
    run(environment.python, "-m", "_tools.run_chapter", number)
    export()


TASKS = {
    "book": book, "test": test, "pdf": pdf, "serve": serve, "lint": lint,
    "export": export, "run": chapter, "wheel": wheel, "clean": clean,
}  # fmt: skip


def main():
    lines = [f"  {name:8}{task.__doc__}" for name, task in TASKS.items()]
    about = "\n".join(["The tasks of the llmbook project:", "", *lines])
    parser = argparse.ArgumentParser(
        prog="make.py", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", nargs="?", choices=TASKS, metavar="TASK")
    parser.add_argument("chapter", nargs="?", help="for `run`: a chapter's number, such as 02")
    given = parser.parse_args()
    if given.task is None:
        print(about)
    elif given.task == "run":
        if not given.chapter:
            parser.error("run needs a chapter: `make run CHAPTER=02` or `python make.py run 02`")
        chapter(given.chapter)
    else:
        TASKS[given.task]()


if __name__ == "__main__":
    main()
