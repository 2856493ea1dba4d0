"""Keep scripts out of the pages that nothing in this book uses.

Jupyter Book always loads sphinx-thebe, which runs code cells on a server elsewhere. Its
configuration names another host, and declares a constant twice, which is an error.
"""

from _ext.chapters import METADATA


def is_thebe(asset):
    """Whether a script or a style sheet of a page belongs to sphinx-thebe."""
    words = (getattr(asset, "filename", asset), getattr(asset, "attributes", ""))
    return "thebe" in str(words).lower()


def on_html_page_context(app, pagename, templatename, context, doctree):
    for kind in ("script_files", "css_files"):
        context[kind] = [asset for asset in context[kind] if not is_thebe(asset)]


def setup(app):
    app.connect("html-page-context", on_html_page_context, priority=900)
    return METADATA
