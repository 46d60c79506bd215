"""A character n-gram model with interpolated Witten-Bell smoothing (1991): the yardstick of the examples beside it.

The probability of a character behind a context is that of the same character behind the context without its first
character, mixed with what was counted:

    p(c | context) = (count(context c) + kinds(context) p(c | shorter context)) / (count(context) + kinds(context))

count is how often, and kinds how many different characters were seen behind the context. Behind no context the
shorter one is: all characters of the training text alike, and one more for all others, which share it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict


class NGram:
    """Learns from lines, scores lines; every line stands alone between two line feeds.

    Parameters
    ----------
    lines : list of str
    order : int
        Characters that one is predicted from, at most.
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
        """Return -log p of every character and of the line feed behind them."""
        text = "\n" + line + "\n"
        return [self._loss(text[max(0, end - self.order) : end], text[end]) for end in range(1, len(text))]

    def _loss(self, context: str, character: str) -> float:
        p = 1 / (len(self.characters) + 1)
        if character not in self.characters:
            p /= 0x110000 - len(self.characters)
        for start in range(len(context), -1, -1):
            found = self.totals.get(context[start:])
            if found is None:  # nor was any longer one
                break
            count, kinds = found
            p = (self.counts[context[start:]][character] + kinds * p) / (count + kinds)
        return -math.log(p)
