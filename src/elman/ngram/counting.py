"""Counts the strings of a text of any length: they are sorted, and the trie is built in one pass over them.

N  characters                     L      length of a string, 1 … n + 1
n  length of the longest context  digit  the index of a character + 1; 0 after the end of a string

Each record (`elman.ngram.sorting`) has strings in common with the records before and after it. A string is open from
the first record that begins with it to the last. Then its counts are complete, and they are added to the string without
the last character. All other strings of a record occur once. `elman.ngram.model` defines which strings are counted.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.errors import check_range
from elman.jit import exact, exact_step
from elman.ngram import sorting
from elman.ngram.model import NgramModel, check_indices, start_folds
from elman.ngram.sorting import Settings, digit_of, sorted_records
from elman.ngram.table import CODES, LARGE, MAX_ORDER, FoldCounts, NgramSpec, NgramTable, Nodes, bytes_per_node
from elman.text.corpus import Spool, drop_pages

_SEVERAL = -2  # in place of a fold: a character that precedes a string in several folds
_NONE = -1
HISTOGRAM = 5  # the weights of strings that are counted for the discounts are below: 1 to 4
UNITS = 64  # number of occurrences up to which the nodes with each number are counted
MIN_FRACTION = 0.2  # fraction of the records from which the number of nodes of all records is estimated


class Open(NamedTuple):
    """The open strings, by length; the root has length 0. In arrays with folds, the last column is for all folds."""

    depth: NDArray[np.int64]  # (2,): length of the longest, and how much the last record has in common with the next
    digits: NDArray[np.int64]  # (n + 2,): the last digit of each
    folds: NDArray[np.int64]  # (n + 2, folds): the folds in which it occurs …
    fold_kinds: NDArray[np.int64]  # (n + 2,): … and how many they are
    occurrences: NDArray[np.int64]  # (n + 2, folds)
    units: NDArray[np.int64]  # (n + 2, folds): of independent lines, lines with it, up to the minimum count
    lines: NDArray[np.int64]  # (n + 2, folds, minimum count): these lines
    fold_of: NDArray[np.int64]  # (n + 2, K + 1): the fold in which each character precedes it, or `_SEVERAL` or `_NONE`
    preceding: NDArray[np.int64]  # (n + 2, K + 1): the characters that precede it …
    kinds: NDArray[np.int64]  # (n + 2,): … and how many they are
    only: NDArray[np.int64]  # (folds,): of a string that closes, how many characters precede it in one fold only
    rest: NDArray[np.int64]  # (n + 2, folds + 1): weight of its children that are not kept; of a fold, the difference
    children: NDArray[np.int64]  # (n + 2,): children that are kept


class Closed(NamedTuple):
    """The strings that have been closed, by length."""

    sizes: NDArray[np.int64]  # (n + 2,): nodes
    symbols: NDArray[Any]  # (n + 2, nodes)
    weights: NDArray[np.uint8]  # codes
    rests: NDArray[np.uint8]
    children: NDArray[Any]
    fold_weights: NDArray[np.uint8]  # (folds, n + 2, nodes)
    fold_rests: NDArray[np.uint8]
    histogram: NDArray[np.int64]  # (n + 2, HISTOGRAM): strings of each weight, kept or not
    units: NDArray[np.int64]  # (UNITS,): nodes by how often they occur

    def arrays(self) -> list[NDArray[Any]]:
        """Return the arrays (n + 2, nodes): the arrays for all folds, then the arrays for each."""
        return [self.symbols, self.weights, self.rests, self.children, *self.fold_weights, *self.fold_rests]


def count_ngrams(
    text: NDArray[Any], spec: NgramSpec, folds: int = 0, min_count: int = 2, *, max_size: float | None = None
) -> NgramModel | None:
    """Return the n-gram model of a training text (N,), indices below K; None for contexts of length 0.

    A short text has fewer folds. The minimum count is raised until the table has at most `max_size` bytes.
    """
    K, context_length, reset_at = spec
    if context_length == 0:
        return None
    check_range("context_length", context_length, 1, MAX_ORDER - 1)
    check_indices(text, K)
    fold_starts = start_folds(text, folds, spec)
    starts, feed = fold_starts.astype(np.int64), -1 if reset_at is None else reset_at
    if reset_at is not None:  # the number of the line that begins at each position
        starts = np.array([np.count_nonzero(text[: start + 1] == reset_at) for start in starts], np.int64)
    enough = len(text) + 1  # no string occurs as often, and there is room for as many lines
    while isinstance(
        counted := _count(text, Settings.of(K, context_length, min(min_count, enough), starts, feed), max_size), int
    ):
        min_count = counted
    nodes, fold_counts, histogram = counted
    table = NgramTable.from_nodes(spec, nodes)
    return NgramModel(table, histogram, min_count, fold_starts, fold_counts if len(starts) else None)


def _count(
    text: NDArray[Any], settings: Settings, max_size: float | None
) -> tuple[Nodes, FoldCounts, NDArray[np.int64]] | int:
    """Return the counts and the histogram of a text or, if its table is too large, a higher minimum count."""
    levels, node_size, size, records = settings.context_length + 2, bytes_per_node(settings.K), 0.0, 0
    opened, units = _open(settings), np.zeros(UNITS, np.int64)
    histogram, parts = np.zeros((levels, HISTOGRAM), np.int64), _Parts(len(settings.folds))
    closed = _make_closed(settings, min(sorting.PIECE, len(text)), histogram, units)
    with parts.spool:
        for keys, record_units in sorted_records(text, settings):
            closed.sizes[:] = 0
            read_sorted(opened, closed, keys, record_units, settings)
            size += parts.append(closed) + closed.sizes.sum() * node_size
            records += len(keys) - 1
            fraction = records / len(text)
            if max_size is not None and size > max_size * (fraction if fraction >= MIN_FRACTION else 1):
                kept = size - np.cumsum(units) * node_size  # with a minimum count above each number of occurrences
                fits = np.flatnonzero(kept[settings.min_count :] <= 0.95 * max_size * fraction)
                return settings.min_count + (int(fits[0]) + 1 if len(fits) else UNITS)
        closed.sizes[:] = 0
        read_sorted(opened, closed, keys[:0], record_units[:0], settings)
        parts.append(closed)
        table, folds = parts.join(closed.symbols.dtype)
    return table, folds, histogram[1:, 1:]


class _Parts:
    """The closed strings, in pieces of the text, in a file if they are many."""

    def __init__(self, folds: int) -> None:
        self.spool, self.folds, self.sizes = Spool(np.dtype(np.uint8)), folds, list[NDArray[np.int64]]()  # by level

    def append(self, closed: Closed) -> int:
        """Store the closed strings of a piece; return how many of their codes are large."""
        for array in closed.arrays():
            for values, count in zip(array, closed.sizes, strict=True):
                self.spool.append(values[:count].view(np.uint8))
        self.sizes.append(closed.sizes.copy())
        codes = [
            values[:n] for each in (closed.weights, closed.rests) for values, n in zip(each, closed.sizes, strict=True)
        ]
        return sum(int(np.count_nonzero(of_level >= LARGE)) for of_level in codes)

    def join(self, symbol: np.dtype[Any]) -> tuple[Nodes, FoldCounts]:
        """Return the counts, joined by level."""
        stored, folds, ends = self.spool.array(), self.folds, [0]
        above, below = slice(1, None), slice(None, -1)  # the root has no character, the longest strings no children
        kept = [above, above, below, below, *[slice(None)] * folds, *[below] * folds]
        itemsizes = np.ones(len(kept), np.int64)
        itemsizes[[0, 3]] = symbol.itemsize
        lengths = np.array(self.sizes)[:, None] * itemsizes[:, None]  # (pieces, arrays, levels)
        stops = np.cumsum(lengths).reshape(lengths.shape)
        with Spool(np.dtype(np.uint8)) as spool:
            for n, levels in enumerate(kept):
                for stop, length in zip(stops[:, n, levels].T.flat, lengths[:, n, levels].T.flat, strict=True):
                    spool.append(stored[stop - length : stop])
                ends.append(ends[-1] + lengths[:, n, levels].sum())
                drop_pages(stored)
            joined = spool.array()
        symbols, weights, rests, children = (joined[first:end] for first, end in pairwise(ends[:5]))
        without = joined[ends[4] : ends[4 + folds]], joined[ends[4 + folds] :]
        return (
            Nodes(symbols.view(symbol), weights, rests, children.view(symbol)),
            FoldCounts(without[0].reshape(folds, len(weights) + 1), without[1].reshape(folds, len(rests))),
        )


def _open(settings: Settings) -> Open:
    n, folds, K = settings.context_length + 2, max(len(settings.folds), 1), settings.K + 1
    of_folds, of_characters = (n, folds), (n, K)
    shapes = [2, n, of_folds, n, of_folds, of_folds, (n, folds, settings.min_count), of_characters, of_characters, n]
    opened = Open(*(np.zeros(shape, np.int64) for shape in [*shapes, folds, (n, folds + 1), n]))
    opened.fold_of[:] = _NONE
    return opened


def _make_closed(settings: Settings, records: int, histogram: NDArray[np.int64], units: NDArray[np.int64]) -> Closed:
    """Return room for the strings that close in a piece: each kept string has at least the minimum of records."""
    shape = settings.context_length + 2, records // settings.min_count + 2
    symbol = np.min_scalar_type(settings.K)  # also holds a number of children
    arrays = [np.empty(shape, dtype) for dtype in (symbol, np.uint8, np.uint8, symbol)]
    of_folds = np.empty((2, len(settings.folds), *shape), np.uint8)
    return Closed(*[np.zeros(shape[0], np.int64), *arrays, *of_folds, histogram, units])


# --- Strings that open and close ---


@exact_step
def encode(number):
    """The code of a number, see `elman.ngram.table.encode_counts`."""
    shift = np.int64(0)
    while number >> shift > 15:
        shift += 1
    return min(8 * shift + (number + (1 << shift >> 1) >> shift), len(CODES) - 1)


@exact
def read_sorted(opened, closed, keys, units, settings):
    """Read the sorted records of a piece except the last; the strings that are open at its end stay open.

    A piece without records closes all strings and the root: a separate kernel for it would be slow to compile.
    """
    n = settings.context_length
    for r in range(len(keys) - 1 if len(keys) > 0 else 1):
        L = min(opened.depth[0], opened.depth[1]) if len(keys) > 0 else -1
        while opened.depth[0] > L:
            opened.depth[0] -= 1
            close_string(opened, closed, opened.depth[0] + 1, settings)
        if L < 0:
            break
        common, length = 0, n + 1
        while common <= n and digit_of(keys, r, common, settings) == digit_of(keys, r + 1, common, settings):
            common += 1
        while length > L and digit_of(keys, r, length - 1, settings) == 0:
            length -= 1
        for j in range(L, length if settings.min_count == 1 else min(length, common)):
            L = j + 1
            opened.digits[L] = digit_of(keys, r, j, settings)
        opened.depth[0], opened.depth[1] = L, common
        unit, fold = np.int64(units[r]), np.int64(0)
        for f in range(1, len(settings.folds)):
            fold += unit >= settings.folds[f]
        add_occurrences(opened, L, fold, 1)
        add_preceding(opened, L, digit_of(keys, r, n + 1, settings), fold)
        if settings.reset_at >= 0:
            add_line(opened, L, unit, fold, settings)
        if length > L:  # strings that occur once, and are not kept
            opened.rest[L, -1] += 1
            opened.rest[L, fold] -= 1
            for single in range(L + 1, length + 1):
                closed.histogram[single, 1] += 1


@exact_step
def add_occurrences(opened, L, fold, occurrences):
    """Count occurrences in a fold of the open string of length L."""
    if opened.occurrences[L, fold] == 0:
        opened.folds[L, opened.fold_kinds[L]] = fold
        opened.fold_kinds[L] += 1
    opened.occurrences[L, fold] += occurrences


@exact_step
def add_preceding(opened, L, character, fold):
    """Record that a character precedes the open string of length L in a fold, or in `_SEVERAL`."""
    known = opened.fold_of[L, character]
    if known == _NONE:
        opened.fold_of[L, character] = fold
        opened.preceding[L, opened.kinds[L]] = character
        opened.kinds[L] += 1
    elif known != fold:
        opened.fold_of[L, character] = _SEVERAL


@exact_step
def add_line(opened, L, line, fold, settings):
    """Record that a line has the open string of length L."""
    known = opened.units[L, fold]
    seen = known >= settings.min_count
    for k in range(known):
        seen = seen or opened.lines[L, fold, k] == line
    if not seen:
        opened.lines[L, fold, known] = line
        opened.units[L, fold] = known + 1


@exact_step
def close_string(opened, closed, L, settings):
    """Store a string whose counts are complete, or the root, if it is kept, and forget it."""
    counted = opened.units if settings.reset_at >= 0 else opened.occurrences
    weight, units, whole = np.int64(0), np.int64(0), opened.rest[L, -1]
    for k in range(opened.fold_kinds[L]):
        weight += opened.occurrences[L, opened.folds[L, k]]
        units += counted[L, opened.folds[L, k]]
    is_kept = L == 0 or units >= settings.min_count
    is_raw = settings.context_length + 1 == L or (L > 1 and opened.digits[1] - 1 == settings.reset_at)
    if not is_raw:
        weight = opened.kinds[L]
        for k in range(opened.kinds[L]):
            f = opened.fold_of[L, opened.preceding[L, k]]
            if f != _SEVERAL:
                opened.only[f] += 1
    node = closed.sizes[L]
    if L > 0:
        if weight < HISTOGRAM:
            closed.histogram[L, weight] += 1
        if not is_kept:
            opened.rest[L - 1, -1] += weight
    if is_kept:
        code, rest = encode(weight) if L > 0 else np.int64(0), encode(whole)
        closed.symbols[L, node] = opened.digits[L] - 1 if L > 0 else 0
        closed.weights[L, node], closed.rests[L, node] = code, rest
        closed.children[L, node] = opened.children[L]
        for f in range(len(closed.fold_weights)):
            closed.fold_weights[f, L, node], closed.fold_rests[f, L, node] = code, rest
        closed.sizes[L] = node + 1
        if L > 0:
            closed.units[min(units, UNITS - 1)] += 1
            opened.children[L - 1] += 1
    for k in range(opened.fold_kinds[L] if len(settings.folds) > 0 else 0):
        f = opened.folds[L, k]
        without = weight - (opened.occurrences[L, f] if is_raw else opened.only[f])
        is_kept_without = units - counted[L, f] >= settings.min_count
        if L > 0 and not (is_kept and is_kept_without):
            opened.rest[L - 1, f] += without if is_kept else without - weight
        if is_kept:
            closed.fold_weights[f, L, node] = encode(without) if L > 0 and is_kept_without else np.int64(0)
            closed.fold_rests[f, L, node] = encode(whole + opened.rest[L, f])
    forget_string(opened, L, settings)


@exact_step
def forget_string(opened, L, settings):
    """Add the counts of an open string, which is being closed, to the string without the last character."""
    for k in range(opened.fold_kinds[L]):
        f = opened.folds[L, k]
        if L > 0:
            add_occurrences(opened, L - 1, f, opened.occurrences[L, f])
            if settings.reset_at >= 0:
                for u in range(opened.units[L, f]):
                    add_line(opened, L - 1, opened.lines[L, f, u], f, settings)
        opened.occurrences[L, f], opened.units[L, f], opened.rest[L, f], opened.only[f] = 0, 0, 0, 0
    for k in range(opened.kinds[L]):
        character = opened.preceding[L, k]
        if L > 0:
            add_preceding(opened, L - 1, character, opened.fold_of[L, character])
        opened.fold_of[L, character] = _NONE
    opened.rest[L, -1], opened.kinds[L], opened.fold_kinds[L], opened.children[L] = 0, 0, 0, 0
