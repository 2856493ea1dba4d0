"""Print the road map as one page: what needs what, and three months of evenings.

Usage: python -m _tools.road FOLDER, where everything that is made goes
"""

import re
import sys
from pathlib import Path

from _ext.road import PAGE, fill, stages
from _tools import paper
from _tools.export import ROOT

PRINTED = ("Which chapter needs which", "Three months of evenings", "A weekend")
TITLE = "llmbook: the road"
FRONT = f"# {TITLE}\n\n```{{toctree}}\nroad\n```\n"
LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
SMALL = r"""
\AtBeginDocument{\footnotesize}
\titleformat{name=\chapter,numberless}{\sffamily\bfseries\Large}{}{0pt}{}
\titlespacing*{\section}{0pt}{1ex}{0.4ex}
\titleformat{\section}{\sffamily\bfseries\normalsize}{}{0pt}{}
\renewcommand{\arraystretch}{1.1}
\setlength{\parskip}{0.3ex}
\setlength{\tabcolsep}{3pt}
\pagestyle{empty}
\AtBeginDocument{\fancypagestyle{plain}{\fancyhf{}\renewcommand{\headrulewidth}{0pt}%
  \renewcommand{\footrulewidth}{0pt}}}
"""


def one_page(road):
    """The parts of the road map that are printed, without links and comments."""
    sections = re.split(r"^## ", road, flags=re.MULTILINE)[1:]
    kept = [each for each in sections if each.split("\n", 1)[0] in PRINTED]
    assert len(kept) == len(PRINTED), f"{PAGE}.md lacks a section of {PRINTED}"
    parts = [LINK.sub(r"\1", re.sub(r"<!--.*?-->", "", each)) for each in kept]
    return f"# {TITLE}\n\n" + "\n".join(f"## {part}" for part in parts)


def settings():
    """Those of other papers, with narrow margins, small type and no title page."""
    config = paper.settings("road", TITLE)
    look = config["latex_elements"]
    look |= {"maketitle": "", "tableofcontents": "", "pointsize": "10pt"}
    look["sphinxsetup"] += ", hmargin={1.4cm,1.4cm}, vmargin={1cm,1cm}"
    look["preamble"] += SMALL
    return config


def pages_of(pdf):
    """How many pages LaTeX has written."""
    log = pdf.with_suffix(".log").read_text("utf-8", "replace")
    return int(re.findall(r"Output written on .*?\((\d+) page", log, re.DOTALL)[-1])


def main(folder):
    pages = paper.empty(folder)
    road = (ROOT / f"{PAGE}.md").read_text("utf-8")
    (pages / "index.md").write_text(FRONT, "utf-8")
    page = one_page(fill(road, stages(ROOT / "chapters")))
    (pages / "road.md").write_text(page, "utf-8")
    pdf = paper.typeset(folder, settings())
    if (count := pages_of(pdf)) != 1:
        sys.exit(f"make: the road map takes {count} pages and must take one")
    print(pdf)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
