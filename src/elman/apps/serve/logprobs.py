"""Log-probabilities, the model's own, whatever temperature and filters a text is sampled with.

n  characters    k  most likely characters listed at each position    K  size of the alphabet
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.model import top_k
from elman.network import Array, log_softmax


class CharLogprobs(NamedTuple):
    """Log-probabilities at the positions of n characters."""

    logprobs: Array
    """log p of each character, shape (n,); NaN for a character that nothing precedes."""
    top: NDArray[np.intp]
    """The k most likely characters, shape (n, k), in descending order."""
    top_logprobs: Array
    """log p of those, shape (n, k)."""

    def slice(self, start: int, stop: int) -> CharLogprobs:
        """Return the log-probabilities of a range of the characters."""
        return CharLogprobs(self.logprobs[start:stop], self.top[start:stop], self.top_logprobs[start:stop])


def compute_logprobs(o: Array, characters: NDArray[np.integer], k: int) -> CharLogprobs:
    """Return the log-probabilities of `characters` (n,) under the logits o (n, K) that predict them."""
    log_p = log_softmax(o.astype(np.float64))
    return CharLogprobs(log_p[np.arange(len(characters)), characters], *top_k(log_p, k))


def missing_logprobs(n: int, k: int) -> CharLogprobs:
    """Return placeholders for n characters that nothing precedes."""
    return CharLogprobs(np.full(n, np.nan), np.zeros((n, k), np.intp), np.zeros((n, k)))


def concatenate_logprobs(parts: list[CharLogprobs]) -> CharLogprobs:
    """Concatenate the log-probabilities of consecutive chunks of a text."""
    return CharLogprobs(*map(np.concatenate, zip(*parts, strict=True)))
