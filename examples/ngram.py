"""A character n-gram model with interpolated Witten-Bell smoothing (1991), the baseline of the other examples.

The probability of a character after a context interpolates between its relative frequency there and its probability
after the context without its first character:

    p(c | context) = (count(context c) + kinds(context) p(c | shorter context)) / (count(context) + kinds(context))

count is how often, and kinds is how many distinct characters were seen after the context. Below the empty context is a
uniform distribution over the characters of the training text and one more symbol, whose probability all other
characters share.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict


class NGram:
    """An n-gram model of lines, each of which is enclosed by line feeds.

    Parameters
    ----------
    lines : list of str
        Training lines.
    order : int
        Maximum length of a context.
    """

    def __init__(self, lines: list[str], order: int) -> None:
        self.order = order
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        for line in lines:
            text = "\n" + line + "\n"
            for end in range(1, len(text)):
                for start in range(max(0, end - order), end + 1):
                    self.counts[text[start:end]][text[end]] += 1
        self.totals = {context: (counts.total(), len(counts)) for context, counts in self.counts.items()}
        self.characters = set(self.counts[""])

    def losses(self, line: str) -> list[float]:
        """Return -log p of every character and of the line feed after them."""
        text = "\n" + line + "\n"
        return [self._loss(text[max(0, end - self.order) : end], text[end]) for end in range(1, len(text))]

    def _loss(self, context: str, character: str) -> float:
        p = 1 / (len(self.characters) + 1)
        if character not in self.characters:
            p /= 0x110000 - len(self.characters)
        for start in range(len(context), -1, -1):
            total = self.totals.get(context[start:])
            if total is None:  # no longer context was seen either
                break
            count, kinds = total
            p = (self.counts[context[start:]][character] + kinds * p) / (count + kinds)
        return -math.log(p)
