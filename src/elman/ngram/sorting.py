"""The strings of a text in order: records of all positions, sorted in pieces.

N  characters                 digit  the index of a character + 1; 0 after the end of a string
n  length of the longest context

Every position of the text is the start of strings of all lengths, so that it has one record: the digits of the longest
of these strings, then the digit of the character before it. Records are distributed among pieces by their first digits
and sorted piece by piece, so that a text of any length is read in little memory.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from concurrent.futures import Future
from threading import Thread
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.jit import exact, exact_step

BATCH = 1 << 24  # positions that are distributed among pieces at a time, in one pass over the text
PIECE = 1 << 18  # records that are sorted at a time
MAX_PAIRED = 1 << 9  # size of the alphabet up to which records are distributed by two digits, not one
_RADIX_BITS = 11  # bits by which records are sorted at a time

Records = tuple[NDArray[np.uint64], NDArray[np.uint32]]
"""Keys (records, words), and the position of each or, if lines are independent, its line."""
Positions = tuple[NDArray[np.uint32], NDArray[np.uint32]]
"""Positions of the text, and their lines, which are empty unless lines are independent."""


class Settings(NamedTuple):
    """How a text is counted."""

    K: int
    context_length: int
    min_count: int
    folds: NDArray[np.int64]  # (folds,): the first position of each or, if lines are independent, its first line
    reset_at: int  # -1 if there is none
    bits: int  # of a digit
    per_word: int  # digits of a word
    prefix: int  # digits by which records are distributed at a time
    words: NDArray[np.int64]  # (n + 2,): the word of a key that contains each digit …
    shifts: NDArray[np.uint64]  # (n + 2,): … and how many bits are below it

    @classmethod
    def of(cls, K: int, context_length: int, min_count: int, folds: NDArray[np.int64], reset_at: int) -> Settings:
        """Return the settings with these values."""
        bits = int(K).bit_length()
        per_word, digits = 64 // bits, np.arange(context_length + 2)
        words = digits // per_word
        last = np.minimum((words + 1) * per_word, context_length + 2) - 1  # digit of the word
        shifts = ((last - digits) * bits).astype(np.uint64)
        prefix = 2 if K <= MAX_PAIRED else 1
        return cls(K, context_length, min_count, folds, reset_at, bits, per_word, prefix, words, shifts)


def sorted_records(text: NDArray[Any], settings: Settings) -> Iterator[Records]:
    """Yield the records in order, in pieces whose last record also begins the next piece.

    The very last one is followed by an empty record. Another thread sorts the next piece meanwhile.
    """
    pieces = _sort_pieces(text, settings)
    following = _sort_next(pieces)
    try:
        while (records := following.result()) is not None:
            following = _sort_next(pieces)
            yield records
    finally:
        following.exception()  # wait until its memory is free, if the rest is not read


def _sort_next(pieces: Iterator[Records]) -> Future[Records | None]:
    """Return the future of the next piece; an executor would start no thread once the main thread has ended."""
    future = Future[Records | None]()

    def sort() -> None:
        try:
            future.set_result(next(pieces, None))
        except BaseException as error:
            future.set_exception(error)

    Thread(target=sort, daemon=True).start()
    return future


def _sort_pieces(text: NDArray[Any], settings: Settings) -> Iterator[Records]:
    words, room = -(-(settings.context_length + 2) // settings.per_word), min(PIECE, len(text)) + 1
    none, last, first = np.zeros(0, np.uint32), (np.zeros(words, np.uint64), np.uint32(0)), 1
    # One piece is read while the next one is sorted. Memory that is not freed does not become fragmented.
    rooms = [(np.empty((2, room, words), np.uint64), np.empty((2, room), np.uint32)) for _ in range(2)]
    for positions, lines in _divide(text, settings, 0, (none, none), np.zeros(0, np.int64)):
        (keys, units), size = rooms[0], len(positions)
        read_records(text, settings, positions, keys[0, 1 : size + 1])
        units[0, 1 : size + 1] = lines if len(lines) else positions
        del positions, lines  # of a large array, which would still exist beside the next one
        buffer = sort_records(keys, units, size, settings, np.empty(1 << _RADIX_BITS, np.int64))
        keys[buffer, 0], units[buffer, 0] = last
        yield keys[buffer, first : size + 1], units[buffer, first : size + 1]
        last, first = (keys[buffer, size], units[buffer, size]), 0
        rooms.reverse()
    yield np.array([last[0], np.zeros(words, np.uint64)]), np.array([last[1], 0], np.uint32)


def _divide(
    text: NDArray[Any], settings: Settings, depth: int, source: Positions, digits: NDArray[np.int64]
) -> Iterator[Positions]:
    """Yield the positions in `source` or, if it is empty, of the records that begin with `digits`, in pieces.

    The lines of the positions are yielded with them, if there are any. The records begin with the same `depth` digits.
    The order of `source` changes.
    """
    if depth > settings.context_length:  # the records are equal
        for first in range(0, len(source[0]), PIECE):
            yield source[0][first : first + PIECE], source[1][first : first + PIECE]
        return
    sizes = np.zeros((settings.K + 1) ** settings.prefix, np.int64)
    count_prefixes(text, settings, depth, source[0], digits, sizes)
    for low, high in _group(sizes, 0, len(sizes), max(BATCH, len(source[0]))):
        if sizes[low:high].sum() > BATCH and depth + settings.prefix <= settings.context_length and not len(source[0]):
            of_prefix = divmod(high - 1, settings.K + 1) if settings.prefix > 1 else [high - 1]  # lower ones are empty
            yield from _divide(text, settings, depth + settings.prefix, source, np.append(digits, of_prefix))
            continue
        ends = np.cumsum(sizes[low:high])
        positions, lines = (_allocate(int(n)) for n in (ends[-1], ends[-1] if settings.reset_at >= 0 else 0))
        find_positions(text, settings, depth, *source, digits, low, high, ends - sizes[low:high], positions, lines)
        if len(source[0]):  # in a text of long repetitions, the positions of every depth would be nearly as many
            source[0][:], source[1][:] = positions, lines
            positions, lines = source
        for first, last in _group(sizes, low, high, PIECE):
            piece = slice(ends[first - low] - sizes[first], ends[last - 1 - low])
            found = positions[piece], lines[piece]
            if len(found[0]) > PIECE:
                yield from _divide(text, settings, depth + settings.prefix, found, digits)
            else:
                yield found
            del found
        del positions, lines


def _allocate(count: int) -> NDArray[np.uint32]:
    """Return room for numbers in memory that is returned to the system, unlike fragmented memory of malloc."""
    return np.frombuffer(mmap.mmap(-1, 4 * count + 1), np.uint32, count)


def _group(sizes: NDArray[np.int64], first: int, last: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of items whose sizes sum to at most `most`, or of one larger item; no sum is 0."""
    ends = np.cumsum(sizes[first:last])
    at, done = 0, 0
    while done < ends[-1]:
        not_empty, within = np.searchsorted(ends, [done, done + most], side="right")
        stop = max(int(not_empty) + 1, int(within))
        yield first + at, first + stop
        at, done = stop, int(ends[stop - 1])


@exact_step
def digit_at(text, i, j, settings):
    """Digit j of the record of position i."""
    if i + j >= len(text):
        return np.int64(0)
    for between in range(i + 1, i + j):
        if text[between] == settings.reset_at:
            return np.int64(0)
    return np.int64(text[i + j]) + 1


@exact_step
def prefix_at(text, i, depth, settings):
    """The digits from `depth` on of the record of position i, as one number: two, or one of a large alphabet."""
    prefix = digit_at(text, i, depth, settings)
    if settings.prefix > 1 and depth < settings.context_length:
        prefix = prefix * (settings.K + 1) + digit_at(text, i, depth + 1, settings)
    return prefix


@exact_step
def begins_with(text, i, digits, settings):
    """Whether the record of position i begins with digits."""
    begins = True
    for j in range(len(digits)):
        begins = begins and digit_at(text, i, j, settings) == digits[j]
    return begins


@exact
def count_prefixes(text, settings, depth, source, digits, sizes):
    """Add up the records with each prefix, in `source` or, if it is empty, among those that begin with `digits`."""
    for n in range(len(source) if len(source) > 0 else len(text)):
        i = np.int64(source[n]) if len(source) > 0 else n
        if len(source) > 0 or begins_with(text, i, digits, settings):
            sizes[prefix_at(text, i, depth, settings)] += 1


@exact
def find_positions(text, settings, depth, source, source_lines, digits, low, high, starts, positions, lines):
    """Write the positions of the records whose prefix is from `low` to `high` - 1, by prefix, and their lines.

    `starts` (high - low,) is where the positions of each prefix begin; it is changed. For the other arguments see
    `count_prefixes`.
    """
    line = np.int64(0)
    for n in range(len(source) if len(source) > 0 else len(text)):
        i = np.int64(source[n]) if len(source) > 0 else n
        if len(source) == 0:
            line += text[i] == settings.reset_at
        prefix = (
            prefix_at(text, i, depth, settings) if len(source) > 0 or begins_with(text, i, digits, settings) else -1
        )
        if low <= prefix < high:
            place = starts[prefix - low]
            starts[prefix - low] = place + 1
            positions[place] = i
            if len(lines) > 0:
                lines[place] = source_lines[n] if len(source) > 0 else line


@exact
def read_records(text, settings, positions, keys):
    """Write the keys (records, words) of the records at `positions` (records,)."""
    n, N = settings.context_length, len(text)
    for r in range(len(positions)):
        i = np.int64(positions[r])
        word, digit, at, ended = np.uint64(0), 0, 0, False
        for j in range(n + 2):
            number = np.int64(0)
            if j > n:
                number = np.int64(text[i - 1]) + 1 if i > 0 else np.int64(0)
            elif not ended and i + j < N:
                number = np.int64(text[i + j]) + 1
                ended = j > 0 and text[i + j] == settings.reset_at
            word = (word << np.uint64(settings.bits)) | np.uint64(number)
            digit += 1
            if digit == settings.per_word or j == n + 1:
                keys[r, at] = word
                word, digit, at = np.uint64(0), 0, at + 1


@exact
def sort_records(keys, units, size, settings, starts):
    """Sort the records 1 to `size` of buffer 0 of keys (2, room, words) and units (2, room); return their buffer.

    Radix sort, from the last digits to the first; bits in which all records agree are skipped, and the digit of the
    character before is skipped as well. `starts` (values of `_RADIX_BITS`,) is workspace.
    """
    words, buffer, mask = keys.shape[2], 0, np.uint64((1 << _RADIX_BITS) - 1)
    for w in range(words - 1, -1, -1):
        rest = settings.context_length + 2 - w * settings.per_word
        used = settings.bits * min(settings.per_word, rest)
        for s in range(settings.bits if w == words - 1 else 0, used, _RADIX_BITS):
            shift = np.uint64(s)
            starts[:] = 0
            for r in range(1, size + 1):
                starts[(keys[buffer, r, w] >> shift) & mask] += 1
            if size == 0 or starts[(keys[buffer, 1, w] >> shift) & mask] == size:
                continue
            total = np.int64(1)
            for d in range(len(starts)):
                total, starts[d] = total + starts[d], total
            following = 1 - buffer
            for r in range(1, size + 1):
                d = (keys[buffer, r, w] >> shift) & mask
                place = starts[d]
                starts[d] += 1
                for other in range(words):
                    keys[following, place, other] = keys[buffer, r, other]
                units[following, place] = units[buffer, r]
            buffer = following
    return buffer


@exact_step
def digit_of(keys, r, j, settings):
    """Digit j of a record."""
    digit = keys[r, settings.words[j]] >> settings.shifts[j]
    return np.int64(digit & np.uint64((1 << settings.bits) - 1))
