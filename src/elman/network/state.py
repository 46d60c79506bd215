"""The state of a network: all that the next characters depend on.

B  sequences, an axis that a single sequence does not have; arrays of every step have T before it
S  size of the recurrent part, see `Architecture.state_size`        n  order of the n-gram prior
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.network.ops import Array
from elman.ngram.model import NgramModel


@dataclass(frozen=True, eq=False)
class State:
    """What sequences have read.

    An engine returns a new state for what it reads. The exception is counts that grow: all states that
    follow from the same start have the same counts, so such a state can be read from once.
    """

    recurrent: Array
    """For every layer, from the first to the last, h (m) and, for lstm, then the cell state s (m): (…, S)."""
    history: NDArray[np.int32]
    """The last n characters read, each as its index + 1, the latest last; 0 where there is none: (…, n)."""
    counts: NgramModel | None = None
    """The n-gram model that counts what is read, in place of the network's."""

    def __len__(self) -> int:
        """Return the length of the first axis."""
        return len(self.recurrent)

    @property
    def grows(self) -> bool:
        """Whether what is read is counted."""
        return self.counts is not None and self.counts.grows

    def select(self, rows: Any) -> State:
        """Return the states of some rows, a slice or a list that may repeat one; of an index, a single sequence's."""
        return replace(self, recurrent=self.recurrent[rows], history=self.history[rows])

    def replace_rows(self, rows: Any, other: State) -> State:
        """Return the states with those of some rows replaced by others; the counts are these."""
        recurrent, history = self.recurrent.copy(), self.history.copy()
        recurrent[rows], history[rows] = other.recurrent, other.history
        return replace(self, recurrent=recurrent, history=history)

    def tile(self, B: int) -> State:
        """Return B copies of the state of a single sequence."""
        return self.reshape(1).select(np.zeros(B, np.intp))

    def reshape(self, *batch: int) -> State:
        """Return the same states with other axes before the last one of each array."""
        recurrent, history = self.recurrent, self.history
        return State(
            recurrent.reshape(*batch, recurrent.shape[-1]), history.reshape(*batch, history.shape[-1]), self.counts
        )

    def reset(self) -> State:
        """Return the states of sequences that have read nothing; what was counted stays counted."""
        return replace(self, recurrent=np.zeros_like(self.recurrent), history=np.zeros_like(self.history))

    def with_recurrent(self, recurrent: Array) -> State:
        """Return the state with another recurrent part."""
        return replace(self, recurrent=recurrent)

    def forget_history(self) -> State:
        """Return the recurrent part alone, as of a text that has just begun: what is saved contains no text."""
        return State(self.recurrent, np.zeros_like(self.history))

    def count(self, ngrams: NgramModel | None) -> State:
        """Return the state with an n-gram model, if there is one, that counts from now on what is read."""
        return self if ngrams is None else replace(self, counts=ngrams.continued())

    def freeze(self) -> State:
        """Return the state with the counts as they are, to which nothing is added."""
        return self if self.counts is None else replace(self, counts=self.counts.frozen())


def stack_states(states: Sequence[State]) -> State:
    """Return a batch of the states of single sequences, which share their counts if they have any."""
    recurrent, history = (np.stack(arrays) for arrays in zip(*((s.recurrent, s.history) for s in states), strict=True))
    return State(recurrent, history, states[0].counts)
