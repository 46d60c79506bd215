"""An n-gram model prepared for the kernels, on first use: its table with a cache, and the counts it grows by."""

from __future__ import annotations

import numpy as np

from elman.engine.numba.jit import compiled
from elman.engine.numba.ngrams.kernels import distribution, find_row_nodes, make_workspace
from elman.engine.numba.ngrams.tables import (
    FIRST,
    LAST,
    NODE,
    NONE,
    Table,
    empty_added,
    empty_table,
    exact,
    field,
    find_children,
    grow,
)
from elman.network.ngram import NgramModel
from elman.network.ngram_table import CODE_BITS, symbol_bits

MAX_CACHE_BYTES = 1 << 26
"""Size of the distributions of short contexts that are stored."""
MAX_CACHED_ORDER = 2
INITIAL_CAPACITY = 1 << 10
"""Nodes for which a growing model has room at first."""


class NgramReader:
    """An n-gram model for the kernels: its table, and the counts that are added if it continues another."""

    def __init__(self, model: NgramModel) -> None:
        self.model = model
        if model.base is None:
            self.table, self.added = make_table(model), empty_added()
        else:
            base = reader(model.base)
            self.table, self.added = base.table, grow(base.added, INITIAL_CAPACITY)

    def reserve(self, characters: int) -> None:
        """Make room for counting so many characters."""
        nodes = int(self.added.sizes[0]) + characters * (self.table.order + 1)
        if nodes > len(self.added.nodes):
            self.added = grow(self.added, 2 * nodes)


def reader(model: NgramModel) -> NgramReader:
    """Return the compiled form of a model, which is made on first use."""
    if "numba" not in model.derived:
        model.derived["numba"] = NgramReader(model)
    of_model: NgramReader = model.derived["numba"]
    return of_model


def make_table(model: NgramModel) -> Table:
    """Return a model as the kernels read it."""
    table, empty = model.table, empty_table()
    folds = empty[-8:-4] if model.fold_counts is None else model.fold_counts
    reset_at = NONE if model.reset_at is None else model.reset_at
    sizes = table.K, table.order, model.folds, reset_at, table.nodes, table.contexts, symbol_bits(table.K)
    return _with_cache(Table._make([*sizes, *table.arrays().values(), model.discounts, *folds, *empty[-4:]]))


def _with_cache(table: Table) -> Table:
    """Return the table with the distributions after contexts of one length, the longest for which they fit."""
    firsts = [0, 1]
    longest = min(MAX_CACHED_ORDER, table.order)
    for _ in range(longest):
        last = find_children(table.children, table.ones, table.nodes, table.contexts, firsts[-1] - 1)[1]
        firsts.append(int(last))
    for o in range(longest, -1, -1):
        shape = table.folds + 1, firsts[o + 1] - firsts[o], table.K
        if shape[1] > 0 and 8 * int(np.prod(shape, dtype=np.int64)) <= MAX_CACHE_BYTES:
            q, matched = np.empty(shape), np.empty(shape[:2], np.int8)
            fill_cache(table, empty_added(), o, firsts[o], q, matched, make_workspace(table.K, table.order))
            return table._replace(cached_order=o, cached_first=firsts[o], cached_q=q, cached_matched=matched)
    return table


@compiled(allocates=True)
def fill_cache(table, added, order, first_node, q, matched, workspace):
    """Set q (folds + 1, contexts, K) and the matched orders of all contexts of a length, from its first node on."""
    n, contexts = table.order, q.shape[1]
    histories, bases = np.zeros((1, n), np.int32), np.full((1, n + 1, 3), NONE, np.int64)
    extras, parents = np.full((1, n + 1), NONE, np.int64), np.zeros(n + 1, np.int64)
    for context in range(contexts):
        node = first_node + context
        find_path(table, node, order, parents)
        for o in range(order):
            string = field(table.strings, table.width + CODE_BITS, parents[o + 1] - 1)
            histories[0, n - order + o] = (string & ((1 << table.width) - 1)) + 1
        bases[0, 0, NODE] = NONE
        find_row_nodes(table, added, histories, bases, extras)
        for o in range(order + 1, n + 1):
            bases[0, o, FIRST], bases[0, o, LAST] = 0, 0
        for fold in range(len(q)):
            matched[fold, context] = distribution(table, added, bases, extras, 0, fold, workspace)
            for k in range(table.K):
                q[fold, context, k] = workspace.q[k]


@exact
def find_path(table, node, length, nodes):
    """Set nodes (…, length) to those from the root to a node of a level."""
    nodes[0] = 0
    for o in range(length):
        first, last = find_children(table.children, table.ones, table.nodes, table.contexts, nodes[o])
        # The child whose descendants at this level contain the node: the last one that begins before it.
        while first + 1 < last and first_descendant(table, first + 1, length - o - 1) <= node:
            first += 1
        nodes[o + 1] = first


@exact
def first_descendant(table, node, levels):
    """The first descendant of a node so many levels below it, or where it would be."""
    for _ in range(levels):
        node = find_children(table.children, table.ones, table.nodes, table.contexts, node)[0]
    return node
