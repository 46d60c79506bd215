"""Range coding with 24-bit frequencies.

A symbol's frequency is one more than the number passed for it: numbers below 2^24 that sum to 2^24 minus the number of
symbols, so that every symbol can be coded. These numbers, frequencies minus one, are called `freqs` throughout the
package. The coder is the one of the library constriction (`stream.queue.RangeEncoder`, ``Categorical`` models), which
wrote the first files: both give the same bytes.
"""

from __future__ import annotations

import math

import numpy as np

from elman.compression import exact_coder
from elman.compression.container import corrupt_file_error
from elman.compression.exact_coder import COUNT, CoderArrays
from elman.compression.exact_kernels import Floats, Ints
from elman.errors import ElmanError

_WORD_BITS, _STATE_BITS = 32, 64
"""Bits that the range coder writes at a time, and bits of its state."""
_WORD_BYTES = _WORD_BITS // 8
_LOOKAHEAD = 12
"""Bytes that a decoder may read before they are final: the state, and a word that a carry may still change."""
_MAX_WORDS = 1 << 62


class Coder:
    """Codes symbols in either direction, so that encoding and decoding share one sequence of steps.

    A decoder encodes again what it decodes, which shows how much of the payload has been consumed, and whether an
    encoder wrote it.

    Parameters
    ----------
    payload : bytes, optional
        What to decode; by default the coder encodes.
    """

    def __init__(self, payload: bytes | None = None) -> None:
        self._payload = payload
        padded = (payload or b"") + bytes(_LOOKAHEAD - len(payload or b"") % _WORD_BYTES)
        number = int.from_bytes(padded[: _STATE_BITS // 8])
        if payload is None:
            position, max_count = -1, _MAX_WORDS
        else:
            position, max_count = _STATE_BITS // _WORD_BITS, (len(payload) + _LOOKAHEAD) // _WORD_BYTES
        self.arrays = CoderArrays(
            state=np.array([0, exact_coder.MAX_SIZE], np.uint64),
            words=np.zeros(0, np.uint32),
            input_state=np.array([number, exact_coder.MAX_SIZE], np.uint64),
            input_words=np.frombuffer(padded, ">u4").astype(np.uint32),
            counters=np.array([0, position, max_count], np.int64),
        )

    def reserve(self, symbols: int) -> None:
        """Make room for so many symbols."""
        words = self.arrays.words
        if self.arrays.counters[COUNT] + symbols > len(words):
            self.arrays = self.arrays._replace(words=np.append(words, np.zeros(len(words) + symbols, np.uint32)))

    def code(self, freqs: Floats, symbols: Ints) -> None:
        """Code one symbol per row.

        Parameters
        ----------
        freqs : ndarray of float32, shape (n, symbols)
            Frequency of each symbol minus one; each row sums to 2^24 minus the number of symbols.
        symbols : ndarray of int64, shape (n,)
            The symbols to encode; a decoder writes them there.

        Raises
        ------
        ElmanError
            If a payload is exhausted or was not written by an encoder.
        """
        self.reserve(len(symbols))
        if not exact_coder.code(self.arrays, freqs, symbols):
            raise bad_end_error()

    @property
    def nats(self) -> float:
        """Length of the code so far, -log of the size of the interval, which a payload rounds up to bytes."""
        finished_bits = _WORD_BITS * int(self.arrays.counters[COUNT]) + _STATE_BITS
        return finished_bits * math.log(2) - math.log(int(self.arrays.state[1]))

    def finish(self) -> bytes:
        """Return the payload: the fewest bytes that identify the interval if zeros follow.

        The coder ends in an interval of numbers, any of which will do. All words before the final state are kept, even
        trailing zeros, so that a payload is never much shorter than its content.

        Raises
        ------
        ElmanError
            If a payload was decoded and not consumed completely, or if it differs from what an encoder writes.
        """
        payload = self._shortest_payload()
        if self._payload is not None and payload != self._payload:
            raise bad_end_error()
        return payload

    def _shortest_payload(self) -> bytes:
        count = int(self.arrays.counters[COUNT])
        low, size = map(int, self.arrays.state)
        lower = int.from_bytes(self.arrays.words[:count].astype(">u4").tobytes()) << _STATE_BITS | low
        for kept in range(_STATE_BITS // 8 + 1):
            unit = 1 << (_STATE_BITS - 8 * kept)
            rounded = -(-lower // unit)
            if rounded * unit < lower + size:
                return rounded.to_bytes(count * _WORD_BYTES + kept)
        raise AssertionError("an interval contains its own lower end")


def bad_end_error() -> ElmanError:
    """Return the error for a payload that no encoder wrote."""
    return corrupt_file_error("a payload does not end where it should")
