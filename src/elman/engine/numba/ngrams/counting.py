"""Counts a text of any length: its strings are sorted, and the trie is built in one pass over them.

N  characters                 L  length of a string, 1 … n + 1
n  order                      digit  the index of a character + 1; 0 after the end of a string

Each record (`elman.engine.numba.ngrams.records`) has strings in common with the one before and the one after. These are
open from the first record that begins with them to the last, where their counts are complete and are added to the
string without the last character. All other strings of a record occur once. See `elman.network.ngram` for what is
counted.
"""

from __future__ import annotations

import mmap
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.ngrams.records import MAX_PAIRED, Settings, digit_of, sorted_records
from elman.engine.numba.ngrams.tables import exact, exact_step
from elman.network.ngram import CountedText, Ints
from elman.network.ngram_table import CODES, FoldCounts, Nodes

_SEVERAL = -2
"""In place of a fold: a character that precedes a string in several folds."""
_NONE = -1
HISTOGRAM = 5
"""Weights of which strings are counted, for the discounts: 1 to 4."""
UNITS = 64
"""Occurrences up to which it is counted how many nodes have how many."""
MIN_FRACTION = 0.2
"""Fraction of the records from which it is estimated how many nodes all have."""


class Open(NamedTuple):
    """The strings that are open, by length; the root is that of length 0. Folds have all of them last."""

    depth: NDArray[np.int64]  # (1,): length of the longest
    digits: NDArray[np.int64]  # (n + 2,): the last digit of each
    masks: NDArray[np.int64]  # (n + 2,): the folds in which it occurs, as bits
    occurrences: NDArray[np.int64]  # (n + 2, folds)
    units: NDArray[np.int64]  # (n + 2, folds): of independent lines, lines with it, up to the minimum count
    lines: NDArray[np.int64]  # (n + 2, folds, minimum count): these lines
    fold_of: NDArray[np.int64]  # (n + 2, K + 1): the fold in which each character precedes it, or `_SEVERAL` or `_NONE`
    preceding: NDArray[np.int64]  # (n + 2, K + 1): the characters that precede it …
    kinds: NDArray[np.int64]  # (n + 2,): … and how many they are
    rest: NDArray[np.int64]  # (n + 2, folds + 1): weight of its children that are not kept; of a fold, the difference
    children: NDArray[np.int64]  # (n + 2,): those that are kept


class Closed(NamedTuple):
    """What has been closed, by length; the entries of a node are its counts without each fold in which it occurs."""

    sizes: NDArray[np.int64]  # (n + 2, 2): nodes and entries
    symbols: NDArray[Any]  # (n + 2, nodes)
    weights: NDArray[np.uint8]  # codes
    rests: NDArray[np.uint8]
    children: NDArray[Any]
    masks: NDArray[np.uint16]
    fold_weights: NDArray[np.uint8]  # (n + 2, entries)
    fold_rests: NDArray[np.uint8]
    histogram: NDArray[np.int64]  # (n + 2, HISTOGRAM): strings of each weight, kept or not
    units: NDArray[np.int64]  # (UNITS,): nodes by how often they occur


def count_text(
    text: NDArray[Any],
    K: int,
    order: int,
    min_count: int,
    fold_starts: Ints,
    reset_at: int | None = None,
    max_nodes: int | None = None,
) -> CountedText:
    """Return the counts of a text, see `elman.network.ngram_counting.count_text`.

    The minimum count is raised until there are at most `max_nodes`.
    """
    bits, starts = int(K).bit_length(), fold_starts.astype(np.int64)
    if reset_at is not None:  # the number of the line that begins there
        starts = np.array([np.count_nonzero(text[: start + 1] == reset_at) for start in starts], np.int64)
    while True:
        feed, prefix = -1 if reset_at is None else reset_at, 2 if K <= MAX_PAIRED else 1
        settings = Settings(K, order, min_count, starts, feed, bits, 64 // bits, prefix)
        counted = _count(text, settings, max_nodes)
        if isinstance(counted, CountedText):
            return counted
        min_count = counted


def _count(text: NDArray[Any], settings: Settings, max_nodes: int | None) -> CountedText | int:
    """Return the counts of a text or, if it has too many nodes, a minimum count with which it should have fewer."""
    levels, records, nodes = settings.order + 2, 0, 0
    opened, units = _open(settings), np.zeros(UNITS, np.int64)
    histogram = np.zeros((levels, HISTOGRAM), np.int64)
    types = [array.dtype for array in _make_closed(settings, 0, histogram, units)[1:8]]
    parts = [[_Blocks(dtype) for _ in range(levels)] for dtype in types]

    def collect(closed: Closed) -> int:
        """Keep copies of what has been closed; return how many nodes."""
        arrays: tuple[NDArray[Any], ...] = closed[1:8]
        for n, (array, of_levels) in enumerate(zip(arrays, parts, strict=True)):
            for part, of_level, size in zip(of_levels, array, closed.sizes[:, 0 if n < 5 else 1], strict=True):
                part.append(of_level[:size])
        return int(closed.sizes[:, 0].sum())

    for keys, record_units in sorted_records(text, settings):
        closed = _make_closed(settings, len(keys), histogram, units)
        read_sorted(opened, closed, keys, record_units, settings)
        nodes, records = nodes + collect(closed), records + len(keys) - 1
        fraction = records / len(text)
        if max_nodes is not None and nodes > max_nodes * (fraction if fraction >= MIN_FRACTION else 1):
            kept = nodes - np.cumsum(units)  # with a minimum count above each number of occurrences
            fits = np.flatnonzero(kept[settings.min_count :] <= 0.95 * max_nodes * fraction)
            return settings.min_count + (int(fits[0]) + 1 if len(fits) else UNITS)
    closed = _make_closed(settings, 2 * levels, histogram, units)
    close_strings(opened, closed, 0, settings)
    close_string(opened, closed, 0, settings)
    collect(closed)

    def join(n: int, levels: slice = slice(None)) -> NDArray[Any]:
        joined = np.concatenate([piece for part in parts[n][levels] for piece in part.pieces])
        parts[n].clear()
        return joined

    above, below = slice(1, None), slice(None, -1)
    table = Nodes(join(0, above), join(1, above), join(2, below), join(3, below))
    return CountedText(table, FoldCounts.of(join(4), join(5), join(6)), histogram[1:, 1:], settings.min_count)


class _Blocks:
    """An array that grows, in blocks of memory that the system gets back, unlike what malloc has divided."""

    SIZE = 1 << 20

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.room = np.zeros(0, dtype)
        self.pieces = [self.room]

    def append(self, values: NDArray[Any]) -> None:
        """Append a copy of an array."""
        while len(values):
            if not len(self.room):
                self.room = np.frombuffer(mmap.mmap(-1, self.SIZE), self.room.dtype)
            count = min(len(values), len(self.room))
            self.room[:count] = values[:count]
            self.pieces.append(self.room[:count])
            self.room, values = self.room[count:], values[count:]


def _open(settings: Settings) -> Open:
    levels, folds = settings.order + 2, max(len(settings.folds), 1)
    return Open(
        depth=np.zeros(1, np.int64),
        digits=np.zeros(levels, np.int64),
        masks=np.zeros(levels, np.int64),
        occurrences=np.zeros((levels, folds), np.int64),
        units=np.zeros((levels, folds), np.int64),
        lines=np.zeros((levels, folds, settings.min_count), np.int64),
        fold_of=np.full((levels, settings.K + 1), _NONE),
        preceding=np.zeros((levels, settings.K + 1), np.int64),
        kinds=np.zeros(levels, np.int64),
        rest=np.zeros((levels, folds + 1), np.int64),
        children=np.zeros(levels, np.int64),
    )


def _make_closed(settings: Settings, records: int, histogram: NDArray[np.int64], units: NDArray[np.int64]) -> Closed:
    """Return room for what closes in a piece: each string that is kept has at least the minimum of records."""
    levels, nodes, entries = (
        settings.order + 2,
        records // settings.min_count + 2,
        records + 2 * len(settings.folds) + 2,
    )
    symbol = np.uint16 if settings.K < 1 << 16 else np.uint32
    return Closed(
        sizes=np.zeros((levels, 2), np.int64),
        symbols=np.empty((levels, nodes), symbol),
        weights=np.empty((levels, nodes), np.uint8),
        rests=np.empty((levels, nodes), np.uint8),
        children=np.empty((levels, nodes), symbol),
        masks=np.empty((levels, nodes), np.uint16),
        fold_weights=np.empty((levels, entries), np.uint8),
        fold_rests=np.empty((levels, entries), np.uint8),
        histogram=histogram,
        units=units,
    )


# --- Strings that open and close ---


@exact_step
def encode(number):
    """The code of a number, see `elman.network.ngram_table.CODES`."""
    code = number if number < 16 else np.int64(16)
    larger = number >> 5
    while larger > 0 and code < len(CODES) - 1:
        code += 1
        larger >>= 1
    return code


@exact
def read_sorted(opened, closed, keys, units, settings):
    """Read the sorted records of a piece but for the last; the strings that are open at its end stay open."""
    n = settings.order
    for r in range(len(keys) - 1):
        L = 0
        while min(opened.depth[0], n + 1) > L and digit_of(keys, r, L, settings) == opened.digits[L + 1]:
            L += 1
        close_strings(opened, closed, L, settings)
        common = 0  # with the next record
        while common <= n and digit_of(keys, r, common, settings) == digit_of(keys, r + 1, common, settings):
            common += 1
        length = L
        while length <= n and digit_of(keys, r, length, settings) > 0:
            length += 1
            if length <= common or settings.min_count == 1:
                opened.digits[length] = digit_of(keys, r, length - 1, settings)
                L = length
        opened.depth[0] = L
        unit, fold = np.int64(units[r]), np.int64(0)
        while fold + 1 < len(settings.folds) and unit >= settings.folds[fold + 1]:
            fold += 1
        add_record(opened, L, digit_of(keys, r, n + 1, settings), unit, fold, settings)
        if length > L:  # strings that occur once, and are not kept
            opened.rest[L, -1] += 1
            opened.rest[L, fold] -= 1
            for single in range(L + 1, length + 1):
                closed.histogram[single, 1] += 1


@exact_step
def add_record(opened, L, preceding, unit, fold, settings):
    """Count a record in the open string of length L."""
    opened.masks[L] |= 1 << fold
    opened.occurrences[L, fold] += 1
    add_preceding(opened, L, preceding, fold)
    if settings.reset_at >= 0:
        add_line(opened, L, unit, fold, settings)


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


@exact
def close_strings(opened, closed, length, settings):
    """Close the strings that are longer than `length`."""
    while opened.depth[0] > length:
        L = opened.depth[0]
        opened.depth[0] = L - 1
        close_string(opened, closed, L, settings)


@exact
def close_string(opened, closed, L, settings):
    """Store a string whose counts are complete, or the root, if it is kept, and forget it."""
    folds, min_count, mask = opened.occurrences.shape[1], settings.min_count, opened.masks[L]
    counted = opened.units if settings.reset_at >= 0 else opened.occurrences
    weight, units = np.int64(0), np.int64(0)
    for f in range(folds):
        if mask >> f & 1:
            weight += opened.occurrences[L, f]
            units += counted[L, f]
    is_kept = L == 0 or units >= min_count
    is_raw = settings.order + 1 == L or (L > 1 and opened.digits[1] - 1 == settings.reset_at)
    if not is_raw:
        weight = opened.kinds[L]
    if L > 0:
        if weight < HISTOGRAM:
            closed.histogram[L, weight] += 1
        if not is_kept:
            opened.rest[L - 1, folds] += weight
    node, entry = closed.sizes[L, 0], closed.sizes[L, 1]
    for f in range(len(settings.folds)):
        if L > 0 and not mask >> f & 1:
            continue
        fold_weight = weight - opened.occurrences[L, f]
        if not is_raw:
            fold_weight = weight
            for k in range(opened.kinds[L]):
                fold_weight -= opened.fold_of[L, opened.preceding[L, k]] == f
        is_kept_without = L == 0 or units - counted[L, f] >= min_count
        if L > 0 and not is_kept:
            opened.rest[L - 1, f] += fold_weight - weight
        elif L > 0 and not is_kept_without:
            opened.rest[L - 1, f] += fold_weight
        if is_kept:
            closed.fold_weights[L, entry] = encode(fold_weight) if L > 0 and is_kept_without else np.int64(0)
            closed.fold_rests[L, entry] = encode(opened.rest[L, folds] + opened.rest[L, f])
            entry += 1
    if is_kept:
        closed.symbols[L, node] = opened.digits[L] - 1 if L > 0 else 0
        closed.weights[L, node] = encode(weight)
        closed.rests[L, node] = encode(opened.rest[L, folds])
        closed.children[L, node] = opened.children[L]
        all_folds = (1 << len(settings.folds)) - 1
        closed.masks[L, node] = all_folds if L == 0 else mask & all_folds
        closed.sizes[L, 0], closed.sizes[L, 1] = node + 1, entry
        if L > 0:
            closed.units[min(units, UNITS - 1)] += 1
            opened.children[L - 1] += 1
    forget_string(opened, L, settings)


@exact
def forget_string(opened, L, settings):
    """Add the counts of an open string, which is being closed, to those of the string without its last character."""
    for f in range(opened.occurrences.shape[1]):
        if L > 0 and opened.masks[L] >> f & 1:
            opened.occurrences[L - 1, f] += opened.occurrences[L, f]
            if settings.reset_at >= 0:
                for k in range(opened.units[L, f]):
                    add_line(opened, L - 1, opened.lines[L, f, k], f, settings)
        opened.occurrences[L, f], opened.units[L, f], opened.rest[L, f] = 0, 0, 0
    for k in range(opened.kinds[L]):
        character = opened.preceding[L, k]
        if L > 0:
            add_preceding(opened, L - 1, character, opened.fold_of[L, character])
        opened.fold_of[L, character] = _NONE
    if L > 0:
        opened.masks[L - 1] |= opened.masks[L]
    opened.rest[L, -1], opened.kinds[L], opened.children[L], opened.masks[L] = 0, 0, 0, 0
