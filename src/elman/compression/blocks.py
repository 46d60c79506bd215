"""How a text is cut: into parts that are coded apart, and each part into streams read side by side.

The number of tokens says all of it, so a file states nothing but that. A network that learns reads one stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from elman.compression.container import Mode

PART = 1 << 16
"""Tokens of a part at most: what one thread works on, and what is decoded before a false length is noticed."""
STREAM = 1 << 12
"""Tokens of a stream at least, as each begins without knowing what was before it."""


def number(N: int) -> int:
    """Return into how many parts N tokens are cut: one at least, even of none."""
    return -(-N // PART) or 1


def sizes(N: int) -> Iterator[int]:
    """Yield the tokens of each part of N, as equal as can be."""
    return shared(N, number(N))


def streams(n: int, mode: Mode) -> int:
    """Return how many streams a part of n tokens is read in."""
    return max(1, n // STREAM) if mode == Mode.FIXED else 1


def shared(n: int, among: int) -> Iterator[int]:
    """Yield n in so many shares, of which the first are one larger where it does not divide."""
    return (n // among + (number < n % among) for number in range(among))


def cut(tokens: NDArray[np.int32]) -> Iterator[NDArray[np.int32]]:
    """Yield the parts of tokens (N,)."""
    for first, last in pairwise(accumulate(sizes(len(tokens)), initial=0)):
        yield tokens[first:last]


def columns(n: int, R: int) -> list[tuple[int, int]]:
    """Return where each of R streams begins and ends in a part of n tokens."""
    return list(pairwise(accumulate(shared(n, R), initial=0)))


def side_by_side(tokens: NDArray[np.int32], R: int) -> NDArray[np.int64]:
    """Return a part's tokens (n,) as a column each stream, (steps, R); the last row is of the longer streams only."""
    table = np.zeros((-(-len(tokens) // R), R), np.int64)
    for column, (first, last) in enumerate(columns(len(tokens), R)):
        table[: last - first, column] = tokens[first:last]
    return table


def end_to_end(table: NDArray[np.int64], n: int) -> NDArray[np.int32]:
    """Return the n tokens of the streams in `table`, one after the other."""
    pieces = [table[: last - first, column] for column, (first, last) in enumerate(columns(n, table.shape[1]))]
    return np.concatenate(pieces).astype(np.int32)
