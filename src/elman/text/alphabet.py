"""The characters a model knows, and text as their indices.

K  size of the alphabet
N  characters in a text

A character is one Unicode code point. Text becomes indices through a table over code points, in
NumPy; the largest intermediate is that table, at most 0x110001 entries.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman.errors import ElmanError
from elman.text.code_points import Table, as_text, code_points


@dataclass(frozen=True)
class Alphabet:
    """K distinct characters; the index of a character is its position.

    Parameters
    ----------
    characters : str
        Each character once, ordered by first appearance in the text it was made from.
    folds : bool
        Whether the last of them stands for every character that is not among them, as ``--rare`` has it; otherwise
        such a character is refused.

    Raises
    ------
    ElmanError
        If there is no character, or one stands twice.
    """

    characters: str
    folds: bool = False

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

    @property
    def beginning(self) -> str:
        """What is read where nothing came before: a line feed, so that a text begins a line, or the first character.

        A line feed that stands for other characters is none.
        """
        return "\n" if "\n" in self.characters[: len(self) - self.folds] else self.characters[0]

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
            If a character is not in the alphabet and it does not fold; the message names the first one.
        """
        indices, start = np.empty(len(text), self.dtype), 0
        for chunk in self.table().encode(text):
            indices[start : start + len(chunk)] = chunk
            start += len(chunk)
        return indices

    def decode(self, indices: ArrayLike) -> str:
        """Return the text of `indices`.

        Parameters
        ----------
        indices : array_like of int, shape (N,)
            Each in [0, K).
        """
        return as_text(code_points(self.characters)[np.asarray(indices, np.intp)])

    def table(self) -> Table:
        """Return what encodes text piece by piece, and refuses or folds strangers."""
        table = Table(self._meet)
        table.enter(self.characters, np.arange(len(self)))
        return table

    def _meet(self, strangers: str) -> int:
        if self.folds:
            return len(self) - 1
        raise ElmanError(
            f"{_named(strangers[0])} is not among the model's {len(self)} characters:"
            " leave it out, or train on a text that contains it"
        )


def _named(character: str) -> str:
    """Return `character` as it would be typed in Python, with its code point: ``'é' (U+00E9)``."""
    return f"{character!r} (U+{ord(character):04X})"
