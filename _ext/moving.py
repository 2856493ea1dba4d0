"""Pictures that move stand still on a page until the reader lets them move.

A figure that was displayed by `llmbook.plots.Moving` is a PNG with several states. A
page shows its last state, and below it a fold; the moving picture is fetched when that
is opened, takes the place of the still one, and gives it back when it is closed.
"""

import re
from io import BytesIO
from pathlib import Path

from PIL import Image

from _ext.chapters import METADATA

PICTURE = re.compile(r'<img ([^>]*)src="([^"]*_images/)([0-9a-f]+)\.png"([^>]*)>')
FOLD = """
<details class="moving"><summary><span>Let it move</span><span>Stop it</span></summary>
<img alt="The same picture, moving." loading="lazy" src="{}.png"></details>"""


def still(content):
    """The bytes of the last state of a picture that moves; None if it does not."""
    with Image.open(BytesIO(content)) as picture:
        if not getattr(picture, "is_animated", False):
            return None
        picture.seek(0)  # what is shown where nothing moves
        picture.copy().save(file := BytesIO(), "PNG")
    return file.getvalue()


def on_build_finished(app, exception):
    if app.builder.format != "html" or exception is not None:
        return
    found = set()
    for picture in Path(app.outdir, "_images").glob("*.png"):
        if content := still(picture.read_bytes()):
            picture.with_name(f"{picture.stem}-still.png").write_bytes(content)
            found.add(picture.stem)

    def fold(match):
        before, folder, name, after = match.groups()
        if name not in found or "lazy" in before:  # still, or a fold of an older build
            return match[0]
        shown = f'<img {before}src="{folder}{name}-still.png"{after}>'
        return shown + FOLD.format(folder + name)

    for page in Path(app.outdir).rglob("*.html"):
        html = page.read_text("utf-8")
        if (folded := PICTURE.sub(fold, html)) != html:
            page.write_text(folded, "utf-8")


def setup(app):
    app.connect("build-finished", on_build_finished)
    return METADATA
