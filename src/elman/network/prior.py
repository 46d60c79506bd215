"""The n-gram prior of a network: whether there is one, whether it is on, and what it adds to the logits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.network.ops import Array
from elman.network.state import State
from elman.ngram.model import Ints, NgramModel, read

TRAINED_UPDATES = 300
"""Updates after which the logits of a network are of some use beside a prior that it was not trained with."""


class PriorValues(NamedTuple):
    """What the n-gram prior says of the characters that follow each step."""

    log_q: Array
    """Shape (T, K) or (T, B, K)."""
    matched: NDArray[np.intp]
    """The matched orders, shape (T,) or (T, B)."""


class Prior(NamedTuple):
    """The n-gram prior of a network, or its absence.

    A prior is off while all its weights are zero: it then takes no part, and alpha is not trained.
    """

    ngrams: NgramModel | None = None
    alpha: Array = np.zeros(0)
    """Its weights, by matched order, (n + 1,)."""

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
        """Read x (T,) or (T, B): return what the prior says after every character, if it is on, and the history then.

        `folds` are those of the targets, whose counts are left out.
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
    """Return alpha, and the factor on the network's logits, of a network that was trained without its prior.

    Before the first update these are the counts alone; ``benchmarks/NOTES.md`` has the losses with other values.
    """
    progress = min(1.0, update / TRAINED_UPDATES)
    return 1 - 0.2 * progress, 0.25 * progress
