"""Citations as prose has them, (Gage, 1994), and their list without labels."""

from dataclasses import dataclass, field

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinxcontrib.bibtex.plugin import register_plugin
from sphinxcontrib.bibtex.style.referencing import BracketStyle
from sphinxcontrib.bibtex.style.referencing.author_year import AuthorYearReferenceStyle

from _ext.chapters import METADATA


def round_brackets():
    return BracketStyle(left="(", right=")")


@dataclass
class RoundReferenceStyle(AuthorYearReferenceStyle):
    """Author and year, with round brackets in place of square ones."""

    bracket_textual: BracketStyle = field(default_factory=round_brackets)
    bracket_parenthetical: BracketStyle = field(default_factory=round_brackets)


class BibliographyList(SphinxPostTransform):
    """Make the bibliography of a page a plain list, which every screen reader knows.

    The markup that docutils writes has roles that browsers no longer support.
    """

    default_priority = 700
    formats = ("html",)

    def run(self, **kwargs):
        entries = list(self.document.findall(nodes.citation))
        if not entries:
            return
        listing = nodes.bullet_list(classes=["bibliography"])
        for entry in entries:  # its first child is the label
            listing += nodes.list_item("", *entry.children[1:], ids=entry["ids"])
        entries[0].replace_self(listing)
        for entry in entries[1:]:
            entry.parent.remove(entry)


def setup(app):
    register_plugin(
        "sphinxcontrib.bibtex.style.referencing", "round", RoundReferenceStyle
    )
    app.add_post_transform(BibliographyList)
    return METADATA
