"""Only pictures that move get a fold, and only once."""

from types import SimpleNamespace

import numpy as np
from PIL import Image

from _ext.moving import on_build_finished, still

PAGE = '<figure><img alt="a" src="../_images/{}.png" /></figure>'


def states():
    """Three grey pictures, each lighter than the one before."""
    return [Image.fromarray(np.full((4, 4), n * 80, np.uint8)) for n in (1, 2, 3)]


def site(tmp_path):
    """A site with one picture that moves and one that does not."""
    (tmp_path / "_images").mkdir()
    first, *others = states()
    moves = {"save_all": True, "append_images": [first, *others], "default_image": True}
    others[-1].save(tmp_path / "_images" / "a0.png", **moves)
    first.save(tmp_path / "_images" / "b1.png")
    (tmp_path / "page.html").write_text(PAGE.format("a0") + PAGE.format("b1"))
    builder = SimpleNamespace(format="html")
    return SimpleNamespace(builder=builder, outdir=tmp_path)


def test_the_still_is_the_last_state(tmp_path):
    app = site(tmp_path)
    shown = still((app.outdir / "_images" / "a0.png").read_bytes())
    (tmp_path / "still.png").write_bytes(shown)
    with Image.open(tmp_path / "still.png") as picture:
        assert not picture.is_animated and picture.convert("L").getpixel((0, 0)) == 240
    assert still((app.outdir / "_images" / "b1.png").read_bytes()) is None


def test_one_fold_however_often_it_is_built(tmp_path):
    app = site(tmp_path)
    on_build_finished(app, None)
    once = (tmp_path / "page.html").read_text()
    assert once.count("<details") == 1 and "a0-still.png" in once
    assert PAGE.format("b1") in once
    on_build_finished(app, None)
    assert (tmp_path / "page.html").read_text() == once
