"""What is done to stories here: words changed, and sentences laid bare."""

import re
from collections import Counter

from llmbook.world import WORD

SORTS = ("changed", "dropped", "doubled", "swapped")
PRONOUNS = (
    "he she it they him her them his its their himself herself itself themselves a an"
)
PIECE = re.compile(r"[\w-]+|\s+|[^\w\s-]")
SENTENCE_END = re.compile(r'(?<=[.!?"])\s+(?=["A-Z0-9])|\n+')


def corrupt(text, sort, random, others):
    """A story with one word changed, dropped, doubled or swapped with the next."""
    words = WORD.findall(text)
    i = random.randrange(len(words) - (sort == "swapped"))
    if sort == "changed":
        words[i] = random.choice(others)
    elif sort == "dropped":
        words[i] = ""
    elif sort == "doubled":
        words[i] *= 2
    else:
        words[i : i + 2] = reversed(words[i : i + 2])
    return "".join(words)


class Skeletons:
    """Sentences with everything blanked that a list of the grammar names.

    So are pronouns, articles and numerals; a verb or a cry that comes with an animal
    stays. Longer names go first, for a ball of string is no ball.
    """

    def __init__(self, world):
        entities = [e for listed in world.grammar.lists.values() for e in listed]
        names = {e.word for e in entities} | {e.forms["s"] for e in entities}
        names |= set(PRONOUNS.split())
        self.longest = {}  # the first piece of a name -> its names, longest first
        for name in sorted(names, key=len, reverse=True):
            pieces = PIECE.findall(name.lower())
            self.longest.setdefault(pieces[0], []).append(pieces)

    def blank(self, sentence):
        """A sentence with its names and numbers blanked."""
        pieces, bare, i = PIECE.findall(sentence), [], 0
        small = [piece.lower() for piece in pieces]
        while i < len(pieces):
            for name in self.longest.get(small[i], ()):
                if small[i : i + len(name)] == name:
                    bare.append("_")
                    i += len(name)
                    break
            else:
                bare.append("_" if pieces[i].isdigit() else pieces[i])
                i += 1
        return "".join(bare)

    def of(self, text):
        """The skeletons of a story's sentences."""
        sentences = filter(str.strip, SENTENCE_END.split(text))
        return {self.blank(sentence) for sentence in sentences}

    def count(self, texts):
        """In how many of the texts each skeleton stands."""
        return Counter(skeleton for text in texts for skeleton in self.of(text))


def words_of(text):
    """The words of a text in small letters, for its vocabulary."""
    return re.findall(r"[a-z]+(?:['-][a-z]+)*", text.lower())
