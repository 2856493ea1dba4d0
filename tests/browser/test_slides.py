"""Each deck of slides, as a lecture room shows it: 1280 by 720, page after page."""

import re
import subprocess
import sys

import pytest

from .conftest import ROOT, SETTINGS, SITE, chapters
from .test_pages import (
    bad_images,
    clear,
    dead_links,
    hindrances,
    noise,
    raw_mathematics,
    scaffold,
)

ROOM = {"width": 1280, "height": 720}
SMALLEST = {"pre": 18, "table": 28, "p": 28, "li": 28, "h2": 40}  # pixels
ASIDE = (".notes", "figcaption", ".address", ".book", "[role=group]", "mjx-container")


def decks():
    """The names of the decks that the site should have: one for each chapter."""
    names = [name.rsplit("/", 1)[-1] for name in chapters()]
    return [name for name in names if name[0].isdecimal()]


def begin(tab, name, query=""):
    """Open a deck, in the form for printing if the query says so."""
    assert (SITE / "slides" / f"{name}.html").exists(), f"{name} has no deck: mark it"
    tab.page.set_viewport_size(ROOM)
    tab.open(f"slides/{name}.html{query}")
    tab.page.wait_for_function("window.deck?.isReady()")


@pytest.fixture(scope="module", params=decks() or ["index"])
def deck(request, tab):
    """The tab with a deck in it."""
    begin(tab, request.param)
    return tab


def crowded(tab):
    """What sticks out of a slide, lies over something else or cannot be read."""
    return tab.page.evaluate(
        """async ([SMALLEST, ASIDE]) => {
        const bad = [], total = deck.getTotalSlides();
        for (let at = 0; at < total; at++) {
            deck.slide(at);
            await new Promise(requestAnimationFrame);
            const slide = deck.getCurrentSlide(), words = slide.innerText.slice(0, 40);
            const number = document.querySelector(".slide-number");
            const floor = number.getBoundingClientRect().top;
            const say = what => bad.push(`slide ${at + 1}, ${words}: ${what}`);
            const body = slide.querySelector(".body");
            const edge = innerWidth - 60 + 1;
            for (const node of slide.querySelectorAll("h1, h2, p, .body, .body *")) {
                if (node.closest(".notes, mjx-container")) continue;
                const box = node.getBoundingClientRect();
                if (!box.width) continue;
                const name = `<${node.localName}> `;
                if (box.right > edge) say(`${name} ends at ${box.right} of ${edge}`);
                if (box.bottom > floor && !node.closest("p.address"))
                    say(`${name} ends at ${box.bottom} of ${floor}`);
                if (node.scrollWidth > node.clientWidth + 1 && node.localName === "pre")
                    say(`${name} is ${node.scrollWidth} wide`);
                const least = SMALLEST[node.closest(".html") ? "pre" : node.localName];
                const size = parseFloat(getComputedStyle(node).fontSize);
                if (least && size < least && !node.closest(ASIDE.join()))
                    say(`${name} has letters of ${size} pixels`);
                if (node.localName === "img" && box.height < 160)
                    say(`a picture ${box.height} high`);
            }
            const blocks = [...(body ? body.children : [])];
            const boxes = [slide.querySelector("h1, h2"), ...blocks]
                .map(each => each.getBoundingClientRect());
            for (let i = 1; i < boxes.length; i++)
                if (boxes[i].top < boxes[i - 1].bottom - 1) say("two things overlap");
        }
        deck.slide(0);
        return bad;
    }""",
        [SMALLEST, ASIDE],
    )


def unspoken(tab):
    """Whether too many slides have no notes: some follow another slide at once."""
    notes = tab.page.eval_on_selector_all(
        ".slides section", "all => all.map(s => s.querySelector('.notes').textContent)"
    )
    lengths = [len(each.split()) for each in notes]
    problems = []
    if sum(lengths) < 1000:
        problems.append(f"{sum(lengths)} words of notes are no argument")
    if lengths.count(0) > len(lengths) / 4:
        problems.append(f"{lengths.count(0)} slides have no notes")
    return problems


def test_loads_without_error_and_from_this_host_alone(deck):
    clear(deck, noise(deck))


def test_mathematics_is_typeset(deck):
    clear(deck, raw_mathematics(deck))


def test_no_scaffold_shows(deck):
    clear(deck, scaffold(deck))


def test_images_load_and_have_alternative_text(deck):
    clear(deck, bad_images(deck))


def test_links_inside_the_site_lead_somewhere(deck):
    clear(deck, dead_links(deck, ".slides"))


def test_slides_hold_what_they_show(deck):
    clear(deck, crowded(deck))


def test_notes_hold_the_argument(deck):
    clear(deck, unspoken(deck))


@pytest.mark.parametrize("name", decks() or ["index"])
def test_accessible(tab, name):
    """Prevents letters too pale for a projector; in print, all slides show at once."""
    begin(tab, name, "?print-pdf")
    tab.page.wait_for_selector("html[data-printable]", state="attached")
    clear(tab, hindrances(tab, "light") + hindrances(tab, "dark"))


PLANTED = [
    (crowded, "<div style='height: 700px'>tall</div>"),
    (crowded, "<div style='width: 1300px'>wide</div>"),
    (crowded, "<pre style='font-size: 18px'>" + "x" * 130 + "</pre>"),
    (crowded, "<pre style='font-size: 12px'>small</pre>"),
    (crowded, "<p style='font-size: 20px'>small</p>"),
    (crowded, "<div>one</div><div style='margin-top: -60px'>two</div>"),
]


@pytest.mark.parametrize(("probe", "defect"), PLANTED)
def test_probes_see(tab, probe, defect):
    begin(tab, decks()[0])
    assert not probe(tab)
    tab.page.evaluate(
        """defect => {
        const slide = document.querySelectorAll(".slides section")[2];
        slide.querySelector(".body")?.remove();
        const body = `<div class="body">${defect}</div>`;
        slide.querySelector("h2").insertAdjacentHTML("afterend", body);
    }""",
        defect,
    )
    assert probe(tab)


def test_probe_sees_silence(tab):
    begin(tab, decks()[0])
    empty = "all => all.slice(0, {}).forEach(each => each.textContent = '')"
    some, everything = empty.format(12), empty.format(99)
    for script in (some, everything):
        assert not unspoken(tab) or script == everything
        tab.page.eval_on_selector_all(".notes", script)
        assert unspoken(tab)


def test_speaker_sees_the_notes(tab):
    """Prevents notes, or formulas in them, that the speaker's window does not show."""
    name = next(n for n in decks() if "learning" in n)
    begin(tab, name)
    tab.page.keyboard.press("ArrowRight")
    wanted = tab.page.evaluate("deck.getSlideNotes()")
    with tab.page.expect_popup() as popup:
        tab.page.keyboard.press("s")
    notes = popup.value.locator(".speaker-controls-notes .value")
    notes.filter(has_text=" ").wait_for()
    shown = notes.evaluate("node => node.textContent")
    text = tab.page.evaluate("deck.getCurrentSlide().querySelector('.notes').innerText")
    assert wanted and shown.split()[:8] == text.split()[:8]
    assert tab.page.locator(".notes math").count(), "no formula in any note"
    popup.value.close()
    clear(tab, noise(tab))


def test_keys(tab):
    """Prevents a deck that cannot be led from the keyboard."""
    begin(tab, decks()[0])
    page = tab.page
    page.keyboard.press("ArrowRight")
    assert page.evaluate("deck.getIndices().h") == 1
    page.wait_for_url("**/*.html#/1")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.keyboard.press("d")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page.keyboard.press("Home")
    assert page.evaluate("deck.getIndices().h") == 0


def test_the_system_says_dark(tab):
    tab.page.emulate_media(color_scheme="dark")
    begin(tab, decks()[0])
    assert tab.page.evaluate("document.documentElement.dataset.theme") == "dark"
    tab.page.emulate_media(color_scheme="light")
    tab.page.wait_for_selector("html[data-theme=light]")


@pytest.mark.parametrize("name", decks() or ["index"])
def test_chapter_links_to_its_deck(tab, name):
    """Prevents slides that nobody finds."""
    tab.open(f"chapters/{name}.html")
    link = tab.page.locator(".spine-card").get_by_role("link", name="Slides")
    assert link.get_attribute("href") == f"../slides/{name}.html"


def test_all_decks_print_as_one(site, browser, tmp_path):
    """Prevents a PDF that lacks a slide, or whose links lead to one machine."""
    pdf = tmp_path / "slides.pdf"
    command = [sys.executable, "-m", "_tools.slides", str(SITE), str(pdf)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    content = pdf.read_bytes()
    made = [(SITE / "slides" / f"{name}.html").read_text("utf-8") for name in decks()]
    slides = sum(each.count("<section") for each in made)
    assert len(re.findall(rb"/Type\s*/Page\b", content)) == slides
    home = f"{SETTINGS['doc_host']}{SETTINGS['doc_baseurl']}/{chapters()[0]}.html"
    assert home.encode() in content and b"127.0.0.1" not in content
    assert b"/Outlines" in content
