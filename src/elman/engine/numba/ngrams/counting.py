"""The counts of what is read, and the kernels that find the nodes of contexts and count.

K  size of the alphabet         node    a context, see `elman.engine.numba.ngrams.tree`
n  order                        code    the index of a character + 1; 0 where there is none

Where nodes are given by length of context, o = 0 … n, they are -1 from the first context on that does not exist.

As the codec computes with these kernels too, they obey the rules of `elman.compression.arithmetic`: no fastmath, one
type for each array, integers and IEEE float64 in the order written.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.jit import compiled
from elman.network.ngram import READ_COUNT

Ints32 = NDArray[np.int32]
Ints64 = NDArray[np.int64]

exact = compiled()
"""IEEE arithmetic as written, without fastmath."""

allocating = compiled(allocates=True)
"""The same for a kernel that creates arrays."""

exact_step = compiled(inline="always")
"""The same for the steps of a kernel."""

CHILD, ENTRY, TOTAL, CODE, SEVERAL, TREE_NODE_WIDTH = range(6)
"""Columns of `Tree.nodes`: the first child, the first entry, occurrences of all characters, the node's own code, and
how many entries of the nodes before it are in several folds."""
CHARACTER, COUNT, FOLD = range(3)
"""Columns of `Tree.entries`; the last is the fold that contains all its occurrences, or `IN_SEVERAL`.

Entries in several folds are the first ones of a node."""
IN_SEVERAL = -1
BASE, ADDED_TOTAL, NEW, FIRST_CODE, FIRST_CHILD, FIRST_BLOCK, NODE_ITEMS = range(7)
"""Columns of `Added.nodes`: the node of the tree with the same context, or -1; the sum of its counts; how many of its
characters the node of the tree lacks; the code of its first child, 0 if it has none, and that child; its first block of
entries, or -1; then its first entries. Only the other children are in the hash table."""
NODE_WIDTH = 12
BLOCK_ITEMS, NEXT_BLOCK, BLOCK_WIDTH = 0, 6, 8
"""Columns of `Added.blocks`: entries, then the next block of the same node, or -1.

An entry is two numbers: twice its character, plus 1 if the node of the tree lacks that, and its count, 0 for no entry.
Most nodes have no more than one child and three entries: what is read of them is in one place.
"""
EMPTY = -1
"""In place of a node, an entry or a key that does not exist."""


class Added(NamedTuple):
    """The counts of what a model reads: a second, growing tree, so that the one of its text is never copied."""

    sizes: Ints64  # (2,): nodes and blocks in use; 0 nodes if nothing is counted
    keys: Ints64  # hash table with linear probing: parent · (K + 1) + code …
    places: Ints32  # … and the node
    nodes: Ints32  # (nodes, NODE_WIDTH): see `BASE`, …
    blocks: Ints32  # (blocks, BLOCK_WIDTH): see `BLOCK_ITEMS`, …


@exact_step
def search_children(nodes, low, high, code):
    """Return the node with this code among those from `low` to `high`, at least one, or -1.

    Their codes ascend, so that the one wanted is no further from the first than its code is from the first one's.
    """
    first = low
    last = min(high, first + max(code - nodes[first, CODE], 0) + 1) - 1
    while first < last:
        middle = (first + last) >> 1
        if nodes[middle, CODE] < code:
            first = middle + 1
        else:
            last = middle
    return first if nodes[first, CODE] == code else np.int64(EMPTY)


@exact_step
def find_child(nodes, base, code):
    """Return the node whose context is that of `base` after a code; -1 if there is none."""
    child = np.int64(EMPTY)
    if code > 0 and base >= 0:
        low, high = np.int64(nodes[base, CHILD]), np.int64(nodes[base + 1, CHILD])
        if low < high:
            child = search_children(nodes, low, high, code)
    return child


@exact_step
def find_added(keys, key):
    """Return the place of a key in the hash table: its own, or the free one where it belongs."""
    place = key * 7919 % len(keys)
    while keys[place] != key and keys[place] != EMPTY:
        place = place + 1 if place + 1 < len(keys) else 0
    return place


@exact
def find_nodes(nodes, added_nodes, keys, places, grown, K, histories, bases, extras, r):
    """Set the nodes of the contexts that end row r of the codes `histories` (R, n), by length (R, n + 1)."""
    n = histories.shape[1]
    bases[r, 0], extras[r, 0] = 0, 0 if grown else EMPTY
    for o in range(1, n + 1):
        code = histories[r, n - o]
        bases[r, o] = find_child(nodes, bases[r, o - 1], code)
        extras[r, o] = find_extra(added_nodes, keys, places, K, extras[r, o - 1], code)


@exact_step
def find_extra(added_nodes, keys, places, K, parent, code):
    """Return the node of the added counts whose context is that of `parent` after a code; -1 if there is none."""
    extra = np.int64(EMPTY)
    if code > 0 and parent >= 0:
        if added_nodes[parent, FIRST_CODE] == code:
            extra = np.int64(added_nodes[parent, FIRST_CHILD])
        elif added_nodes[parent, FIRST_CODE] > 0:
            key = parent * (K + 1) + code
            place = find_added(keys, key)
            if keys[place] == key:
                extra = np.int64(places[place])
    return extra


@exact_step
def _add_node(sizes, keys, places, added_nodes, K, parent, code, base):
    """Return a new node whose context is that of `parent` after a code."""
    node = sizes[0]
    sizes[0] = node + 1
    added_nodes[node, BASE], added_nodes[node, FIRST_BLOCK] = base, EMPTY
    if added_nodes[parent, FIRST_CODE] == 0:
        added_nodes[parent, FIRST_CODE], added_nodes[parent, FIRST_CHILD] = code, node
    else:
        key = parent * (K + 1) + code
        place = find_added(keys, key)
        keys[place], places[place] = key, node
    return node


@exact
def add_count(nodes, entries, sizes, keys, places, added_nodes, blocks, K, histories, bases, extras, r, character):
    """Count a character, `READ_COUNT` times, after row r of the codes `histories` (R, n).

    `bases` and `extras` (R, n + 1) are the nodes of the contexts; those missing are created. There must be room, see
    `elman.engine.numba.ngrams.tree.NgramReader.reserve`. Rows of arrays are not passed as arrays of their own: that
    would take longer than the count.
    """
    n = histories.shape[1]
    for o in range(n + 1):
        base = bases[r, o]
        if o > 0:
            code = histories[r, n - o]
            if code == 0:
                break
            if extras[r, o] < 0:  # another row may have created it since
                extras[r, o] = find_extra(added_nodes, keys, places, K, extras[r, o - 1], code)
            if extras[r, o] < 0:
                extras[r, o] = _add_node(sizes, keys, places, added_nodes, K, extras[r, o - 1], code, base)
        extra = extras[r, o]
        added_nodes[extra, ADDED_TOTAL] += READ_COUNT
        if not _count_again(added_nodes, blocks, extra, character):
            lacks = base < 0 or not _contains(entries, nodes[base, ENTRY], nodes[base + 1, ENTRY], character)
            added_nodes[extra, NEW] += np.int32(lacks)
            _append_item(sizes, added_nodes, blocks, extra, 2 * character + lacks)


@exact_step
def _count_item(rows, row, first, end, character):
    """Count the character if one of the entries in columns `first` to `end` of a row is its; return whether."""
    found = False
    for i in range(first, end, 2):
        if rows[row, i] >> 1 == character and rows[row, i + 1] > 0:
            rows[row, i + 1] += READ_COUNT
            found = True
    return found


@exact_step
def _count_again(added_nodes, blocks, node, character):
    """Count a character that has followed before; return whether it has."""
    found = _count_item(added_nodes, node, NODE_ITEMS, NODE_WIDTH, character)
    block = np.int64(added_nodes[node, FIRST_BLOCK])
    while block >= 0 and not found:
        found = _count_item(blocks, block, BLOCK_ITEMS, NEXT_BLOCK, character)
        block = np.int64(blocks[block, NEXT_BLOCK])
    return found


@exact_step
def _set_free_item(rows, row, first, end, item):
    """Use the first free entry in columns `first` to `end` of a row; return whether there was one."""
    done = False
    for i in range(first, end, 2):
        if not done and rows[row, i + 1] == 0:
            rows[row, i], rows[row, i + 1] = item, READ_COUNT
            done = True
    return done


@exact_step
def _append_item(sizes, added_nodes, blocks, node, item):
    """Add an entry to a node, in a new block if there is no room."""
    done = _set_free_item(added_nodes, node, NODE_ITEMS, NODE_WIDTH, item)
    block = np.int64(added_nodes[node, FIRST_BLOCK])
    if block >= 0 and not done:
        done = _set_free_item(blocks, block, BLOCK_ITEMS, NEXT_BLOCK, item)
    if not done:
        new = sizes[1]
        sizes[1] = new + 1
        blocks[new, BLOCK_ITEMS], blocks[new, BLOCK_ITEMS + 1] = item, READ_COUNT
        blocks[new, NEXT_BLOCK], added_nodes[node, FIRST_BLOCK] = block, new


@exact_step
def _contains(entries, start, end, character):
    """Return whether a character is among those of the entries from `start` to `end`."""
    entry = np.int64(start)
    while entry < end and entries[entry, CHARACTER] != character:
        entry += 1
    return entry < end


@exact
def rehash(old_keys, old_places, keys, places):
    """Enter the nodes of a hash table in a larger one."""
    for old in range(len(old_keys)):
        if old_keys[old] != EMPTY:
            place = find_added(keys, old_keys[old])
            keys[place], places[place] = old_keys[old], old_places[old]


def empty_added() -> Added:
    """Return the counts of a model that does not grow."""
    return _allocate(0, 0, 0)


def _allocate(nodes: int, blocks: int, places: int) -> Added:
    """Return empty counts with room for so many nodes, blocks and places of the hash table, at least one of each."""
    n, b, p = max(nodes, 1), max(blocks, 1), max(places, 1)
    root = np.zeros(NODE_WIDTH, np.int32)
    root[FIRST_BLOCK] = EMPTY
    return Added(
        sizes=np.zeros(2, np.int64),
        keys=np.full(p, EMPTY, np.int64),
        places=np.zeros(p, np.int32),
        nodes=np.tile(root, (n, 1)),
        blocks=np.zeros((b, BLOCK_WIDTH), np.int32),
    )


def copy(added: Added) -> Added:
    """Return counts that grow independently."""
    return Added(**{name: array.copy() for name, array in added._asdict().items()})


def grow(added: Added, nodes: int, blocks: int) -> Added:
    """Return the same counts with room for so many nodes and blocks; of none, those of no text."""
    larger = _allocate(nodes, blocks, nodes + nodes // 2 + 1)
    larger.sizes[:] = max(1, added.sizes[0]), added.sizes[1]
    if added.sizes[0]:
        rehash(added.keys, added.places, larger.keys, larger.places)
        larger.nodes[: added.sizes[0]] = added.nodes[: added.sizes[0]]
        larger.blocks[: added.sizes[1]] = added.blocks[: added.sizes[1]]
    return larger
