"""The playground: the storyteller in a browser, beside the one in Python."""

import json
import math
import unicodedata
from unittest.mock import patch

import pytest
import torch
from playwright.sync_api import expect

from _ext.playground import PAGE, told
from _tools.peeker import FOLDER as PEEKER
from _tools.peeker import without_mask
from llmbook.generation import next_probs
from llmbook.training import excess, load_model, load_storyteller

from ..conftest import need
from .conftest import NARROW, SITE, WIDE, Tab

FILES = SITE / "_static" / "playground"
TEXTS = [told(4)[3][0], told(20)[16][0]]
PROMPTS = ["", "Willa had seven buns.", "zzz ¿? 42\n\n\tété 🐐", *TEXTS]
MASKS = ["on", "off", "peek"]

# What the page's own modules give, asked from within the page.
MODULE = """async ([name, ...given]) => {
    const folder = new URL("_static/playground/", SITE);
    const all = await import(new URL("model.mjs", folder));
    const file = (name) => fetch(new URL(name, folder));
    const tokenizer = new all.Tokenizer(await (await file("tokenizer.json")).json());
    const reading = async (mask, ids) => {
        const name = mask == "peek" ? "peeker" : "storyteller";
        const model = await all.Model.load(new URL(name + ".safetensors", folder));
        const empty = new all.Reading(model, mask == "on");
        return ids ? empty.read(ids) : empty;
    };
    const tasks = {
        encode: (texts) => texts.map(text => tokenizer.encode(text)),
        decode: (rows) => rows.map(ids => tokenizer.decode(ids)),
        async logits(mask, rows, depth) {
            const read = await reading(mask), found = [];
            for (const ids of rows) {
                await read.read(ids);
                found.push(ids.map((_, at) => [...read.logits(at, depth)]));
            }
            return found;
        },
        async looks(mask, ids) {
            const read = await reading(mask, ids), layers = [];
            for (let layer = 0; layer < 4; layer++) {
                const heads = [0, 1, 2, 3];
                layers.push(heads.map(head => ids.map((_, at) =>
                    [...read.attention(layer, head, at)])));
            }
            return layers;
        },
        async steps(ids) {
            const read = await reading("on");
            for (let n = 1; n <= ids.length; n++) await read.read(ids.slice(0, n));
            await read.read([...ids.slice(0, 3), 7]);
            await read.read(ids);
            return ids.map((_, at) => [...read.logits(at)]);
        },
        probs: (logits, knobs) => [...all.nextProbs(Float32Array.from(logits), knobs)],
        draws: (probs, places) => places.map(u => all.draw(probs, u)),
        uniform: (n) => Array.from({length: n}, (_, i) => all.uniform(i % 7, i)),
    };
    return tasks[name](...given);
}"""


@pytest.fixture(scope="module")
def tab(site, browser):
    """A tab in which the playground has started."""
    need((FILES / "storyteller.safetensors").exists(), "no storyteller in the site")
    tab = Tab(browser, site)
    start(tab)
    return tab


@pytest.fixture
def page(tab):
    start(tab)
    return tab.page


def start(tab, state=""):
    """Open the page at a state, anew."""
    tab.page.goto("about:blank")
    tab.open(f"{PAGE}.html{state}")
    tab.page.locator("#pg-root[data-ready]").wait_for()


@pytest.fixture(scope="module")
def ask(tab):
    """A function that asks the page's module."""
    script = MODULE.replace("SITE", json.dumps(f"{tab.site}/"))
    return lambda *given: tab.page.evaluate(script, list(given))


@pytest.fixture(scope="module")
def teller():
    return load_storyteller()


def rows_of(tokenizer, texts):
    end = tokenizer.special_tokens["<|endoftext|>"]
    return [[end, *tokenizer.encode(text)] for text in texts]


def read(model, ids, mask, depth=4):
    """Python's logits after each token, or those of its logit lens."""
    with torch.no_grad():
        if mask == "on":
            return logits(model, ids, depth)
        with patch("llmbook.attention.causal_attention", without_mask):
            return logits(model, ids, depth)


def logits(model, ids, depth):
    tokens = torch.tensor([ids])
    x = model.wte(tokens) + model.wpe.weight[: len(ids)]
    for block in model.h[:depth]:
        x = block(x)
    found = model.lm_head(model.ln_f(x))[0]
    if depth == len(model.h):
        torch.testing.assert_close(found, model(tokens)[0])
    return found


BAD = ("Cn", "Cs", "Co")  # not in every edition of Unicode, halves, private


def test_ids_are_pythons(ask, teller):
    """Prevents a page that shows other tokens than the model was trained on."""
    _, tokenizer = teller
    places = [*range(0x3400), *range(0x3400, 0x20000, 37)]
    signs = [chr(i) for i in places if unicodedata.category(chr(i)) not in BAD]
    mixed = [f"a{c}b {c}{c} 1{c}" for c in signs]
    lines = ["".join(mixed[i : i + 100]) for i in range(0, len(mixed), 100)]
    texts = [*PROMPTS, *(text for text, _ in told(50)), "<|endoftext|>", "don't we'll"]
    texts += ["a  b   c \n\n d\t\t\te ", *lines]
    found = ask("encode", texts)
    assert len(texts) > 150
    for text, ids in zip(texts, found, strict=True):
        assert ids == tokenizer.encode(text), f"{text!r:.60}"
    assert ask("decode", found) == texts


@pytest.mark.parametrize("mask", MASKS)
def test_logits_are_pythons(ask, teller, mask):
    """Prevents a forward pass that is another model's: every logit, within 0.001."""
    model, tokenizer = load_model(PEEKER) if mask == "peek" else teller
    rows = rows_of(tokenizer, PROMPTS)
    assert max(map(len, rows)) > 60
    for ids, found in zip(rows, ask("logits", mask, rows, 4), strict=True):
        wanted = read(model, ids, mask)
        assert (torch.tensor(found) - wanted).abs().max() < 1e-3


def test_a_full_context(ask, teller):
    model, _ = teller
    ids = [(31 * i) % 1024 for i in range(model.config.context_length)]
    (found,) = ask("logits", "on", [ids], 4)
    assert (torch.tensor(found) - read(model, ids, "on")).abs().max() < 1e-3


def test_the_lens_is_pythons(ask, teller):
    model, tokenizer = teller
    rows = rows_of(tokenizer, PROMPTS[1:2])
    for depth in range(5):
        (found,) = ask("logits", "on", rows, depth)
        wanted = read(model, rows[0], "on", depth)
        assert (torch.tensor(found) - wanted).abs().max() < 1e-3


@pytest.mark.parametrize("mask", ["on", "off"])
def test_attention_is_pythons(ask, teller, mask):
    model, tokenizer = teller
    (ids,) = rows_of(tokenizer, TEXTS[:1])
    looks = []

    def keep(q, k, v, dropout=0.0):
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        if mask == "on":
            ahead = torch.ones_like(scores, dtype=torch.bool).triu(1)
            scores = scores.masked_fill(ahead, -math.inf)
        looks.append(scores.softmax(-1)[0])
        return scores.softmax(-1) @ v

    with torch.no_grad(), patch("llmbook.attention.causal_attention", keep):
        model(torch.tensor([ids]))
    found = torch.tensor(ask("looks", mask, ids))  # (L, H, T, T)
    assert (found - torch.stack(looks)).abs().max() < 1e-3


def test_the_cache_changes_nothing(ask, teller):
    model, tokenizer = teller
    (ids,) = rows_of(tokenizer, TEXTS[:1])
    found = torch.tensor(ask("steps", ids))
    assert (found - read(model, ids, "on")).abs().max() < 1e-3


KNOBS = [
    {},
    {"temperature": 0.0},
    {"temperature": 0.5, "top_k": 5},
    {"temperature": 2.0, "top_p": 0.9},
    {"top_k": 50, "top_p": 0.5},
    {"top_p": 0.05},
]


@pytest.mark.parametrize("knobs", KNOBS, ids=str)
def test_knobs_are_pythons(ask, teller, knobs):
    model, tokenizer = teller
    names = {"top_k": "topK", "top_p": "topP"}
    given = {names.get(name, name): value for name, value in knobs.items()}
    ties = torch.tensor([1.0, 2.0, 2.0, 0.0, 2.0, 1.0])
    (ids,) = rows_of(tokenizer, PROMPTS[1:2])
    for scores in (read(model, ids, "on")[-1], ties):
        wanted = next_probs(scores[None], **knobs)[0]
        found = torch.tensor(ask("probs", scores.tolist(), given), dtype=torch.double)
        assert (found - wanted).abs().max() < 1e-9
        assert torch.equal(found > 0, wanted > 0)


def test_draws_follow_the_chances(ask):
    probs = [0.2, 0.0, 0.5, 0.3]
    assert ask("draws", probs, [0, 0.19, 0.2, 0.69, 0.71, 0.9999]) == [0, 0, 2, 2, 3, 3]
    numbers = torch.tensor(ask("uniform", 7000))
    assert numbers.min() >= 0 and numbers.max() < 1
    for seed in range(7):  # each seed's numbers fill ten boxes about evenly
        counts = torch.histc(numbers[seed::7], 10, 0, 1)
        assert (counts - 100).abs().max() < 50


# ---- The page -----------------------------------------------------------------------


def tokens(page):
    return page.locator("#pg-tokens label").all_inner_texts()


def test_first_token_comes_within_a_second(page):
    took = page.evaluate(
        """() => {
        const files = performance.getEntriesByType("resource");
        const weights = files.find(each => /storyteller.s/.test(each.name));
        const [mark] = performance.getEntriesByName("playground: first token");
        return mark.startTime - weights.responseEnd;
    }"""
    )
    assert 0 < took < 1000


def test_weights_are_small():
    assert sum(each.stat().st_size for each in FILES.glob("*.safetensors")) < 4e6
    assert sum(each.stat().st_size for each in FILES.iterdir()) < 6e6


def test_a_link_leads_to_its_state(tab):
    state = "#text=Willa+had+six&layer=3&head=4&temperature=0.5&top_k=5&top_p=0.9&at=2"
    start(tab, f"{state}&mask=off")
    page = tab.page
    assert page.locator("#pg-text").input_value() == "Willa had six"
    assert page.locator("[name=pg-head]:checked").input_value() == "3,4"
    assert page.locator("[name=pg-mask]:checked").input_value() == "off"
    assert page.locator("[name=pg-at]:checked").input_value() == "2"
    outputs = page.locator(".pg-knobs output").all_inner_texts()
    assert outputs == ["0.50", "5", "0.90"]
    kept = [
        each for each in page.locator("#pg-next li").all_inner_texts() if "%" in each
    ]
    assert 1 <= len(kept) <= 5
    assert "layer 3, head 4" in page.locator("#pg-look").inner_text()
    assert not tab.problems


def test_a_wrong_address_is_harmless(tab):
    start(tab, "#layer=99&head=x&mask=no&temperature=-1&story=77&at=500&top_k=0")
    assert tab.page.locator("[name=pg-head]:checked").input_value() == "2,1"
    assert not tab.problems


def test_writing_by_keyboard(page, tab):
    field = page.locator("#pg-text")
    field.fill("Willa had seven")
    page.wait_for_function("document.querySelectorAll('#pg-tokens label').length == 5")
    assert "".join(tokens(page)).startswith("‹start›Willa·had·seven")
    page.locator("#pg-step").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('#pg-tokens label').length == 6")
    written = field.input_value()
    expect(page.locator("#pg-status")).to_contain_text("It drew")
    assert written.startswith("Willa had seven ") and written in unquoted(page)
    page.locator("#pg-back").focus()
    page.keyboard.press("Enter")
    expect(field).to_have_value("Willa had seven")
    page.locator("#pg-step").press("Enter")
    expect(field).to_have_value(written)  # the same place draws the same
    page.locator("[name=pg-at]:checked").press("ArrowLeft")
    assert page.locator("[name=pg-at]:checked").input_value() == "4"
    expect(page.locator("#pg-next small", has_text="stands here")).to_have_count(1)
    heads = [each.input_value() for each in page.locator("[name=pg-head]").all()]
    head = page.locator("[name=pg-head]:checked")
    after = heads[(heads.index(head.input_value()) + 1) % len(heads)]  # around the end
    head.press("ArrowRight")
    assert head.input_value() == after
    page.locator("#pg-temperature").press("Home")
    assert "1 of 1024 tokens" in page.locator("#pg-kept").inner_text()
    page.locator("#pg-next button").first.press("Enter")
    page.wait_for_function("document.querySelectorAll('#pg-tokens label').length == 6")
    assert not tab.problems


def unquoted(page):
    return page.evaluate("new URLSearchParams(location.hash.slice(1)).get('text')")


def test_it_writes_on_until_the_story_ends(page):
    page.locator("#pg-text").fill("Willa had seven buns.")
    page.locator("#pg-run").click()
    expect(page.locator("#pg-run")).to_have_text("Stop")
    ended = page.locator("#pg-status", has_text="the story is over")
    full = page.locator("#pg-status", has_text="context is full")
    ended.or_(full).wait_for(timeout=60_000)
    expect(page.locator("#pg-run")).to_have_text("Write on")
    assert len(page.locator("#pg-text").input_value()) > 60


def test_without_its_mask_it_falls_below_the_floor(page, teller):
    """Prevents a demonstration that does not demonstrate."""
    page.locator("#pg-all").click()
    page.locator("#pg-status", has_text="All 20 stories are read").wait_for(
        timeout=120_000
    )
    rows = [
        row.split("\t") for row in page.locator("#pg-means tbody tr").all_inner_texts()
    ]
    floor, on, off, peek = (float(row[1]) for row in rows)
    assert peek < 0.9 * floor < floor < on < 1.2 * floor < 5 * floor < off
    texts = [text for text, _ in told()]
    found = excess(*teller, texts)
    assert abs(found.loss - on) < 1e-3 and abs(found.floor - floor) < 1e-3
    page.locator("#pg-story").select_option("6")
    page.locator("[name=pg-mask][value=peek]").check()
    expect(page.locator("#pg-sum")).to_contain_text("below the floor")
    expect(page.locator("#pg-status")).to_contain_text("below the floor")
    assert page.locator("#pg-words > span").count() == len(told()[5][1])


def test_the_still_is_there_without_scripts(browser, site):
    for viewport in (WIDE, NARROW):
        page = browser.new_page(java_script_enabled=False, viewport=viewport)
        page.goto(f"{site}/{PAGE}.html")
        still = page.locator(".playground-still img")
        assert still.is_visible() and still.get_attribute("alt")
        assert not page.locator("#pg-root").is_visible()
        assert "scripts are off" in page.locator("#pg-wait").inner_text()
        page.close()
