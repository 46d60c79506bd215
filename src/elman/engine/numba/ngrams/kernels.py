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
"""The same for the steps of a kernel that use most of a tree.

Functions that are called, not inlined, take the arrays they need: a call would copy every field of every array of a
tree. `add_count` takes them out of the tree once, as each access counts a reference to the array.
"""

_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
"""The bits of the float64 sqrt(1/2)."""
_LN2 = 0.6931471805599453
_C1, _C3, _C5, _C7, _C9, _C11, _C13, _C15, _C17, _C19 = (2.0 / n for n in range(1, 20, 2))
"""log m = 2 (s + s^3 / 3 + s^5 / 5 + …), s = (m - 1) / (m + 1)."""
EMPTY = -1
"""In place of a node, an entry or a key that does not exist."""
BASE, TOTAL, NEW, FIRST = range(4)
"""Of each node of `added.Added`, in one cache line: the node of the tree with the same context, or -1; the sum of its
counts; how many of its characters the node of the tree lacks; and its first entry."""
CHARACTER, COUNT, IS_NEW, NEXT = range(4)
"""Of each entry: character, count, whether the node of the tree lacks the character, and the next entry, or -1."""


# --- Building ---


@exact
def count_entries(starts, characters, folds, K, fold_number):
    """Return the entries of nodes that begin at `starts` of the sorted positions.

    Returns the number of entries of each node, the character and count of each entry and, if there are folds, the
    number of counts by fold of each entry, and those as pairs of fold and count.
    """
    N, nodes = len(characters), len(starts) - 1
    entries, character, count = np.zeros(nodes, np.int32), np.empty(N, np.int32), np.empty(N, np.int32)
    fold_counts, fold, fold_count = np.zeros(N, np.int32), np.empty(N, np.uint8), np.empty(N, np.int32)
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
        entries[node] = kinds
        for kind in range(kinds):
            c = seen[kind]
            character[entry], count[entry] = c, by_character[c]
            by_character[c] = 0
            for f in range(fold_number + 1):
                if by_fold[c, f] > 0:
                    if fold_number > 0:
                        fold[pair], fold_count[pair] = f, by_fold[c, f]
                        fold_counts[entry] += 1
                        pair += 1
                    by_fold[c, f] = 0
            entry += 1
    return (
        entries, character[:entry].copy(), count[:entry].copy(), fold_counts[:entry].copy(), fold[:pair].copy(),
        fold_count[:pair].copy(),
    )  # fmt: skip


@exact
def fill_cache(tree, added, histories, q, matched):
    """Set q (folds + 1, contexts, K) and the matched orders of contexts (contexts, o)."""
    for fold in range(len(q)):
        for c in range(len(histories)):
            matched[fold, c] = distribution(tree, added, histories[c], fold, q[fold, c])


# --- Distributions ---


@exact
def find_child(child_start, codes, node, code):
    """Return the child of a node with this code, or -1."""
    low, end = np.int64(child_start[node]), np.int64(child_start[node + 1])
    high = end
    while low < high:
        middle = (low + high) >> 1
        if codes[middle] < code:
            low = middle + 1
        else:
            high = middle
    if low < end and codes[low] == code:
        return low
    return np.int64(EMPTY)


@exact
def count_left_out(fold_start, folds, fold_count, entry, fold):
    """Return the count of an entry in a fold."""
    for i in range(fold_start[entry], fold_start[entry + 1]):
        if folds[i] == fold:
            return np.int64(fold_count[i])
    return np.int64(0)


@exact
def find_added(keys, key):
    """Return the place of a key in the hash table: its own, or the free one where it belongs."""
    place = key * 7919 % len(keys)
    while keys[place] != key and keys[place] != EMPTY:
        place = place + 1 if place + 1 < len(keys) else 0
    return place


@exact_step
def mix_node(tree, added, base, extra, fold, q):
    """Apply (2) of `elman.network.ngram` to q (K,) for one context; return its N_o, 0 if it has none.

    The context is node `base` of the tree and node `extra` of the added counts; either may be -1.
    """
    D = tree.discount
    total, kinds, start, end = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    if base >= 0:
        start, end = np.int64(tree.entry_start[base]), np.int64(tree.entry_start[base + 1])
        total, kinds = np.int64(tree.total[base]), end - start
        if fold < tree.folds:
            for entry in range(start, end):
                left_out = count_left_out(tree.fold_start, tree.fold, tree.fold_count, entry, fold)
                total -= left_out
                if left_out == tree.counts[entry]:
                    kinds -= 1
    if extra >= 0:
        total += added.node[extra, TOTAL]
        kinds += added.node[extra, NEW]
    if total == 0:
        return total
    share = 1.0 / total
    rest = D * kinds * share
    for k in range(len(q)):
        q[k] = q[k] * rest
    for entry in range(start, end):
        count = np.int64(tree.counts[entry])
        if fold < tree.folds:
            count -= count_left_out(tree.fold_start, tree.fold, tree.fold_count, entry, fold)
        if count > 0:
            q[tree.character[entry]] += (count - D) * share
    if extra >= 0:
        item = np.int64(added.node[extra, FIRST])
        while item >= 0:
            discount = D if added.entry[item, IS_NEW] else 0.0
            q[added.entry[item, CHARACTER]] += (added.entry[item, COUNT] - discount) * share
            item = np.int64(added.entry[item, NEXT])
    return total


@exact_step
def distribution(tree, added, history, fold, q):
    """Set q (K,) after the codes `history`, without the counts of a fold; return the matched order."""
    length, grown = len(history), added.sizes[0] > 0
    base, extra, o, matched = np.int64(0), np.int64(0 if grown else EMPTY), np.int64(0), np.int64(0)
    if tree.cached_order >= 0 and not grown and length >= tree.cached_order:
        while o < tree.cached_order and base >= 0:
            base = find_child(tree.child_start, tree.code, base, history[length - 1 - o])
            o += 1
        if base >= 0:
            cached = base - tree.cached_first
            for k in range(len(q)):
                q[k] = tree.cached_q[fold, cached, k]
            matched = np.int64(tree.cached_matched[fold, cached])
            if matched < tree.cached_order:
                return matched
            o += 1
        else:
            base, o = np.int64(0), np.int64(0)
    if o == 0:
        for k in range(len(q)):
            q[k] = 1.0 / tree.K
    while o <= length:
        if o > 0:
            code = history[length - o]
            if code == 0:
                break
            if base >= 0:
                base = find_child(tree.child_start, tree.code, base, code)
            if extra >= 0:
                place = find_added(added.keys, extra * (tree.K + 1) + code)
                extra = np.int64(added.nodes[place]) if added.keys[place] != EMPTY else np.int64(EMPTY)
            if base < 0 and extra < 0:
                break
        if mix_node(tree, added, base, extra, fold, q) == 0:
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


# --- Counting what is read ---


@exact
def add_count(tree, added, history, character):
    """Count a character after the codes `history`; there must be room, see `NgramReader.reserve`."""
    child_start, codes, entry_start, characters = tree.child_start, tree.code, tree.entry_start, tree.character
    sizes, keys, nodes, fields, entries = added
    base, extra = np.int64(0), np.int64(0)
    for o in range(len(history) + 1):
        if o > 0:
            code = history[len(history) - o]
            if code == 0:
                break
            if base >= 0:
                base = find_child(child_start, codes, base, code)
            key = extra * (tree.K + 1) + code
            place = find_added(keys, key)
            if keys[place] == EMPTY:
                node = sizes[0]
                keys[place], nodes[place] = key, node
                fields[node, BASE], fields[node, FIRST] = base, EMPTY
                sizes[0] = node + 1
            extra = np.int64(nodes[place])
        fields[extra, TOTAL] += 1
        entry = _move_to_front(fields, entries, extra, character)
        if entry < 0:
            entry = sizes[1]
            lacks = base < 0 or not _contains(characters, entry_start[base], entry_start[base + 1], character)
            entries[entry, CHARACTER], entries[entry, IS_NEW] = character, lacks
            entries[entry, NEXT], fields[extra, FIRST] = fields[extra, FIRST], entry
            fields[extra, NEW] += np.int32(lacks)
            sizes[1] = entry + 1
        entries[entry, COUNT] += 1


@exact
def _move_to_front(fields, entries, node, character):
    """Make the entry of a character the first of its node, so that frequent ones are found soon; return it, or -1."""
    entry, before = np.int64(fields[node, FIRST]), np.int64(EMPTY)
    while entry >= 0 and entries[entry, CHARACTER] != character:
        before = entry
        entry = np.int64(entries[entry, NEXT])
    if entry >= 0 and before >= 0:
        entries[before, NEXT] = entries[entry, NEXT]
        entries[entry, NEXT], fields[node, FIRST] = fields[node, FIRST], entry
    return entry


@exact
def _contains(characters, start, end, character):
    """Return whether a character is among those of the entries from `start` to `end`."""
    for entry in range(start, end):  # noqa: SIM110 (no generators in kernels)
        if characters[entry] == character:
            return True
    return False


@exact
def rehash(old_keys, old_nodes, keys, nodes):
    """Enter the nodes of a hash table in a larger one."""
    for old in range(len(old_keys)):
        if old_keys[old] != EMPTY:
            place = find_added(keys, old_keys[old])
            keys[place], nodes[place] = old_keys[old], old_nodes[old]


# --- Reading ---


@exact_step
def read_row(tree, added, grows, history, x, fold, q, bits, powers, log_q, start):
    """Read character x after the codes `history` (n,), which it joins; set log q and return the matched order."""
    if grows:
        add_count(tree, added, history, x)
    for o in range(len(history) - 1):
        history[o] = history[o + 1]
    history[len(history) - 1] = x + 1
    matched = distribution(tree, added, history, fold, q)
    set_logs(q, bits, powers, log_q, start)
    return matched


@exact
def read_window(tree, added, grows, histories, x, folds, T, R, K_row, log_q, matched):
    """Read x (T R,) in R rows that begin after `histories` (R, n), step by step; histories are changed in place.

    Sets log q (T, R, K_row), flat, and the matched orders (T R,). `folds` (T R,) are left out.
    """
    q, bits, powers = np.empty(tree.K), np.empty(tree.K, np.int64), np.empty(tree.K)
    for row in range(T * R):
        matched[row] = read_row(
            tree, added, grows, histories[row % R], x[row], folds[row], q, bits, powers, log_q, row * K_row
        )
