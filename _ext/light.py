"""Keep pages light: a chapter with all its figures is under a megabyte over the wire.

The theme loads its icons twice, as a font and as a script that weighs more than a
chapter: the script goes. Figures come with millions of colours and need 256.
"""

import re
from io import BytesIO
from pathlib import Path

from PIL import Image

from _ext.chapters import METADATA

ICONS = re.compile(r'\s*<script src="[^"]*/fontawesome/[^"]*"></script>')


def fewer_colours(picture):
    """The bytes of a picture with a palette, or None if that is no gain."""
    with Image.open(picture) as full:
        if full.mode == "P":
            return None
        whole = full.convert("RGBA")
    opaque = whole.getextrema()[3][0] == 255
    way = Image.Quantize.MEDIANCUT if opaque else Image.Quantize.FASTOCTREE
    small = BytesIO()
    image = whole.convert("RGB") if opaque else whole
    image.quantize(256, way, dither=Image.Dither.NONE).save(small, "PNG")
    return small.getvalue() if small.tell() < picture.stat().st_size else None


def on_build_finished(app, exception):
    if app.builder.format != "html" or exception is not None:
        return
    for page in Path(app.outdir).rglob("*.html"):
        html = page.read_text("utf-8")
        if ICONS.search(html):
            page.write_text(ICONS.sub("", html), "utf-8")
    for script in Path(app.outdir, "_static/vendor/fontawesome").rglob("*.js*"):
        script.unlink()
    for picture in Path(app.outdir, "_images").glob("*.png"):
        if smaller := fewer_colours(picture):
            picture.write_bytes(smaller)


def setup(app):
    app.connect("build-finished", on_build_finished)
    return METADATA
