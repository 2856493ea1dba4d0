"""Which characters a regular-expression engine takes for letters, numbers and space.

`regex`, tiktoken and tokenizers follow different editions of Unicode. Parity holds for
texts of the characters that two engines class alike; the others are found here, by
asking the engines themselves.
"""

import functools

import regex
import tiktoken
import tokenizers

CLASSES = (r"\p{L}", r"\p{N}", r"\s")
EVERY = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))


def by_regex(name):
    return set(regex.findall(name, EVERY))


def by_tiktoken(name):
    ranks = {bytes([i]): i for i in range(256)}
    peer = tiktoken.Encoding(
        "c", pat_str=name, mergeable_ranks=ranks, special_tokens={}
    )
    return set(peer.decode(peer.encode_ordinary(EVERY)))


def by_tokenizers(name):
    keep = tokenizers.pre_tokenizers.Split(
        tokenizers.Regex(name), "removed", invert=True
    )
    return {piece for piece, _ in keep.pre_tokenize_str(EVERY)}


@functools.cache
def disputed(engine):
    """The characters that an engine classes otherwise than `regex` does."""
    return frozenset().union(*(engine(name) ^ by_regex(name) for name in CLASSES))
