"""Each page of the built site, as a browser shows it: wide and narrow, light and dark.

A probe is a function that takes a tab and returns the problems of the page in it, one
sentence each. Its test asserts that no page has one; the last test plants each defect,
and the probe sees it. A page is loaded once; the tests take their turns on it.
"""

import gzip
import re
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe

from .conftest import BASE, NARROW, ROOT, SETTINGS, SITE, WIDE, chapters, pages, sources

PACKED = ("html", "js", "css", "svg", "json", "/")  # what Pages sends compressed
TEXT = "article, main:not(:has(article))"  # a page without what stands around its text


@pytest.fixture(scope="module", params=pages() or ["index"])
def opened(request, tab):
    """The tab with a page in it, everything that folds unfolded."""
    tab.open(f"{request.param}.html")
    tab.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = 1)")
    return tab


def clear(tab, problems):
    """Pass when a page has no problems; else fail with one line each."""
    if problems:
        lines = [f"{tab.path}: {problem}" for problem in problems]
        pytest.fail("\n".join(["", *lines]), pytrace=False)


def noise(tab):
    """Errors of scripts, requests that fail, and requests to other hosts."""
    tab.page.wait_for_load_state("networkidle")
    return tab.problems


def raw_mathematics(tab):
    """Formulas that are not typeset, or typeset as an error."""
    return tab.page.evaluate(
        r"""TEXT => {
        const bad = [], text = document.querySelector(TEXT);
        for (const each of text.querySelectorAll("span.math, div.math")) {
            const formula = each.querySelector("mjx-container");
            if (!formula) bad.push("not typeset: " + each.textContent.trim());
            else if (formula.querySelector("mjx-merror, [data-mjx-error]"))
                bad.push("MathJax sees an error: " + each.textContent.trim());
        }
        const copy = text.cloneNode(true);
        for (const each of copy.querySelectorAll("pre, code, script, mjx-container"))
            each.remove();
        for (const [raw] of copy.textContent.matchAll(/.*(\$\$|\\\(|\\\[).*/g))
            bad.push("raw mathematics: " + raw.trim());
        return bad;
    }""",
        TEXT,
    )


def scaffold(tab):
    """Directives, install cells and raw markup that the reader can see."""
    text = tab.page.locator(TEXT)
    raw = re.findall(r"^\s*#\s?\|.*$", text.text_content(), re.MULTILINE)
    raw += re.findall(r".*%pip install.*", text.inner_text())
    prose = text.evaluate(
        """node => {
        const copy = node.cloneNode(true);
        for (const each of copy.querySelectorAll("pre, code, script")) each.remove();
        return copy.textContent;
    }"""
    )
    raw += re.findall(r".*(?:\[!\w+\]|</?details>|\{\w+\}`|:::|\]\().*", prose)
    return [f"shows {line.strip()!r}" for line in raw]


def bad_images(tab):
    """Images that do not load or have no alternative text."""
    return tab.page.evaluate(
        """async () => {
        const bad = [];
        for (const image of document.images) {
            const name = image.getAttribute("src");
            image.loading = "eager";  // what is fetched late would never be decoded
            await image.decode().catch(() => {});
            if (!image.naturalWidth) bad.push(name + " does not load");
            if (!image.alt.trim()) bad.push(name + " has no alternative text");
        }
        return bad;
    }"""
    )


def hindrances(tab, theme="light"):
    """What axe-core calls a serious or critical hindrance in a theme."""
    set_theme = "theme => document.documentElement.dataset.theme = theme"
    tab.page.emulate_media(color_scheme=theme)
    tab.page.evaluate(set_theme, theme)
    options = {"resultTypes": ["violations"]}
    if theme == "dark":  # the same page in other colours
        options["runOnly"] = ["color-contrast", "link-in-text-block"]
    violations = Axe().run(tab.page, options=options).response["violations"]
    tab.page.emulate_media(color_scheme="light")
    tab.page.evaluate(set_theme, "light")
    problems = []
    for violation in violations:
        if violation["impact"] not in ("serious", "critical"):
            continue
        nodes = violation["nodes"]
        for node in nodes[:4]:
            why = " ".join(node["failureSummary"].split())
            where = " ".join(map(str, node["target"]))
            problems.append(f"{theme}, {violation['id']}: {where}: {why}")
        if len(nodes) > 4:
            problems.append(f"{theme}, and {len(nodes) - 4} more {violation['id']}")
    return problems


def too_wide(tab):
    """What makes a phone scroll sideways, or is cut off at its edge."""
    tab.page.set_viewport_size(NARROW)
    problems = tab.page.evaluate(
        """async TEXT => {
        await Promise.all(document.getAnimations().map(each => each.finished));
        const bad = [], width = document.documentElement.clientWidth;
        const over = node => node.getBoundingClientRect().right > width + 1;
        const scrolls = node => node && node !== document.body && (
            /auto|scroll/.test(getComputedStyle(node).overflowX) && !over(node)
            || scrolls(node.parentElement));
        window.scrollTo(1000, window.scrollY);
        if (window.scrollX) bad.push(`scrolls ${window.scrollX} pixels sideways`);
        window.scrollTo(0, 0);
        const text = document.querySelector(TEXT);
        for (const node of text.querySelectorAll("*")) {
            if (!over(node) || node.getBoundingClientRect().width < 2) continue;
            if (!node.checkVisibility() || scrolls(node.parentElement)) continue;
            if ([...node.children].some(over)) continue;
            const words = node.textContent.trim().slice(0, 50);
            const end = Math.round(node.getBoundingClientRect().right);
            bad.push(`<${node.localName}> "${words}" ends at ${end} of ${width}`);
        }
        return bad;
    }""",
        TEXT,
    )
    tab.page.set_viewport_size(WIDE)
    return problems


def addresses(tab, within="body"):
    """Where the links of a page lead, or of a part of it."""
    script = "all => [...new Set(all.map(a => a.href))]"
    return tab.page.eval_on_selector_all(f"{within} a[href]", script)


def dead_links(tab, within="body"):
    """Links, the theme's own included, to a page or a place that the site lacks."""
    problems = []
    for address in addresses(tab, within):
        if not address.startswith(tab.site):
            continue
        url = urlsplit(address)
        path = unquote(url.path.removeprefix(BASE).strip("/")) or "index.html"
        place = re.escape(unquote(url.fragment))
        if not (SITE / path).is_file():
            problems.append(f"the link to {path} leads nowhere")
        elif re.search("playground.html$", path) and "=" in url.fragment:
            continue  # a state, not a place; the house's gates read it
        elif url.fragment and path.endswith(".html"):
            text = (SITE / path).read_text("utf-8")
            if not re.search(f'(?:id|name)="{place}"', text):
                problems.append(f"{path} has no place #{url.fragment}")
    return problems


def test_loads_without_error_and_from_this_host_alone(opened):
    clear(opened, noise(opened))


def test_mathematics_is_typeset(opened):
    clear(opened, raw_mathematics(opened))


def test_no_scaffold_shows(opened):
    clear(opened, scaffold(opened))


def test_images_load_and_have_alternative_text(opened):
    clear(opened, bad_images(opened))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessible(opened, theme):
    clear(opened, hindrances(opened, theme))


def test_no_sideways_scroll_on_a_phone(opened):
    clear(opened, too_wide(opened))


def test_links_inside_the_site_lead_somewhere(opened):
    clear(opened, dead_links(opened))


def weight(tab, path):
    """What a page and all that it asks for weighs over the wire, in kB."""
    sent = []

    def on_response(response):
        body = response.body()
        packed = response.url.partition("?")[0].endswith(PACKED)
        sent.append(len(gzip.compress(body, 6) if packed else body))

    page = tab.page.context.browser.new_page()
    page.on("response", on_response)
    page.goto(f"{tab.site}/{path}", wait_until="networkidle")
    page.close()
    return sum(sent) / 1000


@pytest.mark.parametrize("name", chapters() or ["index"])
def test_a_page_is_light(tab, name):
    """Prevents a page that keeps a reader on a train waiting."""
    assert weight(tab, f"{name}.html") < 1000


def test_a_page_is_light_sees(tab):
    """Pictures are weighed as they lie there, the page's text as it is sent."""
    page = SITE / f"{(chapters() or ['index'])[0]}.html"
    text = page.read_text("utf-8")
    pictures = set(re.findall(r'<img[^>]* src="([^":]+)"', text))
    least = sum((page.parent / name).stat().st_size for name in pictures)
    least += len(gzip.compress(text.encode(), 6))
    assert pictures and weight(tab, page.relative_to(SITE)) >= least / 1000


@pytest.mark.parametrize("name", sources() or ["index"])
def test_launch_edit_and_download(tab, name):
    """Prevents buttons that open another file than the page's own, or none."""
    tab.open(f"{name}.html")
    source, branch, git = sources()[name], SETTINGS["branch"], SETTINGS["git_url"]
    repository = git.removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{repository}/blob/{branch}/"
    binder = f"https://mybinder.org/v2/gh/{repository}/{branch}?urlpath=lab/tree/"
    edit = f"{git}/edit/{branch}/"
    assert (ROOT / source).is_file(), f"{source} has gone; build the book again"
    kinds = [edit, colab, binder] if name in chapters() else [edit]
    wanted = {f"{kind}{source}" for kind in kinds}
    found = {
        address
        for address in addresses(tab, ".article-header-buttons")
        if address.startswith((colab, binder, edit))
    }
    problems = [f"has no button for {address}" for address in wanted - found]
    problems += [f"has a button for {address}" for address in found - wanted]
    (download,) = addresses(tab, ".dropdown-download-buttons")
    answer = tab.page.request.get(download)
    if not answer.ok:
        problems.append(f"the download {download} has status {answer.status}")
    elif name in chapters() and "install" not in str(answer.json()["cells"][0]):
        problems.append("the download does not begin with the install cell")
    clear(tab, problems)


def test_some_page_has_mathematics_and_some_a_figure(tab):
    """Prevents the tests above from passing because there was nothing to see."""
    tab.open("chapters/02_tokenizer.html")
    assert tab.page.locator("article mjx-container").count()
    assert tab.page.locator("article figure img").count()


def in_the_dark(tab):
    return hindrances(tab, "dark")


PLANTED = [
    (noise, "<script>undefinedName()</script>"),
    (noise, "<script>console.error('no')</script>"),
    (noise, "<script src='missing.js'></script>"),
    (noise, "<img src='https://example.org/a.png' alt='a'>"),
    (raw_mathematics, r"<span class='math'>\(a^2\)</span>"),
    (raw_mathematics, "<p>and $$ a^2 $$</p>"),
    (scaffold, "<pre>#| export\ndef f(): ...</pre>"),
    (scaffold, "<pre>    %pip install llmbook</pre>"),
    (scaffold, "<p>[!NOTE] A note.</p>"),
    (scaffold, "<p>A {term}`token`.</p>"),
    (bad_images, "<img src='missing.png' alt='missing'>"),
    (bad_images, f"<img src='{BASE}/_static/mark.svg' alt=''>"),
    (hindrances, "<p style='color: #aaa; background: #fff'>Too pale.</p>"),
    (in_the_dark, "<p style='color: #555; background: #222'>Too dark.</p>"),
    (hindrances, "<button></button>"),
    (too_wide, "<pre style='width: 500px'>wide</pre>"),
    (too_wide, "<div style='overflow: hidden'><b style='padding: 30em'>x</b></div>"),
    (dead_links, "<a href='nowhere.html'>a</a>"),
    (dead_links, "<a href='index.html#nowhere'>a</a>"),
]


HTML = """<!doctype html><html lang="en"><head><title>Planted</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
</head><body><main>{}</main></body></html>"""


def show(tab, content):
    """Open a page with some content that the site does not have."""
    page = {"body": HTML.format(content), "content_type": "text/html"}
    tab.page.route("**/planted.html", lambda route: route.fulfill(**page), times=1)
    tab.open("planted.html")


@pytest.mark.parametrize("probe", dict(PLANTED))
def test_probes_let_a_whole_page_pass(tab, probe):
    show(tab, "<h1>Whole</h1>")
    assert not probe(tab)


@pytest.mark.parametrize(("probe", "defect"), PLANTED)
def test_probes_see(tab, probe, defect):
    show(tab, defect)
    assert probe(tab)
