"""The entropy coder, from the library constriction: a range coder over frequencies of 24 bits.

constriction takes probabilities as floating-point numbers and gives each of n symbols one unit of 2^24 and its part of
the rest. What it gets here are whole numbers below 2^24 that sum to that rest, so every sum and product in it is
exact, and the frequency of a symbol is one more than its weight, whatever the processor.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from elman.compression.container import altered
from elman.compression.exact_kernels import PRECISION
from elman.compression.exact_network import Floats, Ints
from elman.errors import require_extra

_WORD, _STATE = 32, 64
"""Bits that the range coder writes at a time, and bits of its state."""
_SLACK = 12
"""Bytes that may be read before they are known to be written: the state, and a word that may still change."""

_ELSEWHERE = "what it holds ends elsewhere"


class Coder(Protocol):
    """Codes symbols one way or the other, so that both ways are one course of steps."""

    def code(self, weights: Floats, symbols: Ints) -> Ints:
        """Return the symbols (n,) of n rows of `weights` (n, symbols): the encoder those given, the decoder its own."""
        ...


def _library() -> Any:
    with require_extra("compress"):
        import constriction
    return constriction.stream


class Encoder:
    """Writes symbols."""

    def __init__(self) -> None:
        stream = _library()
        self._family = stream.model.Categorical(perfect=False)
        self._range = stream.queue.RangeEncoder()

    def code(self, weights: Floats, symbols: Ints) -> Ints:
        """Write symbols."""
        self._range.encode(symbols.astype(np.int32), self._family, weights)
        return symbols

    @property
    def written(self) -> int:
        """Bytes that are settled, but for a carry."""
        return self._state()[0] * (_WORD // 8)

    def _state(self) -> tuple[int, tuple[int, int]]:
        """Return the words that are settled, but for a carry; the lower end of the interval in them, and its size."""
        state: tuple[int, tuple[int, int]] = self._range.pos()
        return state

    def finish(self) -> bytes:
        """Return what was written, as few bytes as tell it from all else if zeros follow.

        The coder ends in an interval of numbers; any of them will do. All but the last state are kept even where
        they are zeros, so that a payload is never much shorter than what it says.
        """
        position, (lower, size) = self._state()
        words = self._range.get_compressed()[: position + 1]
        point = int.from_bytes(words.astype(">u4").tobytes()) << _WORD if len(words) else 0
        lower = point - (point - lower) % (1 << _STATE)  # the carry included
        for kept in range(_STATE // 8 + 1):
            unit = 1 << (_STATE - 8 * kept)
            rounded = -(-lower // unit)
            if rounded * unit < lower + size:
                return rounded.to_bytes(position * _WORD // 8 + kept)
        raise AssertionError("an interval holds its own lower end")


class Decoder:
    """Reads symbols, and writes them again, which tells how much was read and whether an encoder wrote it so."""

    def __init__(self, payload: bytes) -> None:
        stream = _library()
        self._payload = payload
        self._family = stream.model.Categorical(perfect=False)
        padded = payload + bytes(_SLACK - len(payload) % (_WORD // 8))
        self._range = stream.queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))
        self._again = Encoder()

    def code(self, weights: Floats, symbols: Ints) -> Ints:
        """Read symbols.

        Raises
        ------
        ElmanError
            If there are none to read.
        """
        try:
            found: Ints = self._range.decode(self._family, weights).astype(np.int64)
        except AssertionError:  # what the library raises of data that no encoder writes
            raise altered(_ELSEWHERE) from None
        self._again.code(weights, found)
        if self._again.written > len(self._payload) + _SLACK:
            raise altered(_ELSEWHERE)
        return found

    def finish(self) -> None:
        """Check that all was read.

        Raises
        ------
        ElmanError
            If not, or if it is not what an encoder writes.
        """
        if self._again.finish() != self._payload:
            raise altered(_ELSEWHERE)


assert PRECISION == 24, "constriction's"
