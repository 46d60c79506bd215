"""How likely characters were: their own log-probabilities and the likeliest ones, as the model has them.

They are those of the model itself, whatever temperature a text is drawn with.

n  characters    k  likeliest ones kept for each    K  size of the alphabet
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.inference.logprobs import likeliest
from elman.network.output import log_softmax
from elman.network.parameters import Array


class Rows(NamedTuple):
    """One row for each of n characters."""

    own: Array
    """log p of the character (n,); not a number where nothing came before it."""
    best: NDArray[np.intp]
    """The likeliest characters (n, k), the likeliest first."""
    values: Array
    """log p of those, (n, k)."""

    def part(self, first: int, last: int) -> Rows:
        """Return the rows of some of the characters."""
        return Rows(self.own[first:last], self.best[first:last], self.values[first:last])


def rows(o: Array, characters: NDArray[np.integer], k: int) -> Rows:
    """Return the rows of `characters` (n,) that were predicted by the logits o (n, K)."""
    log_p = log_softmax(o.astype(np.float64))
    best, values = likeliest(log_p, k)
    return Rows(np.take_along_axis(log_p, characters[:, None].astype(np.intp), 1)[:, 0], best, values)


def unknown(n: int, k: int) -> Rows:
    """Return the rows of n characters that nothing came before."""
    return Rows(np.full(n, np.nan), np.zeros((n, k), np.intp), np.zeros((n, k)))


def joined(parts: list[Rows]) -> Rows:
    """Return the rows of several pieces, one behind the other."""
    own, best, values = zip(*parts, strict=True)
    return Rows(np.concatenate(own), np.concatenate(best), np.concatenate(values))
