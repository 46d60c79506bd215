"""A text cut into contiguous windows, each of which predicts the characters one further on.

N  characters in the text
T  characters in one window
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

    Raises
    ------
    ElmanError
        If N < T + 1, so that not even one window has its targets.
    """

    indices: NDArray[np.unsignedinteger]
    seq_length: int

    def __post_init__(self) -> None:
        if self.seq_length < 1:
            raise ElmanError(f"--seq-length must be 1 or more, and {self.seq_length} came: give another")
        least = self.seq_length + 1
        if len(self.indices) < least:
            raise ElmanError(
                f"a text of N = {len(self.indices)} characters is too short for windows of"
                f" T = {self.seq_length}, which need N >= T + 1 = {least}:"
                " lower --seq-length, or use a longer text"
            )

    @property
    def per_epoch(self) -> int:
        """Windows in one pass over the text, floor((N - 1) / T); a shorter rest is left out."""
        return (len(self.indices) - 1) // self.seq_length

    def at(self, position: int) -> tuple[NDArray[np.unsignedinteger], NDArray[np.unsignedinteger]]:
        """Return the window that starts at `position`, in [0, N - T), and its targets.

        Returns
        -------
        x, y : ndarray of unsigned int, shape (T,)
            Views of the text: y[t] = x[t + 1], the character to predict after x[t].
        """
        end = position + self.seq_length
        return self.indices[position:end], self.indices[position + 1 : end + 1]
