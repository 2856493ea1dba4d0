"""What a reader gets by `pip install llmbook`: everything the book needs, no more."""

import ast
import email
import importlib.metadata
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.house.book import NOTEBOOKS, ROOT, SETTINGS, files, read_toml

PROJECT = read_toml("pyproject.toml")["project"]


def isolation():
    """Build with the setuptools that is here, if new enough; else let pip fetch one."""
    try:
        here = int(importlib.metadata.version("setuptools").partition(".")[0])
    except importlib.metadata.PackageNotFoundError:
        here = 0
    return ["--no-isolation"] if here >= 77 else []


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel as it is released: built from the source package, in a clean copy."""
    source = tmp_path_factory.mktemp("source")
    for name in files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--outdir", "out", *isolation()]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    (path,) = (source / "out").glob("*.whl")
    return path


@pytest.fixture(scope="session")
def names(wheel):
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="session")
def info(names):
    (folder,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
    return folder


@pytest.fixture(scope="session")
def metadata(wheel, info):
    return email.message_from_bytes(zipfile.ZipFile(wheel).read(f"{info}/METADATA"))


def test_wheel_holds_the_whole_package(names):
    """Prevents a module, the stories or the types that a reader's install lacks."""
    package = {name for name in files() if name.startswith("llmbook/")}
    assert {"llmbook/py.typed", "llmbook/tokenizer.py"} < package
    assert any(name.startswith("llmbook/data/") for name in package)
    assert sorted(package - names) == []


def test_wheel_holds_nothing_else(names, info):
    """Prevents tests, notebooks or caches in every reader's site-packages."""
    others = {n for n in names if not n.startswith(("llmbook/", f"{info}/"))}
    assert sorted(others) == []
    assert not [n for n in names if re.search(r"test|\.ipynb|__pycache__|\.pyc", n)]


def test_wheel_is_pure_and_small(wheel):
    """Prevents a package that is tied to one system, or that weighs like a model."""
    assert wheel.name == f"llmbook-{SETTINGS['version']}-py3-none-any.whl"
    assert wheel.stat().st_size < 5_000_000


def test_metadata(metadata):
    """Prevents an install that refuses a Python that works, or loses the licence."""
    assert metadata["Name"] == SETTINGS["lib_name"]
    assert metadata["Version"] == SETTINGS["version"]
    assert metadata["Requires-Python"] == f">={SETTINGS['min_python']}"
    assert metadata["License-Expression"] == "Apache-2.0 AND CC-BY-4.0"
    assert metadata.get_all("License-File") == PROJECT["license-files"]
    assert {"check", "book", "test"} <= set(metadata.get_all("Provides-Extra"))
    assert metadata["Summary"] == SETTINGS["description"]
    urls = " ".join(metadata.get_all("Project-URL"))
    assert SETTINGS["git_url"] in urls
    assert SETTINGS["doc_host"] + SETTINGS["doc_baseurl"] in urls


def test_readme_is_the_description(metadata):
    """Prevents an empty page on the package index."""
    readme = (ROOT / "README.md").read_text("utf-8")
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload(decode=True).decode("utf-8").strip() == readme.strip()


def test_licences_are_in_the_wheel(names, info):
    """Prevents copies that do not say under which terms they may be used."""
    for licence in PROJECT["license-files"]:
        assert f"{info}/licenses/{licence}" in names


def capped(requirements):
    """The requirements that exclude newer or exact versions."""
    bounds = {each: each.partition(";")[0] for each in requirements}
    return [each for each in bounds if re.search(r"<|==|~=|!=", bounds[each])]


def test_requirements_are_loose():
    """Prevents an install that replaces the torch or numpy that Colab comes with."""
    check = PROJECT["optional-dependencies"]["check"]
    assert capped([*PROJECT["dependencies"], *check]) == []
    planted = ["numpy<2", "regex==1", "x~=1.0"]
    marked = "tomli; python_version < '3.11'"
    assert capped(["torch>=2.4", marked, *planted]) == planted


def imported(tree):
    """The top-level packages that a module imports, wherever it does."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"llmbook", "tomllib"}


OTHER_NAMES = {"pillow": "PIL"}  # package -> module, where they differ


def modules_of(requirements):
    """The modules that packages bring, most of which are named as they are."""
    packages = (re.match(r"[\w-]+", each)[0] for each in requirements)
    return {OTHER_NAMES.get(each, each).replace("-", "_") for each in packages}


def required():
    """The modules that `pip install llmbook[check]` brings."""
    check = PROJECT["optional-dependencies"]["check"]
    return modules_of([*PROJECT["dependencies"], *check])


def of_extras():
    """The modules of extras, which a function imports when it is called, or refuses."""
    extras = PROJECT["optional-dependencies"]
    return modules_of(
        [each for name in ("hub", "harness", "web") for each in extras[name]]
    )


def test_what_the_package_imports_is_required():
    """Prevents an import that works only where the book is built."""
    used = set()
    for name in files():
        if name.startswith("llmbook/") and name.endswith(".py"):
            used |= imported(ast.parse((ROOT / name).read_text("utf-8")))
    assert used - required() - of_extras() == set()


# What Colab itself brings: google.colab, to keep files on a drive, and what runs cells.
COLAB = {"google", "IPython"}
WRITTEN = re.compile(r"^%%writefile (\w+)\.py$", re.MULTILINE)  # by a cell of their own


def test_what_the_chapters_import_is_required():
    """Prevents a chapter that stops on Colab at an import that no install brought."""
    cells = [cell for notebook in NOTEBOOKS for cell in notebook.code]
    used = {name for cell in cells for name in imported(ast.Module(cell.tree, []))}
    written = {name for cell in cells for name in WRITTEN.findall(cell.source)}
    assert used - written - required() - of_extras() - COLAB == set()


def test_imports_are_found():
    source = "def f():\n    from foo.bar import x\nimport os, baz.y\nimport llmbook.cli"
    assert imported(ast.parse(source)) == {"foo", "baz"}


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """A folder with the wheel's content and nothing else of the project."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(folder), str(wheel)], check=True)
    return folder


def python(installed, *arguments):
    """Run Python, which finds llmbook in the folder, and return what it printed."""
    start = f"import sys; sys.path.insert(0, {str(installed)!r}); "
    first, *rest = arguments
    done = subprocess.run(
        [sys.executable, "-c", start + first, *rest],
        cwd=installed,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_installed_package_knows_its_version(installed):
    """Prevents a release that calls itself by another number."""
    code = "import llmbook; print(llmbook.__version__, llmbook.__file__)"
    version, path = python(installed, code).split(maxsplit=1)
    assert version == SETTINGS["version"]
    assert Path(path.strip()).parent.parent.samefile(installed)


def test_installed_stories_can_be_read(installed):
    """Prevents a chapter that finds its text only in a clone of the project."""
    code = (
        "from importlib.resources import files\n"
        "texts = [p for p in (files('llmbook') / 'data').iterdir()]\n"
        "print(sum(len(p.read_text('utf-8')) for p in texts if p.suffix == '.txt'))"
    )
    assert int(python(installed, code)) > 20_000


def test_installed_command_runs(installed):
    """Prevents a command that is installed and fails at its first line."""
    assert PROJECT["scripts"] == {"llmbook": "llmbook.cli:main"}
    scripts = [each.parent.name for each in installed.glob("*/llmbook*")]
    assert scripts in (["bin"], ["Scripts"])
    start = "from llmbook.cli import main; sys.argv[0] = 'llmbook'; main()"
    assert python(installed, start, "--help").startswith("usage: llmbook")
