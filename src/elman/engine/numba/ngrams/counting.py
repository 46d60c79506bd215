"""Counts a text of any length: its strings are sorted in pieces, and the trie is built in one pass over them.

N  characters                 L  length of a string, 1 … n + 1
n  order                      digit  the index of a character + 1; 0 after the end of a string

Every position of the text is the start of strings of all lengths, so it has one record: the digits of the longest of
them, then that of the character before it. Records are distributed among pieces by their first two digits and sorted
piece by piece, so that a text of any length is counted in little memory. While the records are read in order, the strings
that the current record begins with are open; a string closes where a record no longer begins with it, and its counts are
complete. See `elman.network.ngram` for what is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.jit import compiled
from elman.network.ngram import CountedText, FoldCounts, Ints
from elman.network.ngram_table import CODES, Nodes

exact = compiled()
"""IEEE arithmetic as written, without fastmath."""
exact_step = compiled(inline="always")
"""The same for the steps of a kernel."""

PIECE = 1 << 22
"""Records of a piece, unless more strings than that begin with the same two characters."""
_RADIX_BITS = 11
"""Bits by which records are sorted at a time."""
_SEVERAL = -2
"""In place of a fold: a character that precedes a string in several folds."""
_NONE = -1
HISTOGRAM = 5
"""Weights of which strings are counted, for the discounts: 1 to 4."""


class Settings(NamedTuple):
    """What is counted of a text."""

    K: int
    order: int
    min_count: int
    folds: NDArray[np.int64]  # (folds,): the first position or, of independent lines, the first line of each
    reset_at: int  # or -1
    bits: int  # of a digit
    per_word: int  # digits of a word


class Open(NamedTuple):
    """The strings that are open, by length; the root is that of length 0. Folds have all of them last."""

    depth: NDArray[np.int64]  # (1,): length of the longest
    digits: NDArray[np.int64]  # (n + 2,): the last digit of each
    total: NDArray[np.int64]  # (n + 2,): occurrences
    last_fold: NDArray[np.int64]  # (n + 2,): the fold of the last one
    occurrences: NDArray[np.int64]  # (n + 2, folds + 1)
    units: NDArray[np.int64]  # (n + 2, folds + 1): occurrences or, of independent lines, lines, up to the minimum count
    lines: NDArray[np.int64]  # (n + 2, folds, minimum count): these lines
    fold_of: NDArray[np.int64]  # (n + 2, K + 1): the fold in which each character precedes it, or `_SEVERAL` or `_NONE`
    preceding: NDArray[np.int64]  # (n + 2, K + 1): the characters that precede it …
    kinds: NDArray[np.int64]  # (n + 2,): … and how many they are
    rest: NDArray[np.int64]  # (n + 2, folds + 1): weight of its children that are not kept, without each fold
    children: NDArray[np.int64]  # (n + 2,): those that are kept


class Closed(NamedTuple):
    """What has been closed, by length; the entries of a node are its counts without each fold in which it occurs."""

    sizes: NDArray[np.int64]  # (n + 2, 2): nodes and entries
    symbols: NDArray[np.uint32]  # (n + 2, nodes)
    weights: NDArray[np.uint8]  # codes
    rests: NDArray[np.uint8]
    children: NDArray[np.uint32]
    entries: NDArray[np.uint8]  # (n + 2, nodes): how many
    fold: NDArray[np.uint8]  # (n + 2, entries)
    fold_weights: NDArray[np.uint8]
    fold_rests: NDArray[np.uint8]
    histogram: NDArray[np.int64]  # (n + 2, HISTOGRAM): strings of each weight, kept or not


def count_text(
    text: NDArray[Any], K: int, order: int, min_count: int, fold_starts: Ints, reset_at: int | None = None
) -> CountedText:
    """Return the counts of a text; see `elman.network.ngram.count_text`."""
    bits, starts = int(K).bit_length(), fold_starts.astype(np.int64)
    if reset_at is not None:  # the number of the line that begins there
        starts = np.array([np.count_nonzero(text[: start + 1] == reset_at) for start in starts], np.int64)
    settings = Settings(K, order, min_count, starts, -1 if reset_at is None else reset_at, bits, 64 // bits)
    opened, histogram = _open(settings), np.zeros((order + 2, HISTOGRAM), np.int64)
    parts: list[list[tuple[NDArray[Any], ...]]] = [[] for _ in range(order + 2)]
    for keys, lines in _sorted_pieces(text, settings):
        closed = _make_closed(settings, len(keys), histogram)
        read_sorted(opened, closed, keys, lines, settings)
        _collect(closed, parts)
    closed = _make_closed(settings, 2 * order + 2, histogram)
    close_strings(opened, closed, 0, settings)
    close_string(opened, closed, 0, settings)
    _collect(closed, parts)
    symbols, weights, rests, children, entries, *of_folds = zip(
        *(map(np.concatenate, zip(*part, strict=True)) for part in parts), strict=True
    )
    nodes = Nodes(
        np.concatenate(symbols[1:]), np.concatenate(weights[1:]), np.concatenate(rests[:-1]), np.concatenate(children[:-1])
    )
    starts = np.concatenate([[0], np.cumsum(np.concatenate(entries), dtype=np.int64)])
    return CountedText(nodes, FoldCounts(starts, *map(np.concatenate, of_folds)), histogram[1:, 1:])


def _collect(closed: Closed, parts: list[list[tuple[NDArray[Any], ...]]]) -> None:
    """Append copies of what has been closed to the parts of each length."""
    for (nodes, entries), part, *arrays in zip(closed.sizes, parts, *closed[1:-1], strict=True):
        part.append(tuple(array[: nodes if n < 5 else entries].copy() for n, array in enumerate(arrays)))


def _open(settings: Settings) -> Open:
    levels, folds = settings.order + 2, max(len(settings.folds), 1) + 1
    return Open(
        depth=np.zeros(1, np.int64),
        digits=np.zeros(levels, np.int64),
        total=np.zeros(levels, np.int64),
        last_fold=np.zeros(levels, np.int64),
        occurrences=np.zeros((levels, folds), np.int64),
        units=np.zeros((levels, folds), np.int64),
        lines=np.zeros((levels, folds, settings.min_count), np.int64),
        fold_of=np.full((levels, settings.K + 1), _NONE),
        preceding=np.zeros((levels, settings.K + 1), np.int64),
        kinds=np.zeros(levels, np.int64),
        rest=np.zeros((levels, folds), np.int64),
        children=np.zeros(levels, np.int64),
    )


def _make_closed(settings: Settings, records: int, histogram: NDArray[np.int64]) -> Closed:
    """Return room for what closes in a piece: each string that is kept has at least the minimum of records."""
    levels, nodes, entries = settings.order + 2, records // settings.min_count + 2, records + 2 * len(settings.folds) + 2
    sizes = np.zeros((levels, 2), np.int64)
    types = np.uint32, np.uint8, np.uint8, np.uint32, np.uint8
    of_nodes = [np.empty((levels, nodes), kind) for kind in types]
    return Closed(sizes, *of_nodes, *(np.empty((levels, entries), np.uint8) for _ in range(3)), histogram)


# --- Records, in order ---


def _sorted_pieces(text: NDArray[Any], settings: Settings) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.uint32]]]:
    """Yield the records of each piece in order: their keys, and the line or position of each.

    While one piece is read, the next one is sorted on another thread.
    """
    sizes = count_prefixes(text, settings)
    filled = np.flatnonzero(sizes)
    pieces, first = list[tuple[int, int, int]](), 0
    while first < len(filled):
        total = np.cumsum(sizes[filled[first:]])
        count = max(1, int(np.searchsorted(total, PIECE, side="right")))
        pieces.append((int(filled[first]), int(filled[first + count - 1]), int(total[count - 1])))
        first += count

    def sort(piece: tuple[int, int, int]) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
        low, high, size = piece
        words = -(-(settings.order + 2) // settings.per_word)
        keys, units = np.empty((2, size, words), np.uint64), np.empty((2, size), np.uint32)
        read_records(text, settings, low, high, keys[0], units[0])
        buffer = sort_records(keys, units, settings)
        return keys[buffer], units[buffer]

    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(sort, pieces[0]) if pieces else None
        for n in range(len(pieces)):
            assert following is not None
            records = following.result()
            following = pool.submit(sort, pieces[n + 1]) if n + 1 < len(pieces) else None
            yield records


@exact_step
def prefix_at(text, i, settings):
    """The first two digits of the record of a position, as one number."""
    second = np.int64(text[i + 1]) + 1 if i + 1 < len(text) else 0
    return (np.int64(text[i]) + 1) * (settings.K + 1) + second


@compiled(allocates=True)
def count_prefixes(text, settings):
    """The number of records with each pair of first digits."""
    sizes = np.zeros((settings.K + 1) * (settings.K + 1), np.int64)
    for i in range(len(text)):
        sizes[prefix_at(text, i, settings)] += 1
    return sizes


@exact
def read_records(text, settings, low, high, keys, units):
    """Write the records whose first digits are from `low` to `high`: keys (records, words), and lines or positions."""
    n, record, line = settings.order, 0, np.int64(0)
    for i in range(len(text)):
        starts_line = text[i] == settings.reset_at
        line += starts_line
        prefix = prefix_at(text, i, settings)
        if prefix < low or prefix > high:
            continue
        word, digit, at, ended = np.uint64(0), 0, 0, False
        for j in range(n + 2):
            number = np.int64(0)
            if j > n:
                number = np.int64(text[i - 1]) + 1 if i > 0 else np.int64(0)
            elif not ended and i + j < len(text):
                number = np.int64(text[i + j]) + 1
                ended = j > 0 and text[i + j] == settings.reset_at
            word = (word << np.uint64(settings.bits)) | np.uint64(number)
            digit += 1
            if digit == settings.per_word or j == n + 1:
                keys[record, at] = word
                word, digit, at = np.uint64(0), 0, at + 1
        units[record] = i if settings.reset_at < 0 else line
        record += 1


@compiled(allocates=True)
def sort_records(keys, units, settings):
    """Sort the records in buffer 0 of keys (2, records, words) and units (2, records); return the buffer they are in.

    Radix sort, from the last digits to the first; digits in which all records agree are skipped.
    """
    size, words, buffer = units.shape[1], keys.shape[2], 0
    starts, mask = np.empty(1 << _RADIX_BITS, np.int64), np.uint64((1 << _RADIX_BITS) - 1)
    for w in range(words - 1, -1, -1):
        used = settings.bits * (settings.per_word if w < words - 1 else settings.order + 2 - w * settings.per_word)
        for s in range(0, used, _RADIX_BITS):
            shift = np.uint64(s)
            starts[:] = 0
            for r in range(size):
                starts[(keys[buffer, r, w] >> shift) & mask] += 1
            if size == 0 or starts[(keys[buffer, 0, w] >> shift) & mask] == size:
                continue
            total = np.int64(0)
            for d in range(len(starts)):
                total, starts[d] = total + starts[d], total
            to = 1 - buffer
            for r in range(size):
                d = (keys[buffer, r, w] >> shift) & mask
                place = starts[d]
                starts[d] += 1
                for other in range(words):
                    keys[to, place, other] = keys[buffer, r, other]
                units[to, place] = units[buffer, r]
            buffer = to
    return buffer


# --- Strings that open and close ---


@exact_step
def digit_of(keys, r, j, settings):
    """Digit j of a record."""
    w = j // settings.per_word
    last = min(settings.per_word, settings.order + 2 - w * settings.per_word) - 1
    shift = np.uint64((last - (j - w * settings.per_word)) * settings.bits)
    return np.int64((keys[r, w] >> shift) & np.uint64((1 << settings.bits) - 1))


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
    """Read the sorted records of a piece; the strings that are open at its end stay open."""
    n = settings.order
    for r in range(len(keys)):
        L = 0
        while L < opened.depth[0] and L <= n and digit_of(keys, r, L, settings) == opened.digits[L + 1]:
            L += 1
        close_strings(opened, closed, L, settings)
        while L <= n and digit_of(keys, r, L, settings) > 0:
            L += 1
            opened.digits[L] = digit_of(keys, r, L - 1, settings)
        opened.depth[0] = L
        unit = np.int64(units[r])
        fold = np.int64(0)
        while fold + 1 < len(settings.folds) and unit >= settings.folds[fold + 1]:
            fold += 1
        add_record(opened, digit_of(keys, r, n + 1, settings), unit, fold, settings)


@exact
def add_record(opened, preceding, unit, fold, settings):
    """Count a record in all strings that are open."""
    for L in range(1, opened.depth[0] + 1):
        opened.occurrences[L, fold] += 1
        opened.total[L] += 1
        opened.last_fold[L] = fold
        known = opened.fold_of[L, preceding]
        if known == _NONE:
            opened.fold_of[L, preceding] = fold
            opened.preceding[L, opened.kinds[L]] = preceding
            opened.kinds[L] += 1
        elif known != fold:
            opened.fold_of[L, preceding] = _SEVERAL
        if settings.reset_at < 0:
            opened.units[L, fold] += 1
        else:
            lines = opened.units[L, fold]
            seen = lines >= settings.min_count
            for k in range(min(lines, settings.min_count)):
                seen = seen or opened.lines[L, fold, k] == unit
            if not seen:
                opened.lines[L, fold, lines] = unit
                opened.units[L, fold] = lines + 1


@exact
def close_strings(opened, closed, length, settings):
    """Close the strings that are longer than `length`."""
    while opened.depth[0] > length:
        L = opened.depth[0]
        opened.depth[0] = L - 1
        close_string(opened, closed, L, settings)


@exact
def close_string(opened, closed, L, settings):
    """Store a string whose counts are complete, or the root, if it is kept; add it to its context; forget its counts."""
    folds, min_count, occurrences = max(len(settings.folds), 1), settings.min_count, opened.total[L]
    if occurrences == 1 and min_count > 1 and L > 0:
        forget_single_string(opened, closed, L, folds)
        return
    units = np.int64(0)
    for f in range(folds):
        units += opened.units[L, f]
    is_kept = L == 0 or units >= min_count
    is_raw = L == settings.order + 1 or (L > 1 and opened.digits[1] - 1 == settings.reset_at)
    weight = occurrences if is_raw else opened.kinds[L]
    if L > 0:
        if weight < HISTOGRAM:
            closed.histogram[L, weight] += 1
        if not is_kept:
            opened.rest[L - 1, folds] += weight
    node, entry = closed.sizes[L, 0], closed.sizes[L, 1]
    for f in range(len(settings.folds)):
        if L > 0 and opened.occurrences[L, f] == 0:
            continue
        fold_weight = weight - opened.occurrences[L, f]
        if not is_raw:
            fold_weight = weight
            for k in range(opened.kinds[L]):
                fold_weight -= opened.fold_of[L, opened.preceding[L, k]] == f
        is_kept_without = L == 0 or units - opened.units[L, f] >= min_count
        if L > 0 and not is_kept:
            opened.rest[L - 1, f] += fold_weight - weight
        elif L > 0 and not is_kept_without:
            opened.rest[L - 1, f] += fold_weight
        if is_kept:
            closed.fold[L, entry] = f
            closed.fold_weights[L, entry] = encode(fold_weight) if is_kept_without else np.int64(0)
            closed.fold_rests[L, entry] = encode(opened.rest[L, folds] + opened.rest[L, f])
            entry += 1
    if is_kept:
        closed.symbols[L, node] = opened.digits[L] - 1
        closed.weights[L, node] = encode(weight)
        closed.rests[L, node] = encode(opened.rest[L, folds])
        closed.children[L, node] = opened.children[L]
        closed.entries[L, node] = entry - closed.sizes[L, 1]
        closed.sizes[L, 0], closed.sizes[L, 1] = node + 1, entry
        if L > 0:
            opened.children[L - 1] += 1
    for f in range(folds + 1):
        opened.occurrences[L, f], opened.units[L, f], opened.rest[L, f] = 0, 0, 0
    for k in range(opened.kinds[L]):
        opened.fold_of[L, opened.preceding[L, k]] = _NONE
    opened.kinds[L], opened.children[L], opened.total[L] = 0, 0, 0


@exact_step
def forget_single_string(opened, closed, L, folds):
    """Do `close_string` for a string that occurs once, which most do, and which is not kept."""
    f = opened.last_fold[L]
    closed.histogram[L, 1] += 1
    opened.rest[L - 1, folds] += 1
    opened.rest[L - 1, f] -= 1
    opened.occurrences[L, f], opened.units[L, f], opened.rest[L, f], opened.rest[L, folds] = 0, 0, 0, 0
    opened.fold_of[L, opened.preceding[L, 0]] = _NONE
    opened.kinds[L], opened.children[L], opened.total[L] = 0, 0, 0
