"""The characters a model knows, and text as their indices.

K  size of the alphabet
N  characters in a text

A character is one Unicode code point. Text becomes indices through a table over code points, in
NumPy; the largest intermediate is that table, at most 0x110000 entries of the index type.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman.errors import ElmanError

# Characters encoded at a time: keeps the code points (4 bytes) and NumPy's gather indices (8 bytes)
# of a long text from ever existing all at once.
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Alphabet:
    """K distinct characters; the index of a character is its position.

    Parameters
    ----------
    characters : str
        Each character once, ordered by first appearance in the text it was made from.

    Raises
    ------
    ElmanError
        If there is no character, or one stands twice.
    """

    characters: str

    def __post_init__(self) -> None:
        if not self.characters:
            raise ElmanError("an alphabet needs at least one character, and this one has none")
        character, count = Counter(self.characters).most_common(1)[0]
        if count > 1:
            raise ElmanError(
                f"an alphabet holds each character once, and {_named(character)} stands {count}"
                " times in this one: remove the repeats, or restore the file it was read from"
            )

    def __len__(self) -> int:
        """K, the number of characters."""
        return len(self.characters)

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """The smallest unsigned type that holds K - 1: uint8, uint16 or uint32."""
        return np.min_scalar_type(len(self) - 1)

    @classmethod
    def from_text(cls, text: str) -> Alphabet:
        """Return the alphabet of `text`, ordered by first appearance.

        A set would do for membership, but its order changes from process to process.

        Raises
        ------
        ElmanError
            If `text` is empty.
        """
        return cls("".join(dict.fromkeys(text)))

    def encode(self, text: str) -> NDArray[np.unsignedinteger]:
        """Return the index of each character of `text`.

        Returns
        -------
        ndarray of `dtype`, shape (N,)

        Raises
        ------
        ElmanError
            If a character is not in the alphabet; the message names the first one.
        """
        self._refuse_strangers(text)
        known = _code_points(self.characters)
        # Left uninitialised: only the entries of known characters are ever read.
        index_of = np.empty(known.max() + 1, self.dtype)
        index_of[known] = np.arange(len(self))
        indices = np.empty(len(text), self.dtype)
        for start in range(0, len(text), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            indices[chunk] = index_of[_code_points(text[chunk])]
        return indices

    def decode(self, indices: ArrayLike) -> str:
        """Return the text of `indices`.

        Parameters
        ----------
        indices : array_like of int, shape (N,)
            Each in [0, K).
        """
        code_points = _code_points(self.characters)[np.asarray(indices, np.intp)]
        return code_points.tobytes().decode("utf-32-le", "surrogatepass")

    def _refuse_strangers(self, text: str) -> None:
        strangers = set(text).difference(self.characters)
        if strangers:
            first = min(strangers, key=text.index)
            raise ElmanError(
                f"{_named(first)} is not among the model's {len(self)} characters:"
                " leave it out, or train on a text that contains it"
            )


def _code_points(text: str) -> NDArray[np.uint32]:
    """Return the code points of `text`, uint32 of shape (N,); a lone surrogate counts as one."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _named(character: str) -> str:
    """Return `character` as it would be typed in Python, with its code point: ``'é' (U+00E9)``."""
    return f"{character!r} (U+{ord(character):04X})"
