"""Kernels that read a window with the n-gram model.

K  size of the alphabet         node    a context, see `elman.engine.numba.ngrams.tree`
n  order                        code    the index of a character + 1; 0 where there is none
R  batch rows                   entry   a character that followed the context of a node, and how often

As the codec computes with these kernels too, they obey the rules of `elman.compression.arithmetic`: no fastmath, one
type for each array, integers and IEEE float64 in the order written.

A kernel takes the arrays out of `Tree` and `Added` once and passes them on: each access to a field of a tuple counts a
reference to the array, which costs more than a step does. Where a node is given by length of context, o = 0 … n, it is
-1 from the first context on that does not exist.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from elman.engine.numba.ngrams.counting import (
    CHILD,
    CODE,
    EMPTY,
    ENTRY,
    add_count,
    allocating,
    exact,
    exact_step,
    find_child,
    find_extra,
    find_nodes,
    search_children,
)
from elman.engine.numba.ngrams.distributions import distribution, find_fold_counts, mix_node, set_logs
from elman.engines import NUMBA_INSTALLED

BLOCK = 64
"""Characters whose contexts are found together: what they read stays in the second-level cache."""
LINE_ENTRIES, LINE_PROBS = 5, 8
"""Entries and float64 in a cache line of 64 bytes."""
LAST_LONG_ORDER = 4
"""The entries of longer contexts are rarely in more than two cache lines."""


def prefetch(array: Any, row: Any) -> None:
    """Let the cache line with the start of a row be fetched, without waiting for it; any row number is allowed.

    Only compiled kernels fetch anything. It is for loops over many rows that are read in no order: a load that has to
    wait for memory fills the queue in which the processor keeps what comes after it, a prefetch does not.
    """


if NUMBA_INSTALLED:
    from llvmlite import ir
    from numba import extending
    from numba.core import cgutils, types

    from elman.engine.numba.linalg.simd import emit_prefetch

    _cgutils: Any = cgutils
    _extending: Any = extending  # neither has annotations

    @_extending.type_callable(prefetch)
    def _type_prefetch(context: Any) -> Any:
        return lambda array, row: types.none

    @_extending.lower_builtin(prefetch, types.Array, types.Integer)
    def _lower_prefetch(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        stride = _cgutils.unpack_tuple(builder, array.strides)[0]
        offset = builder.mul(context.cast(builder, arguments[1], signature.args[1], types.int64), stride)
        emit_prefetch(builder, builder.gep(builder.bitcast(array.data, ir.IntType(8).as_pointer()), [offset]))
        return context.get_dummy_value()


@exact_step
def _shift(history, x, reset_at):
    """Append the code of character x to a history, which forgets its first, or all if x is `reset_at`."""
    for o in range(len(history) - 1):
        history[o] = history[o + 1] if x != reset_at else 0
    history[len(history) - 1] = x + 1


@exact_step
def _cut_history(history, reset_at):
    """Forget the characters before the last `reset_at`."""
    is_before = False
    for o in range(len(history) - 1, -1, -1):
        if is_before:
            history[o] = 0
        is_before = is_before or history[o] - 1 == reset_at >= 0


@exact
def find_row_nodes(tree, added, histories, bases, extras):
    """Set the nodes by length, (R, n + 1), of the contexts that end the histories (R, n)."""
    for r in range(len(histories)):
        find_nodes(
            tree.nodes, added.nodes, added.keys, added.places, added.sizes[0] > 0, tree.K, histories, bases, extras, r
        )


@exact
def read_rows(tree, added, grows, histories, bases, extras, x, folds, reads, stride, log_q, matched):
    """Read one character in each row where `reads` (R,) is true: it is counted, if the model grows, and appended.

    `bases` and `extras` (R, n + 1) are the nodes of the contexts that end the histories (R, n); all three are changed
    in place. Sets the matched orders (R,) and log q, flat, whose rows are `stride` apart.
    """
    if grows or added.sizes[0] == 0:
        read_row_by_row(tree, added, grows, histories, bases, extras, x, folds, reads, stride, log_q, matched)
        return
    for r in range(len(x)):
        if reads[r]:
            _shift(histories[r], x[r], tree.reset_at)
    find_all_nodes(tree, added, histories, bases, extras)
    mix_rows(tree, added, histories, bases, extras, folds, reads, stride, log_q, matched)


@allocating
def read_row_by_row(tree, added, grows, histories, bases, extras, x, folds, reads, stride, log_q, matched):
    """Do `read_rows`: each row is counted before the distribution of the next one is computed."""
    nodes, entries, fold_counts, cached_q, cached_matched = (
        tree.nodes, tree.entries, tree.fold_counts, tree.cached_q, tree.cached_matched,
    )  # fmt: skip
    sizes, keys, places, added_nodes, blocks = (
        added.sizes, added.keys, added.places, added.nodes, added.blocks,
    )  # fmt: skip
    K = tree.K
    q, bits, powers, counts = np.empty((1, K)), np.empty(K, np.int64), np.empty(K), np.empty(K, np.int64)
    for r in range(len(x)):
        if reads[r]:
            if grows:
                add_count(
                    nodes, entries, sizes, keys, places, added_nodes, blocks, K, histories, bases, extras, r, x[r],
                )  # fmt: skip
            _shift(histories[r], x[r], tree.reset_at)
            find_nodes(nodes, added_nodes, keys, places, sizes[0] > 0, K, histories, bases, extras, r)
            matched[r] = distribution(
                nodes, entries, fold_counts, cached_q, cached_matched, tree.cached_order, tree.cached_first,
                added_nodes, blocks, bases[r], extras[r], folds[r], tree.folds, tree.discount, q, 0, counts,
            )  # fmt: skip
            set_logs(q[0], bits, powers, log_q, r * stride)


@allocating
def find_all_nodes(tree, added, histories, bases, extras):
    """Do `find_row_nodes` of a model that has counted something, length by length."""
    R, n, keys, places, K = len(histories), histories.shape[1], added.keys, added.places, tree.K
    low, high, at = np.empty(R, np.int64), np.empty(R, np.int64), np.empty(R, np.int64)
    find_block_nodes(tree.nodes, histories, n - 1, 0, R, R, bases, low, high, at)
    for r in range(R):
        extras[r, 0] = 0
    for o in range(1, n + 1):
        for r in range(R):
            extras[r, o] = find_extra(added.nodes, keys, places, K, extras[r, o - 1], histories[r, n - o])


@allocating
def mix_rows(tree, added, histories, bases, extras, folds, reads, stride, log_q, matched):
    """Set log q and the matched orders of `read_rows`, given the nodes.

    Distributions of contexts without a character and of one are shared by the rows in which no fold is left out.
    """
    nodes, entries, fold_counts = tree.nodes, tree.entries, tree.fold_counts
    added_nodes, blocks, D, K, n = added.nodes, added.blocks, tree.discount, tree.K, histories.shape[1]
    shared_q, shared, shared_number = np.empty((len(reads), K)), np.full(K + 1, EMPTY, np.int64), np.int64(0)
    q, bits, powers, counts = np.empty((1, K)), np.empty(K, np.int64), np.empty(K), np.empty(K, np.int64)
    for r in range(len(reads)):
        if not reads[r]:
            continue
        code, fold, o = histories[r, n - 1], folds[r], np.int64(0)
        shares = fold >= tree.folds
        if shares and shared[code] >= 0:
            o += 2
            for k in range(K):
                q[0, k] = shared_q[shared[code], k]
        else:
            for k in range(K):
                q[0, k] = 1.0 / K
        while o <= n and (bases[r, o] >= 0 or extras[r, o] >= 0):
            total = mix_node(
                nodes, entries, fold_counts, added_nodes, blocks, bases[r, o], extras[r, o], fold, tree.folds, D, q,
                0, counts,
            )  # fmt: skip
            if total == 0:
                break
            o += 1
            if shares and o == 2:
                shared[code] = shared_number
                for k in range(K):
                    shared_q[shared_number, k] = q[0, k]
                shared_number += 1
        matched[r] = max(o - 1, 0)
        set_logs(q[0], bits, powers, log_q, r * stride)


@exact
def count_rows(tree, added, histories, bases, extras, x, reads):
    """Count one character in each row where `reads` (R,) is true; see `read_rows`, which finds the nodes again."""
    nodes, entries, sizes, keys, places, added_nodes, blocks = (
        tree.nodes, tree.entries, added.sizes, added.keys, added.places, added.nodes, added.blocks,
    )  # fmt: skip
    for r in range(len(x)):
        if reads[r]:
            add_count(
                nodes, entries, sizes, keys, places, added_nodes, blocks, tree.K, histories, bases, extras, r, x[r],
            )  # fmt: skip


@exact
def find_block_nodes(nodes, codes, last, first, rows, R, bases, low, high, at):
    """Set the nodes of the contexts after `rows` characters from row `first` of a window on, (rows, n + 1).

    The character at t = 0 is in column `last` of the `codes` (R, …). The nodes are found length by length, and what
    that reads is fetched before for all rows, in a loop without branches, so that the memory accesses of different
    characters overlap. `low`, `high` and `at` (rows,) are workspace.
    """
    n, none, flat = bases.shape[1] - 1, len(nodes) - 2, codes.reshape(-1)
    for i in range(rows):
        bases[i, 0] = 0
        at[i] = (first + i) % R * codes.shape[1] + last + (first + i) // R
    for o in range(1, n + 1):
        for i in range(rows):
            parent = bases[i, o - 1] if bases[i, o - 1] >= 0 else none
            low[i], high[i] = nodes[parent, CHILD], nodes[parent + 1, CHILD]
            prefetch(nodes, low[i])
        for i in range(rows):
            code = flat[at[i] - o + 1]
            bases[i, o] = EMPTY
            if code > 0 and low[i] < high[i]:
                bases[i, o] = low[i] if nodes[low[i], CODE] == code else search_children(nodes, low[i], high[i], code)


@exact
def prefetch_counts(nodes, entries, fold_counts, bases, folds, fold_number, first, rows, from_order):
    """Fetch the counts of nodes (rows, n + 1), of the contexts that have `from_order` characters or more."""
    none = len(nodes) - 2
    for o in range(from_order, bases.shape[1]):
        for i in range(rows):
            node = bases[i, o] if bases[i, o] >= 0 else none
            start, end = np.int64(nodes[node, ENTRY]), np.int64(nodes[node + 1, ENTRY])
            if folds[first + i] < fold_number:
                start_of_fold, several = find_fold_counts(nodes, node, folds[first + i], fold_number)
                prefetch(fold_counts, start_of_fold)
                prefetch(fold_counts, start_of_fold + several)
            if o <= LAST_LONG_ORDER:
                for entry in range(start, end, LINE_ENTRIES):
                    prefetch(entries, entry)
            else:
                prefetch(entries, start)
            prefetch(entries, end)


@exact
def mix_block(
    nodes, entries, fold_counts, cached_q, cached_matched, cached_order, cached_first,
    bases, folds, fold_number, D, first, rows, q, matched, counts,
):  # fmt: skip
    """Do `distribution` for the nodes (rows, n + 1): set q (rows, K) and the matched orders from row `first` on.

    It goes length by length: the memory accesses of a row do not wait for those of a shorter context.
    """
    K, flat = q.shape[1], cached_q.reshape(-1)
    from_order = max(cached_order, np.int64(0))
    for i in range(rows):
        if cached_order >= 0 and bases[i, from_order] >= 0:
            start = (folds[first + i] * cached_q.shape[1] + bases[i, from_order] - cached_first) * K
            for k in range(0, K, LINE_PROBS):
                prefetch(flat, start + k)
    prefetch_counts(nodes, entries, fold_counts, bases, folds, fold_number, first, rows, cached_order + 1)
    for i in range(rows):
        if cached_order >= 0 and bases[i, from_order] >= 0:
            fold, context = folds[first + i], bases[i, from_order] - cached_first
            matched[first + i] = cached_matched[fold, context]
            for k in range(K):
                q[i, k] = cached_q[fold, context, k]
        else:
            matched[first + i] = -1
            for k in range(K):
                q[i, k] = 1.0 / K
    for o in range(bases.shape[1]):
        for i in range(rows):
            if matched[first + i] == o - 1 and bases[i, o] >= 0:
                # Without a node of added counts, the two arrays of those are not read.
                total = mix_node(
                    nodes, entries, fold_counts, nodes, nodes, bases[i, o], np.int64(EMPTY), folds[first + i],
                    fold_number, D, q, i, counts,
                )  # fmt: skip
                if total > 0:
                    matched[first + i] = o
    for i in range(rows):
        matched[first + i] = max(matched[first + i], 0)


@allocating
def read_blocks(tree, histories, x, folds, T, R, K_row, log_q, matched):
    """Do the same as `read_window` where nothing has been added.

    The codes of a row may extend beyond a `reset_at`, but no context in the tree does.
    """
    nodes, entries, fold_counts, cached_q, cached_matched = (
        tree.nodes, tree.entries, tree.fold_counts, tree.cached_q, tree.cached_matched,
    )  # fmt: skip
    n, K = histories.shape[1], tree.K
    q, bits, powers, counts = np.empty((BLOCK, K)), np.empty(K, np.int64), np.empty(K), np.empty(K, np.int64)
    codes = np.empty((R, n + T), np.int32)
    for r in range(R):
        for o in range(n):
            codes[r, o] = histories[r, o]
        for t in range(T):
            codes[r, n + t] = x[t * R + r] + 1
        for o in range(n):
            histories[r, o] = codes[r, T + o]
        _cut_history(histories[r], tree.reset_at)
    bases = np.empty((BLOCK, n + 1), np.int64)
    low, high, at = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    for first in range(0, T * R, BLOCK):
        rows = min(BLOCK, T * R - first)
        find_block_nodes(nodes, codes, n, first, rows, R, bases, low, high, at)
        mix_block(
            nodes, entries, fold_counts, cached_q, cached_matched, tree.cached_order, tree.cached_first,
            bases, folds, tree.folds, tree.discount, first, rows, q, matched, counts,
        )  # fmt: skip
        for i in range(rows):
            set_logs(q[i], bits, powers, log_q, (first + i) * K_row)


@allocating
def read_step(tree, histories, bases, extras, x, folds, K_row, log_q, matched):
    """Do the same as `read_blocks` for one character in each row, with less to prepare."""
    nodes, entries, fold_counts, cached_q, cached_matched = (
        tree.nodes, tree.entries, tree.fold_counts, tree.cached_q, tree.cached_matched,
    )  # fmt: skip
    n, K = histories.shape[1], tree.K
    q, bits, powers, counts = np.empty((1, K)), np.empty(K, np.int64), np.empty(K), np.empty(K, np.int64)
    for r in range(len(x)):
        _shift(histories[r], x[r], tree.reset_at)
        bases[r, 0], extras[r, 0] = 0, EMPTY
        for o in range(1, n + 1):
            bases[r, o], extras[r, o] = find_child(nodes, bases[r, o - 1], histories[r, n - o]), EMPTY
        matched[r] = distribution(
            nodes, entries, fold_counts, cached_q, cached_matched, tree.cached_order, tree.cached_first,
            nodes, nodes, bases[r], extras[r], folds[r], tree.folds, tree.discount, q, 0, counts,
        )  # fmt: skip
        set_logs(q[0], bits, powers, log_q, r * K_row)


@exact
def read_window(tree, added, grows, histories, bases, extras, reads, x, folds, T, R, K_row, log_q, matched):
    """Read x (T R,) in R rows that begin after `histories` (R, n), step by step; histories are changed in place.

    Sets log q (T, R, K_row), flat, and the matched orders (T R,). `folds` (T R,) are left out. If the model grows, each
    character is counted before the distribution after it is computed. `bases` and `extras` (R, n + 1) are workspace,
    and `reads` (R,) are true. The counts that are added may be None, and the tree too, then nothing is read: Numba
    compiles only the branch that is taken.
    """
    if tree is None:
        return
    if added is None:
        if T > 1:
            read_blocks(tree, histories, x, folds, T, R, K_row, log_q, matched)
        else:
            read_step(tree, histories, bases, extras, x[:R], folds, K_row, log_q, matched)
        return
    find_row_nodes(tree, added, histories, bases, extras)
    for t in range(T):
        row = t * R
        read_rows(
            tree, added, grows, histories, bases, extras, x[row : row + R], folds[row : row + R], reads, K_row,
            log_q[row * K_row :], matched[row : row + R],
        )  # fmt: skip


@exact
def append_window(histories, x, reset_at, T, R):
    """Append the characters x (T R,) to the histories (R, n), in place."""
    for row in range(T * R):
        _shift(histories[row % R], x[row], reset_at)
