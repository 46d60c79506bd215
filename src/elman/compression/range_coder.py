"""Range coding with 24-bit frequencies.

A symbol's frequency is one more than the number passed for it: numbers below 2^24 that sum to 2^24 minus the number of
symbols, so that every symbol can be coded. These numbers, frequencies minus one, are called `freqs` throughout the
package. The coder is the one of the library constriction (`stream.queue.RangeEncoder`, ``Categorical`` models), which
wrote the first files: both give the same bytes.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from elman.compression import exact_coder
from elman.compression.container import corrupt_file_error
from elman.compression.exact_kernels import Floats, Ints

_WORD_BITS, _STATE_BITS = 32, 64
"""Bits that the range coder writes at a time, and bits of its state."""
_WORD_BYTES = _WORD_BITS // 8
_LOOKAHEAD = 12
"""Bytes that the decoder may read before they are final: the state, and a word that a carry may still change."""
_INITIAL_WORDS = 1 << 10

_BAD_END = "a payload does not end where it should"


class Coder(Protocol):
    """Codes symbols in either direction, so that encoding and decoding share one sequence of steps."""

    def code(self, freqs: Floats, symbols: Ints) -> Ints:
        """Code one symbol per row.

        Parameters
        ----------
        freqs : ndarray of float32, shape (n, symbols)
            Frequency of each symbol minus one; each row sums to 2^24 minus the number of symbols.
        symbols : ndarray of int64, shape (n,)
            The symbols to encode; ignored by a decoder.

        Returns
        -------
        ndarray of int64, shape (n,)
            The symbols that were encoded or decoded.
        """
        ...


class Encoder:
    """Encodes symbols to a payload."""

    def __init__(self) -> None:
        self._state = np.array([0, exact_coder.MAX_SIZE], np.uint64)
        self._words, self._count = np.zeros(_INITIAL_WORDS, np.uint32), 0

    def code(self, freqs: Floats, symbols: Ints) -> Ints:
        """Encode symbols; see `Coder`."""
        if self._count + len(symbols) > len(self._words):
            self._words = np.append(self._words, np.zeros(len(self._words) + len(symbols), np.uint32))
        self._count = exact_coder.encode(freqs, symbols, self._state, self._words, self._count)
        return symbols

    @property
    def bytes_written(self) -> int:
        """Number of bytes that only a carry can still change."""
        return self._count * _WORD_BYTES

    def finish(self) -> bytes:
        """Return the payload: the fewest bytes that identify the interval if zeros follow.

        The coder ends in an interval of numbers, any of which will do. All words before the final state are kept, even
        trailing zeros, so that a payload is never much shorter than its content.
        """
        low, size = map(int, self._state)
        lower = int.from_bytes(self._words[: self._count].astype(">u4").tobytes()) << _STATE_BITS | low
        for kept in range(_STATE_BITS // 8 + 1):
            unit = 1 << (_STATE_BITS - 8 * kept)
            rounded = -(-lower // unit)
            if rounded * unit < lower + size:
                return rounded.to_bytes(self._count * _WORD_BYTES + kept)
        raise AssertionError("an interval contains its own lower end")


class Decoder:
    """Decodes symbols from a payload, and encodes them again.

    The second encoding shows how much of the payload has been consumed, and whether an encoder wrote it.
    """

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        padded = payload + bytes(_LOOKAHEAD - len(payload) % _WORD_BYTES)
        self._words = np.frombuffer(padded, ">u4").astype(np.uint32)
        number = int.from_bytes(padded[: _STATE_BITS // 8])
        self._state = np.array([number, exact_coder.MAX_SIZE], np.uint64)
        self._position = _STATE_BITS // _WORD_BITS
        self._encoder = Encoder()

    def code(self, freqs: Floats, symbols: Ints) -> Ints:
        """Decode symbols; see `Coder`.

        Raises
        ------
        ElmanError
            If the payload is exhausted or was not written by an encoder.
        """
        decoded = np.empty(len(symbols), np.int64)
        self._position = exact_coder.decode(freqs, decoded, self._state, self._words, self._position)
        if self._position == exact_coder.END:
            raise corrupt_file_error(_BAD_END)
        self._encoder.code(freqs, decoded)
        if self._encoder.bytes_written > len(self._payload) + _LOOKAHEAD:
            raise corrupt_file_error(_BAD_END)
        return decoded

    def finish(self) -> None:
        """Check that the payload was consumed completely.

        Raises
        ------
        ElmanError
            If it was not, or if it differs from what an encoder writes.
        """
        if self._encoder.finish() != self._payload:
            raise corrupt_file_error(_BAD_END)
