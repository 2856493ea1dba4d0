"""Every task of the project, in plain Python: `python make.py book` is `make book`.

Needs nothing but Python 3.10 or newer. The tasks make their own environment in `.venv`
and install into it what they need, once, and again when the list of it changes.
"""

import argparse
import functools
import hashlib
import http.server
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
BUILD = ROOT / "_build"
SILENT = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
PINS = "constraints.txt"  # exact versions of what builds and tests the book

# What the book is built and tested with; the package itself takes any torch from 2.6.
TORCH = "torch==2.13.0"
TORCH_CPU = "https://download.pytorch.org/whl/cpu"  # PyTorch's index of small builds

# Debian's names of what `make pdf` needs.
LATEX = (
    "latexmk texlive-xetex texlive-latex-recommended texlive-latex-extra "
    "texlive-fonts-recommended fonts-texgyre fonts-droid-fallback "
    "fonts-noto-color-emoji fontconfig xindy"
)


def run(*command, **options):
    """Run a command in the project's root; stop the task when it fails."""
    command = [str(part) for part in command]
    status = subprocess.run(command, cwd=ROOT, **options).returncode
    if status:
        sys.exit(f"make: failed with status {status}: {' '.join(command)}")


def say(text):
    print(f"make: {text}", flush=True)


class Environment:
    """A virtual environment in a folder of the project."""

    def __init__(self, folder):
        self.folder = ROOT / folder
        windows = os.name == "nt"
        self.bin = self.folder / ("Scripts" if windows else "bin")
        self.python = self.bin / ("python.exe" if windows else "python")

    def pip(self, *arguments, **options):
        quiet = ["--quiet", "--disable-pip-version-check"]
        return run(self.python, "-m", "pip", "install", *quiet, *arguments, **options)

    def works(self, *arguments):
        """Whether the environment's Python is there and runs this without an error."""
        try:
            return not subprocess.run(
                [self.python, "-I", *arguments], **SILENT
            ).returncode
        except OSError:
            return False

    def create(self):
        """Make the environment, with the torch that this Python has, if it will do."""
        if not self.works("-m", "pip", "--version"):  # none, or one that was cut off
            say(f"creating {self.folder.name}")
            venv.create(self.folder, with_pip=True, clear=True)
            if beside := torch_at_hand():
                say("taking the torch that is there")
                (packages,) = self.folder.glob("[Ll]ib/**/site-packages")
                (packages / "torch-beside.pth").write_text(f"{beside}\n", "utf-8")
        if not self.works(
            "-c", "import importlib.util as u; assert u.find_spec('torch')"
        ):
            install_torch(self)

    def install(self, extras):
        """Install this project, editable, with its extras, unless that is done."""
        recipe = b"".join((ROOT / f).read_bytes() for f in ("pyproject.toml", PINS))
        place = f"{extras} {TORCH} {ROOT} {sys.version}"
        digest = hashlib.sha256(recipe + place.encode()).hexdigest()
        stamp = self.folder / "llmbook-installed"
        made = stamp.exists() and stamp.read_text() == digest
        if not made or not self.works("-c", ""):
            self.create()
            say(f"installing llmbook[{extras}]; the first time takes some minutes")
            self.pip("-c", PINS, "-e", f".[{extras}]")
            stamp.write_text(digest)


def torch_at_hand():
    """The folder of packages where this Python has a torch that will do, or None."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return None
    try:
        release = importlib.metadata.version("torch").split(".")[:2]
    except importlib.metadata.PackageNotFoundError:
        return None
    return Path(found.origin).parents[1] if [*map(int, release)] >= [2, 6] else None


def install_torch(environment):
    """Decide which torch is installed, here alone: no CUDA for a machine without it.

    The package index has small builds for macOS and Windows; those for Linux bring
    gigabytes of CUDA packages. A Linux machine without NVIDIA's driver therefore asks
    PyTorch's own index of CPU builds first, and the package index if that fails.
    """
    say("installing torch")
    if sys.platform == "linux" and not shutil.which("nvidia-smi"):
        once = ["--retries", "0", "--timeout", "20", "--index-url", TORCH_CPU]
        command = [environment.python, "-m", "pip", "install", "--quiet", *once, TORCH]
        if subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0:
            return
    environment.pip(TORCH)


def project():
    """The environment with everything that builds and tests the book."""
    environment = Environment(".venv")
    environment.install("book,check,test")
    return environment


def export():
    """write llmbook/*.py from the chapters, and clean the notebooks"""
    run(project().python, "-m", "_tools.export")


def build(*arguments):
    """Run Jupyter Book with warnings as errors, on chapters that are exported."""
    export()
    strict = ["-n", "-W", "--keep-going", "-q"]
    run(project().bin / "jupyter-book", "build", ".", *strict, *arguments)


def book():
    """render the site to _build/html"""
    build()
    say(f"the book is at {BUILD / 'html' / 'index.html'}; `make serve` shows it")


def need_latex():
    """End with what to install where LaTeX is missing."""
    if not (shutil.which("latexmk") and shutil.which("xelatex")):
        install = f"apt-get install --no-install-recommends {LATEX}"
        sys.exit(f"make: the PDF needs LaTeX. On Debian or Ubuntu:\n  {install}")


def pdf():
    """render the same book to _build/llmbook.pdf"""
    need_latex()
    # In a folder of its own: what Sphinx remembers of the site would not be true of it.
    build("--builder", "pdflatex", "--path-output", BUILD / "pdf")
    shutil.copy(BUILD / "pdf" / "_build" / "latex" / "llmbook.pdf", BUILD)
    say(f"the PDF is at {BUILD / 'llmbook.pdf'}")


def quiz_pdf():
    """print the quizzes, solutions at the back, to _build/llmbook-quiz.pdf"""
    need_latex()
    run(project().python, "-m", "_tools.quiz", BUILD / "quiz")
    shutil.copy(BUILD / "quiz" / "latex" / "quiz.pdf", BUILD / "llmbook-quiz.pdf")
    say(f"the quizzes are at {BUILD / 'llmbook-quiz.pdf'}")


def road_pdf():
    """print the road map on one page, to _build/llmbook-road.pdf"""
    need_latex()
    run(project().python, "-m", "_tools.road", BUILD / "road")
    shutil.copy(BUILD / "road" / "latex" / "road.pdf", BUILD / "llmbook-road.pdf")
    say(f"the road map is at {BUILD / 'llmbook-road.pdf'}")


def slides():
    """print the decks of all chapters to _build/llmbook-slides.pdf"""
    build()  # the site has the decks, one for each chapter
    path = BUILD / "llmbook-slides.pdf"
    run(project().python, "-m", "_tools.slides", BUILD / "html", path)
    say(f"the slides are at {path}")


def course():
    """write the notebooks without solutions, and the solutions, to _build/course"""
    export()
    run(project().python, "-m", "_tools.course", BUILD / "course")
    say(f"both are at {BUILD / 'course'}, as folders and as .zip")


def serve():
    """show the rendered site on http://localhost:8000"""
    if not (BUILD / "html" / "index.html").exists():
        book()
    files = http.server.SimpleHTTPRequestHandler
    handler = functools.partial(files, directory=str(BUILD / "html"))
    try:
        with http.server.ThreadingHTTPServer(("127.0.0.1", 8000), handler) as server:
            say("the book is at http://localhost:8000; stop with Ctrl-C")
            server.serve_forever()
    except OSError as error:
        sys.exit(f"make: port 8000 is not to be had: {error}")
    except KeyboardInterrupt:
        say("stopped")


def storyteller():
    """train chapter 8's model, which the package carries; once, about five minutes"""
    export()
    run(project().python, "-m", "_tools.storyteller")
    run(project().python, "-m", "_tools.peeker")


def wheel():
    """build the wheel into dist/"""
    storyteller()
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    command = [project().python, "-m", "build", "--wheel", "--outdir", "dist", "."]
    run(*command, stdout=subprocess.DEVNULL)
    (path,) = (ROOT / "dist").glob("*.whl")
    say(f"the wheel is at {path}")
    return path


def reader():
    """Make a reader's environment: the wheel with its `check` extra, and a kernel."""
    path = wheel()
    environment = Environment(".venv-reader")
    environment.create()
    environment.pip("-c", PINS, "ipykernel", f"{path}[check]")
    environment.pip("--force-reinstall", "--no-deps", path)
    folder = BUILD / "jupyter" / "kernels" / "llmbook-reader"
    folder.mkdir(parents=True, exist_ok=True)
    start = [str(environment.python), "-m", "ipykernel_launcher", "-f"]
    kernel = {"argv": [*start, "{connection_file}"], "display_name": "llmbook reader"}
    (folder / "kernel.json").write_text(json.dumps(kernel | {"language": "python"}))


def test():
    """run everything: gates, unit tests, parity, and each chapter as a reader would"""
    reader()  # with a storyteller, which the site's playground runs
    build()  # the browser tests open the site
    run(project().python, "-m", "_tools.reader", BUILD / "reader")
    pytest = [project().python, "-m", "pytest"]
    # What is shown is compared to the letter where it was made: last digits and the
    # words of errors differ between systems and between versions of Python.
    made_here = sys.platform == "linux" and sys.version_info[:2] == (3, 11)
    compare = "--nbval" if made_here else "--nbval-lax"
    options = ["--nbval-kernel-name", "llmbook-reader", "--nbval-cell-timeout", "900"]
    options += ["--nbval-sanitize-with", "tests/nbval_sanitize.cfg"]
    two = [*pytest, "tests", "-n", "2", "--dist", "loadscope"]  # a core each
    options += ["-p", "tests.conftest"]  # how nbval reads chapters that are cleaned
    one = [*pytest, BUILD / "reader", compare, *options]  # chapters train models
    kernels = {
        "JUPYTER_PATH": str(BUILD / "jupyter"),
        "LLMBOOK_RAN": str(BUILD / "ran"),
    }
    tests = subprocess.run(two, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"})
    chapters = subprocess.run(one, cwd=ROOT, env=os.environ | kernels)
    if tests.returncode or chapters.returncode:
        sys.exit("make: there are failures; pytest has named them above")


def lint():
    """check style, spelling, links and the house gates"""
    environment = project()
    run(environment.bin / "ruff", "check", ".")
    run(environment.bin / "ruff", "format", "--check", "--quiet", ".")
    run(environment.bin / "codespell")
    run(environment.python, "-m", "pytest", "tests/house", "-q")


def clean():
    """delete what was built, but not the environments"""
    for name in ("_build", "dist", "build", "llmbook.egg-info"):
        shutil.rmtree(ROOT / name, ignore_errors=True)


def run_chapter(number):
    """run one chapter in place, fill in its card, clean it: CHAPTER=02"""
    export()
    run(project().python, "-m", "_tools.run_chapter", number)
    export()


TASKS = {
    "book": book,
    "test": test,
    "pdf": pdf,
    "quiz-pdf": quiz_pdf,
    "road-pdf": road_pdf,
    "slides": slides,
    "course": course,
    "serve": serve,
    "lint": lint,
    "export": export,
    "run": run_chapter,
    "storyteller": storyteller,
    "wheel": wheel,
    "clean": clean,
}


def main():
    tasks = "\n".join(f"  {name:12}{task.__doc__}" for name, task in TASKS.items())
    about = f"The tasks of the llmbook project:\n\n{tasks}"
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("make.py", description=about, formatter_class=raw)
    parser.add_argument("task", nargs="?", choices=TASKS, metavar="TASK")
    parser.add_argument("chapter", nargs="?", help="its number, for `run`: 02")
    given = parser.parse_args()
    if data := os.environ.get("LLMBOOK_DATA"):
        os.environ["LLMBOOK_DATA"] = str(Path(data).resolve())
    if given.chapter and given.task != "run":
        sys.exit(f"make: {given.task} takes no chapter")
    if given.task is None:
        print(about)
    elif given.task != "run":
        TASKS[given.task]()
    elif given.chapter:
        run_chapter(given.chapter)
    else:
        sys.exit("make: say which chapter: `make run CHAPTER=02`")


if __name__ == "__main__":
    main()
