"""Log-probabilities of characters: the most likely ones at each position, and those of a given text.

All are the model's own, whatever temperature and filters a text is sampled with.

n  characters    k  most likely characters listed at each position    K  size of the alphabet
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.network.output import log_softmax
from elman.network.parameters import Array


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
    top, top_logprobs = top_k(log_p, k)
    return CharLogprobs(np.take_along_axis(log_p, characters[:, None].astype(np.intp), 1)[:, 0], top, top_logprobs)


def missing_logprobs(n: int, k: int) -> CharLogprobs:
    """Return placeholders for n characters that nothing precedes."""
    return CharLogprobs(np.full(n, np.nan), np.zeros((n, k), np.intp), np.zeros((n, k)))


def concatenate_logprobs(parts: list[CharLogprobs]) -> CharLogprobs:
    """Concatenate the log-probabilities of consecutive chunks of a text."""
    logprobs, top, top_logprobs = zip(*parts, strict=True)
    return CharLogprobs(np.concatenate(logprobs), np.concatenate(top), np.concatenate(top_logprobs))


def top_k(log_p: Array, k: int) -> tuple[NDArray[np.intp], Array]:
    """Return the k most likely characters at every position, and their log-probabilities.

    Parameters
    ----------
    log_p : ndarray, shape (n, K)
    k : int
        If k exceeds K, all K are returned.

    Returns
    -------
    characters : ndarray of int, shape (n, min(k, K))
        In descending order of probability.
    values : ndarray, shape (n, min(k, K))
    """
    best = np.argpartition(-log_p, min(k, log_p.shape[-1] - 1), axis=-1)[:, :k]
    order = np.argsort(-np.take_along_axis(log_p, best, -1), axis=-1, kind="stable")
    best = np.take_along_axis(best, order, -1)
    return best, np.take_along_axis(log_p, best, -1)
