"""Kernels that read characters with an n-gram model, and what they read it from: a table with a cache, and counts.

K  size of the alphabet     n  order     R  rows

Where a node is given by length of context, o = 0 … n, it is -1 if there is none: of a row that reads a character, the
context of length o + 1 is the child of that of length o before. The nodes of a row whose root is -1 are those of its
history, which are found when it reads next.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.jit import compiled
from elman.engine.numba.ngrams.tables import (
    CHILD,
    COUNT,
    FIRST,
    LAST,
    NODE,
    NONE,
    SIBLING,
    SYMBOL,
    TOTAL,
    Table,
    add_extra,
    empty_added,
    empty_table,
    exact,
    exact_step,
    field,
    find_child,
    find_children,
    find_entry,
    find_extra,
    grow,
    rest_of,
)
from elman.network.ngram import MIN_PROB, NgramModel
from elman.network.ngram_table import CODE_BITS, CODES, symbol_bits

MAX_CACHE_BYTES = 1 << 26
"""Size of the distributions of short contexts that are stored."""
MAX_CACHED_ORDER = 2
INITIAL_CAPACITY = 1 << 10
"""Nodes for which a growing model has room at first."""

_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
"""The bits of the float64 sqrt(1/2)."""
_LN2 = 0.6931471805599453
_C1, _C3, _C5, _C7, _C9, _C11, _C13, _C15, _C17, _C19 = (2.0 / n for n in range(1, 20, 2))
"""log m = 2 (s + s^3 / 3 + s^5 / 5 + …), s = (m - 1) / (m + 1)."""


class Workspace(NamedTuple):
    """Workspace of `distribution`."""

    q: NDArray[np.float64]  # (K,)
    bits: NDArray[np.int64]  # (K,)
    powers: NDArray[np.float64]  # (K,)
    places: NDArray[np.int64]  # (K,): -1
    items: NDArray[np.int64]  # (K (n + 1), 2): characters and their weights, for each length of context
    ends: NDArray[np.int64]  # (n + 2,): where those of each length begin
    shares: NDArray[np.float64]  # (n + 1,): 1 / W_o


def make_workspace(K: int, order: int, *groups: int) -> Workspace:
    """Return the workspace for models of K characters, or one of each group."""
    return Workspace(
        np.empty((*groups, K)), np.empty((*groups, K), np.int64), np.empty((*groups, K)),
        np.full((*groups, K), NONE, np.int64), np.empty((*groups, K * (order + 1), 2), np.int64),
        np.zeros((*groups, order + 2), np.int64), np.empty((*groups, order + 1)),
    )  # fmt: skip


@exact_step
def select_workspace(workspace, g):
    """The workspace of a group."""
    return Workspace(
        workspace.q[g], workspace.bits[g], workspace.powers[g], workspace.places[g], workspace.items[g],
        workspace.ends[g], workspace.shares[g],
    )  # fmt: skip


def make_nodes(R: int, order: int, *groups: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the nodes of R rows, or of R rows of each group, which are found in their histories."""
    return np.full((*groups, R, order + 1, 3), NONE, np.int64), np.full((*groups, R, order + 1), NONE, np.int64)


# --- Rows ---


@exact_step
def append(histories, r, x, reset_at):
    """Append the code of character x to the history of row r, which forgets its first, or all if x is `reset_at`."""
    n = histories.shape[1]
    for o in range(n - 1):
        histories[r, o] = histories[r, o + 1] if x != reset_at else 0
    if n > 0:
        histories[r, n - 1] = x + 1


@exact_step
def set_node(table, bases, r, o, node):
    """Set the node of the context of length o in row r, and where its children are."""
    first, last = find_children(table.children, table.ones, table.nodes, table.contexts, node)
    bases[r, o, NODE], bases[r, o, FIRST], bases[r, o, LAST] = node, first, last


@exact_step
def advance(table, added, grows, histories, bases, extras, r, x):
    """Read character x in row r: it is counted, if the model grows, and its contexts become those of the row."""
    n = table.order
    for o in range(n, -1, -1):
        extra = np.int64(NONE)
        if added.sizes[0] > 0:
            if grows and extras[r, o] < 0:  # another row may have counted its context since
                extras[r, o] = find_context(added, histories, r, o)
            if grows and extras[r, o] >= 0:
                extra = add_extra(added, extras[r, o], x)
            elif o < n:
                extra = find_extra(added, extras[r, o], x)
        if o < n:
            is_cut = x == table.reset_at and o > 0
            extras[r, o + 1] = extra if not is_cut else np.int64(NONE)
            base = np.int64(NONE) if is_cut else find_child(table, bases[r, o, FIRST], bases[r, o, LAST], x)
            set_node(table, bases, r, o + 1, base)
    append(histories, r, x, table.reset_at)


@exact_step
def find_context(added, histories, r, length):
    """The node of the added counts of the last `length` characters of row r; -1 if there is none."""
    extra, n = np.int64(0), histories.shape[1]
    for o in range(n - length, n):
        extra = find_extra(added, extra, histories[r, o] - 1) if histories[r, o] > 0 else np.int64(NONE)
    return extra


@exact
def find_row_nodes(table, added, histories, bases, extras):
    """Set the nodes by length, (R, n + 1, …), of the contexts that end the histories (R, n), in rows without them."""
    n = table.order
    for r in range(len(histories)):
        for length in range(n + 1 if bases[r, 0, NODE] == NONE else 0):
            set_node(table, bases, r, length, np.int64(0))
            extra = np.int64(0) if added.sizes[0] > 0 else np.int64(NONE)
            for o in range(n - length, n):
                symbol = np.int64(histories[r, o]) - 1
                first, last = bases[r, length, FIRST], bases[r, length, LAST]
                set_node(table, bases, r, length, find_child(table, first, last, symbol) if symbol >= 0 else NONE)
                extra = find_extra(added, extra, symbol) if symbol >= 0 else np.int64(NONE)
            extras[r, length] = extra


@exact_step
def list_weights(table, added, bases, extras, r, o, fold, places, items, used):
    """Append the characters after the context of length o, and their weights, to `items`; return their number and W_o.

    `places` (K,), -1, is workspace.
    """
    kinds, total, extra = np.int64(0), np.int64(0), extras[r, o]
    mask, latest = (1 << table.width) - 1, np.int64(NONE)
    for node in range(bases[r, o, FIRST], bases[r, o, LAST]):
        string, entry = field(table.strings, table.width + CODE_BITS, node - 1), find_entry(table, node, fold)
        symbol = string & mask
        weight = CODES[np.int64(table.fold_weights[entry]) if entry >= 0 else string >> table.width]
        if weight > 0 and latest < symbol < table.K:  # a file may contain any others, and `items` has room for K
            items[used + kinds, 0], items[used + kinds, 1] = symbol, weight
            kinds, total, latest = kinds + 1, total + weight, symbol
    if extra >= 0:
        for k in range(kinds):
            places[items[used + k, 0]] = used + k
        child = np.int64(added.nodes[extra, CHILD])
        while child >= 0:
            symbol = np.int64(added.nodes[child, SYMBOL])
            place = places[symbol]
            if place < 0:
                place = used + kinds
                items[place, 0], items[place, 1] = symbol, 0
                kinds += 1
            items[place, 1] += added.nodes[child, COUNT]
            child = np.int64(added.nodes[child, SIBLING])
        for k in range(kinds):
            places[items[used + k, 0]] = NONE
        total += added.nodes[extra, TOTAL]
    if kinds > 0 and bases[r, o, NODE] >= 0:
        total += rest_of(table, bases[r, o, NODE], fold)
    return kinds, total


@exact_step
def distribution(table, added, bases, extras, r, fold, workspace):
    """Set q (K,) of the workspace to that after row r, (5), without the counts of a fold; return the matched order."""
    K, cached, first, q = table.K, table.cached_order, np.int64(0), workspace.q
    places, items, ends, shares = workspace.places, workspace.items, workspace.ends, workspace.shares
    context = bases[r, cached, NODE] - table.cached_first if cached >= 0 else np.int64(NONE)
    if extras[r, 0] < 0 and 0 <= context < table.cached_q.shape[1]:
        matched, cached_q = np.int64(table.cached_matched[fold, context]), table.cached_q[fold, context]
        for k in range(K):
            q[k] = cached_q[k]
        if matched < cached:
            return matched
        first = cached + 1
    else:
        for k in range(K):
            q[k] = 1.0 / K
    o, factor = first, 1.0
    ends[o] = 0
    while o <= table.order:
        kinds, total = list_weights(table, added, bases, extras, r, o, fold, places, items, ends[o])
        if kinds == 0:
            break
        kept, end = 0.0, ends[o] + kinds
        for i in range(ends[o], end):
            kept += max(items[i, 1] - table.discounts[o, min(items[i, 1], 3) - 1], 0.0)
        shares[o], ends[o + 1] = 1.0 / total, end
        factor *= 1.0 - kept * shares[o]  # (6)
        o += 1
    for k in range(K):
        q[k] *= factor
    factor = 1.0
    for length in range(o - 1, first - 1, -1):
        share, kept = factor * shares[length], 0.0
        for i in range(ends[length], ends[length + 1]):
            weight = max(items[i, 1] - table.discounts[length, min(items[i, 1], 3) - 1], 0.0)
            kept += weight
            q[items[i, 0]] += weight * share
        factor *= 1.0 - kept * shares[length]
    return max(o - 1, 0)


@exact
def set_logs(q, bits, powers, out, start):
    """Set out[start : start + K] to log max(q, `MIN_PROB`), of q (K,); `bits` and `powers` (K,) are workspace.

    A number is 2^e m with m in [sqrt(1/2), sqrt(2)), and log m is a series in (m - 1) / (m + 1).
    """
    for k in range(len(q)):
        q[k] = max(q[k], MIN_PROB)
    raw = q.view(np.int64)
    for k in range(len(q)):
        e = (raw[k] - _SQRT_HALF_BITS) >> 52
        powers[k] = e
        bits[k] = raw[k] - (e << 52)
    mantissas = bits.view(np.float64)
    for k in range(len(q)):
        m = mantissas[k]
        s = (m - 1.0) / (m + 1.0)
        u = s * s
        high = _C11 + u * (_C13 + u * (_C15 + u * (_C17 + u * _C19)))
        log = s * (_C1 + u * (_C3 + u * (_C5 + u * (_C7 + u * (_C9 + u * high)))))
        out[start + k] = log + powers[k] * _LN2


@exact
def read_rows(table, added, grows, histories, bases, extras, x, folds, reads, stride, log_q, matched, workspace):
    """Read one character in each row where `reads` (R,) is true: it is counted, if the model grows, and appended.

    `bases` (R, n + 1, 3) and `extras` (R, n + 1) are the nodes of the contexts that end the histories (R, n); all three
    are changed in place. Sets the matched orders (R,) and log q, flat, whose rows are `stride` apart, without the
    counts of each row's fold (R,).
    """
    for r in range(len(x)):
        if reads[r]:
            advance(table, added, grows, histories, bases, extras, r, np.int64(x[r]))
            matched[r] = distribution(table, added, bases, extras, r, folds[r], workspace)
            set_logs(workspace.q, workspace.bits, workspace.powers, log_q, r * stride)


@exact
def read_window(table, added, grows, histories, bases, extras, reads, x, folds, T, R, K_row, log_q, matched, workspace):
    """Read x (T R,), step by step, with `read_rows`: sets log q (T, R, K_row), flat, and the matched orders (T R,)."""
    find_row_nodes(table, added, histories, bases, extras)
    for t in range(T):
        row = t * R
        read_rows(
            table, added, grows, histories, bases, extras, x[row : row + R], folds[row : row + R], reads, K_row,
            log_q[row * K_row :], matched[row : row + R], workspace,
        )  # fmt: skip


@exact
def append_window(histories, x, reset_at, T, R):
    """Append the characters x (T R,) to the histories (R, n), in place."""
    for row in range(T * R):
        append(histories, row % R, x[row], reset_at)


# --- Models, which are prepared on first use ---


class NgramReader:
    """An n-gram model for the kernels: its table, and the counts that are added if it continues another."""

    def __init__(self, model: NgramModel) -> None:
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
