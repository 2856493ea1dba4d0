"""Number figures and equations by the number in their chapter's file name.

Sphinx counts chapters by their position in the table of contents, so with chapters still
to come it would call the first figure of `02_tokenizer` "Figure 1.1" or "Figure 2". The
file's number is the chapter's number in this book, so here the counts that Sphinx has
made are replaced, before any page is written: the second figure of `02_…` is 2.2.
"""

from _ext.chapters import number


def on_env_updated(app, env):
    for docname, kinds in env.toc_fignumbers.items():
        chapter = number(docname)
        if chapter is None:
            continue
        for ids in kinds.values():
            for count, key in enumerate(ids, start=1):
                ids[key] = (chapter, count)


def get_updated(app, env):
    """Run behind Sphinx's own count; no further page has to be read again."""
    on_env_updated(app, env)
    return []


def setup(app):
    app.connect("env-get-updated", get_updated, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
