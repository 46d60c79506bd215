"""A text cut into contiguous windows, each of which predicts the characters one further on.

N  characters in the text
T  characters in one window
B  streams read side by side, each a B-th of the text
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError


# Compared by identity: the equality of arrays is an array, not a truth value.
@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of one text.

    Parameters
    ----------
    indices : ndarray of unsigned int, shape (N,)
        The text; never copied.
    seq_length : int
        T, at least 1.
    batch_size : int
        B, at least 1. Stream b begins at character ``b * stream_length``; a shorter rest is left out.

    Raises
    ------
    ElmanError
        If N < B T + 1, so that not even one window has its targets.
    """

    indices: NDArray[np.unsignedinteger]
    seq_length: int
    batch_size: int = 1

    def __post_init__(self) -> None:
        if self.seq_length < 1:
            raise ElmanError(f"--seq-length must be 1 or more, and {self.seq_length} came: give another")
        if self.batch_size < 1:
            raise ElmanError(f"--batch-size must be 1 or more, and {self.batch_size} came: give another")
        T, B = self.seq_length, self.batch_size
        least = B * T + 1
        if len(self.indices) < least and B == 1:
            raise ElmanError(
                f"a text of N = {len(self.indices)} characters is too short for windows of"
                f" T = {T}, which need N >= T + 1 = {least}:"
                " lower --seq-length, or use a longer text"
            )
        if len(self.indices) < least:
            raise ElmanError(
                f"a text of N = {len(self.indices)} characters is too short for B = {B} streams in windows of"
                f" T = {T}, which need N >= B T + 1 = {least}:"
                " lower --batch-size or --seq-length, or use a longer text"
            )

    @property
    def stream_length(self) -> int:
        """Characters with a successor in one stream, floor((N - 1) / B)."""
        return (len(self.indices) - 1) // self.batch_size

    @property
    def per_epoch(self) -> int:
        """Windows in one pass over the text, floor(stream_length / T); a shorter rest is left out."""
        return self.stream_length // self.seq_length

    def begins_epoch(self, position: int) -> bool:
        """Whether no window is left at `position`, so that the next one begins the text again."""
        return position + self.seq_length > self.stream_length

    def at(self, position: int) -> tuple[NDArray[np.unsignedinteger], NDArray[np.unsignedinteger]]:
        """Return the window that starts at `position` of every stream, and its targets.

        Parameters
        ----------
        position : int
            In [0, stream_length - T].

        Returns
        -------
        x, y : ndarray of unsigned int, shape (T,) or, where B > 1, (T, B)
            Views of the text: y[t] = x[t + 1], the character to predict after x[t].
        """
        end, n = position + self.seq_length, self.stream_length
        if self.batch_size == 1:
            return self.indices[position:end], self.indices[position + 1 : end + 1]
        x, y = (self.indices[first : first + self.batch_size * n].reshape(-1, n).T for first in (0, 1))
        return x[position:end], y[position:end]
