"""The page on which the storyteller runs in the reader's browser.

While the book is built, `_build/generated/playground` gets what the page asks for: the
weights of the storyteller and of the model that peeks, as they were saved in float16,
the tokenizer, and held-out stories with the exact cost of each word. Nothing is trained
here: without the two models (`make storyteller`), the page says how to get them.

The directive `playground` puts in the page, or that advice, and behind it a still for
readers without scripts and for the PDF. The role `playground` links into the page at a
state, such as `story=2&layer=2&head=3`.
"""

import json
import shutil
from itertools import accumulate
from pathlib import Path
from unittest.mock import patch
from xml.sax.saxutils import quoteattr

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective, SphinxRole

from _ext.chapters import METADATA

PAGE = "chapters/appendix/playground"
STORYTELLER = Path("llmbook", "data", "storyteller", "model.safetensors")
PEEKER = Path("_build", "peeker", "model.safetensors")
SEED, N_STORIES = 5, 20  # of the stories: seeds 0 to 3 trained the models
WIDTH = 76  # letters on a line of the still
DRAWN = 5  # the story of the still
FLOOR, MODEL, LEAK, INK = "#57606a", "#a34a00", "#7a3fb0", "#16242b"
ADVICE = (
    "The storyteller was not trained where this page was built, so it cannot run here. "
    "To make it, say `make storyteller`, which takes about five minutes, and then "
    "`make book`."
)


def trained(root):
    """Whether both models are there."""
    return (root / STORYTELLER).exists() and (root / PEEKER).exists()


def told(n=N_STORIES, seed=SEED):
    """Draw stories of the nursery that the model has not read: (text, spans) each."""
    from llmbook.world import score, stories

    return [(each.text, score(each.text).spans) for each in stories(n, seed=seed)]


def count_tokens(text, spans, tokenizer):
    """How many tokens each word of a story has; the end is one."""
    lengths = (len(tokenizer.tokens[i]) for i in tokenizer.encode(text))
    ends, counts = list(accumulate(lengths)), []
    for span in spans[:-1]:
        n_bytes = len(text[: span.end].encode())
        counts.append(sum(end <= n_bytes for end in ends) - sum(counts))
    return [*counts, 1]


def describe(text, spans, tokenizer):
    """A story as the page wants it: [word, tokens, nats of the floor] for each word."""
    counts = count_tokens(text, spans, tokenizer)
    words = [
        [text[span.start : span.end], n, round(-span.log_prob, 6)]
        for span, n in zip(spans, counts, strict=True)
    ]
    return {"text": text, "words": words}


def write_data(root, folder):
    """Copy the models' files, and write the stories that fit into the context."""
    from llmbook.training import load_storyteller

    model, tokenizer = load_storyteller()
    longest = model.config.context_length - 1
    stories = [
        describe(text, spans, tokenizer)
        for text, spans in told()
        if len(tokenizer.encode(text)) <= longest
    ]
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(root / STORYTELLER, folder / "storyteller.safetensors")
    shutil.copyfile(root / PEEKER, folder / "peeker.safetensors")
    words = (root / STORYTELLER).with_name("tokenizer.json")
    shutil.copyfile(words, folder / "tokenizer.json")
    (folder / "stories.json").write_text(json.dumps(stories), "utf-8")


def read_still(root):
    """What each word of the still's story costs: {who reads it: [nats]}."""
    text, spans = told(DRAWN + 1)[DRAWN]
    costs = {"the floor": [-span.log_prob for span in spans]}
    if trained(root):
        from _tools.peeker import without_mask
        from llmbook.training import load_model, load_storyteller, read_stories

        (words,) = read_stories(*load_storyteller(), [text])
        costs["the storyteller"] = [word.loss for word in words]
        with patch("llmbook.attention.causal_attention", without_mask):
            (words,) = read_stories(*load_model((root / PEEKER).parent), [text])
        costs["trained on without its mask"] = [word.loss for word in words]
    return [text[s.start : s.end].strip() or "‹end›" for s in spans], costs


def set_lines(words, width=WIDTH):
    """Where each word stands, (column, line), if lines are so many letters wide."""
    places, column, line = [], 0, 0
    for word in words:
        room = max(len(word), 3) + 1
        if column + room > width:
            column, line = 0, line + 1
        places.append((column, line))
        column += room
    return places


def draw_still(words, costs, paths):
    """Draw each word with its costs as bars upon it."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    places, high, step = set_lines(words), 5, 8  # nats upon a line; from line to line
    n_lines = places[-1][1] + 1
    figure = Figure(figsize=(6.4, 0.085 * (step * n_lines + 3)))
    axes = figure.add_axes((0, 0, 1, 1))
    style = {"size": 6.4 * 72 / WIDTH / 0.61, "family": "DejaVu Sans Mono"}
    colors = dict(zip(costs, (FLOOR, MODEL, LEAK), strict=False))
    for place, word in enumerate(words):
        column, line = places[place]
        axes.text(column, -step * line - 1.8, word, color=INK, **style)
        for i, (name, nats) in enumerate(costs.items()):
            height, left = min(nats[place], high), column + 0.9 * i
            axes.bar(left, height, 0.8, -step * line, align="edge", color=colors[name])
    column = 0
    for name, color in colors.items():
        axes.text(column, high + 1, f"■ {name}", color=color, **style)
        column += len(name) + 5
    axes.set(xlim=(0, WIDTH), ylim=(-step * (n_lines - 1) - 3, high + 3))
    axes.set_axis_off()
    date = {".svg": "Date", ".pdf": "CreationDate"}
    with rc_context({"pdf.fonttype": 42, "svg.hashsalt": "still"}):
        for path in paths:
            figure.savefig(path, metadata={date[path.suffix]: None})


def still_in_words(words, costs):
    """The still for those who cannot see it."""
    sums = ", ".join(f"{name} {sum(nats):.1f}" for name, nats in costs.items())
    return (
        f"A story of {len(words) - 1} words, each with bars upon it that say how many "
        f"nats it costs. In all, {sums}."
    )


def generate(root, generated):
    """Write what the page needs, or take it away where there are no models."""
    folder = generated / "playground"
    shutil.rmtree(folder, ignore_errors=True)
    generated.mkdir(parents=True, exist_ok=True)
    if trained(root):
        write_data(root, folder)
    still = read_still(root)
    draw_still(*still, [generated / f"playground.{kind}" for kind in ("svg", "pdf")])
    return still_in_words(*still)


def on_config_inited(app, config):
    root = Path(app.srcdir)
    config.playground_still = generate(root, root / "_build" / "generated")


class Playground(SphinxDirective):
    """The page itself, and the still."""

    has_content = True

    def run(self):
        root = Path(self.env.srcdir)
        up = "../" * self.env.docname.count("/")
        found = []
        if trained(root):
            page = Path(__file__).with_name("playground.html")
            self.env.note_dependency(str(page))
            code = page.read_text("utf-8").replace("FOLDER", f"{up}_static/playground/")
            script = quoteattr(f"{up}_static/playground/page.mjs")
            code += f'<script type="module" src={script}></script>'
            found.append(nodes.raw("", code, format="html"))
        else:
            self.env.note_dependency(str(root / STORYTELLER))
            self.env.note_dependency(str(root / PEEKER))
            advice, _ = self.state.inline_text(ADVICE.replace("`", "``"), self.lineno)
            found.append(nodes.note("", nodes.paragraph("", "", *advice)))
        address = f"{self.config.html_baseurl}{PAGE}.html"
        paper = rf"In a browser, this page runs the model: \url{{{address}}}"
        found.append(nodes.raw("", paper, format="latex"))
        image = nodes.image(
            uri="/_build/generated/playground.*", alt=self.config.playground_still
        )
        caption = nodes.caption("", " ".join(self.content))
        still = nodes.figure("", image, caption, classes=["playground-still"])
        self.env.note_dependency(str(root / "_build" / "generated" / "playground.svg"))
        return [*found, still]


class PlaygroundLink(SphinxRole):
    """A link into the page at a state: {playground}`words <state>`."""

    def run(self):
        label, _, state = self.text.removesuffix(">").rpartition(" <")
        return [nodes.reference(self.rawtext, label, playground=state)], []


class PlaygroundAddresses(SphinxPostTransform):
    """Give the links their addresses: on the site, or, in the PDF, of the site."""

    default_priority = 20

    def run(self, **kwargs):
        for link in list(self.document.findall(nodes.reference)):
            if state := link.get("playground"):
                page = f"{self.config.html_baseurl}{PAGE}.html"
                if self.app.builder.format == "html":
                    here = self.env.docname
                    page = self.app.builder.get_relative_uri(here, PAGE)
                link["refuri"], link["internal"] = f"{page}#{state}", True


def setup(app):
    app.add_config_value("playground_still", "", "html")
    app.add_directive("playground", Playground)
    app.add_role("playground", PlaygroundLink())
    app.add_post_transform(PlaygroundAddresses)
    app.connect("config-inited", on_config_inited)
    return METADATA
