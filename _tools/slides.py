"""Print all decks of slides to one PDF, in the book's order and with bookmarks.

The build leaves one page with the slides of all chapters among its own files, since the
site has no use for it. Chromium opens it in reveal.js's form for printing, at the
site's address, so that its links lead there; but every file comes from this machine.

Usage: python -m _tools.slides SITE PDF
"""

import sys
from pathlib import Path

from nbdev.config import get_config

from _ext.slides import WHOLE
from _tools.browser import OPTIONS, program

PATIENCE = 300_000  # milliseconds; 350 slides take 15 seconds where nothing else runs


def find(url, site, whole, address):
    """The file of the built site that an address stands for, or None."""
    name = url.partition("?")[0].removeprefix(address)
    path = whole if name == "slides/all.html" else site / name
    return path if url.startswith(address) and path.is_file() else None


def print_pdf(site, pdf, browser, address):
    """Print all slides of a built site to a file; return what could not be loaded."""
    from playwright.sync_api import sync_playwright

    whole = site.parent / ".doctrees" / WHOLE
    missing = []

    def answer(route):
        if path := find(route.request.url, site, whole, address):
            route.fulfill(path=path)
        else:
            missing.append(route.request.url)
            route.abort()

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=OPTIONS)
        tab = chromium.new_page(viewport={"width": 1280, "height": 720})
        tab.set_default_timeout(PATIENCE)
        tab.route("**/*", answer)
        tab.goto(f"{address}slides/all.html?print-pdf")
        tab.wait_for_selector("html[data-printable]", state="attached")
        tab.pdf(path=pdf, prefer_css_page_size=True, outline=True, tagged=True)
        chromium.close()
    return missing


def main(site, pdf):
    config = get_config()
    if not (browser := program()):
        sys.exit("make: the slides are printed by Chromium or Chrome; install one")
    if not list((site / "slides").glob("*.html")):
        sys.exit(f"make: no slides in {site}; `make book` builds them")
    address = f"{config.doc_host}{config.doc_baseurl}/"
    if missing := print_pdf(site, pdf, browser, address):
        sys.exit(f"make: the slides lack {', '.join(missing)}; `make book` again")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
