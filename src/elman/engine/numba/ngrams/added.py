"""The counts of what a model reads: a second, growing tree, so that the one of its text is never copied."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.ngrams.counting import BLOCK_WIDTH, EMPTY, FIRST_BLOCK, NODE_WIDTH, rehash

Ints32 = NDArray[np.int32]
Ints64 = NDArray[np.int64]


class Added(NamedTuple):
    """The counts of what was read; changed in place."""

    sizes: Ints64  # (2,): nodes and blocks in use; 0 nodes if nothing is counted
    keys: Ints64  # hash table with linear probing: parent · (K + 1) + code …
    places: Ints32  # … and the node
    nodes: Ints32  # (nodes, NODE_WIDTH): see `counting.BASE`, …
    blocks: Ints32  # (blocks, BLOCK_WIDTH): see `counting.BLOCK_ITEMS`, …


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
