"""Print all decks of slides to one PDF, in the book's order and with bookmarks.

The site must have been built: its pictures, styles and MathJax are in it. One page with
the slides of all chapters is put together in memory, opened in Chromium in reveal.js's
form for printing, and printed. The site itself keeps one page for each chapter.

Usage: python -m _tools.slides SITE PDF
"""

import functools
import http.server
import sys
import threading
from pathlib import Path

from _ext.slides import page, read
from _tools.browser import OPTIONS, program
from _tools.export import ROOT, get_config

TITLE = "llmbook"


class Silent(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *_):
        pass


def decks(site):
    """The decks that the site has, in the order of their chapters."""
    names = [path.stem for path in sorted((site / "slides").glob("*.html"))]
    return [read(ROOT / "chapters" / f"{name}.ipynb") for name in names]


def print_pdf(content, site, pdf, browser):
    """Print a page of slides, as HTML, that lies among the decks of a site."""
    from playwright.sync_api import sync_playwright

    handler = functools.partial(Silent, directory=str(site))
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        sync_playwright() as playwright,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        chromium = playwright.chromium.launch(executable_path=browser, args=OPTIONS)
        tab = chromium.new_page(viewport={"width": 1280, "height": 720})
        tab.set_default_timeout(300_000)
        html = {"body": content, "content_type": "text/html; charset=utf-8"}
        tab.route("**/slides/all.html*", lambda route: route.fulfill(**html))
        tab.goto(f"http://127.0.0.1:{server.server_port}/slides/all.html?print-pdf")
        tab.wait_for_selector("html[data-printable]", state="attached")
        tab.pdf(path=pdf, prefer_css_page_size=True, outline=True, tagged=True)
        chromium.close()
        server.shutdown()


def main(site, pdf):
    browser = program()
    if browser is None:
        sys.exit("make: the slides are printed by Chromium or Chrome; install one")
    found = decks(site)
    if not found:
        sys.exit(f"make: no slides in {site}: `make book` builds them")
    address = f"{get_config().doc_host}{get_config().doc_baseurl}/"
    content = page(found, TITLE, TITLE, "..", address, "../index.html")
    print_pdf(content, site, pdf, browser)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
