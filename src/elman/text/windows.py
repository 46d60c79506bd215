"""Contiguous training windows of a text; the targets are the characters one position later.

N  characters of the text    T  characters per window (sequence length)
B  batch size: rows read in parallel, each a contiguous B-th of the text
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError, check_range, format_count, option
from elman.text.lines import LineMoves


# Compared by identity: the equality of arrays is an array, not a truth value.
@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of one text."""

    indices: NDArray[np.unsignedinteger]  # shape (N,). The text; never copied.
    seq_length: int  # T, at least 1
    batch_size: int = 1
    """B, at least 1. Row b starts at character ``b * row_length``; the remainder of the text is not used."""
    cross_fit: bool = False
    """Whether this is the training text, whose own counts an n-gram prior leaves out. See `elman.ngram.model`."""
    moves: LineMoves | None = None  # of shuffled lines: their positions in the text that the prior counts

    def __post_init__(self) -> None:
        check_range("seq_length", self.seq_length, 1)
        check_range("batch_size", self.batch_size, 1)
        T, B = self.seq_length, self.batch_size
        N, minimum = len(self.indices), B * T + 1
        if minimum > N:
            needs, remedy = f"a sequence length of {T:,} needs", f"lower {option.seq_length}"
            if B > 1:
                needs = f"a batch size of {B:,} and a sequence length of {T:,} need"
                remedy = f"lower {option.batch_size} or {option.seq_length},"
            remedy = f"{remedy} or use a longer text"
            raise ElmanError(f"the text has {format_count(N, 'character')}, but {needs} at least {minimum:,}: {remedy}")

    @property
    def row_length(self) -> int:
        """Characters in one batch row that have a target, floor((N - 1) / B)."""
        return (len(self.indices) - 1) // self.batch_size

    @property
    def per_epoch(self) -> int:
        """Windows per epoch, floor(row_length / T); a shorter remainder is not used."""
        return self.row_length // self.seq_length

    def begins_epoch(self, position: int) -> bool:
        """Whether no complete window is left at `position`, so that the next one starts a new epoch."""
        return position + self.seq_length > self.row_length

    def at(self, position: int) -> tuple[NDArray[np.unsignedinteger], NDArray[np.unsignedinteger]]:
        """Return the window that starts at `position` of every batch row, and its targets: views of the text.

        x and y are (T,) or, if B > 1, (T, B), with y[t] = x[t + 1], the character to predict after x[t].
        """
        end, n = position + self.seq_length, self.row_length
        if self.batch_size == 1:
            return self.indices[position:end], self.indices[position + 1 : end + 1]
        x, y = (self.indices[first : first + self.batch_size * n].reshape(-1, n).T for first in (0, 1))
        return x[position:end], y[position:end]

    def target_positions(self, position: int) -> NDArray[np.intp]:
        """Return the positions of the targets of `at` in the counted text, of the same shape."""
        positions = np.arange(position + 1, position + self.seq_length + 1)
        if self.batch_size > 1:
            positions = positions[:, None] + np.arange(self.batch_size) * self.row_length
        return positions if self.moves is None else self.moves.originals(positions)
