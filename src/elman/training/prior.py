"""When the n-gram prior takes part in training.

A network that is trained with the prior from the start leaves to it what the last characters imply, and learns less
of everything else. With `Config.ngram_start` it first learns without the prior, whose alpha are zero; for the rest of
the run both are trained together, and only then is the cost of the counts paid.
"""

from __future__ import annotations

import math

from elman.engine import TrainState
from elman.training.run import Run

LATE_ALPHA = 0.4
"""Weight of a prior that is switched on in a network whose predictions are as good as the counts alone."""


class PriorSwitch:
    """Switches the prior on after a fraction of the run, before the next update."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def next_update(self, last_update: int) -> float:
        """Return the update after which the prior takes part; it is never switched on twice."""
        is_off = self.run.state.parameters.prior.is_off
        return math.ceil(self.run.config.ngram_start * last_update) if is_off else math.inf

    def perform(self, last_update: int) -> None:
        """Switch the prior on; its weight is the higher, the worse the network is than the counts."""
        network, counts = self.run.train_loss, self.run.counts_loss
        switch_on_prior(self.run.state, 0.0 if network is None or counts is None else network - counts)
        self.run.state.prior_since = self.run.state.update


def switch_on_prior(state: TrainState, gap: float = 0.0) -> None:
    """Let the prior take part from the next update on; the counts alone are better by `gap`, in nats per character.

    The network's own logits are reduced, because both describe much of the same.
    """
    alpha = min(max(0.3, LATE_ALPHA + 0.5 * gap), 0.9)
    for arrays in filter(None, (state.parameters.arrays, state.average)):
        for name, array in state.parameters.with_arrays(arrays).switch_on_prior(alpha, 0.7 * (1 - alpha)).items():
            arrays[name][...] = array
