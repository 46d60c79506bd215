"""Range coding with 24-bit frequencies.

n  symbols to code      S  size of the alphabet of each

A symbol's frequency is one more than the number passed for it, so that every symbol can be coded. The numbers passed
are below 2^24 and sum to 2^24 minus the number of symbols. These numbers, frequencies minus one, are called `freqs`
throughout the package. The coder equals the coder of the library constriction (`stream.queue.RangeEncoder`,
``Categorical`` models): both give the same bytes.

An encoder narrows an interval of numbers, at first [0, 2^64 - 1), once per symbol. When its size falls below 2^32, the
highest 32 bits of its lower end are a finished word, which only a carry can still change, and the rest is shifted up.
The kernels compute in unsigned integers of 64 bits; none overflows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.apps.compress.arithmetic import FREQ_BITS, Ints
from elman.apps.compress.container import corrupt_file_error
from elman.errors import ElmanError
from elman.jit import exact

MAX_SIZE = np.uint64(2**64 - 1)  # the initial size of the interval
END = -1  # `decode` returns it for a number outside all intervals, which no encoder writes

_ONE, _FREQ_BITS, _TOTAL = np.uint64(1), np.uint64(FREQ_BITS), np.uint64(1 << FREQ_BITS)
_WORD_BITS, _MIN_SIZE, _LOWER_WORD = np.uint64(32), np.uint64(1 << 32), np.uint64((1 << 32) - 1)
_FULL_WORD, _UNIT_WORD = np.uint32((1 << 32) - 1), np.uint32(1)
_STATE_BITS = 64
_WORD_BYTES = 4
_LOOKAHEAD = 12
"""Bytes that a decoder may read before they are final: the state, and a word that may still change by a carry."""
_MAX_WORDS = 1 << 62


class CoderArrays(NamedTuple):
    """An encoder, or a decoder that encodes the decoded symbols again; changed in place."""

    state: NDArray[np.uint64]  # (2,): see `encode`
    words: NDArray[np.uint32]  # the finished words
    input_state: NDArray[np.uint64]  # (2,): see `decode`
    input_words: NDArray[np.uint32]  # the words to decode
    counters: Ints  # (3,): see `COUNT`, `POSITION` and `MAX_COUNT`


COUNT, POSITION, MAX_COUNT = range(3)
"""Number of finished words; number of words read, -1 for an encoder; maximum of finished words in an encoder's code."""


@exact
def code(coder, freqs, symbols):
    """Encode symbols (n,) with the `freqs` (n, S), or decode them; return whether an encoder can have written them."""
    counters = coder.counters
    if counters[POSITION] >= 0:
        counters[POSITION] = decode(freqs, symbols, coder.input_state, coder.input_words, counters[POSITION])
        if counters[POSITION] == END:
            return False
    counters[COUNT] = encode(freqs, symbols, coder.state, coder.words, counters[COUNT])
    return counters[COUNT] <= counters[MAX_COUNT]


@exact
def encode(freqs, symbols, state, words, count):
    """Encode symbols (n,) with the `freqs` (n, S); return the number of finished words, `count` before.

    state : uint64 (2,), the lower end of the interval and its size, changed in place
    words : uint32, the finished words, with room for n more
    """
    low, size = state[0], state[1]
    for r in range(len(symbols)):
        start = np.uint64(0)
        for i in range(symbols[r]):
            start = start + np.uint64(freqs[r, i]) + _ONE
        unit = size >> _FREQ_BITS
        step, size = unit * start, unit * (np.uint64(freqs[r, symbols[r]]) + _ONE)
        room = MAX_SIZE - low
        if step <= room:
            low = low + step
        else:
            low = step - room - _ONE
            place = count - 1
            while words[place] == _FULL_WORD:
                words[place] = 0
                place -= 1
            words[place] = words[place] + _UNIT_WORD
        if size < _MIN_SIZE:
            words[count] = low >> _WORD_BITS
            count += 1
            low = (low & _LOWER_WORD) << _WORD_BITS
            size = size << _WORD_BITS
    state[0], state[1] = low, size
    return count


@exact
def decode(freqs, symbols, state, words, position):
    """Decode symbols (n,) with the `freqs` (n, S); return the number of words read, `position` before, or `END`.

    state : uint64 (2,), the distance of the number from the lower end of the interval, and the size of the interval,
        changed in place
    words : uint32, the words of the number; zeros follow
    """
    distance, size = state[0], state[1]
    for r in range(len(symbols)):
        unit = size >> _FREQ_BITS
        quantile = distance // unit
        if quantile >= _TOTAL:
            return END
        symbol, start, freq = 0, np.uint64(0), np.uint64(freqs[r, 0]) + _ONE
        while start + freq <= quantile:
            symbol += 1
            start, freq = start + freq, np.uint64(freqs[r, symbol]) + _ONE
        symbols[r] = symbol
        distance, size = distance - unit * start, unit * freq
        if size < _MIN_SIZE:
            distance, size = distance << _WORD_BITS, size << _WORD_BITS
            if position < len(words):
                distance = distance | np.uint64(words[position])
            position += 1
    state[0], state[1] = distance, size
    return position


class Coder:
    """Codes symbols in either direction, so that encoding and decoding share one sequence of steps."""

    # A decoder encodes the decoded symbols again, which shows how much of the payload has been consumed, and whether an
    # encoder wrote it. Without a `payload` it encodes.

    def __init__(self, payload: bytes | None = None) -> None:
        self._payload, data = payload, payload or b""
        padded = data + bytes(_LOOKAHEAD - len(data) % _WORD_BYTES)
        position, max_count = _STATE_BITS // 8 // _WORD_BYTES, (len(data) + _LOOKAHEAD) // _WORD_BYTES
        self.arrays = CoderArrays(
            state=np.array([0, MAX_SIZE], np.uint64),
            words=np.zeros(0, np.uint32),
            input_state=np.array([int.from_bytes(padded[: _STATE_BITS // 8]), MAX_SIZE], np.uint64),
            input_words=np.frombuffer(padded, ">u4").astype(np.uint32),
            counters=np.array([0, -1, _MAX_WORDS] if payload is None else [0, position, max_count], np.int64),
        )

    def reserve(self, symbols: int) -> None:
        """Make room for a number of symbols."""
        words = self.arrays.words
        if self.arrays.counters[COUNT] + symbols > len(words):
            self.arrays = self.arrays._replace(words=np.append(words, np.zeros(len(words) + symbols, np.uint32)))

    @property
    def nats(self) -> float:
        """The length of the code so far, -log of the size of the interval; a payload rounds it up to bytes."""
        finished_bits = int(_WORD_BITS) * int(self.arrays.counters[COUNT]) + _STATE_BITS
        return finished_bits * math.log(2) - math.log(int(self.arrays.state[1]))

    def finish(self) -> bytes:
        """Return the payload: the fewest bytes that identify the interval if zeros follow.

        The coder ends in an interval of numbers, and any of them identifies it. All words before the final state are
        kept, even trailing zeros, so that a payload is never much shorter than its content. A decoded payload must be
        the same; otherwise no encoder wrote it, or it was not consumed completely.
        """
        count = int(self.arrays.counters[COUNT])
        low, size = map(int, self.arrays.state)
        lower = int.from_bytes(self.arrays.words[:count].astype(">u4").tobytes()) << _STATE_BITS | low
        kept = next(k for k in range(_STATE_BITS // 8 + 1) if -lower % (1 << (_STATE_BITS - 8 * k)) < size)
        payload = (-(-lower >> (_STATE_BITS - 8 * kept))).to_bytes(count * _WORD_BYTES + kept)
        if self._payload is not None and payload != self._payload:
            raise bad_end_error()
        return payload


def bad_end_error() -> ElmanError:
    """Return the error for a payload that no encoder wrote."""
    return corrupt_file_error("a payload does not end where it should")
