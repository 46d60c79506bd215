"""Kernels that read characters with an n-gram model.

K  size of the alphabet     n  length of the longest context     R  rows     node  of the table, see `elman.ngram.table`
extra  a node of the counts of the characters read, a trie of the same form

The codec computes with these kernels too, so they obey the rules of `elman.apps.compress.arithmetic`: no fastmath, one
type for each array, integers and IEEE float64 in the order written. `elman.ngram.language_model` has their arguments.

If nodes are given by length of context, o = 0 … n, a node is -1 if there is none. When a row reads a character, its
context of length o + 1 becomes the child of its previous context of length o. If the root of a row is -1, its nodes are
found in its history when it reads next.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.jit import exact, exact_step
from elman.ngram.model import MIN_PROB, READ_COUNT
from elman.ngram.table import CODE_BITS, CODES, LARGE

NONE = -1
COUNT, TOTAL, CHILD, SIBLING, SYMBOL, WIDTH = range(6)
"""Columns of `Added.nodes`: the node's own count, the sum of its children's counts, its latest child, the child of the
same parent that was added before, and its character."""

_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD  # the bits of the float64 sqrt(1/2)
_LN2 = 0.6931471805599453
_C1, _C3, _C5, _C7, _C9, _C11, _C13, _C15, _C17, _C19 = (2.0 / n for n in range(1, 20, 2))
"""log m = 2 (s + s^3 / 3 + s^5 / 5 + …), s = (m - 1) / (m + 1)."""


class Workspace(NamedTuple):
    """Workspace of `distribution`."""

    q: NDArray[np.float64]  # (K,)
    bits: NDArray[np.int64]  # (K,)
    powers: NDArray[np.float64]  # (K,)
    places: NDArray[np.int64]  # (K,): -1
    items: NDArray[np.int64]  # (K (n + 1), 3): characters, their weights, and the lengths of the contexts
    kept: NDArray[np.float64]  # (K (n + 1),): these weights minus the discounts
    shares: NDArray[np.float64]  # (n + 1,): 1 / W_o
    rests: NDArray[np.float64]  # (n + 1,): r_o


def make_workspace(K: int, context_length: int, *groups: int) -> Workspace:
    """Return the workspace for models of K characters, or one of each group."""
    return Workspace(
        np.empty((*groups, K)), np.empty((*groups, K), np.int64), np.empty((*groups, K)),
        np.full((*groups, K), NONE, np.int64), np.empty((*groups, K * (context_length + 1), 3), np.int64),
        np.empty((*groups, K * (context_length + 1))), *np.empty((2, *groups, context_length + 1)),
    )  # fmt: skip


@exact_step
def select_workspace(workspace, g):
    """Return the workspace of a group."""
    return Workspace(
        workspace.q[g], workspace.bits[g], workspace.powers[g], workspace.places[g], workspace.items[g],
        workspace.kept[g], workspace.shares[g], workspace.rests[g],
    )  # fmt: skip


def make_nodes(R: int, context_length: int, *groups: int) -> NDArray[np.int64]:
    """Return the nodes of R rows, or of R rows of each group, which are found in their histories.

    The first are nodes of the table, the second are nodes of the added counts.
    """
    return np.full((2, *groups, R, context_length + 1), NONE, np.int64)


# --- The table ---


@exact_step
def field(words, width, i):
    """Field i of packed numbers."""
    bit = i * width
    word, shift = bit >> 6, np.uint64(bit & 63)
    beyond = (words[word + 1] << np.uint64(1)) << (np.uint64(63) - shift)  # no shift by 64, which is undefined
    return np.int64(((words[word] >> shift) | beyond) & ((np.uint64(1) << np.uint64(width)) - np.uint64(1)))


@exact
def unpack(K, width, packed, strings, rests, firsts):
    """Set the strings (nodes,), the rests (contexts,) and the first children (contexts + 1,) from packed arrays."""
    packed_strings, packed_rests, children, large = packed
    read, child, at = 0, 1, 0
    for node in range(1, len(strings)):
        string = field(packed_strings, width + CODE_BITS, node - 1)
        symbol, code = string & ((1 << width) - 1), string >> width
        if code == LARGE and read >> 3 < len(large) - 1:  # a file may contain any code
            code, read = field(large, 8, read), read + 1
        strings[node] = (code << width) + (symbol if symbol < K else 0)
    for context in range(len(rests)):
        rests[context] = field(packed_rests, CODE_BITS, context)
        if rests[context] == LARGE and read >> 3 < len(large) - 1:
            rests[context], read = field(large, 8, read), read + 1
        firsts[context] = child
        while child < len(strings) and field(children, 1, at) == 0:
            child, at = child + 1, at + 1
        at += 1
    firsts[-1] = child


@exact_step
def find_children(table, node):
    """The first child of a node and the one after its last; the two are equal if it has none."""
    first, last = np.int64(0), np.int64(0)
    if 0 <= node < len(table.firsts) - 1:
        first, last = np.int64(table.firsts[node]), np.int64(table.firsts[node + 1])
    return first, min(last, first + table.K)  # a file may contain more


@exact_step
def find_child(table, node, symbol):
    """The child of a node with a symbol; -1 if there is none."""
    child, mask = np.int64(NONE), (1 << table.width) - 1
    first, last = find_children(table, node)
    while first < last:
        middle = (first + last) >> 1
        found = np.int64(table.strings[middle]) & mask
        if found == symbol:
            child = middle
        if found < symbol:
            first = middle + 1
        else:
            last = middle
    return child


@exact_step
def rest_of(table, node, fold):
    """The weight of a context's characters that are not kept, without a fold."""
    return CODES[table.fold_rests[fold, node] if fold < table.folds else table.rests[node]]


# --- The counts of the characters read ---


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
    """Append the code of character x to the history of row r, which drops its first code, or all if x is `reset_at`."""
    n = histories.shape[1]
    for o in range(n - 1):
        histories[r, o] = histories[r, o + 1] if x != reset_at else 0
    if n > 0:
        histories[r, n - 1] = x + 1


@exact_step
def advance(table, added, grows, histories, bases, extras, r, x):
    """Read character x in row r: it is counted if the model grows, and the contexts of the row are extended by it."""
    n = table.context_length
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
            bases[r, o + 1] = find_child(table, bases[r, o], x) if not is_cut else np.int64(NONE)
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
    """Set the nodes by length, (R, n + 1), of the contexts that end the histories (R, n), in rows without them."""
    n = table.context_length
    for r in range(len(histories)):
        for length in range(n + 1 if bases[r, 0] == NONE else 0):
            base = np.int64(0)
            for o in range(n - length, n):
                symbol = np.int64(histories[r, o]) - 1
                base = find_child(table, base, symbol) if symbol >= 0 else np.int64(NONE)
            bases[r, length] = base
            extras[r, length] = find_context(added, histories, r, length) if added.sizes[0] > 0 else np.int64(NONE)


@exact_step
def list_weights(table, added, base, extra, o, fold, workspace, used):
    """Append the characters after a context of length o to the items; the first `used` items are in use.

    Returns how many are then in use, W_o, which is 0 if no character is kept, and the sum of weights minus discounts.
    """
    items, kept = workspace.items, workspace.kept
    total, sum_kept, end, mask = np.int64(0), 0.0, used, (1 << table.width) - 1
    first, last = find_children(table, base)
    for node in range(first, last):
        string = np.int64(table.strings[node])
        code = np.int64(table.fold_weights[fold, node]) if fold < table.folds else string >> table.width
        items[end, 0], items[end, 1], items[end, 2], kept[end] = string & mask, CODES[code], o, table.kept[o, code]
        total += CODES[code]
        sum_kept += table.kept[o, code]
        if len(table.terms) > 0:
            kept[end] = table.terms[node, 0]
        end += 1
    if len(table.terms) > 0 and end > used:
        return end, np.int64(1), 1.0 - table.terms[base, 1]
    if extra >= 0:
        total += added.nodes[extra, TOTAL]
        end, sum_kept = add_weights(table, added, extra, o, workspace, used, end)
    if total > 0 and base >= 0:
        total += rest_of(table, base, fold)
    return end, total, sum_kept


@exact
def add_weights(table, added, extra, o, workspace, used, end):
    """Add the counts of the characters read after a context to the items from `used` on.

    Returns how many items are then in use, and the sum of their weights minus the discounts.
    """
    places, items, kept = workspace.places, workspace.items, workspace.kept
    for k in range(used, end):
        places[items[k, 0]] = k
    child = np.int64(added.nodes[extra, CHILD])
    while child >= 0:
        symbol = np.int64(added.nodes[child, SYMBOL])
        place = places[symbol]
        if place < 0:
            place = min(end, used + table.K - 1)  # a file may contain a character twice
            items[place, 0], items[place, 1], items[place, 2] = symbol, 0, o
            end = place + 1
        items[place, 1] += added.nodes[child, COUNT]
        kept[place] = max(items[place, 1] - table.discounts[o, min(items[place, 1], 3) - 1], 0.0)
        child = np.int64(added.nodes[child, SIBLING])
    sum_kept = 0.0
    for k in range(used, end):
        places[items[k, 0]] = NONE
        sum_kept += kept[k]
    return end, sum_kept


@exact_step
def distribution(table, added, bases, extras, r, fold, workspace):
    """Set q (K,) of the workspace to q after row r, (5), without the counts of a fold; return the matched length."""
    K, cached, q = table.K, table.cached_order, workspace.q
    items, kept, shares, rests = workspace.items, workspace.kept, workspace.shares, workspace.rests
    context = bases[r, cached] - table.cached_first if cached >= 0 else np.int64(NONE)
    is_cached = extras[r, 0] < 0 and 0 <= context < table.cached_q.shape[1]
    first, matched, end, factor = np.int64(0), np.int64(0), np.int64(0), 1.0
    if is_cached:
        matched = np.int64(table.cached_matched[fold, context])
        first = cached + 1 if matched == cached else table.context_length + 1
    o = first
    while o <= table.context_length:
        after, total, sum_kept = list_weights(table, added, bases[r, o], extras[r, o], o, fold, workspace, end)
        if total == 0:
            break
        shares[o] = 1.0 / total
        rests[o] = 1.0 - sum_kept * shares[o]  # (6)
        factor *= rests[o]
        end, matched, o = after, o, o + 1
    for k in range(K):
        q[k] = (table.cached_q[fold, context, k] if is_cached else 1.0 / K) * factor
    factor = 1.0
    for length in range(o - 1, first - 1, -1):
        shares[length] *= factor
        factor *= rests[length]
    for i in range(end - 1, -1, -1):
        q[items[i, 0]] += kept[i] * shares[items[i, 2]]
    return matched


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

    `bases` and `extras` (R, n + 1) are the nodes of the contexts that end the histories (R, n); all three are changed
    in place. Sets the matched lengths (R,) and log q, flat, whose rows are `stride` apart, without the
    counts of each row's fold (R,).
    """
    for r in range(len(x)):
        if reads[r]:
            advance(table, added, grows, histories, bases, extras, r, np.int64(x[r]))
            matched[r] = distribution(table, added, bases, extras, r, folds[r], workspace)
            set_logs(workspace.q, workspace.bits, workspace.powers, log_q, r * stride)


@exact
def read_window(table, added, grows, histories, bases, extras, reads, x, folds, T, R, K_row, log_q, matched, workspace):
    """Read x (T R,), step by step, with `read_rows`: sets log q (T, R, K_row), flat, and the matched lengths (T R,)."""
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
