"""Slides are printed from the built site alone, and say what is missing."""

import pytest

from _tools import slides

ADDRESS = "https://x.org/book/"


@pytest.fixture
def site(tmp_path):
    (tmp_path / "html" / "slides").mkdir(parents=True)
    (tmp_path / "html" / "slides" / "a.png").touch()
    (tmp_path / "whole.html").touch()
    return tmp_path / "html"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (f"{ADDRESS}slides/all.html?print-pdf", "../whole.html"),
        (f"{ADDRESS}slides/a.png?v=1", "slides/a.png"),
        (f"{ADDRESS}slides/b.png", None),
        (f"{ADDRESS}slides", None),
        ("https://y.org/slides/a.png", None),
    ],
)
def test_files_come_from_the_site_alone(site, url, name):
    """Prevents a PDF with pictures from anywhere else, or with none and no word."""
    whole = (site.parent / "whole.html").resolve()
    found = slides.find(url, site, whole, ADDRESS)
    assert found == (name and (site / name).resolve())


def test_without_a_browser(site, monkeypatch):
    monkeypatch.setattr(slides, "program", lambda: None)
    with pytest.raises(SystemExit, match="install one"):
        slides.main(site, site / "slides.pdf")


def test_without_decks(site, monkeypatch):
    monkeypatch.setattr(slides, "program", lambda: "chromium")
    with pytest.raises(SystemExit, match="`make book` builds them"):
        slides.main(site, site / "slides.pdf")
