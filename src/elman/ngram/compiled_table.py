"""An n-gram model as kernels read it: its table, and the counts of what is read.

K  size of the alphabet     n  order     node  of the table, see `elman.ngram.table`
extra  a node of the counts of what is read, `Added`: a trie of the same form

The codec computes with these kernels too, so they obey the rules of `elman.apps.compress.arithmetic`: no fastmath, one
type for each array, integers and IEEE float64 in the order written.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.jit import compiled
from elman.ngram.model import READ_COUNT
from elman.ngram.table import CODE_BITS, CODES, LARGE

exact = compiled()  # IEEE arithmetic as written, without fastmath
exact_step = compiled(inline="always")  # the same for the steps of a kernel

NONE = -1

Words = NDArray[np.uint64]


class Table(NamedTuple):
    """An n-gram model as the kernels read it; nothing changes."""

    K: int
    order: int
    folds: int
    reset_at: int  # or -1
    width: int  # bits of a symbol
    strings: NDArray[np.uint32]  # (nodes,): the symbol of each node and, above it, the code of its weight
    rests: NDArray[np.uint8]  # (contexts,): the code of the weight of a context's characters that are not kept
    firsts: NDArray[
        np.uint32
    ]  # (contexts + 1,): the first child of each context; the last one's children end at the end
    discounts: NDArray[np.float64]  # (n + 1, 3)
    kept: NDArray[np.float64]  # (n + 1, codes): what the discounts leave of the weight of each code
    fold_weights: NDArray[np.uint8]  # (folds, nodes): see `elman.ngram.table.FoldCounts`
    fold_rests: NDArray[np.uint8]  # (folds, contexts)
    cached_order: int = NONE  # the length of the contexts whose distributions are stored …
    cached_first: int = 0  # … the first node of that length …
    cached_q: NDArray[np.float64] = np.zeros((1, 1, 1))  # (folds + 1, contexts, K)
    cached_matched: NDArray[np.int8] = np.zeros((1, 1), np.int8)  # (folds + 1, contexts)
    terms: NDArray[np.float64] = np.zeros((0, 2))  # (nodes, 2): see `NgramModel.terms`; none where there are counts


class Added(NamedTuple):
    """The counts of what was read, changed in place; the root is node 0."""

    sizes: NDArray[np.int64]  # (1,): nodes in use; 0 if nothing is counted
    nodes: NDArray[np.int32]  # (nodes, 5): see `COUNT`, …


COUNT, TOTAL, CHILD, SIBLING, SYMBOL, WIDTH = range(6)
"""Columns of `Added.nodes`: the node's own count, the sum of its children's, its latest child, the child of the same
parent that was added before, and its character."""


def empty_added() -> Added:
    """Return the counts of a model that does not grow."""
    return Added(np.zeros(1, np.int64), np.zeros((1, WIDTH), np.int32))


def empty_table() -> Table:
    """Return the table of no text, which is passed to a kernel where there is no model."""
    strings, firsts, discounts = np.zeros(1, np.uint32), np.ones(2, np.uint32), np.zeros((1, 3))
    rests, folds = np.zeros(1, np.uint8), np.zeros((2, 0, 1), np.uint8)
    return Table(2, 0, 0, NONE, 1, strings, rests, firsts, discounts, keep_codes(discounts), *folds)


def keep_codes(discounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the discounts (n + 1, 3) leave of the weight of each code, (n + 1, codes)."""
    of_codes = np.pad(discounts, ((0, 0), (1, 0)))[:, np.minimum(CODES, 3)]
    kept: NDArray[np.float64] = np.maximum(CODES - of_codes, 0.0, order="C")  # kernels are compiled for this order
    return kept


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
    beyond = (words[word + 1] << np.uint64(1)) << (np.uint64(63) - shift)  # no shift by 64, which is undefined
    return np.int64(((words[word] >> shift) | beyond) & ((np.uint64(1) << np.uint64(width)) - np.uint64(1)))


@exact
def unpack(K, width, packed, strings, rests, firsts):
    """Set the strings (nodes,), the rests (contexts,) and the first children (contexts + 1,) from packed arrays."""
    packed_strings, packed_rests, children, large = packed
    read, child, at = 0, 1, 0
    for node in range(1, len(strings)):
        string = field(packed_strings, width + CODE_BITS, node - 1)
        symbol, code = string & ((1 << width) - 1), string >> width
        if code == LARGE and read >> 3 < len(large) - 1:  # a file may contain any
            code, read = field(large, 8, read), read + 1
        strings[node] = (code << width) + (symbol if symbol < K else 0)
    for context in range(len(rests)):
        rests[context] = field(packed_rests, CODE_BITS, context)
        if rests[context] == LARGE and read >> 3 < len(large) - 1:
            rests[context], read = field(large, 8, read), read + 1
        firsts[context] = child
        while child < len(strings) and field(children, 1, at) == 0:
            child, at = child + 1, at + 1
        at += 1
    firsts[-1] = child


@exact_step
def find_children(table, node):
    """The first child of a node and the one after its last; the two are equal if it has none."""
    first, last = np.int64(0), np.int64(0)
    if 0 <= node < len(table.firsts) - 1:
        first, last = np.int64(table.firsts[node]), np.int64(table.firsts[node + 1])
    return first, min(last, first + table.K)  # a file may contain more


@exact_step
def find_child(table, node, symbol):
    """The child of a node with a symbol; -1 if there is none."""
    child, mask = np.int64(NONE), (1 << table.width) - 1
    first, last = find_children(table, node)
    while first < last:
        middle = (first + last) >> 1
        found = np.int64(table.strings[middle]) & mask
        if found == symbol:
            child = middle
        if found < symbol:
            first = middle + 1
        else:
            last = middle
    return child


@exact_step
def rest_of(table, node, fold):
    """The weight of a context's characters that are not kept, without a fold."""
    return CODES[table.fold_rests[fold, node] if fold < table.folds else table.rests[node]]


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
