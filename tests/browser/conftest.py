"""The built site, served as GitHub Pages serves it, and one browser to look at it."""

import configparser
import functools
import http.server
import json
import threading
from pathlib import Path

import pytest

from _tools.browser import BROWSERS, OPTIONS, program

from ..conftest import need

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "_build" / "html"
SETTINGS = configparser.ConfigParser()
SETTINGS.read(ROOT / "settings.ini", "utf-8")
SETTINGS = SETTINGS["DEFAULT"]
BASE = SETTINGS["doc_baseurl"]  # on Pages the site lies in this folder of its host

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@functools.cache
def sources():
    """The site's documents: name -> source file, both as paths below the root."""
    index = SITE / "searchindex.js"
    if not index.exists():
        return {}
    text = index.read_text("utf-8")
    index = json.loads(text[text.index("{") : text.rindex("}") + 1])
    return dict(zip(index["docnames"], index["filenames"], strict=True))


def pages():
    """The names of all pages: the documents, and what Sphinx and Pages add to them."""
    extra = ["404", "genindex", "py-modindex", "search"]
    return [*sources(), *(name for name in extra if (SITE / f"{name}.html").exists())]


def chapters():
    """The names of the pages that are notebooks."""
    return [name for name, source in sources().items() if source.endswith(".ipynb")]


class Pages(http.server.SimpleHTTPRequestHandler):
    """Serves the site below its base path, and 404.html wherever there is nothing."""

    def translate_path(self, path):
        inside = path.startswith(f"{BASE}/")
        return super().translate_path(path.removeprefix(BASE) if inside else "/nowhere")

    def send_error(self, code, *_):
        content = (SITE / "404.html").read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site():
    """The address of the served site, without a slash at its end."""
    need(sources(), f"no site in {SITE}: `make book` builds it")
    handler = functools.partial(Pages, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{BASE}"
        server.shutdown()


# Playwright's event loop would get in the way of notebooks that run in this process
# later: it ends with the module.
@pytest.fixture(scope="module")
def browser():
    path = program()
    need(path, f"no browser: none of {', '.join(BROWSERS[:3])} is on the PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        yield browser
        browser.close()


class Tab:
    """A browser's tab that remembers what went wrong on the page it shows."""

    def __init__(self, browser, site):
        self.site, self.path, self.problems = site, "", []
        self.page = browser.new_page(viewport=WIDE, reduced_motion="reduce")
        self.page.set_default_timeout(10_000)
        self.page.on("console", self.on_console)
        self.page.on("pageerror", lambda error: self.note(f"script error: {error}"))
        self.page.on("requestfailed", self.on_failure)
        self.page.on("request", self.on_request)
        self.page.on("response", self.on_response)

    def note(self, problem):
        self.problems.append(problem)

    def on_console(self, message):
        if message.type == "error":
            where = message.location["url"]
            self.note(f"console error: {message.text} ({where})")

    def on_failure(self, request):
        if request.failure != "net::ERR_ABORTED":  # of a page that was left early
            self.note(f"{request.url}: {request.failure}")

    def on_request(self, request):
        host = self.site.removesuffix(BASE)
        if not request.url.startswith((f"{host}/", "data:", "blob:")):
            self.note(f"asks another host: {request.url}")

    def on_response(self, response):
        if response.status >= 400:
            self.note(f"{response.url}: status {response.status}")

    def open(self, path):
        """Show a page of the site, mathematics typeset; return the response."""
        self.path = path
        self.problems.clear()
        response = self.page.goto(f"{self.site}/{path}")
        self.page.evaluate("window.MathJax?.startup?.promise")
        return response


@pytest.fixture(scope="module")
def tab(site, browser):
    return Tab(browser, site)
