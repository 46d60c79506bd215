"""Kernels that read characters with an n-gram model: its table, and the counts of what it reads.

K  size of the alphabet     n  order     R  rows     node  of the table, see `elman.network.ngram_table`
extra  a node of the counts of what is read, `Added`: a trie of the same form

Where a node is given by length of context, o = 0 … n, it is -1 if there is none: of a row that reads a character, the
context of length o + 1 is the child of that of length o before.

The codec computes with these kernels too, so they obey the rules of `elman.compression.arithmetic`: no fastmath, one type
for each array, integers and IEEE float64 in the order written.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.jit import compiled
from elman.network.ngram import MIN_PROB, READ_COUNT, NgramModel
from elman.network.ngram_table import CODE_BITS, CODES, STRIDE, symbol_bits

exact = compiled()
"""IEEE arithmetic as written, without fastmath."""
allocating = compiled(allocates=True)
"""The same for a kernel that creates arrays."""
exact_step = compiled(inline="always")
"""The same for the steps of a kernel."""

NONE = -1
MAX_CACHE_BYTES = 1 << 26
"""Size of the distributions of short contexts that are stored."""
MAX_CACHED_ORDER = 2

_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
"""The bits of the float64 sqrt(1/2)."""
_LN2 = 0.6931471805599453
_C1, _C3, _C5, _C7, _C9, _C11, _C13, _C15, _C17, _C19 = (2.0 / n for n in range(1, 20, 2))
"""log m = 2 (s + s^3 / 3 + s^5 / 5 + …), s = (m - 1) / (m + 1)."""

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
    starts: NDArray[np.int64]  # see `elman.network.ngram.FoldCounts`; one number where nothing is left out
    fold: NDArray[np.uint8]
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
"""What there is for each context of a row: its node in the table, that node's first child, and the node after its last."""
COUNT, TOTAL, CHILD, SIBLING, SYMBOL, WIDTH = range(6)
"""Columns of `Added.nodes`: the node's own count, the sum of its children's, its latest child, the child of the same
parent that was added before, and its character."""


class Workspace(NamedTuple):
    """Workspace of `distribution`."""

    q: NDArray[np.float64]  # (K,)
    bits: NDArray[np.int64]  # (K,)
    powers: NDArray[np.float64]  # (K,)
    places: NDArray[np.int64]  # (K,): -1
    items: NDArray[np.int64]  # (K (n + 1), 2): characters and their weights, for each length of context
    ends: NDArray[np.int64]  # (n + 2,): where those of each length begin
    shares: NDArray[np.float64]  # (n + 1,): 1 / W_o


def make_workspace(K: int, order: int) -> Workspace:
    """Return the workspace for models of K characters."""
    return Workspace(
        np.empty(K), np.empty(K, np.int64), np.empty(K), np.full(K, NONE, np.int64),
        np.empty((K * (order + 1), 2), np.int64), np.zeros(order + 2, np.int64), np.empty(order + 1),
    )  # fmt: skip


def make_table(model: NgramModel) -> Table:
    """Return a model as the kernels read it."""
    table, counts = model.table, model.fold_counts
    none = np.zeros(1, np.uint8)
    of_folds = (np.zeros(1, np.int64), none, none, none) if counts is None else tuple(counts)
    reset_at = NONE if model.reset_at is None else model.reset_at
    made = Table(
        table.K, table.order, model.folds, reset_at, table.nodes, table.contexts, symbol_bits(table.K),
        *table.arrays().values(), model.discounts, *of_folds,
    )  # fmt: skip
    return _with_cache(made)


def _with_cache(table: Table) -> Table:
    """Return the table with the distributions after contexts of one length, the longest for which they fit."""
    firsts = [0, 1]
    for _ in range(min(MAX_CACHED_ORDER, table.order)):
        last = find_children(table.children, table.ones, table.nodes, table.contexts, firsts[-1] - 1)[1]
        firsts.append(int(last))
    for o in range(len(firsts) - 2, -1, -1):
        shape = table.folds + 1, firsts[o + 1] - firsts[o], table.K
        if 8 * int(np.prod(shape, dtype=np.int64)) <= MAX_CACHE_BYTES:
            q, matched = np.empty(shape), np.empty(shape[:2], np.int8)
            fill_cache(table, empty_added(), o, firsts[o], q, matched, make_workspace(table.K, table.order))
            return table._replace(cached_order=o, cached_first=firsts[o], cached_q=q, cached_matched=matched)
    return table


def empty_added() -> Added:
    """Return the counts of a model that does not grow."""
    return Added(np.zeros(1, np.int64), np.zeros((1, WIDTH), np.int32))


def empty_table() -> Table:
    """Return the table of no text, which is passed to a kernel where there is no model."""
    words, none = np.zeros(2, np.uint64), np.zeros(1, np.uint8)
    return Table(2, 0, 0, NONE, 1, 1, 1, *[words] * 3, np.zeros(1, np.uint32), np.zeros((1, 3)), np.zeros(1, np.int64), none, none, none)


def make_added(nodes: int) -> Added:
    """Return the counts of no text, with room for so many nodes."""
    added = Added(np.ones(1, np.int64), np.zeros((max(1, nodes), WIDTH), np.int32))
    added.nodes[:, CHILD : SIBLING + 1] = NONE
    return added


def grow(added: Added, nodes: int) -> Added:
    """Return the same counts with room for so many nodes."""
    larger = make_added(nodes)
    larger.sizes[:], larger.nodes[: added.sizes[0]] = added.sizes, added.nodes[: added.sizes[0]]
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
    entry = np.int64(NONE)
    if fold < table.folds:
        first, last = table.starts[node], table.starts[node + 1]
        if last - first == table.folds:
            entry = first + fold
        else:
            for e in range(first, last):
                if table.fold[e] == fold:
                    entry = e
    return entry


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
    """Set the nodes by length, (R, n + 1, …), of the contexts that end the histories (R, n)."""
    n = table.order
    for r in range(len(histories)):
        for length in range(n + 1):
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
    mask = (1 << table.width) - 1
    for node in range(bases[r, o, FIRST], bases[r, o, LAST]):
        string, entry = field(table.strings, table.width + CODE_BITS, node - 1), find_entry(table, node, fold)
        symbol = string & mask
        weight = CODES[np.int64(table.fold_weights[entry]) if entry >= 0 else string >> table.width]
        if weight > 0 and symbol < table.K:
            items[used + kinds, 0], items[used + kinds, 1] = symbol, weight
            kinds, total = kinds + 1, total + weight
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
    if cached >= 0 and extras[r, 0] < 0 and bases[r, cached, NODE] >= 0:
        context = bases[r, cached, NODE] - table.cached_first
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
    are changed in place. Sets the matched orders (R,) and log q, flat, whose rows are `stride` apart, without the counts
    of each row's fold (R,).
    """
    for r in range(len(x)):
        if reads[r]:
            advance(table, added, grows, histories, bases, extras, r, np.int64(x[r]))
            matched[r] = distribution(table, added, bases, extras, r, folds[r], workspace)
            set_logs(workspace.q, workspace.bits, workspace.powers, log_q, r * stride)


@allocating
def fill_cache(table, added, order, first_node, q, matched, workspace):
    """Set q (folds + 1, contexts, K) and the matched orders of all contexts of a length, from its first node on."""
    n, contexts = table.order, q.shape[1]
    histories, bases = np.zeros((1, n), np.int32), np.full((1, n + 1, 3), NONE, np.int64)
    extras, codes = np.full((1, n + 1), NONE, np.int64), np.zeros(n, np.int32)
    parents = np.zeros(n + 1, np.int64)
    for context in range(contexts):
        node = first_node + context
        find_path(table, node, order, parents)
        for o in range(order):
            histories[0, n - order + o] = (field(table.strings, table.width + CODE_BITS, parents[o + 1] - 1) & ((1 << table.width) - 1)) + 1
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


@exact
def count_rows(table, added, histories, bases, extras, x, reads):
    """Count one character in each row where `reads` (R,) is true, and append it."""
    for r in range(len(x)):
        if reads[r]:
            advance(table, added, True, histories, bases, extras, r, np.int64(x[r]))


@exact
def read_window(table, added, grows, histories, bases, extras, reads, x, folds, T, R, K_row, log_q, matched, workspace):
    """Read x (T R,), step by step, with `read_rows`: sets log q (T, R, K_row), flat, and the matched orders (T R,)."""
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
