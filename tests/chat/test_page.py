"""The web page in a browser: type, stream, stop, turn a knob, reload, wide, narrow."""

import re
import time

import pytest

from llmbook.chat import open_page, web_page

from ..browser.conftest import NARROW, WIDE, browser  # noqa: F401
from .conftest import babbler

gradio = pytest.importorskip("gradio")


@pytest.fixture(scope="module")
def page_of(words):
    """A page whose model writes for a long time, and its address."""
    model = babbler(words, 3000)
    page = web_page(model, words, system="Be kind.", n_seats=2)
    page.model = model
    yield page, open_page(page)
    page.close()


@pytest.fixture
def slow(page_of):
    """Let every token take a while, until called: an answer is caught in the middle."""
    hook = page_of[0].model.register_forward_hook(lambda *_: time.sleep(0.1))
    yield hook.remove
    hook.remove()


@pytest.fixture
def tab(browser, page_of):  # noqa: F811
    """A tab that remembers errors and requests to other hosts."""
    address = page_of[1]
    tab = browser.new_page(viewport=WIDE, reduced_motion="reduce")
    tab.set_default_timeout(15_000)
    tab.problems = []
    tab.on("pageerror", lambda error: tab.problems.append(f"script error: {error}"))
    tab.on(
        "console",
        lambda m: m.type == "error" and tab.problems.append(f"console: {m.text}"),
    )
    tab.on(
        "request",
        lambda r: (
            r.url.startswith((address, "data:", "blob:"))
            or tab.problems.append(f"asks another host: {r.url}")
        ),
    )
    tab.goto(address)
    begin(tab)
    yield tab
    tab.close()


def begin(tab):
    """Wait until the page's script and the server answer to what one does."""
    box = tab.get_by_label("Show tokens and their chances")
    told = tab.get_by_text("Nothing has been answered yet.")

    def answers():
        box.check()
        heard = until(told.is_visible, 3)
        box.uncheck()
        return heard

    assert until(answers)
    assert until(lambda: not told.is_visible())


def bubbles(tab):
    return tab.locator(".message").all_inner_texts()


WATCH = """() => {
    window.sizes = new Set();
    const size = each => each.textContent.length;
    const look = () => document.querySelectorAll(".message.bot").forEach(
        each => sizes.add(size(each)));
    const all = {childList: true, subtree: true, characterData: true};
    new MutationObserver(look).observe(document.body, all);
}"""


def say(tab, text):
    tab.get_by_label("Your message").fill(text)
    tab.get_by_role("button", name="Send").click()


def note(tab):
    return tab.get_by_label("What happened").input_value()


def until(true, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.05)
    return False


def turn(tab, label, value):
    """Turn a knob by its number field."""
    if not tab.get_by_label(f"number input for {label}").is_visible():
        tab.get_by_role("button", name="Knobs").click()
    field = tab.get_by_label(f"number input for {label}")
    slider = tab.get_by_label(f"range slider for {label}")

    def turned():  # Gradio sometimes takes a number back that came too early
        field.fill(str(value))
        field.press("Tab")
        return until(lambda: float(slider.input_value()) == value, 2)

    assert until(turned)


def test_type_and_it_streams(tab):
    tab.evaluate(WATCH)
    say(tab, "Who lent the anchor?")
    assert until(lambda: "tokens;" in note(tab))
    assert tab.evaluate("sizes.size") > 3  # it grew before the eyes
    assert "Who lent the anchor?" in bubbles(tab)[0]
    assert note(tab).startswith("110 tokens; 0 of ") and "Cut off" in note(tab)
    assert tab.get_by_label("Your message").input_value() == ""
    say(tab, "And then?")
    assert until(lambda: re.match("110 tokens; [1-9]", note(tab)))  # the memory helps
    assert tab.problems == []


def test_stop_keeps_what_is_there(tab, page_of, slow):
    turn(tab, "Most tokens of an answer", 200)
    desk = page_of[0].desk
    say(tab, "Who?")
    assert until(lambda: len(bubbles(tab)) > 1 and len(bubbles(tab)[-1]) > 3)
    tab.get_by_role("button", name="Stop").click()
    assert until(lambda: note(tab) == "Stopped.")
    assert until(lambda: len(desk.free) == 2)
    text = bubbles(tab)[-1]
    tab.wait_for_timeout(400)
    assert bubbles(tab)[-1] == text
    slow()
    say(tab, "And then?")
    assert until(lambda: "tokens;" in note(tab)) and tab.problems == []


def test_begin_anew_in_the_middle(tab, page_of, slow):
    say(tab, "Who?")
    assert until(lambda: len(bubbles(tab)) > 1 and len(bubbles(tab)[-1]) > 3)
    tab.get_by_role("button", name="Begin anew").click()
    assert until(lambda: not bubbles(tab) and len(page_of[0].desk.free) == 2)
    tab.wait_for_timeout(500)
    assert bubbles(tab) == [] and note(tab) == ""
    slow()
    say(tab, "And then?")
    assert until(lambda: "tokens;" in note(tab)) and "Who?" not in bubbles(tab)
    assert tab.problems == []


def test_a_knob_changes_the_answer(tab):
    turn(tab, "Most tokens of an answer", 7)
    say(tab, "Who?")
    assert until(lambda: note(tab).startswith("7 tokens;"))
    first = bubbles(tab)[-1]
    tab.get_by_role("button", name="Begin anew").click()
    assert until(lambda: not bubbles(tab))
    turn(tab, "Temperature (0: always the likeliest)", 2)
    say(tab, "Who?")
    assert until(lambda: "tokens;" in note(tab)) and bubbles(tab)[-1] != first
    assert tab.problems == []


def test_tokens_and_chances_on_request(tab):
    turn(tab, "Most tokens of an answer", 9)
    say(tab, "Who?")
    assert until(lambda: note(tab).startswith("9 tokens;"))
    assert not tab.locator("table.chances").count()
    tab.get_by_label("Show tokens and their chances").check()
    assert until(lambda: tab.locator("table.chances tbody tr").count() == 9)
    n = len(bubbles(tab))
    say(tab, "And then?")
    assert until(lambda: len(bubbles(tab)) == 2 * n and "9 tokens;" in note(tab))
    tab.get_by_label("Show tokens and their chances").uncheck()
    assert until(lambda: not tab.locator("table.chances").count())
    assert tab.problems == []


def test_reload_in_the_middle_begins_anew(tab, page_of, slow):
    turn(tab, "Most tokens of an answer", 200)
    say(tab, "Who?")
    assert until(lambda: len(page_of[0].desk.free) == 1)
    tab.reload()
    tab.problems.clear()  # Gradio's script complains of being broken off
    slow()
    begin(tab)
    assert bubbles(tab) == []
    assert until(lambda: len(page_of[0].desk.free) == 2)
    turn(tab, "Most tokens of an answer", 5)
    say(tab, "Who?")
    assert until(lambda: note(tab).startswith("5 tokens;"))
    assert tab.problems == []


def test_what_cannot_be_is_said(tab):
    say(tab, "   ")
    assert until(lambda: note(tab) == "Type a question first.")
    say(tab, "goose " * 3000)
    assert until(lambda: note(tab).startswith("Not sent: the system prompt and"))
    assert tab.problems == []


def test_markup_is_shown_as_text(tab):
    turn(tab, "Most tokens of an answer", 5)
    say(tab, "<img src=x onerror=alert(1)> **bold** <|assistant|>")
    assert until(lambda: note(tab).startswith("5 tokens;"))
    assert "<img src=x onerror=alert(1)> **bold** <|assistant|>" in bubbles(tab)[0]
    assert not tab.locator(".message img, .message strong").count()
    assert tab.problems == []


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_hindrances(tab, size, theme):
    """axe-core finds nothing, of whatever weight, and nothing scrolls sideways."""
    from axe_playwright_python.sync_playwright import Axe

    tab.set_viewport_size(size)
    tab.emulate_media(color_scheme=theme)
    tab.reload()
    begin(tab)
    turn(tab, "Most tokens of an answer", 9)
    tab.get_by_label("Show tokens and their chances").check()
    say(tab, "Who?")
    assert until(lambda: "tokens;" in note(tab))
    assert until(lambda: 1 <= tab.locator("table.chances tbody tr").count() <= 9)
    options = {"resultTypes": ["violations"]}
    found = Axe().run(tab, options=options).response["violations"]
    nodes = [(v["id"], n["target"], n["html"][:90]) for v in found for n in v["nodes"]]
    assert nodes == []
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_it_is_bound_to_loopback(page_of):
    assert page_of[1].startswith("http://127.0.0.1:")
    assert page_of[0].server_name == "127.0.0.1" and not page_of[0].share_url


def test_on_colab_it_opens_no_tunnel(words, monkeypatch):
    """Gradio believes to be on Colab: the page comes through Colab's own proxy."""
    pytest.importorskip("IPython")
    monkeypatch.setattr(gradio.utils, "colab_check", lambda: True)
    monkeypatch.setattr(gradio.utils, "ipython_check", lambda: True)
    page = web_page(babbler(words, 64), words)
    try:
        assert open_page(page).startswith(("http://127.0.0.1", "https://127.0.0.1"))
        assert page.is_colab and not page.share and not page.share_url
        assert "kernel.proxyPort" in page.artifact.data
    finally:
        page.close()
