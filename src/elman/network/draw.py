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
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def probabilities(self, o: Array) -> NDArray[np.float64]:
        """Return the distribution over K characters that logits o (K,) leave."""
        o = o.astype(np.float64)
        if self.temperature == 0:
            return (np.arange(len(o)) == o.argmax()).astype(np.float64)
        p = softmax(o / self.temperature)
        if self.top_k == 0 and self.top_p == 1:
            return p
        order = np.argsort(-p, kind="stable")
        kept = len(p) if self.top_k == 0 else min(self.top_k, len(p))
        before = np.cumsum(p[order]) - p[order]
        kept = min(kept, max(1, int(np.count_nonzero(before < self.top_p))))
        p[order[kept:]] = 0
        return p / p.sum()

    def index(self, o: Array, uniform: float) -> int:
        """Return the character that `uniform`, in [0, 1), chooses: the first whose running sum exceeds it."""
        p = self.probabilities(o)
        running = np.cumsum(p)
        chosen = np.searchsorted(running, uniform * running[-1], "right")
        # The product may round up to the whole sum; the last character that may be drawn then holds it.
        return int(min(chosen, np.flatnonzero(p)[-1]))
