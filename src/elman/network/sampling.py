"""Drawing the next character from the output layer's distribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.network.output import softmax
from elman.network.parameters import Array


@dataclass(frozen=True)
class Draw:
    """How a character is drawn from logits.

    Parameters
    ----------
    temperature : float
        The logits are divided by it: below 1 the likely becomes likelier, and 0 always takes the likeliest.
    top_k : int
        Only the k likeliest characters may be drawn; 0 lets all.
    top_p : float
        Only the likeliest characters whose probabilities first reach this sum may be drawn (Holtzman et al.,
        2020); 1 lets all.
    min_p : float
        Only characters at least so likely, next to the likeliest, may be drawn (Nguyen et al., 2024); 0 lets all.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    @property
    def restricts(self) -> bool:
        """Whether any character may be left out for being unlikely."""
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0

    def probabilities(self, o: Array) -> NDArray[np.float64]:
        """Return the distribution over K characters that logits o (K,) leave."""
        o = np.asarray(o, np.float64)
        if self.temperature == 0:
            return np.asarray(np.arange(len(o)) == o.argmax(), np.float64)
        with np.errstate(over="ignore"):  # a tiny temperature sends all but the largest to -infinity
            p = np.asarray(softmax((o - o.max()) / self.temperature), np.float64)
        order = np.argsort(-o, kind="stable")
        kept = self.top_k or len(p)
        if self.top_p < 1:
            kept = min(kept, int(np.searchsorted(np.cumsum(p[order]), self.top_p)) + 1)
        p[order[kept:]] = 0
        p[p < self.min_p * p.max()] = 0
        return np.asarray(p / p.sum(), np.float64)

    def index(self, o: Array, uniform: float) -> int:
        """Return the character that `uniform`, in [0, 1), chooses: the first whose running sum exceeds it."""
        running = np.cumsum(self.probabilities(o))
        chosen = np.searchsorted(running, uniform * running[-1], "right")
        return int(min(chosen, len(o) - 1))  # beyond it only where the logits are not numbers
