"""Pictures lose bytes and not their looks."""

import numpy as np
from matplotlib import pyplot as plt
from PIL import Image

from _ext.light import ICONS, fewer_colours


def test_a_figure_keeps_its_looks(tmp_path):
    path = tmp_path / "figure.png"
    figure, axes = plt.subplots(dpi=110)
    axes.plot([1, 3, 2], label="a")
    axes.imshow(np.random.default_rng(0).random((9, 9)))
    figure.savefig(path)
    plt.close(figure)
    full = np.asarray(Image.open(path).convert("RGB"), float)
    smaller = fewer_colours(path)
    assert len(smaller) < 0.7 * path.stat().st_size
    path.write_bytes(smaller)
    now = np.asarray(Image.open(path).convert("RGB"), float)
    assert now.shape == full.shape and abs(now - full).mean() < 2
    assert fewer_colours(path) is None  # once is enough


def test_only_the_second_icons_go():
    script = '<script src="../_static/vendor/fontawesome/6/js/all.min.js?x"></script>'
    other = '<script src="_static/book.js"></script>'
    assert ICONS.sub("", f"<head>\n  {script}\n{other}") == f"<head>\n{other}"
