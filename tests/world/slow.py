"""A second reader of the notation, written apart from llmbook.world: short and slow.

It knows the notation from the comments in nursery.txt. Probabilities are fractions and
every story is a list of moves, so what it says of a text does not rest on `World`: it
is the authority that these tests ask. It does not look for mistakes in a grammar, and
it knows nothing of kinds.
"""

import random
import re
from collections import Counter
from fractions import Fraction

PRONOUNS = {
    "he": "he him his himself",
    "she": "she her her herself",
    "it": "it it its itself",
    "they": "they them their themselves",
}
END = (0, ())  # the state of a story that is over


class Thing:
    """An entity: its word, its weight, its traits and its family."""

    def __init__(self, word, weight=1, traits=(), family=None):
        self.word, self.weight, self.traits = word, weight, dict(traits)
        self.family = family or word

    def form(self, name):
        plain = name[:1].lower() + name[1:]
        pronouns = PRONOUNS[self.traits.get("they", "it")].split()
        if plain in ("", "^"):
            text = self.word
        elif plain == "the":
            text = "the " + self.word
        elif plain == "a":
            article = "an" if self.word[0] in "aeiou" else "a"
            text = self.traits.get("a", article) + " " + self.word
        elif plain in ("they", "them", "their", "themself"):
            text = pronouns[("they", "them", "their", "themself").index(plain)]
        else:
            text = ({"s": self.word + "s"} | self.traits)[plain]
        return text if name == plain and name != "^" else text[:1].upper() + text[1:]

    @property
    def number(self):
        return int(self.traits.get("value", 0))


def cut(text, sign=None):
    """Cut a text at a sign outside of brackets, or around its outermost brackets."""
    parts, depth, asked = [""], 0, False
    for c in text:
        if c == sign and not depth:
            parts.append("")
            continue
        asked = c != "]" and (asked or c == "[")  # in a condition, < and > compare
        opens, closes = c in "{<" and not asked, c in "}>" and not asked
        if sign is None and opens and not depth:
            parts.append("")
        parts[-1] += c
        depth += opens - closes
        if sign is None and closes and not depth:
            parts.append("")
    return parts


def unmarked(text):
    """A text without the kinds of knowledge at its end."""
    return re.sub(r"( *#\w+)+$", "", text)


class Slow:
    """A grammar, read into moves; a story is told by making all its moves in order."""

    def __init__(self, text, thin=False):
        self.lists, self.cast, self.rules = {}, {}, {}
        self.things, self.picks, self.cells, self.ids = [], [], [None], {}
        self.told = set()  # the options that were ever possible: (choice, option)
        self.sections = sections = {}
        indent, entries = 0, None
        for line in text.splitlines():
            if line.strip() and line[0] not in " #":
                entries, indent = sections.setdefault(line.strip()[:-1], []), 0
            elif line.strip() and line[0] == " ":
                depth = len(line) - len(line.lstrip())
                indent = indent or depth
                line = line.strip()
                if depth > indent:
                    glue = "" if re.match(r"\{(\+|\w+ *:=)", line) else " "
                    entries[-1] += glue + line
                else:
                    entries.append(line)
        lists = {
            heading[5:]: [thing for entry in entries for thing in self.read(entry)]
            for heading, entries in sections.items()
            if heading.startswith("list ")
        }
        for name, things in (few_of(lists) if thin else lists).items():
            self.lists[name] = [self.add(thing) for thing in things]
        for entry in sections.get("cast", []):
            role, *clauses = re.split(r"[:,] *", entry)
            self.cast[role] = (clauses[0], clauses[1:])
        self.rivals = {role: set() for role in self.cast}
        for role, (_, clauses) in self.cast.items():
            for clause in clauses:
                for rival in clause.split()[1:] if clause.startswith("not ") else ():
                    self.rivals[role].add(rival)
                    self.rivals[rival].add(role)
        names = [h for h in sections if h != "cast" and not h.startswith("list ")]
        for name in names:
            self.rules[name] = len(self.picks)
            self.picks.append(None)
        for name in names:
            options = tuple(self.option(entry) for entry in sections[name])
            self.picks[self.rules[name]] = options
        self.moves, self.mentions, self.out = {}, {0: frozenset()}, {}
        self.touched = {}  # choice -> the roles on which it can depend

    def add(self, thing):
        self.things.append(thing)
        return len(self.things) - 1

    def read(self, entry):
        """Read a line of a list."""
        weight = re.match(r"\((\d+)\) ", entry)
        entry = entry[weight.end() if weight else 0 :]
        words, traits = re.fullmatch(r"(.*?)(?:  +(\w+=.*))?", entry).groups(default="")
        traits = [trait.replace("_", " ").split("=") for trait in traits.split()]
        weight = int(weight[1]) if weight else 1
        if " + " not in words:
            return [Thing(words, weight, traits)]
        a, b = words.split(" + ")
        return [Thing(x + y, weight, traits, x) for x in a.split() for y in b.split()]

    def option(self, text):
        """Read an option into weight, condition and text."""
        weight = re.match(r"\((\d+)\) ?", text)
        text = text[weight.end() if weight else 0 :]
        condition = re.match(r"\[(.*?)( *#.*?)?\] ?", text)
        text = text[condition.end() if condition else 0 :]
        return int(weight[1]) if weight else 1, condition and condition[1], text

    def compiled(self, text):
        """Read a text into moves."""
        if text not in self.moves:
            moves = []
            for part in filter(None, cut(text)):
                inside = part[1:-1]
                if part[0] == "<":
                    options = cut(inside, "|")
                    if len(options) == 1:
                        options = [(1, None, unmarked(inside))]
                    else:
                        options = [self.option(option) for option in options]
                    self.picks.append(tuple(options))
                    moves.append(("pick", len(self.picks) - 1))
                elif part[0] == "{":
                    moves.extend(self.slot(unmarked(inside)))
                else:
                    moves.append(("say", part.replace("\\n", "\n")))
            self.moves[text] = moves
        return self.moves[text]

    def slot(self, text):
        if text[0] == "+":
            return [("event", text[1:])]
        if ":=" in text:
            return [("set", *re.split(" *:= *", text))]
        if text in self.rules:
            return [("pick", self.rules[text])]
        form, role = re.fullmatch(r"(?:(.*) )?(\^?\w+)", text).groups(default="")
        form, role = form + "^" * (role[0] == "^"), role.lstrip("^")
        if form.lstrip("^") in self.cast:
            number = form.lstrip("^")
            said = ("role", number, "^" * (form[0] == "^"))
            return [said, ("say", " "), ("many", role, number)]
        return [("role", role, form)]

    def chain(self, moves, rest):
        """Put moves in front of others; equal chains have equal numbers."""
        for move in reversed(moves):
            if (move, rest) not in self.ids:
                self.ids[move, rest] = len(self.cells)
                self.cells.append((move, rest))
            rest = self.ids[move, rest]
        return rest

    def read_value(self, text, roles):
        """What a side of a condition is: a word, or a number."""
        if text[0] == "'":
            return text[1:-1]
        role, _, trait = text.partition(".")
        if text.isdigit() or role not in roles:
            return int(text) if text.isdigit() else ""
        thing = self.things[roles[role]]
        return thing.traits.get(trait, "") if trait else thing.word

    def amount(self, text, roles):
        return int(text) if text.isdigit() else self.things[roles[text]].number

    def holds(self, condition, roles):
        for clause in (condition or "").split(" and ") if condition else ():
            words = clause.split(" ", 2)
            if len(words) < 3:
                truth = (words[-1] in roles) is (words[0] != "not")
            elif words[1] in "<>" or words[0].isdigit() or words[2].isdigit():
                a, b = self.amount(words[0], roles), self.amount(words[2], roles)
                truth = {"<": a < b, ">": a > b, "=": a == b, "!=": a != b}[words[1]]
            else:
                a, b = (self.read_value(w, roles) for w in words[::2])
                truth = (a == b) is (words[1] == "=")
            if not truth:
                return False
        return True

    def assigned(self, text, roles):
        """Who or what is given to a role."""
        if text[0] == "'":
            word = text[1:-1]
            words = {thing.word: i for i, thing in enumerate(self.things)}
            return words[word] if word in words else self.add(Thing(word))
        if " " in text:
            a, sign, b = text.split()
            a, b = self.amount(a, roles), self.amount(b, roles)
            total = a + b if sign == "+" else a - b
            return next(
                i for i in self.lists["number"] if self.things[i].number == total
            )
        return roles[text]

    def candidates(self, role, roles):
        """All who can play a role, each with its probability."""
        kind, clauses = self.cast[role]
        taken = {self.things[roles[r]].family for r in self.rivals[role] if r in roles}
        fit = []
        for i in self.lists.get(kind, []):
            for clause in clauses:
                if not clause.startswith("not "):
                    trait, sign, value = clause.split(" ", 2)
                    has = self.things[i].traits.get(trait, "")
                    if (has == self.read_value(value, roles)) is not (sign == "="):
                        break
            else:
                if self.things[i].family not in taken:
                    fit.append(i)
        total = sum(self.things[i].weight for i in fit)
        return [(i, Fraction(self.things[i].weight, total)) for i in fit]

    def said(self, move, roles):
        """What a move prints once everybody in it is cast."""
        thing = self.things[roles[move[1]]]
        if move[0] == "many":
            one = self.things[roles[move[2]]].number == 1
            return thing.word if one else thing.form("s")
        return thing.form(move[2])

    def on(self, cell, roles):
        """Go on up to the next choice: what is said, the rest, roles, events."""
        text, events = "", ()
        while cell:
            move, rest = self.cells[cell]
            if move[0] == "say":
                text += move[1]
            elif move[0] in ("role", "many") and move[1] in roles:
                text += self.said(move, roles)
            elif move[0] == "set":
                roles = {**roles, move[1]: self.assigned(move[2], roles)}
            elif move[0] == "event":
                verb, *who = move[1].split()
                who = [self.things[roles[w]].word if w in roles else w for w in who]
                events += ((verb, *who),)
            else:
                break
            cell = rest
        return text, cell, roles, events

    def choices(self, cell, roles):
        """Each way that the next choice allows: probability, the rest, the roles."""
        move, rest = self.cells[cell]
        if move[0] == "pick":
            fit = [o for o in self.picks[move[1]] if self.holds(o[1], roles)]
            total = sum(weight for weight, _, _ in fit)
            for option in fit:
                weight, _, text = option
                self.told.add((move[1], option))
                yield Fraction(weight, total), self.chain(self.compiled(text), rest), {}
        else:
            for i, p in self.candidates(move[1], roles):
                yield p, cell, {move[1]: i}

    def tellings(self, target=None):
        """Every telling, or every telling of a text: text, probability, facts."""
        stack = [(self.chain([("pick", self.rules["story"])], 0), {}, (), "", 1)]
        while stack:
            cell, roles, events, text, p = stack.pop()
            more, cell, roles, new = self.on(cell, roles)
            text, events = text + more, events + new
            if target is not None and not target.startswith(text):
                continue
            if cell:
                for q, rest, cast in self.choices(cell, roles):
                    stack.append((rest, {**roles, **cast}, events, text, p * q))
            elif target in (None, text):
                words = {role: self.things[i].word for role, i in roles.items()}
                yield text, p, (words, events)

    # Below: the search for two tellings of one text.

    def touches(self, move):
        """The roles on which a move's text, or what it leads to, can depend."""
        if move[0] == "pick":
            found = self.touched.setdefault(move[1], set())
            if not found:
                for _, condition, text in self.picks[move[1]]:
                    found |= {w.split(".")[0] for w in (condition or "").split()}
                    for inner in self.compiled(text):
                        found |= self.touches(inner)
            return found
        if move[0] == "set":
            return set(move[2].split()) | {move[1]}
        if move[0] in ("role", "many"):
            found = {*move[1:2], *(move[2:] if move[0] == "many" else ())}
            found |= self.rivals[move[1]]
            for clause in self.cast[move[1]][1]:
                found |= {w.split(".")[0] for w in clause.split()}
            return found
        return set()

    def untold(self):
        """The options that were never possible so far."""
        self.touches(("pick", self.rules["story"]))  # reads all that can be reached
        every = {(i, option) for i in self.touched for option in self.picks[i]}
        return sorted(option[2] for _, option in every - self.told)

    def live(self, cell):
        """The roles on which the rest of a story can depend."""
        if cell not in self.mentions:
            move, rest = self.cells[cell]
            found = self.touches(move) & set(self.cast)
            self.mentions[cell] = self.live(rest) | found
        return self.mentions[cell]

    def settle(self, cell, roles):
        """Go on up to the next choice; forget what no longer matters."""
        text, cell, roles, _ = self.on(cell, roles)
        live = self.live(cell)
        return text, (
            cell,
            tuple(sorted((r, i) for r, i in roles.items() if r in live)),
        )

    def start(self):
        return self.settle(self.chain([("pick", self.rules["story"])], 0), {})

    def expand(self, state):
        """What each way of a choice says, and the state that it leads to."""
        if state not in self.out:
            cell, roles = state[0], dict(state[1])
            ways = self.choices(cell, roles) if cell else ()
            self.out[state] = sorted(
                self.settle(rest, {**roles, **cast}) for _, rest, cast in ways
            )
        return self.out[state]

    def twins(self, state, seen):
        """Find a text that two ways out of one choice can both go on to, if any."""
        ways = self.expand(state)
        stack = []
        for i, (text, one) in enumerate(ways):
            for longer, other in ways[i + 1 :]:  # sorted, so these come next
                if not longer.startswith(text):
                    break
                stack.append((other, one, longer[len(text) :], longer))
        while stack:
            ahead, behind, over, text = stack.pop()
            if ahead == behind and not over:
                return text + ("" if ahead == END else " ...")
            if behind == END and not over:
                ahead, behind = behind, ahead
            key = (ahead, behind, over)
            if key in seen:
                continue
            seen.add(key)
            for more, state in self.expand(behind):
                if over.startswith(more):
                    stack.append((ahead, state, over[len(more) :], text))
                elif more.startswith(over):
                    more = more[len(over) :]
                    stack.append((state, ahead, more, text + more))
        return None

    def all_twins(self, contexts=None, seed=0):
        """Search the choices: how many were met, how many searched, and what was found.

        A choice is searched once for every cast that matters to the rest of the story,
        or for so many of them, taken at random: then those that only other casts lead
        to are not met, and `untold` tells how much that is.
        """
        shuffle = random.Random(seed)
        text, state = self.start()
        told, stack, seen, found, times = {state: text}, [state], set(), [], Counter()
        while stack:
            i = shuffle.randrange(len(stack))
            stack[i], stack[-1] = stack[-1], stack[i]
            state = stack.pop()
            if contexts and times[state[0]] >= contexts:
                continue
            times[state[0]] += 1
            twin = self.twins(state, seen)
            if twin is not None:
                found.append(told[state] + twin)
            for more, after in self.expand(state):
                if after not in told:
                    told[after] = told[state] + more
                    stack.append(after)
        return len(times), sum(times.values()), found


def few_of(lists):
    """A few of each list that stand for all.

    Kept are one of every combination of traits (two where there are only a few), of
    different families as far as there are; every number; every word with which another
    word begins, and that other word; and in each list one word that is there twice.
    """
    words = {thing.word for things in lists.values() for thing in things}
    alike = {(a, b) for a in words for b in words if a != b and b.startswith(a)}
    alike = {word for pair in alike for word in pair}
    thin = {}
    for name, things in lists.items():
        sorts, families = {}, set()
        for thing in things:
            traits = {k: v for k, v in thing.traits.items() if k not in ("s", "a")}
            sorts.setdefault(tuple(sorted(traits.items())), []).append(thing)
        often = Counter(thing.word for thing in things).most_common(1)
        keep = alike | {word for word, times in often if times > 1}
        thin[name] = kept = [thing for thing in things if thing.word in keep]
        for sort in sorts.values():
            new = [thing for thing in sort if thing.family not in families] or sort
            chosen, seen = [], set()
            for thing in new:
                if thing.family not in seen and len(chosen) <= (len(sorts) < 4):
                    chosen.append(thing)
                    seen.add(thing.family)
            families |= seen
            kept += [thing for thing in chosen if thing not in kept]
    return thin
