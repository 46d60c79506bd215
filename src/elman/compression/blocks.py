"""Tokens split into independently coded blocks, and each block into substreams that are coded in lockstep.

The number of tokens determines the whole layout, so a file stores nothing else. In adaptive mode a block is a single
substream.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from elman.compression.container import Mode

BLOCK_SIZE = 1 << 16
"""Maximum tokens of a block: what one thread works on, and what is decoded before a false length is noticed."""
MIN_SUBSTREAM_SIZE = 1 << 12
"""Minimum tokens of a substream when a block has several, since each starts without any context."""


def count_blocks(N: int) -> int:
    """Return the number of blocks of N tokens: at least one, even of no tokens."""
    return -(-N // BLOCK_SIZE) or 1


def block_sizes(N: int) -> Iterator[int]:
    """Yield the number of tokens in each block of N tokens, as equal as possible."""
    return split_evenly(N, count_blocks(N))


def count_substreams(n: int, mode: Mode) -> int:
    """Return the number of substreams in a block of n tokens."""
    return max(1, n // MIN_SUBSTREAM_SIZE) if mode == Mode.STATIC else 1


def split_evenly(n: int, count: int) -> Iterator[int]:
    """Yield `count` sizes that sum to n; the first ones are larger by one where n is not divisible."""
    return (n // count + (number < n % count) for number in range(count))


def split_blocks(tokens: NDArray[np.int32]) -> Iterator[NDArray[np.int32]]:
    """Yield the blocks of tokens (N,)."""
    for start, end in pairwise(accumulate(block_sizes(len(tokens)), initial=0)):
        yield tokens[start:end]


def substream_ranges(n: int, R: int) -> list[tuple[int, int]]:
    """Return the start and the end of each of R substreams in a block of n tokens."""
    return list(pairwise(accumulate(split_evenly(n, R), initial=0)))


def interleave(tokens: NDArray[np.int32], R: int) -> NDArray[np.int64]:
    """Return a block's tokens (n,) with one column per substream, (steps, R).

    Where n is not divisible by R, the last row is used by the longer substreams only.
    """
    table = np.zeros((-(-len(tokens) // R), R), np.int64)
    for column, (start, end) in enumerate(substream_ranges(len(tokens), R)):
        table[: end - start, column] = tokens[start:end]
    return table


def deinterleave(table: NDArray[np.int64], n: int) -> NDArray[np.int32]:
    """Return the n tokens of the substreams in `table` (steps, R), one substream after the other."""
    ranges = substream_ranges(n, table.shape[1])
    return np.concatenate([table[: end - start, column] for column, (start, end) in enumerate(ranges)]).astype(np.int32)
