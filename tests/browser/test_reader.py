"""What a reader does with the built site: search, theme, folds, keyboard, phone."""

import pytest
from playwright.sync_api import expect

from .conftest import BASE, NARROW, Tab, sources


@pytest.fixture
def tab(browser, site):
    """A new reader's tab, on the first page."""
    tab = Tab(browser, site)
    tab.open("index.html")
    yield tab
    tab.page.close()


@pytest.fixture
def page(tab):
    return tab.page


def chapter(number):
    """The name of the page of a chapter."""
    return next(name for name in sources() if f"/{number}_" in name)


def test_search_finds_the_chapter(page, tab):
    page.get_by_role("button", name="Search").first.click()
    page.keyboard.type("tokenizer")
    page.keyboard.press("Enter")
    results = page.locator("#search-results li a")
    results.first.wait_for()
    page.wait_for_function("document.querySelector('#search-results p').innerText")
    found = results.evaluate_all("all => all.map(a => a.pathname)")
    assert f"{BASE}/{chapter('02')}.html" in found, found
    results.first.click()
    page.wait_for_load_state()
    assert "tokenizer" in page.locator("article").inner_text().lower()


def theme(page):
    """The theme that is on, and the colour of the paper."""
    paper = "getComputedStyle(document.body).backgroundColor"
    return page.evaluate(f"[document.documentElement.dataset.theme, {paper}]")


def test_theme_switch(page, tab):
    button = page.locator(".theme-switch-button").first
    light, white = theme(page)
    assert light == "light"

    def switch_to(wanted):
        for _ in range(3):  # light, dark, and what the system says
            button.click()
            if theme(page)[0] == wanted:
                return
        pytest.fail(f"three clicks do not lead to {wanted}: {theme(page)}")

    switch_to("dark")
    assert theme(page)[1] != white
    tab.open(f"{chapter('02')}.html")
    assert theme(page)[0] == "dark", "the next page forgets the theme"
    switch_to("light")
    assert theme(page)[1] == white


FOCUS = """node => {
    const style = getComputedStyle(node), box = node.getBoundingClientRect();
    const outline = style.outlineStyle == "none" ? "" : style.outline;
    const mark = [outline, style.boxShadow, style.border, style.background];
    return {name: node.ariaLabel || node.innerText.trim() || node.outerHTML,
            kind: node.className, mark: mark.join(" "),
            inside: box.width > 0 && box.top > -1 && box.bottom < innerHeight + 1}}"""


def test_keyboard_reaches_everything_in_sight(page, tab):
    """Prevents a page that needs a mouse, or leaves the keyboard's user in the dark."""
    tab.open(f"{chapter('02')}.html")
    problems, seen = [], []
    while len(seen) < 60 and not any("theme-switch" in kind for kind in seen):
        page.keyboard.press("Tab")
        focused = page.evaluate_handle("document.activeElement")
        page.wait_for_timeout(200)  # the skip link slides in, and the sidebar scrolls
        on = focused.evaluate(FOCUS)
        focused.evaluate("node => node.blur()")
        off = focused.evaluate(FOCUS)
        focused.evaluate("node => node.focus()")
        seen.append(on["kind"])
        if not on["inside"]:
            problems.append(f"{on['name']!r} has the focus, out of sight")
        if on["mark"] == off["mark"]:
            problems.append(f"{on['name']!r} looks the same with the focus")
        if len(seen) == 1:
            assert "Skip" in on["name"]
    for control in ("search-button", "theme-switch", "dropdown-toggle"):
        if not any(control in kind for kind in seen):
            problems.append(f"Tab does not reach the {control}")
    if problems:
        pytest.fail("\n".join(["", *problems]), pytrace=False)


def test_skip_link_leads_to_the_text(page, tab):
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    inside = "document.querySelector('#main-content').contains(document.activeElement)"
    page.keyboard.press("Tab")
    assert page.evaluate(inside)


def test_solutions_unfold_by_keyboard(page, tab):
    tab.open(f"{chapter('02')}.html")
    folded = page.locator("details:has(> summary:has-text('Solution'))")
    assert folded.count(), "the chapter has no folded solution"
    folded = folded.first
    assert not folded.evaluate("node => node.open"), "a solution is open from the start"
    body = folded.locator("pre").first
    assert not body.is_visible()
    folded.locator("summary").focus()
    page.keyboard.press("Enter")
    assert body.is_visible()
    page.keyboard.press("Enter")
    assert not body.is_visible()


def test_launch_buttons_open_by_keyboard(page, tab):
    tab.open(f"{chapter('02')}.html")
    page.locator(".dropdown-launch-buttons > button").focus()
    page.keyboard.press("Enter")
    links = page.locator(".dropdown-launch-buttons a")
    assert sorted(links.all_inner_texts()) == ["Binder", "Colab"]
    links.first.wait_for(state="visible")


def test_contents_open_on_a_phone(page, tab):
    page.set_viewport_size(NARROW)
    contents = page.locator(".bd-sidebar-primary a", has_text="2. Text into tokens")
    expect(contents).not_to_be_in_viewport()
    page.locator("button.primary-toggle").first.click()
    expect(contents).to_be_in_viewport()
    contents.click()
    page.wait_for_url(f"**/{chapter('02')}.html")


@pytest.mark.parametrize("path", ["nowhere.html", "chapters/no/where/deep.html"])
def test_page_for_a_wrong_address(page, tab, path):
    """Prevents a page without its styles, or without a way back, below any address."""
    response = tab.open(path)
    assert response.status == 404
    page.get_by_role("heading", level=1).wait_for()
    others = [each for each in tab.problems if "404" not in each]
    assert not others, others
    assert not [each for each in tab.problems if "_static" in each], tab.problems
    styled = page.evaluate("getComputedStyle(document.querySelector('main')).maxWidth")
    assert styled != "none", "the page has lost its styles"
    page.get_by_role("link").first.click()
    page.wait_for_url(
        lambda url: url.rstrip("/") in (tab.site, f"{tab.site}/index.html")
    )


def test_a_term_says_what_it_is(page, tab):
    tab.open(f"{chapter('04')}.html")
    term = page.locator("article a[data-definition]").first
    shown = "(a) => getComputedStyle(a, '::after').content"
    assert term.evaluate(shown) == "none"
    term.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")  # as who comes by keyboard
    assert term.get_attribute("data-definition") in term.evaluate(shown)


def test_the_road_shows_where_one_is(page, tab):
    tab.open(f"{chapter('04')}.html")
    here = page.locator("nav.road [aria-current=page]")
    assert here.inner_text() == "4"
    page.locator("nav.road").get_by_role("link", name="5. GPT").click()
    page.wait_for_load_state()
    assert page.locator("nav.road [aria-current=page]").inner_text() == "5"
    about = page.locator(".prev-next-area .about").all_inner_texts()
    assert len(about) == 2 and all(about)
