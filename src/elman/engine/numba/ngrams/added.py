"""The counts of what a model reads: a second, growing tree, so that the one of its text is never copied."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.ngrams.counting import EMPTY, rehash

Ints32 = NDArray[np.int32]
Ints64 = NDArray[np.int64]


class Added(NamedTuple):
    """The counts of what was read; changed in place."""

    sizes: Ints64  # (2,): nodes and entries in use; 0 nodes if nothing is counted
    keys: Ints64  # hash table with linear probing: parent · (K + 1) + code …
    places: Ints32  # … and the node
    nodes: Ints32  # (nodes, 4): see `counting.BASE`, …
    entries: Ints32  # (entries, 4): see `counting.ITEM_CHARACTER`, …


def empty_added() -> Added:
    """Return the counts of a model that does not grow."""
    return _allocate(0, 0, 0)


def _allocate(nodes: int, entries: int, places: int) -> Added:
    """Return empty counts with room for so many nodes, entries and places of the hash table, at least one of each."""
    n, e, p = max(nodes, 1), max(entries, 1), max(places, 1)
    return Added(
        sizes=np.zeros(2, np.int64),
        keys=np.full(p, EMPTY, np.int64),
        places=np.zeros(p, np.int32),
        nodes=np.tile(np.array([0, 0, 0, EMPTY], np.int32), (n, 1)),
        entries=np.zeros((e, 4), np.int32),
    )


def copy(added: Added) -> Added:
    """Return counts that grow independently."""
    return Added(**{name: array.copy() for name, array in added._asdict().items()})


def grow(added: Added, nodes: int, entries: int) -> Added:
    """Return the same counts with room for so many nodes and entries; of none, those of no text."""
    larger = _allocate(nodes, entries, 2 * nodes + 1)
    larger.sizes[:] = max(1, added.sizes[0]), added.sizes[1]
    if added.sizes[0]:
        rehash(added.keys, added.places, larger.keys, larger.places)
        larger.nodes[: added.sizes[0]] = added.nodes[: added.sizes[0]]
        larger.entries[: added.sizes[1]] = added.entries[: added.sizes[1]]
    return larger
