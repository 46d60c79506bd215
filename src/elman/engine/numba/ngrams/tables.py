"""An n-gram model as kernels read it: its table, and the counts of what is read.

K  size of the alphabet     n  order     node  of the table, see `elman.network.ngram_table`
extra  a node of the counts of what is read, `Added`: a trie of the same form

The codec computes with these kernels too, so they obey the rules of `elman.compression.arithmetic`: no fastmath, one
type for each array, integers and IEEE float64 in the order written.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.jit import compiled
from elman.network.ngram import READ_COUNT
from elman.network.ngram_table import CODE_BITS, CODES, STRIDE

exact = compiled()
"""IEEE arithmetic as written, without fastmath."""
exact_step = compiled(inline="always")
"""The same for the steps of a kernel."""

NONE = -1

Words = NDArray[np.uint64]


class Table(NamedTuple):
    """An n-gram model as the kernels read it; nothing changes."""

    K: int
    order: int
    folds: int
    reset_at: int  # or -1
    nodes: int
    contexts: int
    width: int  # bits of a symbol
    strings: Words
    rests: Words
    children: Words
    ones: NDArray[np.uint32]
    discounts: NDArray[np.float64]  # (n + 1, 3)
    masks: NDArray[np.uint16]  # see `elman.network.ngram_table.FoldCounts`; one number where nothing is left out
    starts: NDArray[np.uint32]
    fold_weights: NDArray[np.uint8]
    fold_rests: NDArray[np.uint8]
    cached_order: int = NONE  # the length of the contexts whose distributions are stored …
    cached_first: int = 0  # … the first node of that length …
    cached_q: NDArray[np.float64] = np.zeros((1, 1, 1))  # (folds + 1, contexts, K)
    cached_matched: NDArray[np.int8] = np.zeros((1, 1), np.int8)  # (folds + 1, contexts)


class Added(NamedTuple):
    """The counts of what was read, changed in place; the root is node 0."""

    sizes: NDArray[np.int64]  # (1,): nodes in use; 0 if nothing is counted
    nodes: NDArray[np.int32]  # (nodes, 5): see `COUNT`, …


NODE, FIRST, LAST = range(3)
"""Of each context of a row: its node in the table, that node's first child, and the node after its last child."""
COUNT, TOTAL, CHILD, SIBLING, SYMBOL, WIDTH = range(6)
"""Columns of `Added.nodes`: the node's own count, the sum of its children's, its latest child, the child of the same
parent that was added before, and its character."""


def empty_added() -> Added:
    """Return the counts of a model that does not grow."""
    return Added(np.zeros(1, np.int64), np.zeros((1, WIDTH), np.int32))


def empty_table() -> Table:
    """Return the table of no text, which is passed to a kernel where there is no model."""
    words, folds = np.zeros(2, np.uint64), (np.zeros(1, np.uint16), np.zeros(1, np.uint32), *np.zeros((2, 1), np.uint8))
    return Table(2, 0, 0, NONE, 1, 1, 1, words, words, words, np.zeros(1, np.uint32), np.zeros((1, 3)), *folds)


def make_added(nodes: int) -> Added:
    """Return the counts of no text, with room for so many nodes."""
    added = Added(np.ones(1, np.int64), np.zeros((max(1, nodes), WIDTH), np.int32))
    added.nodes[:, CHILD : SIBLING + 1] = NONE
    return added


def grow(added: Added, nodes: int) -> Added:
    """Return a copy of counts, or of none, with room for so many nodes."""
    size, larger = int(added.sizes[0]), make_added(max(nodes, len(added.nodes)))
    if size:
        larger.sizes[0], larger.nodes[:size] = size, added.nodes[:size]
    return larger


# --- The table ---


@exact_step
def field(words, width, i):
    """Field i of packed numbers."""
    bit = i * width
    word, shift = bit >> 6, np.uint64(bit & 63)
    value = words[word] >> shift
    if (bit & 63) + width > 64:
        value |= words[word + 1] << (np.uint64(64) - shift)
    return np.int64(value & ((np.uint64(1) << np.uint64(width)) - np.uint64(1)))


@exact_step
def count_ones(word):
    """The number of ones in a word."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@exact
def find_children(children, ones, nodes, contexts, node):
    """The first child of a node and the one after its last; the two are equal if it has none."""
    if node < 0 or node >= contexts:
        return np.int64(0), np.int64(0)
    block = node // STRIDE
    zeros = node - block * STRIDE  # to pass from where the block begins
    at, end = np.int64(ones[block]) + block * STRIDE, np.int64(len(children)) * 64
    while zeros > 0 and at < end:
        word = ~children[at >> 6] >> np.uint64(at & 63)
        found = count_ones(word)
        if at & 63:  # the shift has filled in zeros, which are no bits
            found = count_ones(word & ((np.uint64(1) << np.uint64(64 - (at & 63))) - np.uint64(1)))
        if found < zeros:
            zeros -= found
            at = (at | 63) + 1
        else:
            size = 32
            while size > 0:
                low = count_ones(word & ((np.uint64(1) << np.uint64(size)) - np.uint64(1)))
                if low < zeros:
                    zeros -= low
                    word >>= np.uint64(size)
                    at += size
                size >>= 1
            zeros, at = np.int64(0), at + 1
    first, last = 1 + at - node, 1 + at - node
    while at < end and (children[at >> 6] >> np.uint64(at & 63)) & np.uint64(1):
        at, last = at + 1, last + 1
    return min(first, nodes), min(last, nodes)


@exact_step
def find_child(table, first, last, symbol):
    """The node from `first` to `last` - 1 with a symbol; -1 if there is none."""
    child, mask = np.int64(NONE), (1 << table.width) - 1
    while first < last:
        middle = (first + last) >> 1
        found = field(table.strings, table.width + CODE_BITS, middle - 1) & mask
        if found == symbol:
            child = middle
        if found < symbol:
            first = middle + 1
        else:
            last = middle
    return child


@exact_step
def find_entry(table, node, fold):
    """The entry of a node's counts without a fold; -1 if the fold has none of them."""
    if fold >= table.folds or not (table.masks[node] >> fold) & 1:
        return np.int64(NONE)
    return np.int64(table.starts[node]) + count_ones(np.uint64(table.masks[node]) & np.uint64((1 << fold) - 1))


@exact_step
def rest_of(table, node, fold):
    """The weight of a context's characters that are not kept, without a fold."""
    entry = find_entry(table, node, fold)
    code = np.int64(table.fold_rests[entry]) if entry >= 0 else field(table.rests, CODE_BITS, node)
    return CODES[code]


# --- The counts of what is read ---


@exact_step
def find_extra(added, extra, symbol):
    """The child of a node of the added counts; -1 if there is none, or no node."""
    child = np.int64(added.nodes[extra, CHILD]) if extra >= 0 else np.int64(NONE)
    while child >= 0 and added.nodes[child, SYMBOL] != symbol:
        child = np.int64(added.nodes[child, SIBLING])
    return child


@exact_step
def add_extra(added, extra, symbol):
    """Count a character after a context of the added counts; return its node."""
    child = find_extra(added, extra, symbol)
    if child < 0:
        child = added.sizes[0]
        added.sizes[0] = child + 1
        added.nodes[child, SYMBOL], added.nodes[child, SIBLING] = symbol, added.nodes[extra, CHILD]
        added.nodes[extra, CHILD] = child
    added.nodes[child, COUNT] += READ_COUNT
    added.nodes[extra, TOTAL] += READ_COUNT
    return child
