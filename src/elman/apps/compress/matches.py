"""Match models predict the character that followed an earlier occurrence of the last characters.

R  rows: substreams coded in lockstep          i  a position in the history
M  match models: one per minimum length

The history is the text coded so far: row r of step t is at R t + r, so the successor of a position is R further. It is
a ring: the oldest characters are overwritten.

Every model follows an earlier occurrence of the last characters: it looks them up in a hash table and compares them
backwards. A mismatch does not end a match: in a log or in source code a line often equals an earlier line except for a
number or a name. A match ends after `MAX_MISSES` mismatches in a row, or when a longer match is found. A model with
fewer than `RELIABLE_LENGTH` characters since a mismatch looks for a longer match at every character.

The constants are part of the file format.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elman.apps.compress.arithmetic import Ints, Ints32, extend_hash
from elman.jit import exact, exact_step

MIN_LENGTHS = (32, 20, 12, 6)
MODELS = len(MIN_LENGTHS)  # M
RELIABLE_LENGTH = 16
MAX_LENGTH = 400  # length up to which a candidate is compared
MAX_MISSES = 8
_LATER_RANGES = (24, 32, 48, 64, 96, 128, 256, 512, 1024)
LENGTHS = 26  # number of distinguished ranges of lengths: 0 to 15, one length each; and longer ranges from 16
MAX_CODED = 1 << 22  # characters of the coded text that are kept
NONE = -1
_MAX_ENTRIES = 1 << 20  # maximum entries of a hash table
_FIRST_STEPS = 256  # steps for which there is room at first


class Matches(NamedTuple):
    """The match models of R rows; everything except `max_steps` is changed in place."""

    max_steps: int  # maximum number of steps
    history: Ints32
    step: Ints  # (1,): steps read
    tables: Ints32  # (MODELS, entries): positions behind a context
    pointers: Ints  # (R, M): the position of the predicted character, or -1
    lengths: Ints  # (R, M): since the last mismatch
    misses: Ints  # (R, M): mismatches since the last match of a character
    predicted: Ints  # (R, M): the symbol, or -1
    ranges: Ints  # (R, M): of its length
    hashes: Ints  # (R, MODELS): workspace
    candidates: Ints  # (R, MODELS)


@exact
def read_symbols(matches, x, reads):
    """Read symbols x (R,) in the rows where `reads` (R,) is true, and find matches."""
    history, tables, hashes, candidates = matches.history, matches.tables, matches.hashes, matches.candidates
    R, mask = len(x), tables.shape[1] - 1
    at = matches.step[0] * R % len(history)
    matches.step[0] += 1
    for r in range(R):
        history[at + r] = x[r] if reads[r] else NONE
    for r in range(R):
        if reads[r]:
            follow_matches(matches, r, x[r])
        set_hashes(history, at + r, R, reads[r], hashes[r])
        for z in range(MODELS):  # a loop without branches, so that the memory accesses overlap
            candidates[r, z] = tables[z, hashes[r, z] & mask]
    for r in range(R):
        for z in range(MODELS):
            if hashes[r, z] >= 0 and (matches.pointers[r, z] < 0 or matches.lengths[r, z] < RELIABLE_LENGTH):
                find_match(matches, z, r, at + r, candidates[r, z])
    for r in range(R):
        for z in range(MODELS):
            if hashes[r, z] >= 0:
                tables[z, hashes[r, z] & mask] = (at + r + R) % len(history)
        set_predictions(matches, r)


@exact_step
def follow_matches(matches, r, x):
    """Move the pointers of row r over symbol x."""
    pointers, lengths, misses, history = matches.pointers[r], matches.lengths[r], matches.misses[r], matches.history
    R = len(matches.pointers)
    for z in range(MODELS):
        pointer = pointers[z]
        if pointer >= 0:
            if history[pointer] == x:
                lengths[z], misses[z] = lengths[z] + 1, 0
            else:
                lengths[z], misses[z] = 0, misses[z] + 1
            pointers[z] = NONE if misses[z] == MAX_MISSES else (pointer + R) % len(history)


@exact_step
def set_hashes(history, i, stride, reads, hashes):
    """Set the hashes of the last characters up to position i; -1 if they begin before the ring, and without `reads`."""
    h, length = np.int64(0), np.int64(0)
    for z in range(MODELS - 1, -1, -1):
        hashes[z] = NONE
        if reads and i >= (MIN_LENGTHS[z] - 1) * stride:
            while length < MIN_LENGTHS[z]:
                h = extend_hash(h, history[i - length * stride])
                length += 1
            hashes[z] = h


@exact_step
def find_match(matches, z, r, i, candidate):
    """Use a candidate for row r, whose last symbol is at position i, if it is longer than the current match."""
    pointers, lengths = matches.pointers[r], matches.lengths[r]
    if candidate >= 0 and candidate != pointers[z]:
        length = common_length(matches.history, len(matches.pointers), i, candidate)
        if length >= MIN_LENGTHS[z] and (pointers[z] < 0 or length > lengths[z]):
            pointers[z], lengths[z], matches.misses[r, z] = candidate, length, 0


@exact
def common_length(history, stride, i, candidate):
    """Return how many characters up to position i equal the characters before `candidate`, at most `MAX_LENGTH`."""
    length, before = np.int64(0), candidate - stride
    while length < MAX_LENGTH and min(i, before) >= 0 and history[i] >= 0 and history[i] == history[before]:
        length += 1
        i -= stride
        before -= stride
    return length


@exact_step
def set_predictions(matches, r):
    """Set the predictions of row r's matches."""
    pointers, predicted, ranges = matches.pointers[r], matches.predicted[r], matches.ranges[r]
    for z in range(MODELS):
        predicted[z] = matches.history[pointers[z]] if pointers[z] >= 0 else NONE
        if predicted[z] >= 0:
            ranges[z] = length_range(matches.lengths[r, z])


@exact_step
def length_range(length):
    """Return the number of the range, of `LENGTHS`, that contains a length."""
    n = min(length, np.int64(16))
    for start in _LATER_RANGES:
        n += length >= start
    return n


def make_matches(R: int, steps: int) -> Matches:
    """Return match models of R rows that have read nothing, still without room for the `steps` they read at most."""
    max_steps = min(max(steps, 1), max(MAX_CODED // R, 1))
    entries = min(_MAX_ENTRIES, 1 << (2 * max_steps * R - 1).bit_length())
    pointers, predicted = (np.full((R, MODELS), NONE, np.int64) for _ in range(2))
    lengths, misses, ranges, hashes, candidates = (np.zeros((R, MODELS), np.int64) for _ in range(5))
    return Matches(
        max_steps, np.empty(0, np.int32), np.zeros(1, np.int64), np.full((MODELS, entries), NONE, np.int32),
        pointers, lengths, misses, predicted, ranges, hashes, candidates,
    )  # fmt: skip


def reserve_steps(matches: Matches, steps: int) -> Matches:
    """Return the match models with room for so many steps, and for the position behind them, up to the maximum."""
    # A file may announce more steps than it contains.
    R = len(matches.pointers)
    room = len(matches.history) // R
    needed = min(matches.max_steps, int(matches.step[0]) + steps + 1)
    if needed <= room:
        return matches
    added = (min(matches.max_steps, max(2 * room, needed, _FIRST_STEPS)) - room) * R
    return matches._replace(history=np.concatenate([matches.history, np.full(added, NONE, np.int32)]))
