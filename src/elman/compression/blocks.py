"""Tokens split into independently coded blocks, and each block into substreams that are coded in lockstep.

The number of tokens, the mode and the size of the network determine the whole layout, so a file stores nothing else.
In static mode every block has substreams of its own. In adaptive modes the complete text is divided into substreams,
and a block is a number of steps of all of them, which continue from block to block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from elman.compression.container import Mode

BLOCK_SIZE = 1 << 16
"""Maximum tokens of a block: what one thread works on, and what is decoded before a false length is noticed."""
MIN_SUBSTREAM_SIZE = 1 << 12
"""Minimum tokens of a substream when a block has several, since each starts without any context."""
MAX_COUNTING_SUBSTREAMS = 32
"""Maximum substreams of a text whose characters are counted while coding."""
MAX_TRAINING_SUBSTREAMS = 8
"""Maximum substreams of a mixture whose weights are trained."""
MIN_TRAINING_SUBSTREAM_SIZE = 1 << 14
"""Minimum tokens of these: of a short text, few substreams learn more than many."""
WEIGHTS_PER_SUBSTREAM = 3 << 16
"""Weights of the network for each of these: a small network is fast enough with one, which learns most."""
FORMER_WEIGHTS_PER_SEQUENTIAL_SUBSTREAM, WEIGHTS_PER_SEQUENTIAL_SUBSTREAM = 1 << 20, 1 << 21
"""The same with bitwise context mixing, which takes more time than a network of so many weights, in a former mode and
now."""


def count_blocks(N: int) -> int:
    """Return the number of blocks of N tokens: at least one, even of no tokens."""
    return -(-N // BLOCK_SIZE) or 1


def block_sizes(N: int, R: int | None = None) -> Iterator[int]:
    """Yield the number of tokens in each block of N tokens, as equal as possible.

    In adaptive modes, with R substreams of the complete text, a block has complete steps, except the last one, whose
    last step may lack substreams.
    """
    rows, remaining = R or 1, N
    for steps in split_evenly(-(-N // rows), count_blocks(N)):
        yield min(steps * rows, remaining)
        remaining -= steps * rows


def count_substreams(n: int, mode: Mode, weights: int = 0) -> int:
    """Return the number of substreams: in static mode of a block of n tokens, otherwise of a text of n tokens.

    Training the weights after every window of one substream, or of a few, is worth more than speed.

    Parameters
    ----------
    n : int
    mode : Mode
    weights : int
        Number of weights of the network.
    """
    if mode.adapts_weights:
        most = min(n // MIN_TRAINING_SUBSTREAM_SIZE, weights // WEIGHTS_PER_SUBSTREAM, MAX_TRAINING_SUBSTREAMS)
        return max(1, most) if mode.is_mixture else 1
    R = max(1, n // MIN_SUBSTREAM_SIZE)
    if mode == Mode.BITWISE_FEW:
        R = min(R, 1 + weights // FORMER_WEIGHTS_PER_SEQUENTIAL_SUBSTREAM)
    if mode in (Mode.BITWISE_PARAGRAPHS, Mode.BITWISE_BACKGROUND):
        R = min(R, 1 + weights // WEIGHTS_PER_SEQUENTIAL_SUBSTREAM)
    return min(R, MAX_COUNTING_SUBSTREAMS) if mode.is_adaptive else R


def split_evenly(n: int, count: int) -> Iterator[int]:
    """Yield `count` sizes that sum to n; the first ones are larger by one where n is not divisible."""
    return (n // count + (number < n % count) for number in range(count))


def split_blocks(tokens: NDArray[np.int32], R: int | None) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Yield the blocks of tokens (N,), each as a table (steps, R) and the number n of its tokens; see `interleave`.

    In static mode, without R, each block has substreams of its own.
    """
    ranges = _ranges(block_sizes(len(tokens), R))
    if R is None:
        for start, end in ranges:
            yield interleave(tokens[start:end], count_substreams(end - start, Mode.STATIC)), end - start
        return
    table = interleave(tokens, R)
    for start, end in ranges:
        yield table[start // R : -(-end // R)], end - start


def join_blocks(tables: Iterable[tuple[NDArray[np.int64], int]], R: int | None) -> Iterator[NDArray[np.int32]]:
    """Yield the tokens of `split_blocks`, in order."""
    if R is None:
        yield from (deinterleave(table, n) for table, n in tables)
        return
    blocks = list(tables)
    yield deinterleave(np.concatenate([table for table, _ in blocks]), sum(n for _, n in blocks))


def _ranges(sizes: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each of consecutive ranges of these sizes."""
    return pairwise(accumulate(sizes, initial=0))


def split_ranges(n: int, R: int) -> list[tuple[int, int]]:
    """Return the start and the end of each of R consecutive parts of n items, such as the substreams of a block."""
    return list(_ranges(split_evenly(n, R)))


def interleave(tokens: NDArray[np.int32], R: int) -> NDArray[np.int64]:
    """Return a block's tokens (n,) with one column per substream, (steps, R).

    Where n is not divisible by R, the last row is used by the longer substreams only.
    """
    table = np.zeros((-(-len(tokens) // R), R), np.int64)
    for column, (start, end) in enumerate(split_ranges(len(tokens), R)):
        table[: end - start, column] = tokens[start:end]
    return table


def deinterleave(table: NDArray[np.int64], n: int) -> NDArray[np.int32]:
    """Return the n tokens of the substreams in `table` (steps, R), one substream after the other."""
    ranges = split_ranges(n, table.shape[1])
    return np.concatenate([table[: end - start, column] for column, (start, end) in enumerate(ranges)]).astype(np.int32)
