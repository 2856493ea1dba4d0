"""Rows of tokens made by a plain loop, to compare the fast ones with."""


def windows(tokens, T, stride):
    """The windows over a row of tokens; targets guessed before are -100."""
    rows, guessed, start = [], 0, 0  # guessed: the place of the last token guessed
    while guessed < len(tokens) - 1:
        start = min(start, len(tokens) - 1 - T)
        inputs, targets = [], []
        for place in range(start, start + T):
            inputs.append(tokens[place])
            targets.append(tokens[place + 1] if place + 1 > guessed else -100)
        rows.append((inputs, targets))
        guessed = start + T
        start += stride
    return rows


def documents(tokens, T, stride, end):
    """The rows of whole documents; those longer than T in overlapping pieces."""
    rows, document = [], [end]
    for place, token in enumerate(tokens):
        document.append(token)
        if token == end or place == len(tokens) - 1:
            if len(document) - 1 <= T:
                rows.append((document[:-1], document[1:]))
            else:
                rows.extend(windows(document, T, stride))
            document = [end]
    return rows


def batch(rows, T, end):
    """Rows filled up to one width: a multiple of eight, or T if that is less."""
    longest = max(len(inputs) for inputs, _ in rows)
    width = longest
    while width % 8:
        width += 1
    width = min(width, T)
    return (
        [inputs + [end] * (width - len(inputs)) for inputs, _ in rows],
        [targets + [-100] * (width - len(targets)) for _, targets in rows],
    )
