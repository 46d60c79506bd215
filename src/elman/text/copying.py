"""Copying: how much of a text occurs word for word in another, such as the training text of the model that wrote it.

M  characters of the text    x_j  code points    n  length of a run of consecutive characters    b  an odd number

Runs are compared by a polynomial hash modulo 2^64, which prefix sums give for all runs of one length at once:

::

    (1)  P_i = sum_{j < i} x_j b^j
    (2)  H_i = (P_{i+n} - P_i) b^-i            hash of the run that begins at i; equal for equal runs

The probability that two different runs among all compared runs have the same hash is below 10^-6. The longest common
run is found by bisection: if no run of n characters occurs in the text, no longer run does.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from elman.text.alphabet import as_text, code_points

RUN = 20  # length of the runs whose share is reported: longer than common phrases, shorter than a line

_FILTER_BITS = 20  # leading bits by which nearly all hashes that do not occur are excluded first
_B = 0x9E3779B97F4A7C15
_B_INVERSE = pow(_B, -1, 1 << 64)

Hashes = NDArray[np.uint64]
Positions = NDArray[np.intp]


def measure_copying(text: str, source: Iterable[str]) -> tuple[str, float]:
    """Return how much of a text occurs in another, its source, which is given in chunks.

    The result is the longest run of characters that both have, the first of several, and the share of the runs of `RUN`
    characters that occur in the source, from 0 to 1; the share is 0 if the text is shorter.

    Examples
    --------
    >>> measure_copying("the rain in Spain", ["in the rain", ", in the end"])
    ('the rain', 0.0)
    """
    hashes, chunk = _RunHashes(code_points(text)), code_points("")
    runs, numbers = np.unique(hashes.hash_runs(RUN), return_inverse=True)
    occurs, longest = np.zeros(len(runs), np.bool_), code_points("")
    for piece in source:
        # The end of the previous chunk is included, so that every run that may be common is in one of the chunks.
        chunk = np.concatenate([chunk[max(0, len(chunk) - len(text)) :], code_points(piece)])
        in_chunk = _RunHashes(chunk)
        occurs[_find(in_chunk.hash_runs(RUN), runs)[1]] = True
        n, first = _find_longer_run(hashes, in_chunk, len(longest))
        longest = chunk[first : first + n] if n > len(longest) else longest
    return as_text(longest), float(occurs[numbers].mean()) if len(numbers) else 0.0


class _RunHashes:
    def __init__(self, points: NDArray[np.uint32]) -> None:
        self.length = len(points)
        self._prefix_sums = np.zeros(self.length + 1, np.uint64)
        np.cumsum(points * _powers(_B, self.length), out=self._prefix_sums[1:])  # (1)
        self._inverse_powers = _powers(_B_INVERSE, self.length)

    def hash_runs(self, n: int) -> Hashes:
        """Return the hash of the run of n characters that begins at each position."""
        count, P = max(0, self.length - n + 1), self._prefix_sums
        return (P[n : n + count] - P[:count]) * self._inverse_powers[:count]  # (2)


def _powers(base: int, count: int) -> Hashes:
    """Return base^0 … base^(count - 1) modulo 2^64."""
    powers = np.full(count, base, np.uint64)
    powers[:1] = 1
    return np.cumprod(powers, out=powers)


def _find(hashes: Hashes, ascending: Hashes) -> tuple[Positions, Positions]:
    """Return the positions of the hashes that are among `ascending` ones, and their positions there."""
    may_match = np.zeros(1 << _FILTER_BITS, np.bool_)
    shift = np.uint64(64 - _FILTER_BITS)
    may_match[ascending >> shift] = True
    found = np.flatnonzero(may_match[hashes >> shift])
    place = np.searchsorted(ascending, hashes[found])
    same = ascending.take(place, mode="clip") == hashes[found] if len(found) else np.zeros(0, np.bool_)
    return found[same], place[same]


def _find_longer_run(text: _RunHashes, chunk: _RunHashes, least: int) -> tuple[int, int]:
    """Return the length of the longest common run, if it is longer than `least`, and where in the chunk it begins."""
    low, high, first = least, text.length, 0
    n = least + 1  # tried first, because most chunks have no longer run
    while low < high:
        matches, _ = _find(chunk.hash_runs(n), np.unique(text.hash_runs(n)))
        if len(matches):
            low, first = n, int(matches[0])
        else:
            high = n - 1
        n = (low + high + 1) // 2
    return low, first
