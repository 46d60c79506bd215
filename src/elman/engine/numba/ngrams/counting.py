"""Kernels that find the nodes of contexts, and count what is read.

K  size of the alphabet         node    a context, see `elman.engine.numba.ngrams.tree`
n  order                        code    the index of a character + 1; 0 where there is none

Where nodes are given by length of context, o = 0 … n, they are -1 from the first context on that does not exist.

As the codec computes with these kernels too, they obey the rules of `elman.compression.exact_kernels`: no fastmath, one
type for each array, integers and IEEE float64 in the order written.
"""

from __future__ import annotations

import numpy as np

from elman.engine.numba.jit import compiled
from elman.network.ngram import READ_COUNT

exact = compiled()
"""IEEE arithmetic as written, without fastmath."""

exact_step = compiled(inline="always")
"""The same for the steps of a kernel."""

CHILD, ENTRY, TOTAL, CODE = range(4)
"""Columns of `Tree.nodes`: the first child, the first entry, occurrences of all characters, the node's own code."""
CHARACTER, COUNT, FOLDS = range(3)
"""Columns of `Tree.entries`; the last is the row of its counts by fold, or -1 - f if all are in fold f."""
BASE, ADDED_TOTAL, NEW, FIRST = range(4)
"""Columns of `Added.nodes`: the node of the tree with the same context, or -1; the sum of its counts; how many of its
characters the node of the tree lacks; its first entry."""
ITEM_CHARACTER, ITEM_COUNT, IS_NEW, NEXT = range(4)
"""Columns of `Added.entries`: character, count, whether the node of the tree lacks the character, the next or -1."""
EMPTY = -1
"""In place of a node, an entry or a key that does not exist."""


@exact
def search_children(nodes, low, high, code):
    """Return the node with this code among those from `low` to `high`, or -1."""
    end = high
    while low < high:
        middle = (low + high) >> 1
        if nodes[middle, CODE] < code:
            low = middle + 1
        else:
            high = middle
    return low if low < end and nodes[low, CODE] == code else np.int64(EMPTY)


@exact
def find_added(keys, key):
    """Return the place of a key in the hash table: its own, or the free one where it belongs."""
    place = key * 7919 % len(keys)
    while keys[place] != key and keys[place] != EMPTY:
        place = place + 1 if place + 1 < len(keys) else 0
    return place


@exact
def find_nodes(nodes, keys, places, grown, K, history, bases, extras):
    """Set the nodes of the contexts that end the codes `history` (n,), by length (n + 1,)."""
    bases[0], extras[0] = 0, 0 if grown else EMPTY
    for o in range(1, len(bases)):
        code, bases[o], extras[o] = history[len(history) - o], EMPTY, EMPTY
        if code > 0:
            if bases[o - 1] >= 0:
                base = bases[o - 1]
                bases[o] = search_children(nodes, np.int64(nodes[base, CHILD]), np.int64(nodes[base + 1, CHILD]), code)
            if extras[o - 1] >= 0:
                key = extras[o - 1] * (K + 1) + code
                place = find_added(keys, key)
                if keys[place] == key:
                    extras[o] = places[place]


@exact
def add_count(
    nodes, entries, sizes, keys, places, added_nodes, added_entries, K, history, bases, extras, character
):  # fmt: skip
    """Count a character, `READ_COUNT` times, after the codes `history`.

    `bases` and `extras` (n + 1,) are the nodes of its contexts; those missing are created. There must be room, see
    `elman.engine.numba.ngrams.reader.NgramReader.reserve`.
    """
    for o in range(len(bases)):
        if o > 0:
            code = history[len(history) - o]
            if code == 0:
                break
            if extras[o] < 0:  # another row may have created it since
                key = extras[o - 1] * (K + 1) + code
                place = find_added(keys, key)
                if keys[place] == EMPTY:
                    node = sizes[0]
                    keys[place], places[place] = key, node
                    added_nodes[node, BASE], added_nodes[node, FIRST] = bases[o], EMPTY
                    sizes[0] = node + 1
                extras[o] = places[place]
        extra = extras[o]
        added_nodes[extra, ADDED_TOTAL] += READ_COUNT
        entry = _move_to_front(added_nodes, added_entries, extra, character)
        if entry < 0:
            entry = sizes[1]
            lacks = bases[o] < 0 or not _contains(
                entries, nodes[bases[o], ENTRY], nodes[bases[o] + 1, ENTRY], character
            )
            added_entries[entry, ITEM_CHARACTER], added_entries[entry, IS_NEW] = character, lacks
            added_entries[entry, NEXT], added_nodes[extra, FIRST] = added_nodes[extra, FIRST], entry
            added_nodes[extra, NEW] += np.int32(lacks)
            sizes[1] = entry + 1
        added_entries[entry, ITEM_COUNT] += READ_COUNT


@exact
def _move_to_front(added_nodes, added_entries, node, character):
    """Make the entry of a character the first of its node, so that frequent ones are found soon; return it, or -1."""
    entry, before = np.int64(added_nodes[node, FIRST]), np.int64(EMPTY)
    while entry >= 0 and added_entries[entry, ITEM_CHARACTER] != character:
        before = entry
        entry = np.int64(added_entries[entry, NEXT])
    if entry >= 0 and before >= 0:
        added_entries[before, NEXT] = added_entries[entry, NEXT]
        added_entries[entry, NEXT], added_nodes[node, FIRST] = added_nodes[node, FIRST], entry
    return entry


@exact
def _contains(entries, start, end, character):
    """Return whether a character is among those of the entries from `start` to `end`."""
    for entry in range(start, end):  # noqa: SIM110 (no generators in kernels)
        if entries[entry, CHARACTER] == character:
            return True
    return False


@exact
def rehash(old_keys, old_places, keys, places):
    """Enter the nodes of a hash table in a larger one."""
    for old in range(len(old_keys)):
        if old_keys[old] != EMPTY:
            place = find_added(keys, old_keys[old])
            keys[place], places[place] = old_keys[old], old_places[old]
