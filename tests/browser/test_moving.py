"""A picture that moves stands still until it is asked to move, and again after."""

import pytest

from .conftest import SITE, Tab, chapters

PLACES = [
    name
    for name in chapters()
    if 'class="moving"' in (SITE / f"{name}.html").read_text("utf-8")
]
SHOWN = """fold => new Promise(found => {
    const picture = fold.querySelector("img");
    const ready = () => found(picture.naturalWidth > 0 && picture.checkVisibility());
    picture.complete && picture.naturalWidth ? ready() : picture.onload = ready;
})"""


def test_some_pictures_move():
    assert len(PLACES) >= 3


@pytest.mark.parametrize("name", PLACES or ["index"])
def test_it_moves_when_asked(browser, site, name):
    tab = Tab(browser, site)
    asked = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.open(f"{name}.html")
    figure = tab.page.locator("figure:has(> details.moving)").first
    still, fold = figure.locator("> img"), figure.locator("> details")
    loop = fold.locator("img").get_attribute("src").rpartition("/")[2]
    assert still.get_attribute("src").endswith("-still.png") and still.is_visible()
    assert not [url for url in asked if url.endswith(loop)]  # nobody has asked for it
    fold.locator("summary").focus()
    tab.page.keyboard.press("Enter")
    assert fold.evaluate(SHOWN) and not still.is_visible()
    assert [url for url in asked if url.endswith(loop)]
    assert fold.locator("summary").inner_text() == "Stop it"
    tab.page.keyboard.press("Enter")
    assert still.is_visible() and not fold.locator("img").is_visible()
    assert fold.locator("summary").inner_text() == "Let it move"
    assert not tab.problems, tab.problems
    tab.page.close()
