"""An index of code points, extended by a callback when it meets unknown characters.

N  characters in a text
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

CHUNK = 1 << 16
"""Characters encoded at a time: their code points (4 bytes) and NumPy's gather indices (8 bytes) fit in the cache."""

_UNKNOWN = -1


class CodePointIndex:
    """Maps code points to indices.

    Parameters
    ----------
    on_unknown : callable
        Called with characters that have no index yet, each once, in order of first appearance. It returns an index for
        each, or one index for all, or raises.
    """

    def __init__(self, on_unknown: Callable[[str], ArrayLike]) -> None:
        self.on_unknown = on_unknown
        # The last entry belongs to no code point: those beyond the table are clipped to it.
        self.index_of = np.full(1, _UNKNOWN, np.int32)

    def add(self, characters: str, indices: ArrayLike) -> None:
        """Assign indices to characters."""
        points = code_points(characters)
        size = int(points.max(initial=0)) + 2
        if size > len(self.index_of):
            missing = np.full(size - len(self.index_of), _UNKNOWN, np.int32)
            self.index_of = np.concatenate([self.index_of, missing])
        self.index_of[points] = indices

    def encode(self, text: str) -> Iterator[NDArray[np.int32]]:
        """Yield the indices of `text` in chunks of at most `CHUNK`, N in total."""
        for start in range(0, len(text), CHUNK):
            yield self._encode_chunk(text[start : start + CHUNK])

    def _encode_chunk(self, text: str) -> NDArray[np.int32]:
        points = code_points(text)
        indices = self.index_of.take(points, mode="clip")
        if indices.min() < 0:
            unknown = "".join(dict.fromkeys(as_text(points[indices < 0])))
            self.add(unknown, self.on_unknown(unknown))
            indices = self.index_of.take(points, mode="clip")
        return indices


def code_points(text: str) -> NDArray[np.uint32]:
    """Return the code points of `text`, uint32 of shape (N,); a lone surrogate is one code point."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def as_text(points: NDArray[np.uint32]) -> str:
    """Return the text of code points."""
    return points.tobytes().decode("utf-32-le", "surrogatepass")
