"""Kernels of the distributions that the counts of the n-gram model give, under the rules of `counting`.

K  size of the alphabet         node    a context, see `elman.engine.numba.ngrams.tree`
n  order                        entry   a character that followed the context of a node, and how often
"""

from __future__ import annotations

import numpy as np

from elman.engine.numba.ngrams.counting import (
    ADDED_TOTAL,
    BLOCK_ITEMS,
    CHARACTER,
    COUNT,
    EMPTY,
    ENTRY,
    FIRST_BLOCK,
    FOLD,
    NEW,
    NEXT_BLOCK,
    NODE_ITEMS,
    NODE_WIDTH,
    SEVERAL,
    TOTAL,
    allocating,
    exact,
    exact_step,
)
from elman.network.ngram import MIN_PROB

_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
"""The bits of the float64 sqrt(1/2)."""
_LN2 = 0.6931471805599453
_C1, _C3, _C5, _C7, _C9, _C11, _C13, _C15, _C17, _C19 = (2.0 / n for n in range(1, 20, 2))
"""log m = 2 (s + s^3 / 3 + s^5 / 5 + …), s = (m - 1) / (m + 1)."""


@exact_step
def find_fold_counts(nodes, node, fold, folds):
    """Return where the counts in a fold of a node's entries begin in `Tree.fold_counts`, and their number."""
    before = np.int64(nodes[node, SEVERAL])
    several = np.int64(nodes[node + 1, SEVERAL]) - before
    return before * folds + fold * several, several


@exact_step
def count_without_fold(nodes, entries, fold_counts, node, fold, folds, counts):
    """Set `counts` to those of a node's entries without a fold; return their sum and how many are not 0."""
    start, end = np.int64(nodes[node, ENTRY]), np.int64(nodes[node + 1, ENTRY])
    (first, several), total, kinds = find_fold_counts(nodes, node, fold, folds), np.int64(0), np.int64(0)
    for i in range(several):
        counts[i] = np.int64(entries[start + i, COUNT]) - fold_counts[first + i]
        total += counts[i]
        kinds += counts[i] > 0
    for i in range(several, end - start):
        counts[i] = np.int64(entries[start + i, COUNT]) if entries[start + i, FOLD] != fold else np.int64(0)
        total += counts[i]
        kinds += counts[i] > 0
    return total, kinds


@exact_step
def mix_node(nodes, entries, fold_counts, added_nodes, blocks, base, extra, fold, folds, D, q, row, counts):
    """Apply (2) of `elman.network.ngram` to a row of q (…, K) for one context; return its N_o, 0 if it has none.

    The context is node `base` of the tree and node `extra` of the added counts; either may be -1. `counts` (K,) is
    workspace. An array of the row alone would take as long to make as the arithmetic takes.
    """
    total, kinds, start, end = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    leaves_out = fold < folds
    if base >= 0:
        start, end = np.int64(nodes[base, ENTRY]), np.int64(nodes[base + 1, ENTRY])
        if leaves_out:
            total, kinds = count_without_fold(nodes, entries, fold_counts, base, fold, folds, counts)
        else:
            total, kinds = np.int64(nodes[base, TOTAL]), end - start
            for entry in range(start, end):
                counts[entry - start] = entries[entry, COUNT]
    if extra >= 0:
        total += added_nodes[extra, ADDED_TOTAL]
        kinds += added_nodes[extra, NEW]
    if total > 0:
        share = 1.0 / total
        rest = D * kinds * share
        for k in range(q.shape[1]):
            q[row, k] *= rest
        for entry in range(start, end):
            q[row, entries[entry, CHARACTER]] += max(counts[entry - start] - D, 0.0) * share
        if extra >= 0:
            _add_items(added_nodes, extra, NODE_ITEMS, NODE_WIDTH, D, share, q, row)
            block = np.int64(added_nodes[extra, FIRST_BLOCK])
            while block >= 0:
                _add_items(blocks, block, BLOCK_ITEMS, NEXT_BLOCK, D, share, q, row)
                block = np.int64(blocks[block, NEXT_BLOCK])
    return total


@exact_step
def _add_items(items, item_row, first, end, D, share, q, row):
    """Add the entries in columns `first` to `end` of a row of the added counts to a row of q (…, K)."""
    for i in range(first, end, 2):
        if items[item_row, i + 1] > 0:
            discount = D if items[item_row, i] & 1 else 0.0
            q[row, items[item_row, i] >> 1] += (items[item_row, i + 1] - discount) * share


@exact
def distribution(
    nodes, entries, fold_counts, cached_q, cached_matched, cached_order, cached_first,
    added_nodes, blocks, bases, extras, fold, folds, D, q, row, counts,
):  # fmt: skip
    """Set a row of q (…, K) from the nodes of a context by length, without a fold's counts; return the matched order.

    `bases` and `extras` (n + 1,) are nodes of the tree and of the added counts; `counts` (K,) is workspace.
    """
    o = np.int64(0)
    if 0 <= cached_order < len(bases) and extras[0] < 0 and bases[max(cached_order, 0)] >= 0:
        context = bases[cached_order] - cached_first
        for k in range(q.shape[1]):
            q[row, k] = cached_q[fold, context, k]
        matched = np.int64(cached_matched[fold, context])
        if matched < cached_order:
            return matched
        o += cached_order + 1
    else:
        for k in range(q.shape[1]):
            q[row, k] = 1.0 / q.shape[1]
    while o < len(bases) and (bases[o] >= 0 or extras[o] >= 0):
        total = mix_node(
            nodes, entries, fold_counts, added_nodes, blocks, bases[o], extras[o], fold, folds, D, q, row, counts
        )  # fmt: skip
        if total == 0:
            break
        o += 1
    return max(o - 1, 0)


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


@allocating
def fill_cache(tree, added, nodes, q, matched):
    """Set q (folds + 1, contexts, K) and the matched orders of contexts whose nodes by length are `nodes`."""
    extras, counts = np.full(nodes.shape[1], EMPTY, np.int64), np.empty(tree.K, np.int64)
    for fold in range(len(q)):
        for c in range(len(nodes)):
            matched[fold, c] = distribution(
                tree.nodes, tree.entries, tree.fold_counts, q, matched, EMPTY, 0, added.nodes, added.blocks,
                nodes[c], extras, fold, tree.folds, tree.discount, q[fold], c, counts,
            )  # fmt: skip
