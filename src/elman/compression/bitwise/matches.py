"""Matches of several lengths that continue behind a mismatch.

R  rows: substreams coded in lockstep          M  match models, one per minimum length, and those of paragraphs

Every match model follows an earlier occurrence of the last characters, as the single one of
`elman.compression.experts.match` does, in the same history. But a mismatch does not end a match: in a log or in source
code a line often equals an earlier one but for a number or a name. It ends after `MAX_MISSES` mismatches in the last
eight characters, or when there is a longer match, for which a model that has less than `RELIABLE_LENGTH` characters
since a mismatch looks at every character.

The match models of paragraphs, which only some modes have, predict the first line of a paragraph from those of
the paragraphs two and three before it, as long as they are right: in a dialogue, who spoke before the last one often
speaks next. They do not read the character before the first one, so the first line of a text begins no paragraph.

How often a match is right is learned, for each match model, length since the last mismatch and number of mismatches; of
a paragraph, instead of the number, whether its last three predictions of a complete line were right.
The constants are part of the file format.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.compression.exact_kernels import Floats, Ints, exact_inline
from elman.compression.experts.match import NONE, common_length, follow, table_size
from elman.compression.hashing import extend_hash

MIN_LENGTHS = (32, 20, 12, 6)
SEARCHED = len(MIN_LENGTHS)
"""The match models that search, which come first."""
PARAGRAPHS = 2
IS_EMPTY, IS_FIRST = range(2)
"""Columns of `Matches.line`: whether the line is empty so far, and whether it is the first one of a paragraph."""
RELIABLE_LENGTH = 16
MAX_LENGTH = 400
"""Length up to which a candidate is compared."""
MAX_MISSES = 8
LENGTHS = 26
"""Ranges of lengths that are distinguished."""
_MISSES, _LAST_LINES = 9, 7
_BYTE = 255
_TEXT_TABLE, _CODED_TABLE = 1 << 22, 1 << 20
"""Maximum entries of the tables."""
_MAX_SEEN = 255
_LOWEST, _HIGHEST = np.float32(1 / 64), np.float32(1 - 2.0**-12)
_ONE, _OFFSET = np.float32(1), np.float32(1.5)
_LENGTH_SCALE, _MAX_SCALED = np.float32(1 / 32), np.int64(32)


class Matches(NamedTuple):
    """The match models of R rows; everything but `text_tables` is changed in place."""

    text_tables: NDArray[np.int32]  # (SEARCHED, entries): positions in the training text behind a context
    coded_tables: NDArray[np.int32]  # (SEARCHED, entries)
    pointers: Ints  # (M, R): the position of the predicted character, or -1
    lengths: Ints  # (M, R): since the last mismatch
    misses: Ints  # (M, R): bits, the latest lowest: which of the last eight characters were mismatches; of a paragraph,
    # which of the last three lines were predicted
    probs: Floats  # (M, LENGTHS, _MISSES): that a match is right, which moves by 1 / (observations + 1.5)
    seen: Ints  # (M, LENGTHS, _MISSES): how often that was observed, at most `_MAX_SEEN`
    predicted: Ints  # (M,): of the current row, the symbol, or -1
    ranges: Ints  # (M,): of its length
    counts: Ints  # (M,): of its misses
    scaled: Floats  # (M,): its length as an input
    bits: Ints  # (M,): of the current node, the predicted bit, or -1
    paragraphs: Ints  # (R, 2 + PARAGRAPHS): where the last ones began, the latest first, or -1
    line: Ints  # (R, 2): see `IS_EMPTY`
    line_feed: Ints  # (1,): the symbol, or -1
    hashes: Ints  # (SEARCHED, R): workspace
    coded: Ints  # (SEARCHED, R): candidates in the coded text
    in_text: Ints  # (SEARCHED, R): candidates in the training text


@exact_inline
def length_range(length):
    """Return which of `LENGTHS` ranges a length is in."""
    if length < 16:
        return length
    if length < 32:
        return np.int64(16 + (length >= 24))
    if length < 64:
        return np.int64(18 + (length >= 48))
    if length < 128:
        return np.int64(20 + (length >= 96))
    return np.int64(22 + (length >= 256) + (length >= 512) + (length >= 1024))


@exact_inline
def count_ones(byte):
    """Return the number of ones among eight bits."""
    n = np.int64(0)
    for i in range(8):
        n += (byte >> i) & 1
    return n


@exact_inline
def set_predictions(matches, history, r):
    """Set what row r's matches predict; return a number for the mixer: a match and the range of its length.

    The match is that of a paragraph two before, if there is one, else the one of the largest minimum length.
    """
    pointers, lengths, misses, predicted = matches.pointers, matches.lengths, matches.misses, matches.predicted
    ranges, counts, scaled = matches.ranges, matches.counts, matches.scaled
    selected, of_paragraph = np.int64(0), np.int64(0)
    for z in range(len(pointers) - 1, -1, -1):
        pointer, length = pointers[z, r], lengths[z, r]
        predicted[z] = history[pointer] if pointer >= 0 else NONE
        if predicted[z] >= 0:
            ranges[z] = length_range(length)
            counts[z] = count_ones(misses[z, r]) if z < SEARCHED else misses[z, r]
            scaled[z] = np.float32(min(length, _MAX_SCALED)) * _LENGTH_SCALE
            selected = 1 + z * LENGTHS + ranges[z]
            if z == SEARCHED:
                of_paragraph = selected
    return of_paragraph if of_paragraph > 0 else selected


@exact_inline
def set_match_inputs(matches, tree, node, depth, stretches, inputs, first):
    """Set two inputs per match model for a node, from the input `first` on: 0 unless it predicts a bit there."""
    predicted, bits, probs = matches.predicted, matches.bits, matches.probs
    ranges, counts, scaled = matches.ranges, matches.counts, matches.scaled
    nodes, tree_bits = tree.nodes, tree.bits
    for z in range(len(predicted)):
        k, at = predicted[z], first + 2 * z
        bits[z] = NONE
        inputs[at], inputs[at + 1] = np.float32(0), np.float32(0)
        if k >= 0 and nodes[k, depth] == node:
            bits[z] = tree_bits[k, depth]
            sign = _ONE if bits[z] == 1 else -_ONE
            p = probs[z, ranges[z], counts[z]]
            inputs[at] = sign * stretches[np.int64(p * np.float32(len(stretches)))]
            inputs[at + 1] = sign * scaled[z]


@exact_inline
def observe_bit(matches, bit):
    """Learn whether the matches were right about a bit."""
    bits, probs, seen, ranges, counts = matches.bits, matches.probs, matches.seen, matches.ranges, matches.counts
    for z in range(len(bits)):
        if bits[z] >= 0:
            i, n = ranges[z], counts[z]
            seen[z, i, n] = min(seen[z, i, n] + 1, _MAX_SEEN)
            rate = _ONE / (np.float32(seen[z, i, n]) + _OFFSET)
            hit = _ONE if bits[z] == bit else np.float32(0)
            p = probs[z, i, n]
            p = p + (hit - p) * rate
            probs[z, i, n] = min(max(p, _LOWEST), _HIGHEST)


@exact_inline
def read_symbols(matches, history, N, step, x, reads):
    """Let the rows read symbols x (R,), where `reads` (R,) is true; they are already in the history, in step `step`."""
    pointers, lengths, misses = matches.pointers, matches.lengths, matches.misses
    coded_tables, text_tables = matches.coded_tables, matches.text_tables
    hashes, coded, in_text = matches.hashes, matches.coded, matches.in_text
    R = len(x)
    steps = (len(history) - N) // R
    at = N + step % steps * R
    mask, text_mask = coded_tables.shape[1] - 1, text_tables.shape[1] - 1
    for r in range(R):
        if reads[r]:
            if len(pointers) > SEARCHED:
                read_paragraph(matches, history, N, steps, r, at + r, x[r])
            follow_matches(pointers, lengths, misses, history, N, steps, r, x[r])
        set_hashes(history, at + r, R, N, reads[r], hashes, r)
        for z in range(SEARCHED):  # a loop without branches, so that the memory accesses overlap
            coded[z, r] = coded_tables[z, hashes[z, r] & mask]
            in_text[z, r] = text_tables[z, hashes[z, r] & text_mask]
    for r in range(R):
        for z in range(SEARCHED):
            if hashes[z, r] >= 0 and (pointers[z, r] < 0 or lengths[z, r] < RELIABLE_LENGTH):
                find_match(pointers, lengths, misses, history, N, z, r, at + r, coded[z, r])
                find_match(pointers, lengths, misses, history, N, z, r, at + r, in_text[z, r])
    for r in range(R):
        for z in range(SEARCHED):
            if hashes[z, r] >= 0:
                coded_tables[z, hashes[z, r] & mask] = follow(at + r, N, R, steps)


@exact_inline
def read_paragraph(matches, history, N, steps, r, i, x):
    """Move the pointers of row r into paragraphs over symbol x at position i."""
    pointers, lengths, misses = matches.pointers, matches.lengths, matches.misses
    starts, line, stride = matches.paragraphs[r], matches.line[r], matches.pointers.shape[1]
    for z in range(SEARCHED, len(pointers)):
        pointer = pointers[z, r]
        is_right = pointer >= 0 and history[pointer] == x
        if x == matches.line_feed[0]:
            if line[IS_FIRST] and not line[IS_EMPTY]:
                misses[z, r] = (misses[z, r] << 1 | np.int64(is_right)) & _LAST_LINES
            pointers[z, r] = NONE
        elif pointer >= 0:
            lengths[z, r] += 1
            pointers[z, r] = follow(pointer, N, stride, steps) if is_right else NONE
    if x != matches.line_feed[0]:
        line[IS_EMPTY] = 0
        return
    line[IS_FIRST] = line[IS_EMPTY]
    line[IS_EMPTY] = 1
    if line[IS_FIRST]:
        begin_paragraph(pointers, lengths, starts, r, follow(i, N, stride, steps), starts[0] == i)


@exact_inline
def begin_paragraph(pointers, lengths, starts, r, start, is_empty):
    """Let row r begin a paragraph at position `start`; of several empty lines, only the last one begins one."""
    if not is_empty:
        for n in range(len(starts) - 1, 0, -1):
            starts[n] = starts[n - 1]
    starts[0] = start
    for z in range(SEARCHED, len(pointers)):
        pointers[z, r], lengths[z, r] = starts[2 + z - SEARCHED], 0


@exact_inline
def set_hashes(history, i, stride, first, reads, hashes, r):
    """Set row r's hashes of the last characters up to position i; -1 before `first`, and without `reads`."""
    h, length = np.int64(0), np.int64(0)
    for z in range(SEARCHED - 1, -1, -1):
        hashes[z, r] = NONE
        if reads and i - (MIN_LENGTHS[z] - 1) * stride >= first:
            while length < MIN_LENGTHS[z]:
                h = extend_hash(h, history[i - length * stride])
                length += 1
            hashes[z, r] = h


@exact_inline
def follow_matches(pointers, lengths, misses, history, N, steps, r, x):
    """Move the pointers of row r over symbol x."""
    stride = pointers.shape[1]
    for z in range(SEARCHED):
        pointer = pointers[z, r]
        if pointer >= 0:
            missed = np.int64(history[pointer] != x)
            misses[z, r] = (misses[z, r] << 1 | missed) & _BYTE
            lengths[z, r] = np.int64(0) if missed == 1 else lengths[z, r] + 1
            pointers[z, r] = NONE if count_ones(misses[z, r]) >= MAX_MISSES else follow(pointer, N, stride, steps)


@exact_inline
def find_match(pointers, lengths, misses, history, N, z, r, i, candidate):
    """Take a candidate for row r, whose last symbol is at position i, if it is longer than what there is."""
    if candidate >= 0 and candidate != pointers[z, r]:
        length = common_length(history, N, pointers.shape[1], i, candidate, MAX_LENGTH)
        if length >= MIN_LENGTHS[z] and (pointers[z, r] < 0 or length > lengths[z, r]):
            pointers[z, r], lengths[z, r], misses[z, r] = candidate, length, 0


def make_matches(R: int, symbols: int, M: int, line_feed: int, text_tables: NDArray[np.int32] | None = None) -> Matches:
    """Return match models of R rows that have read nothing, for a text of so many symbols.

    Parameters
    ----------
    R : int
    symbols : int
    M : int
        `SEARCHED`, and `PARAGRAPHS` more in modes with paragraphs.
    line_feed : int
        The symbol, or -1.
    text_tables : ndarray of int32, optional
        The tables of a model that has read the training text.
    """
    entries = table_size(symbols, _TEXT_TABLE if text_tables is None else _CODED_TABLE)
    reliable = np.arange(LENGTHS, dtype=np.float64)[None, :, None]
    return Matches(
        text_tables=np.full((SEARCHED, 1), NONE, np.int32) if text_tables is None else text_tables,
        coded_tables=np.full((SEARCHED, entries), NONE, np.int32),
        pointers=np.full((M, R), NONE, np.int64),
        lengths=np.zeros((M, R), np.int64),
        misses=np.zeros((M, R), np.int64),
        probs=np.tile((1 - 0.5 / (reliable + 1.5)).astype(np.float32), (M, 1, _MISSES)),
        seen=np.zeros((M, LENGTHS, _MISSES), np.int64),
        predicted=np.full(M, NONE, np.int64),
        ranges=np.zeros(M, np.int64),
        counts=np.zeros(M, np.int64),
        scaled=np.zeros(M, np.float32),
        bits=np.full(M, NONE, np.int64),
        paragraphs=np.full((R, 2 + PARAGRAPHS), NONE, np.int64),
        line=np.zeros((R, 2), np.int64),
        line_feed=np.array([line_feed]),
        hashes=np.zeros((SEARCHED, R), np.int64),
        coded=np.zeros((SEARCHED, R), np.int64),
        in_text=np.zeros((SEARCHED, R), np.int64),
    )
