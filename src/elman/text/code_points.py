"""Code points to indices, through a table that learns the characters it has not met.

N  characters in a text
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

CHUNK = 1 << 16
"""Characters encoded at a time: their code points (4 bytes) and NumPy's gather indices (8 bytes) stay in a cache."""

_STRANGER = -1


class Table:
    """The index of every code point met so far.

    Parameters
    ----------
    meet : callable
        Given characters that have no index yet, each once, in order of first appearance. It returns the index of
        each, or one for all, or raises.
    """

    def __init__(self, meet: Callable[[str], ArrayLike]) -> None:
        self.meet = meet
        # The last entry is no code point's: what lies beyond the table is clipped to it.
        self.index_of = np.full(1, _STRANGER, np.int32)

    def enter(self, characters: str, indices: ArrayLike) -> None:
        """Give characters their indices."""
        known = code_points(characters)
        least = int(known.max(initial=0)) + 2
        if least > len(self.index_of):
            missing = np.full(least - len(self.index_of), _STRANGER, np.int32)
            self.index_of = np.concatenate([self.index_of, missing])
        self.index_of[known] = indices

    def encode(self, text: str) -> Iterator[NDArray[np.int32]]:
        """Yield the indices of `text`, at most `CHUNK` at a time; they end to end are of shape (N,)."""
        for start in range(0, len(text), CHUNK):
            yield self._encode_chunk(text[start : start + CHUNK])

    def _encode_chunk(self, text: str) -> NDArray[np.int32]:
        wanted = code_points(text)
        indices = self.index_of.take(wanted, mode="clip")
        if indices.min() < 0:
            strangers = "".join(dict.fromkeys(as_text(wanted[indices < 0])))
            self.enter(strangers, self.meet(strangers))
            indices = self.index_of.take(wanted, mode="clip")
        return indices


def code_points(text: str) -> NDArray[np.uint32]:
    """Return the code points of `text`, uint32 of shape (N,); a lone surrogate counts as one."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def as_text(points: NDArray[np.uint32]) -> str:
    """Return the text of code points."""
    return points.tobytes().decode("utf-32-le", "surrogatepass")
