"""Number figures and equations by the number in their chapter's file name.

Sphinx counts chapters by their position in the table of contents, so with chapters
still to come it would call the first figure of `02_tokenizer` "Figure 1.1" or "Figure
2". The file's number is the chapter's number in this book, so here the counts that
Sphinx has made are replaced, before any page is written: the second figure of `02_…`
is 2.2.
"""

from _ext.chapters import METADATA, number


def renumber(figures):
    """Number in place: {docname: {kind: {id: what Sphinx counted}}}."""
    for docname, kinds in figures.items():
        chapter = number(docname)
        for ids in kinds.values():
            for count, key in enumerate(ids, start=1):
                ids[key] = (count,) if chapter is None else (chapter, count)


def on_env_get_updated(app, env):
    """Run behind Sphinx's own count; no further page has to be read again."""
    renumber(env.toc_fignumbers)
    return []


def setup(app):
    app.connect("env-get-updated", on_env_get_updated, priority=900)
    return METADATA
