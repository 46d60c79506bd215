"""Range coding by the library constriction, with 24-bit frequencies.

constriction takes floating-point probabilities and gives each of n symbols one unit of 2^24 plus its part of the
remainder. Here it is given integers below 2^24 that sum to that remainder, so every sum and product in it is exact, and
a symbol's frequency is one more than the number passed, on any processor. These numbers, frequencies minus one, are
called `freqs` throughout the package.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from elman.compression.container import corrupt_file_error
from elman.compression.exact_kernels import FREQ_BITS, Floats, Ints
from elman.errors import require_extra

_WORD_BITS, _STATE_BITS = 32, 64
"""Bits that the range coder writes at a time, and bits of its state."""
_WORD_BYTES = _WORD_BITS // 8
_LOOKAHEAD = 12
"""Bytes that the decoder may read before they are final: the state, and a word that a carry may still change."""

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


def _library() -> Any:
    with require_extra("compress"):
        import constriction
    return constriction.stream


class Encoder:
    """Encodes symbols to a payload."""

    def __init__(self) -> None:
        stream = _library()
        self._family = stream.model.Categorical(perfect=False)
        self._coder = stream.queue.RangeEncoder()

    def code(self, freqs: Floats, symbols: Ints) -> Ints:
        """Encode symbols; see `Coder`."""
        self._coder.encode(symbols.astype(np.int32), self._family, freqs)
        return symbols

    @property
    def bytes_written(self) -> int:
        """Number of bytes that only a carry can still change."""
        return self._state()[0] * _WORD_BYTES

    def _state(self) -> tuple[int, tuple[int, int]]:
        """Return the number of words written, and the lower end and the size of the current interval."""
        state: tuple[int, tuple[int, int]] = self._coder.pos()
        return state

    def finish(self) -> bytes:
        """Return the payload: the fewest bytes that identify the interval if zeros follow.

        The coder ends in an interval of numbers, any of which will do. All words before the final state are kept, even
        trailing zeros, so that a payload is never much shorter than its content.
        """
        position, (lower, size) = self._state()
        words = self._coder.get_compressed()[: position + 1]
        point = int.from_bytes(words.astype(">u4").tobytes()) << _WORD_BITS if len(words) else 0
        lower = point - (point - lower) % (1 << _STATE_BITS)  # the carry included
        for kept in range(_STATE_BITS // 8 + 1):
            unit = 1 << (_STATE_BITS - 8 * kept)
            rounded = -(-lower // unit)
            if rounded * unit < lower + size:
                return rounded.to_bytes(position * _WORD_BYTES + kept)
        raise AssertionError("an interval contains its own lower end")


class Decoder:
    """Decodes symbols from a payload, and encodes them again.

    The second encoding shows how much of the payload has been consumed, and whether an encoder wrote it.
    """

    def __init__(self, payload: bytes) -> None:
        stream = _library()
        self._payload = payload
        self._family = stream.model.Categorical(perfect=False)
        padded = payload + bytes(_LOOKAHEAD - len(payload) % _WORD_BYTES)
        self._coder = stream.queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))
        self._encoder = Encoder()

    def code(self, freqs: Floats, symbols: Ints) -> Ints:
        """Decode symbols; see `Coder`.

        Raises
        ------
        ElmanError
            If the payload is exhausted or was not written by an encoder.
        """
        try:
            decoded: Ints = self._coder.decode(self._family, freqs).astype(np.int64)
        except AssertionError:  # raised by the library for data that no encoder writes
            raise corrupt_file_error(_BAD_END) from None
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


assert FREQ_BITS == 24, "constriction uses 24 bits"
