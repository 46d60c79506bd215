"""Sampling the next character from the distribution of the output layer.

K  size of the alphabet

Temperature is applied first; top-k, top-p and min-p then each exclude unlikely characters, and what remains is
renormalized. A character is sampled by inverting the cumulative distribution at a number uniform in [0, 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.network.output import softmax
from elman.network.parameters import Array


@dataclass(frozen=True)
class SamplingParams:
    """How a character is sampled from logits. The defaults sample from the model's own distribution.

    Parameters
    ----------
    temperature : float
        Divisor of the logits: below 1 the output is more predictable, above 1 more varied; 0 is greedy (argmax).
    top_k : int
        Sample from the k most likely characters only; 0 turns it off.
    top_p : float
        Nucleus sampling (Holtzman et al., 2020): sample from the smallest set of most likely characters whose
        probabilities together reach this; 1 turns it off.
    min_p : float
        Exclude characters less likely than this fraction of the most likely one (Nguyen et al., 2024); 0 turns it off.

    Examples
    --------
    >>> import numpy as np
    >>> o = np.log([0.5, 0.3, 0.2])
    >>> SamplingParams(top_k=2).probabilities(o).round(3).tolist()
    [0.625, 0.375, 0.0]
    >>> SamplingParams().sample(o, 0.6)
    1
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    @property
    def truncates(self) -> bool:
        """Whether a character may be excluded for being unlikely."""
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0

    def probabilities(self, o: Array) -> NDArray[np.float64]:
        """Return the distribution (K,) that is sampled from, given logits o (K,)."""
        o = np.asarray(o, np.float64)
        if self.temperature == 0:
            return np.asarray(np.arange(len(o)) == o.argmax(), np.float64)
        with np.errstate(over="ignore"):  # a tiny temperature sends all but the largest to -infinity
            p = np.asarray(softmax((o - o.max()) / self.temperature), np.float64)
        order = np.argsort(-o, kind="stable")
        num_kept = self.top_k or len(p)
        if self.top_p < 1:
            num_kept = min(num_kept, int(np.searchsorted(np.cumsum(p[order]), self.top_p)) + 1)
        p[order[num_kept:]] = 0
        p[p < self.min_p * p.max()] = 0
        return np.asarray(p / p.sum(), np.float64)

    def sample(self, o: Array, uniform: float) -> int:
        """Return the first character whose cumulative probability exceeds `uniform`, a number in [0, 1)."""
        cumulative = np.cumsum(self.probabilities(o))
        index = np.searchsorted(cumulative, uniform * cumulative[-1], "right")
        return int(min(index, len(o) - 1))  # out of range only where a logit is NaN
