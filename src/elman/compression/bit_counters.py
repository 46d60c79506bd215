"""Counters of bits: what followed each context at a node of the tree of symbols.

S  symbols      D  the largest depth

The tree is a Huffman code of the symbols as the n-gram models know them, so that a symbol has few bits on average.

A counter is an integer of 31 bits::

    0 to 8       the bit history: whether the last bit was 1, and how many ones (4 bits) and zeros (4 bits) were seen,
                 where an opposite bit reduces what has been seen: it is nonstationary, as in PAQ6
    9 to 14      how many bits were seen, at most `LIMIT`
    15 to 30     the probability of a 1, which moves by 1 / (number of bits + 1.5)

The probability that a bit history stands for is learned as well, for each context. The counters of `GROUP_LEVELS`
levels of the tree are in one bucket of a hash table, with a check of the context. The constants are part of the file
format.
"""

from __future__ import annotations

import functools
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import numpy as np

from elman.compression.arithmetic import HASH_MODULUS, Floats, Ints, Ints32, exact_inline
from elman.compression.bit_contexts import CONTEXTS, scatter
from elman.ngram.kernels import set_logs

GROUP_LEVELS = 3
"""Levels of the tree whose nodes share a bucket of counters."""
BUCKET = 8
"""Numbers per bucket: seven counters, and the check."""
LIMIT = 60
HISTORIES = 1 << 9
HISTORY_RATE = np.float32(0.01)
STRETCH_BITS = 12
"""log(p / (1 - p)) is looked up by the highest bits of a probability."""
_CACHE_LINE = 16
"""Numbers per cache line."""
_MAX_BUCKETS = 1 << 22
_MIN_BUCKETS = 1 << 4
_BUCKETS_PER_SYMBOL = 16
_RECIPROCAL_BITS = 32
_RECIPROCALS = (1 << (_RECIPROCAL_BITS + 1)) // (2 * np.arange(LIMIT + 1) + 3) + 1
"""(p * this) >> 32 is p // (count + 1.5) for every p below 2^16."""
_MAX_COUNT = 15
_ONE = 1 << 16
_LOWEST, _HIGHEST = np.float32(2.0**-STRETCH_BITS), np.float32(1 - 2.0**-STRETCH_BITS)
_STEPS = np.float32(1 << STRETCH_BITS)


class Tree(NamedTuple):
    """A binary tree. Its S - 1 nodes are numbered such that the root is the last and children precede their parents."""

    children: Ints  # (S - 1, 2): of bits 0 and 1, a node, or -1 - symbol
    nodes: Ints  # (S, D): on the path of a symbol, -1 behind its end
    bits: Ints  # (S, D): of a symbol, 0 behind its end
    groups: Ints  # (S - 1,): the highest node of each node's group of levels
    places: Ints  # (S - 1,): the number of a node within its group, less than 7


def build_tree(counts: Ints) -> Tree:
    """Return the Huffman tree of S >= 2 symbols that occur `counts` (S,) times; ties are resolved by age."""
    children = np.zeros((len(counts) - 1, 2), np.int64)
    heap = [(int(n), age, -1 - age) for age, n in enumerate(counts)]
    heapify(heap)
    for node in range(len(children)):
        rarest, next_rarest = heappop(heap), heappop(heap)
        children[node] = rarest[2], next_rarest[2]
        heappush(heap, (rarest[0] + next_rarest[0], len(counts) + node, node))
    paths = _find_paths(children)
    D = max(map(len, paths))
    nodes, bits = np.full((len(counts), D), -1, np.int64), np.zeros((len(counts), D), np.int64)
    groups, places = np.zeros((2, len(children)), np.int64)
    for symbol, path in enumerate(paths):
        for depth, (node, bit) in enumerate(path):
            nodes[symbol, depth], bits[symbol, depth] = node, bit
            top = depth - depth % GROUP_LEVELS
            groups[node] = path[top][0]
            places[node] = _place([step[1] for step in path[top:depth]])
    return Tree(children, nodes, bits, groups, places)


def _find_paths(children: Ints) -> list[list[tuple[int, int]]]:
    """Return the nodes and bits of every symbol's path from the root."""
    paths: list[list[tuple[int, int]]] = [[] for _ in range(len(children) + 1)]
    open_nodes: list[tuple[int, list[tuple[int, int]]]] = [(len(children) - 1, [])]
    while open_nodes:
        node, path = open_nodes.pop()
        for bit, child in enumerate(children[node].tolist()):
            extended = [*path, (node, bit)]
            if child >= 0:
                open_nodes.append((child, extended))
            else:
                paths[-1 - child] = extended
    return paths


def _place(bits: list[int]) -> int:
    """Return the number of a node in its group, given the bits from its top: 0 there, 1 and 2 below, then 3 to 6."""
    return (1 << len(bits)) - 1 + sum(bit << i for i, bit in enumerate(reversed(bits)))


class Counters(NamedTuple):
    """Counters of all contexts; changed in place, but for `stretches`."""

    table: Ints32  # (buckets * BUCKET,)
    probs: Floats  # (CONTEXTS, HISTORIES): of a 1 after each bit history
    stretches: Floats  # (2^STRETCH_BITS,): log(p / (1 - p))
    hashes: Ints  # (CONTEXTS,): of the current row's contexts
    offsets: Ints  # (CONTEXTS,): of their buckets
    checks: Ints  # (CONTEXTS,): what the buckets contained


@exact_inline
def find_buckets(counters, group):
    """Set the offsets of the buckets of all contexts for a group of the tree's nodes; an older bucket is cleared."""
    table, hashes, offsets, checks = counters.table, counters.hashes, counters.offsets, counters.checks
    mask = len(table) // BUCKET - 1
    for n in range(CONTEXTS):
        offsets[n] = (scatter(hashes[n], group) & mask) * BUCKET
    for n in range(CONTEXTS):  # a loop without branches, so that the memory accesses overlap
        checks[n] = table[offsets[n] + BUCKET - 1]
    for n in range(CONTEXTS):
        check = 1 + (hashes[n] * 16807 + group * 69621) % (HASH_MODULUS - 1)
        if checks[n] != check:
            for i in range(offsets[n], offsets[n] + BUCKET - 1):
                table[i] = 0
            table[offsets[n] + BUCKET - 1] = check


@exact_inline
def next_history(history, bit):
    """Return the bit history after one more bit."""
    zeros, ones = history >> 5, (history >> 1) & _MAX_COUNT
    if bit == 1:
        ones = min(ones + 1, _MAX_COUNT)
        zeros = reduce(zeros)
    else:
        zeros = min(zeros + 1, _MAX_COUNT)
        ones = reduce(ones)
    return (zeros << 5) | (ones << 1) | bit


@exact_inline
def reduce(count):
    """Return what remains of a count after an opposite bit."""
    return count if count <= 2 else (count + 2) >> 1 if count <= 6 else 4


@exact_inline
def set_counter_inputs(counters, place, inputs):
    """Set two inputs per context for a node: of its bit history and of its probability; 0 if it is new."""
    table, probs, stretches, offsets = counters.table, counters.probs, counters.stretches, counters.offsets
    for n in range(CONTEXTS):
        counter = np.int64(table[offsets[n] + place])
        history = counter & (HISTORIES - 1)
        if history == 0:
            inputs[2 * n], inputs[2 * n + 1] = np.float32(0), np.float32(0)
        else:
            inputs[2 * n] = stretches[np.int64(probs[n, history] * _STEPS)]
            inputs[2 * n + 1] = stretches[counter >> (31 - STRETCH_BITS)]


@exact_inline
def count_bit(counters, place, bit):
    """Count a bit at a node, in all contexts."""
    table, probs, offsets = counters.table, counters.probs, counters.offsets
    target = np.float32(bit)
    for n in range(CONTEXTS):
        counter = np.int64(table[offsets[n] + place])
        history, count, prob = counter & (HISTORIES - 1), (counter >> 9) & 63, counter >> 15
        if history == 0:
            count, prob = np.int64(0), np.int64(_ONE >> 1)
        else:
            p = probs[n, history]
            p = p + (target - p) * HISTORY_RATE
            probs[n, history] = min(max(p, _LOWEST), _HIGHEST)
        if bit == 1:
            prob += ((_ONE - 1 - prob) * _RECIPROCALS[count]) >> _RECIPROCAL_BITS
        else:
            prob -= (prob * _RECIPROCALS[count]) >> _RECIPROCAL_BITS
        count = count + 1 if count < LIMIT else count
        table[offsets[n] + place] = next_history(history, bit) | (count << 9) | (prob << 15)


def make_counters() -> Counters:
    """Return counters of nothing, with the smallest table."""
    zeros, ones = np.arange(HISTORIES) >> 5, (np.arange(HISTORIES) >> 1) & _MAX_COUNT
    probs = ((ones + 0.4) / (zeros + ones + 0.8)).astype(np.float32)
    return Counters(
        table=align(np.zeros(_MIN_BUCKETS * BUCKET, np.int32)),
        probs=np.tile(np.clip(probs, _LOWEST, _HIGHEST), (CONTEXTS, 1)),
        stretches=_make_stretches(),
        hashes=np.zeros(CONTEXTS, np.int64),
        offsets=np.zeros(CONTEXTS, np.int64),
        checks=np.zeros(CONTEXTS, np.int64),
    )


def reserve_symbols(counters: Counters, symbols: int) -> Counters:
    """Return the counters with room for so many symbols in all, up to the maximum.

    A file may announce more symbols than it contains. The lower bits of a hash are the number of a bucket, so in a
    table twice as large each bucket is at one of two places, and is copied to both.
    """
    buckets = len(counters.table) // BUCKET
    times = 1
    while buckets * times < min(symbols * _BUCKETS_PER_SYMBOL, _MAX_BUCKETS):
        times *= 2
    return counters if times == 1 else counters._replace(table=align(np.tile(counters.table, times)))


def align(table: Ints32) -> Ints32:
    """Return a copy of a table with every bucket within a cache line.

    `numpy.empty` asks for large pages, `numpy.zeros` does not, and most of the time goes into finding buckets.
    """
    memory = np.empty(len(table) + _CACHE_LINE, np.int32)
    start = -(memory.ctypes.data // memory.itemsize) % _CACHE_LINE
    aligned = memory[start : start + len(table)]
    aligned[:] = table
    return aligned


@functools.cache
def _make_stretches() -> Floats:
    """Return log(p / (1 - p)) of the middle of each of 2^STRETCH_BITS ranges of p."""
    n = 1 << STRETCH_BITS
    p = (np.arange(n) + 0.5) / n
    logs = np.empty(n)
    set_logs(p / (1 - p), np.empty(n, np.int64), np.empty(n), logs, 0)
    return logs.astype(np.float32)
