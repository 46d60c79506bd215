"""Kernels of the n-gram model: finding contexts, distributions, and counting what is read.

K  size of the alphabet         node    a context, see `elman.engine.numba.ngrams.tree`
n  order                        code    the index of a character + 1; 0 where there is none
R  batch rows                   entry   a character that followed the context of a node, and how often

As the codec computes with these kernels too, they obey the rules of `elman.compression.exact_kernels`: no fastmath, one
type for each array, integers and IEEE float64 in the order written.
"""

from __future__ import annotations

import numpy as np

from elman.engine.numba.jit import compiled
from elman.network.ngram import MIN_PROB

exact = compiled()
"""IEEE arithmetic as written, without fastmath."""

exact_step = compiled(inline="always")
"""The same for the steps of a kernel: a call would copy every field of every array of a tree."""

_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
"""The bits of the float64 sqrt(1/2)."""
_LN2 = 0.6931471805599453
_C1, _C3, _C5, _C7, _C9, _C11, _C13, _C15, _C17, _C19 = (2.0 / n for n in range(1, 20, 2))
"""log m = 2 (s + s^3 / 3 + s^5 / 5 + …), s = (m - 1) / (m + 1)."""
CHILD, ENTRY, TOTAL, CODE = range(4)
"""Columns of `Tree.nodes`: the first child, the first entry, occurrences of all characters, the node's own code."""
CHARACTER, COUNT, FOLDS = range(3)
"""Columns of `Tree.entries`; the last is where its counts by fold begin, or -1 - f if all are in fold f."""
BLOCK = 64
"""Characters whose contexts are found together: what they read stays in the second-level cache."""
EMPTY = -1
"""In place of a node, an entry or a key that does not exist."""


# --- Building ---


@exact
def count_entries(starts, characters, folds, K, fold_number):
    """Return the entries of nodes that begin at `starts` of the sorted positions.

    Returns the number of entries of each node, and the rows of `Tree.entries` and `Tree.folds` from the first on.
    """
    N, nodes = len(characters), len(starts) - 1
    sizes, entries, pairs = np.zeros(nodes, np.int64), np.empty((N, 3), np.int32), np.empty((N, 2), np.int32)
    by_character = np.zeros(K, np.int32)
    by_fold = np.zeros((K, fold_number + 1), np.int32)
    seen = np.empty(K, np.int32)
    entry, pair = 0, 0
    for node in range(nodes):
        kinds = 0
        for i in range(starts[node], starts[node + 1]):
            c = characters[i]
            if by_character[c] == 0:
                seen[kinds] = c
                kinds += 1
            by_character[c] += 1
            by_fold[c, folds[i]] += 1
        sizes[node] = kinds
        for kind in range(kinds):
            c = seen[kind]
            entries[entry, CHARACTER], entries[entry, COUNT], entries[entry, FOLDS] = c, by_character[c], pair
            for f in range(fold_number + 1):
                if by_fold[c, f] == by_character[c]:
                    entries[entry, FOLDS] = -1 - f
                elif by_fold[c, f] > 0:
                    pairs[pair, 0], pairs[pair, 1] = f, by_fold[c, f]
                    pair += 1
                by_fold[c, f] = 0
            by_character[c] = 0
            entry += 1
    return sizes, entries[:entry].copy(), pairs[:pair].copy()


# --- Distributions ---


@exact_step
def search_children(tree, low, high, code):
    """Return the node with this code among those from `low` to `high`, or -1."""
    end = high
    while low < high:
        middle = (low + high) >> 1
        if tree.nodes[middle, CODE] < code:
            low = middle + 1
        else:
            high = middle
    if low < end and tree.nodes[low, CODE] == code:
        return low
    return np.int64(EMPTY)


@exact_step
def find_child(tree, node, code):
    """Return the child of a node with this code, or -1."""
    return search_children(tree, np.int64(tree.nodes[node, CHILD]), np.int64(tree.nodes[node + 1, CHILD]), code)


@exact_step
def count_left_out(tree, entry, fold):
    """Return the count of an entry in a fold."""
    first = tree.entries[entry, FOLDS]
    if first < 0:
        return np.int64(tree.entries[entry, COUNT]) if first == -1 - fold else np.int64(0)
    i, left = np.int64(first), np.int64(tree.entries[entry, COUNT])
    while left > 0:
        if tree.folds_of_entries[i, 0] == fold:
            return np.int64(tree.folds_of_entries[i, 1])
        left -= tree.folds_of_entries[i, 1]
        i += 1
    return np.int64(0)


@exact_step
def find_added(added, parent, code, K):
    """Return the place of a child in the hash table: its own, or the free one where it belongs."""
    key = np.int64(parent) * (K + 1) + code
    place = key * 7919 % len(added.keys)
    while added.keys[place] != key and added.keys[place] != EMPTY:
        place = place + 1 if place + 1 < len(added.keys) else 0
    return place


@exact_step
def mix_node(tree, added, base, extra, fold, q, counts):
    """Apply (2) of `elman.network.ngram` to q (K,) for one context; return its N_o, 0 if it has none.

    The context is node `base` of the tree and node `extra` of the added counts; either may be -1. `counts` (K,) is
    workspace.
    """
    D = tree.discount
    total, kinds, start, end = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    if base >= 0:
        start, end = np.int64(tree.nodes[base, ENTRY]), np.int64(tree.nodes[base + 1, ENTRY])
        total, kinds = np.int64(tree.nodes[base, TOTAL]), end - start
        for entry in range(start, end):
            count = np.int64(tree.entries[entry, COUNT])
            if fold < tree.folds:
                left_out = count_left_out(tree, entry, fold)
                total -= left_out
                count -= left_out
                if count == 0:
                    kinds -= 1
            counts[entry - start] = count
    if extra >= 0:
        total += added.total[extra]
        kinds += added.new[extra]
    if total == 0:
        return total
    share = 1.0 / total
    rest = D * kinds * share
    for k in range(len(q)):
        q[k] = q[k] * rest
    for entry in range(start, end):
        if counts[entry - start] > 0:
            q[tree.entries[entry, CHARACTER]] += (counts[entry - start] - D) * share
    if extra >= 0:
        item = np.int64(added.first[extra])
        while item >= 0:
            discount = D if added.is_new[item] else 0.0
            q[added.character[item]] += (added.counts[item] - discount) * share
            item = np.int64(added.next[item])
    return total


@exact_step
def distribution(tree, added, bases, extras, fold, q, counts):
    """Set q (K,) from the nodes of a context by length, without the counts of a fold; return the matched order.

    `bases` and `extras` are nodes of the tree and of the added counts, -1 from the first length on that is not there.
    """
    o, matched = np.int64(0), np.int64(0)
    cached = tree.cached_order
    if 0 <= cached < len(bases) and added.sizes[0] == 0 and bases[max(cached, 0)] >= 0:
        context = np.int64(bases[cached]) - tree.cached_first
        for k in range(len(q)):
            q[k] = tree.cached_q[fold, context, k]
        matched = np.int64(tree.cached_matched[fold, context])
        if matched < cached:
            return matched
        o += cached + 1
    else:
        for k in range(len(q)):
            q[k] = 1.0 / tree.K
    while o < len(bases) and (bases[o] >= 0 or extras[o] >= 0):
        if mix_node(tree, added, bases[o], extras[o], fold, q, counts) == 0:
            break
        matched = o
        o += 1
    return matched


@exact_step
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
def fill_cache(tree, added, nodes, q, matched):
    """Set q (folds + 1, contexts, K) and the matched orders of contexts whose nodes by length are `nodes`."""
    extras, counts = np.full(nodes.shape[1], EMPTY, np.int64), np.empty(tree.K, np.int64)
    for fold in range(len(q)):
        for c in range(len(nodes)):
            matched[fold, c] = distribution(tree, added, nodes[c], extras, fold, q[fold, c], counts)


# --- Counting what is read ---


@exact_step
def find_nodes(tree, added, history, bases, extras):
    """Set the nodes of the contexts that end the codes `history` (n,), by length (n + 1,)."""
    grown = added.sizes[0] > 0
    bases[0], extras[0] = 0, 0 if grown else EMPTY
    for o in range(1, len(bases)):
        code, bases[o], extras[o] = history[len(history) - o], EMPTY, EMPTY
        if code > 0:
            if bases[o - 1] >= 0:
                bases[o] = find_child(tree, bases[o - 1], code)
            if extras[o - 1] >= 0:
                place = find_added(added, extras[o - 1], code, tree.K)
                if added.keys[place] != EMPTY:
                    extras[o] = added.nodes[place]


@exact_step
def add_count(tree, added, history, bases, extras, character):
    """Count a character after the codes `history`, whose nodes are `bases` and `extras`; those missing are created.

    There must be room, see `elman.engine.numba.ngrams.reader.NgramReader.reserve`.
    """
    for o in range(len(bases)):
        if o > 0 and history[len(history) - o] == 0:
            break
        if extras[o] < 0:
            code = history[len(history) - o]
            place = find_added(added, extras[o - 1], code, tree.K)
            node = added.sizes[0]
            added.keys[place] = np.int64(extras[o - 1]) * (tree.K + 1) + code
            added.nodes[place] = node
            added.base[node], added.total[node], added.new[node], added.first[node] = bases[o], 0, 0, EMPTY
            added.sizes[0] = node + 1
            extras[o] = node
        _add_to_node(tree, added, bases[o], extras[o], character)


@exact_step
def _add_to_node(tree, added, base, extra, character):
    added.total[extra] += 1
    item = np.int64(added.first[extra])
    while item >= 0 and added.character[item] != character:
        item = np.int64(added.next[item])
    if item < 0:
        item = added.sizes[1]
        is_new = True
        if base >= 0:
            for entry in range(tree.nodes[base, ENTRY], tree.nodes[base + 1, ENTRY]):
                if tree.entries[entry, CHARACTER] == character:
                    is_new = False
                    break
        added.character[item], added.counts[item], added.is_new[item] = character, 0, is_new
        added.next[item] = added.first[extra]
        added.first[extra] = item
        added.new[extra] += np.int32(is_new)
        added.sizes[1] = item + 1
    added.counts[item] += 1


@exact
def rehash(keys, nodes, added, K):
    """Enter the nodes of a hash table in that of `added`."""
    if added.sizes[0] > 1:
        for old in range(len(keys)):
            if keys[old] != EMPTY:
                place = find_added(added, keys[old] // (K + 1), keys[old] % (K + 1), K)
                added.keys[place], added.nodes[place] = keys[old], nodes[old]


# --- Reading ---


@exact_step
def find_block_nodes(tree, codes, first, rows, R, nodes, low, high, touched):
    """Set the nodes of the contexts after `rows` characters from row `first` of a window on, (rows, n + 1).

    They are found length by length, and what the next step reads is read before for all rows, in loops without
    branches, so that the memory accesses of different characters overlap.
    """
    n, none = nodes.shape[1] - 1, len(tree.nodes) - 2
    for i in range(rows):
        nodes[i, 0] = 0
    for o in range(1, n + 1):
        for i in range(rows):
            parent = nodes[i, o - 1] if nodes[i, o - 1] >= 0 else none
            low[i], high[i] = tree.nodes[parent, CHILD], tree.nodes[parent + 1, CHILD]
        for i in range(rows):
            touched[i] = tree.nodes[low[i], CODE]
        for i in range(rows):
            row = first + i
            code = codes[row % R, n + row // R - o + 1]
            nodes[i, o] = EMPTY
            if code > 0 and low[i] < high[i]:
                nodes[i, o] = low[i] if touched[i] == code else search_children(tree, low[i], high[i], code)
    for o in range(n + 1):
        for i in range(rows):
            node = nodes[i, o] if nodes[i, o] >= 0 else none
            low[i] = tree.nodes[node, ENTRY]
        for i in range(rows):
            touched[i] = tree.entries[low[i], FOLDS]


@exact_step
def _shift(history, x):
    """Append the code of character x to a history, which forgets its first."""
    for o in range(len(history) - 1):
        history[o] = history[o + 1]
    history[len(history) - 1] = x + 1


@exact
def append_window(histories, x, T, R):
    """Append the characters x (T R,) to the histories (R, n), in place."""
    for row in range(T * R):
        _shift(histories[row % R], x[row])


@exact
def read_window(tree, added, grows, histories, x, folds, T, R, K_row, log_q, matched):
    """Read x (T R,) in R rows that begin after `histories` (R, n), step by step; histories are changed in place.

    Sets log q (T, R, K_row), flat, and the matched orders (T R,). `folds` (T R,) are left out. If the model grows, each
    character is counted before the distribution after it is computed.
    """
    n = histories.shape[1]
    q, bits, powers = np.empty(tree.K), np.empty(tree.K, np.int64), np.empty(tree.K)
    extras, counts = np.full(n + 1, EMPTY, np.int64), np.empty(tree.K, np.int64)
    if added.sizes[0] == 0:
        codes = np.empty((R, n + T), np.int32)
        for r in range(R):
            codes[r, :n] = histories[r]
            for t in range(T):
                codes[r, n + t] = x[t * R + r] + 1
            histories[r] = codes[r, T:]
        bases = np.empty((BLOCK, n + 1), np.int64)
        low, high, touched = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
        for first in range(0, T * R, BLOCK):
            rows = min(BLOCK, T * R - first)
            find_block_nodes(tree, codes, first, rows, R, bases, low, high, touched)
            for i in range(rows):
                row = first + i
                matched[row] = distribution(tree, added, bases[i], extras, folds[row], q, counts)
                set_logs(q, bits, powers, log_q, row * K_row)
        return
    nodes = np.empty(n + 1, np.int64)
    for row in range(T * R):
        history = histories[row % R]
        if grows:
            find_nodes(tree, added, history, nodes, extras)
            add_count(tree, added, history, nodes, extras, x[row])
        _shift(history, x[row])
        find_nodes(tree, added, history, nodes, extras)
        matched[row] = distribution(tree, added, nodes, extras, folds[row], q, counts)
        set_logs(q, bits, powers, log_q, row * K_row)
