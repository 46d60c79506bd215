"""The match model: what followed the last characters when they occurred before.

R  rows: substreams coded in lockstep          i  a position in the history

The history is the training text, of which the model knows what follows what, and behind it the characters coded in
this file: row r of step t is at N + R t + r, so the successor of a position is 1 further in the training text and R
further in the coded text. The coded part is a ring: what is oldest is overwritten.

A row that has no match looks its last `MIN_LENGTH` characters up in a hash table of the coded text, then in one of the
training text. The candidate is compared backwards; from `MIN_LENGTH` equal characters on it is a match, which predicts
its next character and continues as long as that is right. Everything is an integer, so that every machine computes the
same. The constants are part of the file format.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.compression.exact_kernels import Ints, allocating, exact
from elman.compression.hashing import extend_hash
from elman.network.ngram import NgramModel

Ints32 = NDArray[np.int32]

MIN_LENGTH = 8
"""Characters that must be equal; shorter contexts are the n-gram model's."""
MAX_LENGTH = 32
"""Length above which matches are treated alike."""
MAX_CODED = 1 << 22
"""Characters of the coded text that are kept."""
_TEXT_TABLE, _CODED_TABLE = 1 << 22, 1 << 20
"""Maximum entries of the hash tables."""
_FIRST_STEPS = 256
"""Steps for which there is room at first."""
NONE = -1


@exact
def hash_context(history, i, stride, first):
    """Return the hash of the `MIN_LENGTH` characters up to position i, or -1 if they begin before `first`."""
    if i - (MIN_LENGTH - 1) * stride < first:
        return np.int64(NONE)
    h = np.int64(0)
    for n in range(MIN_LENGTH):
        h = extend_hash(h, history[i - n * stride])
    return h


@exact
def fill_text_table(history, N, table):
    """Enter what follows each context of the training text."""
    for i in range(MIN_LENGTH - 1, N - 1):
        table[hash_context(history, i, 1, 0) & (len(table) - 1)] = i + 1


@exact
def common_length(history, N, stride, i, candidate, longest):
    """Return how many characters up to position i equal those before `candidate`, at most `longest`."""
    candidate_stride, first = (np.int64(1), np.int64(0)) if candidate < N else (stride, N)
    length = np.int64(0)
    before = candidate - candidate_stride
    while length < longest and i >= N and before >= first and history[i] >= 0 and history[i] == history[before]:
        length += 1
        i -= stride
        before -= candidate_stride
    return length


class MatchArrays(NamedTuple):
    """Matches of R rows; everything but `text_size` and `text_table` is changed in place."""

    text_size: int  # N, characters of the training text
    history: Ints32  # the training text, and room for the coded text
    text_table: Ints32
    coded_table: Ints32
    pointers: Ints  # (R,): the position of the predicted character, or -1
    lengths: Ints  # (R,): of the match
    predicted: Ints  # (R,): the predicted character, or -1
    step: Ints  # (1,): steps read


@allocating
def read_characters(matches, x, reads):
    """Read characters x (R,) in the rows where `reads` (R,) is true, and find what follows."""
    N, history, text_table, coded_table = matches.text_size, matches.history, matches.text_table, matches.coded_table
    pointers, lengths, predicted = matches.pointers, matches.lengths, matches.predicted
    stride = len(pointers)
    steps = (len(history) - N) // stride
    at = N + matches.step[0] % steps * stride
    matches.step[0] += 1
    for r in range(len(x)):
        history[at + r] = x[r] if reads[r] else NONE
    for r in range(len(x)):
        if reads[r] and pointers[r] >= 0:
            if history[pointers[r]] == x[r]:
                lengths[r] = min(lengths[r] + 1, MAX_LENGTH)
                pointers[r] = follow(pointers[r], N, stride, steps)
            else:
                pointers[r] = NONE
    hashes, coded, in_text = np.empty(len(x), np.int64), np.empty(len(x), np.int64), np.empty(len(x), np.int64)
    for r in range(len(x)):
        hashes[r] = hash_context(history, at + r, stride, N) if reads[r] else NONE
    for r in range(len(x)):  # a loop of its own, so that the memory accesses of the rows overlap
        coded[r] = coded_table[hashes[r] & (len(coded_table) - 1)]
        in_text[r] = text_table[hashes[r] & (len(text_table) - 1)]
    for r in range(len(x)):
        if hashes[r] >= 0 and pointers[r] < 0:
            find_match(history, N, stride, at + r, coded[r], r, pointers, lengths)
        if hashes[r] >= 0 and pointers[r] < 0:
            find_match(history, N, stride, at + r, in_text[r], r, pointers, lengths)
    for r in range(len(x)):
        if hashes[r] >= 0:
            coded_table[hashes[r] & (len(coded_table) - 1)] = follow(at + r, N, stride, steps)
    for r in range(len(x)):
        predicted[r] = history[pointers[r]] if pointers[r] >= 0 else NONE


@exact
def follow(i, N, stride, steps):
    """Return the position after i; -1 at the end of the training text."""
    if i < N:
        return i + 1 if i + 1 < N else np.int64(NONE)
    return i + stride if i + stride < N + steps * stride else i + stride - steps * stride


@exact
def find_match(history, N, stride, i, candidate, r, pointers, lengths):
    """Take a candidate, the position behind a context, for row r if enough characters up to i are equal."""
    if candidate >= 0:
        length = common_length(history, N, stride, i, candidate, MAX_LENGTH)
        if length >= MIN_LENGTH:
            pointers[r], lengths[r] = candidate, length


class TextMatches(NamedTuple):
    """The training text prepared for matches."""

    text: Ints32
    table: Ints32


class MatchModel:
    """Matches of R rows, with room that grows.

    Parameters
    ----------
    matches : TextMatches
    R : int
    steps : int
        Steps that will be read at most; fewer are kept of many.
    """

    def __init__(self, matches: TextMatches, R: int, steps: int) -> None:
        self.max_steps, self.room = min(max(steps, 1), max(MAX_CODED // R, 1)), 0
        self.arrays = MatchArrays(
            text_size=len(matches.text),
            history=matches.text,
            text_table=matches.table,
            coded_table=np.full(table_size(self.max_steps * R, _CODED_TABLE), NONE, np.int32),
            pointers=np.full(R, NONE, np.int64),
            lengths=np.zeros(R, np.int64),
            predicted=np.full(R, NONE, np.int64),
            step=np.zeros(1, np.int64),
        )

    def reserve(self, steps: int) -> None:
        """Make room for so many steps, and for the position behind them, up to the maximum.

        A file may announce more steps than it contains.
        """
        needed = min(self.max_steps, int(self.arrays.step[0]) + steps + 1)
        if needed > self.room:
            room = min(self.max_steps, max(2 * self.room, needed, _FIRST_STEPS))
            added = np.full((room - self.room) * len(self.arrays.pointers), NONE, np.int32)
            self.arrays = self.arrays._replace(history=np.concatenate([self.arrays.history, added]))
            self.room = room


def table_size(entries: int, maximum: int) -> int:
    """Return a power of two of at least twice as many entries, at most `maximum`."""
    return min(maximum, 1 << max(1, (2 * entries - 1).bit_length()))


def text_matches(ngrams: NgramModel | None) -> TextMatches:
    """Return the training text, as far as the n-gram model has it, prepared for matches; made on first use."""
    if ngrams is None:
        return TextMatches(np.empty(0, np.int32), np.full(2, NONE, np.int32))
    if "matches" not in ngrams.tables:
        text = ngrams.text.astype(np.int32)
        table = np.full(table_size(len(text), _TEXT_TABLE), NONE, np.int32)
        fill_text_table(text, len(text), table)
        ngrams.tables["matches"] = TextMatches(text, table)
    matches: TextMatches = ngrams.tables["matches"]
    return matches
