"""The package is what its chapters say; it imports downwards, is light, documented."""

import ast
import io
import re
import subprocess
import sys
import tokenize

import pytest

from _tools.export import export

from .book import CHAPTERS, NOTEBOOKS, ROOT, SETTINGS, clear, code, planted

PACKAGE = ROOT / "llmbook"
MODULES = sorted(PACKAGE.glob("[a-z]*.py"))
HEAVY = {"torch", "numpy", "matplotlib", "tiktoken", "importlib.metadata"}
LIGHT = {"plots", "exercises", "tokenizer", "cli"}  # rooms that work without HEAVY
MILLISECONDS = 50


def differences(exported, package):
    """The modules of a package that differ from what its chapters export."""
    written = {p.name: _signed(p) for p in sorted(exported.glob("*.py"))}
    found = {p.name: _signed(p) for p in package.glob("*.py")}
    found.pop("__init__.py", None)
    problems = [
        f"llmbook/{name} differs from its chapter: run `make export`; what you changed "
        "by hand belongs into the chapter."
        for name in written
        if written[name] != found.get(name)
    ]
    return problems + [
        f"llmbook/{name} comes from no chapter: delete it or export it from one."
        for name in found
        if name not in written
    ]


def _signed(module):
    """A module's text without the way from its folder to its chapter's."""
    return re.sub(r"(File to edit: ).*(chapters/)", r"\1\2", module.read_text("utf-8"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "llmbook"
    folder.mkdir()
    export(folder)
    return folder


def test_package_equals_its_chapters(exported):
    """Prevents a package that does something else than the book shows."""
    clear(differences(exported, PACKAGE))


def test_package_equals_its_chapters_sees(tmp_path, exported):
    (tmp_path / "tokenizer.py").write_text('"""Changed by hand."""\n')
    (tmp_path / "stray.py").write_text("")
    found = " ".join(differences(exported, tmp_path))
    assert "tokenizer.py differs" in found and "stray.py comes from no" in found


def versions(version, init, notebooks):
    """The places that name another version than settings.ini."""
    problems = []
    if f'__version__ = "{version}"' not in init:
        problems.append(f"llmbook/__init__.py: not version {version}: `make export`.")
    for notebook in notebooks:
        for cell in notebook.code:
            for pin in re.findall(r"llmbook(?:\[\w+\])?==([\w.]+)", cell.source):
                if pin != version:
                    wrong = f"installs {pin}, but this is {version}"
                    problems.append(cell.problem(wrong, "run `make export`"))
    return problems


def test_one_version():
    """Prevents a chapter that installs another release than the one it belongs to."""
    init = (PACKAGE / "__init__.py").read_text("utf-8")
    clear(versions(SETTINGS["version"], init, NOTEBOOKS))


def test_one_version_sees():
    old = planted(code('%pip install -q "llmbook[check]==0.0.9"'))
    assert len(versions("1.2", '__version__ = "1.1"', [old])) == 2


def floors(notebooks):
    """The chapter number of every module that the notebooks export."""
    numbers = {}
    for notebook in notebooks:
        for cell in notebook.code:
            names = [cell.directives.get(key) for key in ("default_exp", "export")]
            numbers |= {name: notebook.number for name in names if name}
    return numbers


def upward(module, source, numbers):
    """The imports of a module from its own or a higher floor."""
    problems = []
    for node in ast.walk(ast.parse(source)):
        named = []
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = "llmbook." * bool(node.level) + (node.module or "")
            start = start.rstrip(".")
            named = [start, *(f"{start}.{alias.name}" for alias in node.names)]
        for name in dict.fromkeys(".".join(name.split(".")[:2]) for name in named):
            other = name.removeprefix("llmbook.").strip(".")
            here = numbers[module]
            if name.startswith("llmbook.") and numbers.get(other, -1) >= here:
                problems.append(
                    f"llmbook/{module}.py, line {node.lineno}: chapter {here:02} "
                    f"imports {other} of chapter {numbers[other]:02}; a module imports "
                    "only from lower numbers: let the higher one register itself, or "
                    "move the code."
                )
    return problems


def test_imports_only_from_lower_numbers():
    """Prevents a room that stands on one above it, which a reader has not seen yet."""
    numbers = floors(CHAPTERS)
    sources = [(module.stem, module.read_text("utf-8")) for module in MODULES]
    clear([each for stem, source in sources for each in upward(stem, source, numbers)])


@pytest.mark.parametrize(
    "line",
    [
        "from .gpt import GPT",
        "from llmbook.gpt import GPT",
        "import llmbook.gpt",
        "from . import gpt",
        "from llmbook import gpt",
        "def late():\n    from .gpt import GPT",
    ],
)
def test_imports_only_from_lower_numbers_sees(line):
    low = planted(code("#| default_exp plots\n#| export"), name="00_low.ipynb")
    high = planted(code("#| default_exp gpt"), name="05_high.ipynb")
    numbers = floors([low, high])
    assert upward("plots", line, numbers)
    assert not upward("gpt", "from .plots import x\nimport torch", numbers)


def undocumented(name, source):
    """What a module's public part lacks of docstrings and comments on parameters."""
    module = ast.parse(source)
    lines = source.splitlines()
    stream = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {
        token.start[0]: lines[token.start[0] - 1][: token.start[1]].strip()
        for token in stream
        if token.type == tokenize.COMMENT
    }
    problems = []
    if not ast.get_docstring(module):
        problems.append(
            f"{name}: no docstring; begin the first exported cell with one."
        )
    exported, defined, bound = set(), {}, set()
    for node in module.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined[node.name] = node
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            bound.add(getattr(target, "id", None))
            if getattr(target, "id", None) == "__all__":
                exported = set(ast.literal_eval(node.value))
    for missing in sorted(exported - set(defined) - bound):
        problems.append(f"{name}: __all__ names {missing}, which is not there.")
    for each in sorted(exported & set(defined)):
        problems += _undocumented(defined[each], each, name, comments)
    return problems


def _undocumented(node, path, name, comments, inside_class=False):
    """The same for one function or class, and its public methods."""

    def lacks(what, line=node.lineno):
        return f"{name}, line {line}: {path} has no {what}."

    problems = []
    constructor = path.endswith(".__init__")
    if not constructor and not ast.get_docstring(node):
        problems.append(lacks("docstring: say in one line what it does"))
    if isinstance(node, ast.ClassDef):
        for inner in node.body:
            shown = getattr(inner, "name", "_")
            if not shown.startswith("_") or shown == "__init__":
                inner_path = f"{path}.{shown}"
                problems += _undocumented(inner, inner_path, name, comments, True)
        return problems
    given = node.args
    static = any(ast.unparse(each) == "staticmethod" for each in node.decorator_list)
    parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    for parameter in parameters[inside_class and not static :]:
        # a comment beside several parameters belongs to the last of them
        last = [p for p in parameters if p.lineno == parameter.lineno][-1]
        beside = parameter.end_lineno in comments and parameter is last
        if not beside and comments.get(parameter.lineno - 1) != "":
            what = f"comment beside `{parameter.arg}`: its meaning, shape and unit"
            problems.append(lacks(what, parameter.lineno))
    properties = ("property", "cached_property")
    a_property = any(ast.unparse(d).endswith(properties) for d in node.decorator_list)
    if not a_property and not constructor and _returns(node):
        start, end = node.lineno, node.body[0].lineno
        if not any(comments.get(n, "").endswith(":") for n in range(start, end)):
            problems.append(lacks("comment beside its return: what it is, its shape"))
    return problems


def _returns(function):
    """Whether a function returns something else than None."""
    if function.returns is not None:
        return ast.unparse(function.returns) not in ("None", "'None'")
    nodes = list(ast.walk(function))
    inner = {
        id(sub)
        for node in nodes[1:]
        if isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef))
        for sub in ast.walk(node)
    }
    values = [
        n.value for n in nodes if isinstance(n, ast.Return) and id(n) not in inner
    ]
    return any(value is not None for value in values)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_public_names_are_documented(module):
    """Prevents an entry of the API pages that leaves the reader to guess."""
    clear(undocumented(f"llmbook/{module.name}", module.read_text("utf-8")))


GOOD = '''"""Doc."""
__all__ = ["f", "C", "K"]
K = 1

def f(
    x,  # what x is
    # what y is
    y=1,
    *rest,
) -> int:  # what comes
    """Doc."""
    return x

class C:
    """Doc."""

    def __init__(
        self,
        x: int,  # what x is
    ):
        self.x = x

    @property
    def twice(self) -> int:
        """Doc."""
        return 2 * self.x

    def _hidden(self, y):
        return y
'''


@pytest.mark.parametrize(
    ("here", "planted_there", "word"),
    [
        ('"""Doc."""\n__all__', "__all__", "no docstring"),
        ('"K"]', '"K", "gone"]', "gone"),
        ("  # what x is\n    #", "\n    #", "beside `x`"),
        ("    # what y is\n", "", "beside `y`"),
        ("    x,  # what x is\n    # what y is\n    y=1,\n", "x, y,  # both\n", "`x`"),
        ("  # what comes", "", "return"),
        ("-> int:  # what comes", ":", "return"),
        ('    """Doc."""\n    return x', "    return x", "f has no docstring"),
        ('class C:\n    """Doc."""\n', "class C:\n", "C has no docstring"),
        ("x: int,  # what x is", "x: int,", "C.__init__ has no comment"),
        ('        """Doc."""\n        return 2', "        return 2", "C.twice"),
    ],
)
def test_public_names_are_documented_sees(here, planted_there, word):
    assert not undocumented("good.py", GOOD)
    assert here in GOOD
    assert word in " ".join(undocumented("x.py", GOOD.replace(here, planted_there, 1)))


def weights(statement):
    """The heavy libraries that a statement loads into a fresh Python."""
    script = f"import sys; before = set(sys.modules); {statement}; "
    script += "print(*(set(sys.modules) - before))"
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return sorted(HEAVY & set(run.stdout.split()))


@pytest.mark.parametrize("room", ["", *sorted(LIGHT)])
def test_import_is_light(room):
    """Prevents a command line that waits seconds for a torch that it never uses."""
    name = f"llmbook.{room}".strip(".")
    clear([
        f"`import {name}` loads {heavy}: import it inside the function that needs it."
        for heavy in weights(f"import {name}")
    ])  # fmt: skip


def test_import_is_light_sees():
    assert weights("import numpy") == ["numpy"]


def milliseconds(statement, module):
    """The least time of some fresh Pythons to import a module."""
    times = []
    for _ in range(5):
        run = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", statement],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        row = re.search(rf"\| +(\d+) \| {module}$", run.stderr, re.MULTILINE)
        times.append(int(row[1]) / 1000)
    return min(times)


def test_import_is_quick():
    """Prevents an `import llmbook` that a script or a shell completion would feel."""
    assert milliseconds("import llmbook", "llmbook") < MILLISECONDS


def test_import_is_quick_sees(tmp_path):
    (tmp_path / "slow.py").write_text("import time; time.sleep(0.06)\n")
    statement = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import slow"
    assert milliseconds(statement, "slow") > MILLISECONDS
