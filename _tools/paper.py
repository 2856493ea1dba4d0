"""Print a few pages of Markdown as a PDF of its own, in the look of the book's."""

import re
import shutil
import subprocess
import sys

import yaml
from sphinx.application import Sphinx

from _ext.pdf import MONO, write_glyphs
from _tools.export import ROOT
from llmbook import __version__


def settings(name, title):
    """Sphinx's, with the look of the book's own PDF."""
    book = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    look = book["sphinx"]["config"]["latex_elements"]
    look |= {"maketitle": r"\sphinxmaketitle"}
    look["preamble"] += "\\setcounter{secnumdepth}{-1}\n"  # titles bring their numbers
    document = ("index", f"{name}.tex", title, book["author"], "manual")
    return {
        "extensions": ["myst_parser"],
        "myst_enable_extensions": ["dollarmath", "amsmath", "smartquotes"],
        "release": __version__,
        "latex_engine": "xelatex",
        "latex_elements": look,
        "latex_documents": [document],
        "latex_additional_files": [str(ROOT / "_tex" / "llmbook.sty")],
        "latex_domain_indices": False,
    }


def empty(folder):
    """Make a folder for pages, in a folder that holds nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    pages = folder / "pages"
    pages.mkdir(parents=True)
    return pages


def typeset(folder, config):
    """Make a PDF of the pages in a folder; end with LaTeX's own words if it fails."""
    name, tex = config["latex_documents"][0][1].removesuffix(".tex"), folder / "latex"
    app = Sphinx(
        folder / "pages",
        None,
        tex,
        folder / "doctrees",
        "latex",
        confoverrides=config,
        status=None,
        warningiserror=True,
    )
    app.build()
    for font in MONO.glob("DejaVuSansMono*.ttf"):
        shutil.copy(font, tex)
    write_glyphs(tex)
    command = ["latexmk", "-xelatex", "-interaction=nonstopmode", "-halt-on-error"]
    done = subprocess.run([*command, f"{name}.tex"], cwd=tex, capture_output=True)
    if done.returncode:
        log = (tex / f"{name}.log").read_text("utf-8", "replace")
        sys.exit("\n".join(re.findall(r"^!.*(?:\n.*){0,4}", log, re.MULTILINE)))
    return tex / f"{name}.pdf"
