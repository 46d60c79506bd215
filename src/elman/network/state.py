"""The state of a network, on which the next characters depend, and its n-gram prior, which reads with the state.

B  sequences, an axis that a single sequence does not have; arrays of every step have T before it
S  size of the recurrent part, see `Architecture.state_size`        n  context length of the prior
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.network.ops import Array
from elman.ngram.model import Ints, NgramModel, read


@dataclass(frozen=True, eq=False)
class State:
    """The result of reading sequences.

    An engine returns a new state when it reads. Counts that grow are the exception: all states that follow from the
    same start share their counts, so that a state with counts can be read from only once.
    """

    recurrent: Array
    """For every layer, from the first to the last, h (m) and, for lstm, then the cell state s (m): (…, S)."""
    history: NDArray[np.int32]
    """The last n characters read, each as its index + 1, the latest last; 0 if there is none: (…, n)."""
    counts: NgramModel | None = None
    """The n-gram model that counts the characters read, in place of the network's."""

    def __len__(self) -> int:
        """Return the length of the first axis."""
        return len(self.recurrent)

    @property
    def grows(self) -> bool:
        """Whether the characters read are counted."""
        return self.counts is not None and self.counts.grows

    def _map(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> State:
        return replace(self, recurrent=function(self.recurrent), history=function(self.history))

    def select(self, rows: Any) -> State:
        """Return the states of some rows, a slice or a list that may repeat one; for an index, a single state."""
        return self._map(lambda array: array[rows])

    def set_rows(self, rows: Any, other: State) -> None:
        """Replace the states of some rows by others, in place; the counts stay."""
        self.recurrent[rows], self.history[rows] = other.recurrent, other.history

    def tile(self, B: int) -> State:
        """Return B copies of the state of a single sequence."""
        return self.reshape(1).select(np.zeros(B, np.intp))

    def reshape(self, *batch: int) -> State:
        """Return the same states with the axes `batch` before the last one of each array."""
        return self._map(lambda array: array.reshape(*batch, array.shape[-1]))

    def reset(self) -> State:
        """Return the states of sequences that have read nothing; the counts stay."""
        return self._map(np.zeros_like)

    def with_recurrent(self, recurrent: Array) -> State:
        """Return the state with another recurrent part."""
        return replace(self, recurrent=recurrent)

    def forget_history(self) -> State:
        """Return the recurrent part with an empty history, as of a text that has just begun: no text is saved."""
        return State(self.recurrent, np.zeros_like(self.history))

    def count(self, ngrams: NgramModel | None) -> State:
        """Return the state with an n-gram model, if there is one, that counts the characters read from now on."""
        return self if ngrams is None else replace(self, counts=ngrams.continued())

    def freeze(self) -> State:
        """Return the state with the present counts, to which nothing is added."""
        return self if self.counts is None else replace(self, counts=self.counts.frozen())


def stack_states(states: Sequence[State]) -> State:
    """Return a batch of the states of single sequences, which share their counts if they have any."""
    recurrent, history = (np.stack(arrays) for arrays in zip(*((s.recurrent, s.history) for s in states), strict=True))
    return State(recurrent, history, states[0].counts)


# --- The n-gram prior: whether there is one, whether it is on, and the term that it adds to the logits ---

TRAINED_UPDATES = 300
"""Updates after which the logits of a network are of some use beside a prior that it was not trained with."""


class PriorValues(NamedTuple):
    """The predictions of the n-gram prior for the characters that follow each step."""

    log_q: Array
    """Shape (T, K) or (T, B, K)."""
    matched: NDArray[np.intp]
    """The matched lengths, shape (T,) or (T, B)."""


class Prior(NamedTuple):
    """The n-gram prior of a network, or its absence.

    A prior is off while all its weights are zero: it then takes no part, and alpha is not trained.
    """

    ngrams: NgramModel | None = None
    alpha: Array = np.zeros(0)
    """Its weights, by matched length, (n + 1,)."""

    @property
    def is_on(self) -> bool:
        """Whether it takes part."""
        return bool(self.alpha.any())

    @property
    def model(self) -> NgramModel | None:
        """The n-gram model that takes part; None if the prior is off, or there is none."""
        return self.ngrams if self.is_on else None

    def model_of(self, state: State) -> NgramModel | None:
        """Return the n-gram model that a state reads with: its own counts or the model, if that takes part."""
        return self.model and (state.counts or self.model)

    @property
    def is_off(self) -> bool:
        """Whether there is a prior that takes no part."""
        return self.ngrams is not None and not self.is_on

    def read(
        self, state: State, x: NDArray[Any], folds: Ints | None = None
    ) -> tuple[PriorValues | None, NDArray[np.int32]]:
        """Read x (T,) or (T, B): return the predictions of a prior that is on after every character, and the history.

        `folds` are the folds of the targets, whose counts are left out.
        """
        model = self.model_of(state)
        if model is None:
            return None, self.histories(state.history, x)[-1].copy()
        log_q, matched, history = read(model, state.history, x, folds, state.recurrent.dtype)
        return PriorValues(log_q, matched), history

    def histories(self, history: NDArray[np.int32], x: NDArray[Any]) -> NDArray[np.int32]:
        """Return the histories before x (T,) or (T, B) and after each of it, (T + 1, n) or (T + 1, B, n)."""
        return self.ngrams.histories(history, x) if self.ngrams else np.zeros((len(x) + 1, *history.shape), np.int32)


def untrained_weights(update: int) -> tuple[float, float]:
    """Return alpha, and the factor on the network's logits, for a network that was trained without its prior.

    Before the first update, the result is the counts alone; ``benchmarks/NOTES.md`` has the losses with other values.
    """
    progress = min(1.0, update / TRAINED_UPDATES)
    return 1 - 0.2 * progress, 0.25 * progress
