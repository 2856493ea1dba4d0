"""How fast the world tells and reads its stories, and what there is to learn in them.

Usage: python benchmarks/world.py [--level town] [--stories 10000] [--million]

Every number is of the first stories of one stream, on one core; times are seconds of
wall clock. With the default of 10,000 stories both levels take some minutes.
`--million` also draws a million stories of each level, in a process of its own, and
reports the peak memory. What the world reads in a corrupted story, and a sample of what
it refuses, is judged by the second reader of tests/world as well.
"""

import argparse
import math
import os
import platform
import random
import re
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from importlib.resources import files
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from llmbook.tokenizer import BPETokenizer
from llmbook.world import LEVELS, WORD, Reading, floor, load_world
from tests.world.slow import Slow
from tests.world.texts import SORTS, Skeletons, corrupt, words_of


def bar(things, what, total=None):
    """Show progress on a terminal, and nothing elsewhere."""
    return tqdm(things, what, total, leave=False, disable=None)


def row(what, value, note=""):
    value = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
    print(f"{what:44} {value:>12}   {note}")


def rates(world, n, seed):
    """Draw and score, and compare."""
    next(world.stories(1, seed))  # opening the grammar is another matter
    start = time.perf_counter()
    told = list(world.stories(n, seed))
    drawing = time.perf_counter() - start
    scores, start = [], time.perf_counter()
    for story in bar(told, "scoring"):
        scores.append(world.score(story.text))
    scoring = time.perf_counter() - start
    refused = sum(score is None for score in scores)
    pairs = [(t, s) for t, s in zip(told, scores, strict=True) if s is not None]
    row("stories drawn a second", n / drawing)
    row("stories scored a second", n / scoring, "with spans, kinds and facts")
    row("words scored a second", sum(len(s.spans) for _, s in pairs) / scoring)
    row("drawn stories that are not read back", refused)
    gap = max(abs(t.log_prob - s.log_prob) for t, s in pairs)
    wrong = sum(t.facts != s.facts for t, s in pairs)
    print(f"{'largest difference of log_prob':44} {gap:12.1e}")
    row("stories whose facts are read otherwise", wrong)
    alive = sorted(s.alive for _, s in pairs)
    row("most ways alive in a story, the median", alive[len(alive) // 2])
    row("most ways alive in any story", alive[-1])
    return pairs


def derivations(world, told):
    found = Counter()
    for story in bar(told, "derivations"):
        reading = Reading(story.text)
        ways = world.ways(reading)
        found[sum(reading.close(way.position, way.weight) for way in ways)] += 1
    note = "derivations: stories " + str(dict(sorted(found.items())))
    row("most derivations of one text", max(found), note)


def choices(grammar, contexts, rounds):
    """Search every choice for two ways that go on to one text."""
    start = time.perf_counter()
    thin = Slow(grammar, thin=True)
    most, total, finds = 0, 0, []
    for number in bar(range(rounds), "choices"):
        n, searched, found = thin.all_twins(contexts, seed=number)
        most, total, finds = max(most, n), total + searched, finds + found
    seconds = time.perf_counter() - start
    note = f"{total:,} times, with casts of a few a list, {seconds:.0f} s"
    row("choices searched for two ways to one text", most, note)
    row("two ways found", len(finds), "; ".join(finds[:3]))
    never = len(thin.untold())
    row(
        "options that were not met in this search",
        never,
        f"of {len(thin.told) + never:,}",
    )


def corruptions(world, slow, told, seed):
    print(f"\nCorrupted, {len(told):,} of each sort")
    vocabulary = sorted({w for s in told[:2000] for w in WORD.findall(s.text)})
    print(f"{'':10} {'refused':>9} {'unchanged':>10} {'possible':>9} {'misjudged':>10}")
    for sort in SORTS:
        dice, count = random.Random(f"{sort} {seed}"), Counter()
        for story in bar(told, sort):
            text = corrupt(story.text, sort, dice, vocabulary)
            score = world.score(text)
            kind = "unchanged" if text == story.text else "possible"
            count[kind if score else "refused"] += 1
            if score or count["refused"] % 100 == 0:
                known = [(p, facts) for _, p, facts in slow.tellings(text)]
                agree = bool(known) == bool(score)
                if score and agree:
                    ((p, facts),) = known
                    agree = abs(math.log(p) - score.log_prob) < 1e-9
                    agree &= facts == (score.facts.roles, score.facts.events)
                count["wrong"] += not agree
        numbers = [count[k] for k in ("refused", "unchanged", "possible", "wrong")]
        print("{:10} {:9,} {:10,} {:9,} {:10,}".format(sort, *numbers))


def language(world, told):
    print("\nWords and sentences")
    n, counts, within = len(told), Counter(), Counter()
    for story in told:
        words = words_of(story.text)
        counts.update(words)
        within.update(set(words))
    total = sum(counts.values())
    row("different words", len(counts), f"of {total:,}")
    for most in (1, 10, 100):
        rare = sum(times <= most for times in within.values())
        share = rare / len(counts)
        row(f"words in {most} of {n:,} stories or fewer", rare, f"{share:.1%} of them")
    common = sum(times for _, times in counts.most_common(100))
    row("share of the 100 commonest words, per cent", 100 * common / total)
    row("different texts", len({story.text for story in told}))
    skeletons = Skeletons(world).count(s.text for s in bar(told, "skeletons"))
    row("different sentence skeletons", len(skeletons))
    print("the most frequent skeletons, in per cent of the stories")
    for skeleton, times in skeletons.most_common(8):
        print(f"{100 * times / n:7.2f}  {skeleton[:78]}")


def knowledge(pairs):
    print("\nWhat the words need")
    n, words, nats = len(pairs), Counter(), Counter()
    for _, score in pairs:
        for span in score.spans:
            for kind in span.kinds or ("grammar",):
                words[kind] += 1
                nats[kind] -= span.log_prob
    print(f"{'kind':12} {'words a story':>14} {'nats a story':>13} {'nats a word':>12}")
    for kind, times in words.most_common():
        numbers = times / n, nats[kind] / n, nats[kind] / times
        print("{:12} {:14.2f} {:13.3f} {:12.3f}".format(kind, *numbers))


def distances(pairs):
    """From the first print of what a marked word names to the marked word."""
    far = defaultdict(list)
    wanted = ("copy", "agreement", "binding", "state", "belief", "count", "order")
    for story, score in pairs:
        spans = score.spans[:-1]
        words = [story.text[s.start : s.end].strip() for s in spans]
        first = {}
        for i, word in enumerate(words):
            first.setdefault(word.lower(), i)
        thing = re.findall(r"[\w'-]+", story.facts.roles.get("thing", "")) or [""]
        for i, span in enumerate(spans):
            came = first[words[i].lower()]
            for kind in span.kinds:
                if kind in wanted and came < i and words[i][0].isalpha():
                    far[kind].append(i - came)
                origin = first.get(thing[-1].lower())
                if kind == "cause" and origin is not None and origin < i:
                    far["cause"].append(i - origin)
    print("\nFrom a word's first print to its marked one, in words (a cause: from the")
    print("first print of the thing that the story is about)")
    print(
        f"{'kind':12} {'a story':>8} {'median':>8} {'nine in ten':>12} {'farthest':>9}"
    )
    for kind, values in sorted(far.items(), key=lambda pair: -len(pair[1])):
        values.sort()
        middle, high = statistics.median(values), values[len(values) * 9 // 10]
        numbers = len(values) / len(pairs), middle, high, values[-1]
        print("{:12} {:8.2f} {:8.0f} {:12} {:9}".format(kind, *numbers))


def sizes(told):
    print("\nSize and floor")
    lengths = [len(words_of(story.text)) for story in told]
    row("words a story", statistics.mean(lengths), f"{min(lengths)} to {max(lengths)}")
    tokenizer = BPETokenizer.train([story.text for story in told[:2000]], 1024)
    known = floor(bar(told, "tokens"), tokenizer)
    tokens = known.nats_per_story / known.nats_per_token
    row("tokens a story, with its end", tokens, "1,024 tokens, learned from 2,000")
    error = f"standard error {known.standard_error:.3f}: the entropy"
    row("nats a story", known.nats_per_story, error)
    row("nats a token", known.nats_per_token)
    row("bits a byte", known.bits_per_byte)
    plots = Counter(story.facts.roles.get("plot", "?") for story in told)
    shares = ", ".join(f"{p} {100 * k / len(told):.1f}" for p, k in plots.most_common())
    print(f"plots, in per cent: {shares}")


def peak():
    """Peak memory of this process, in megabytes."""
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def draw_many(level, n):
    world = load_world(level)
    for _ in world.stories(10_000):
        pass
    before, start = peak(), time.perf_counter()
    for _ in bar(world.stories(n), "drawing", n):
        pass
    seconds = time.perf_counter() - start
    grown = f"{peak() - before:.1f} MB more than after 10,000"
    row(f"peak memory of {n:,} stories, in MB", peak(), f"{grown}; {seconds:.0f} s")


def measure(level, given):
    print(f"\n{level.capitalize()}, {given.stories:,} stories of stream {given.seed}")
    start = time.perf_counter()
    grammar = files("llmbook").joinpath(f"data/{level}.txt").read_text("utf-8")
    world = load_world(level)
    seconds = time.perf_counter() - start
    row("lines of grammar", grammar.count("\n"), f"opened in {seconds:.2f} s")
    pairs = rates(world, given.stories, given.seed)
    told = [story for story, _ in pairs]
    derivations(world, told)
    if level == "nursery":
        choices(grammar, None, 1)  # all casts, so once is enough
    else:
        choices(grammar, 1, given.rounds)
    corruptions(world, Slow(grammar), told, given.seed)
    language(world, told)
    knowledge(pairs)
    distances(pairs)
    sizes(told)
    sys.stdout.flush()
    if given.million:
        command = [sys.executable, __file__, "--draw", level, "1000000"]
        subprocess.run(command, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--level", choices=LEVELS, help="one level instead of all")
    parser.add_argument("--stories", type=int, default=10_000, help="how many of each")
    parser.add_argument("--seed", type=int, default=2026, help="the stream")
    parser.add_argument("--rounds", type=int, default=5, help="searches of the town")
    parser.add_argument("--million", action="store_true", help="also the memory")
    parser.add_argument("--draw", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.draw:
        return draw_many(given.draw[0], int(given.draw[1]))
    if given.stories < 2:
        parser.error("--stories must be 2 or more")
    print(f"Python {platform.python_version()}, one of {os.cpu_count()} cores")
    for level in [given.level] if given.level else LEVELS:
        measure(level, given)


if __name__ == "__main__":
    main()
