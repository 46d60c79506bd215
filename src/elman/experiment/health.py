"""Whether a network in training is alive: its hidden state, and its loss against that of knowing nothing.

K  size of the alphabet, m  hidden units of a layer, T  characters in one window, B  streams
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from elman.experiment.config import Config
from elman.network.parameters import Architecture, Array

EDGE = 1e-6
"""A unit is saturated this close to -1 or 1, where tanh passes on two millionths of a gradient; silent, to 0."""
SHARE = 0.99
"""Of the units of a layer, in all streams, above which it is saturated or silent as a whole."""
LOOKS = 2
"""So often in a row, with different characters read, a layer must be so: once may be the character."""
LOSSES = 100
"""Updates whose median loss tells."""
WORSE = 1.5
"""Times the loss of knowing nothing, T ln K, that is no longer a bad beginning."""


class Health:
    """What was seen of one network while it trains.

    Parameters
    ----------
    config : Config
    architecture : Architecture
        Of the network that is trained.
    """

    def __init__(self, config: Config, architecture: Architecture) -> None:
        self.config, self.architecture = config, architecture
        self.uniform = config.seq_length * math.log(architecture.K)
        self.runs: dict[tuple[int, str], int] = {}  # looks in a row, by layer and what it is

    def look(self, h: Array, losses: Sequence[float]) -> str:
        """Return what is wrong, in words, and what to lower; empty if nothing is.

        Parameters
        ----------
        h : ndarray, shape (D,) or (B, D)
            The state that the last window left.
        losses : sequence of float
            Of the latest updates, in nats a window, the last one last.
        """
        return self.of_state(h) or self.of_losses(losses)

    def of_state(self, h: Array) -> str:
        """Look at every layer: a tanh that is saturated or silent passes on no gradient."""
        m, parts = self.architecture.m, self.architecture.parts
        for number in range(self.architecture.layers):
            size = np.abs(h[..., number * parts * m : (number * parts + 1) * m])  # h, and not lstm's memory
            for what, units in (("saturated", size > 1 - EDGE), ("silent", size < EDGE)):
                seen = self.runs.get((number, what), 0) + 1
                self.runs[number, what] = seen if np.count_nonzero(units) > SHARE * size.size else 0
                if self.runs[number, what] >= LOOKS:
                    return self.of_layer(number + 1, what)
        return ""

    def of_layer(self, number: int, what: str) -> str:
        """Say what a layer is, and what to change."""
        layer = f"layer {number}" if self.architecture.layers > 1 else "the hidden layer"
        if what == "silent":
            return (
                f"{layer} is dead: its units stay within {EDGE:g} of 0 and learn next to nothing: raise --init-std"
                f" (it is {self.config.init_std}) or lower --learning-rate ({self.config.learning_rate})"
            )
        return (
            f"{layer} is saturated: its units stay within {EDGE:g} of -1 or 1 and learn next to nothing: lower"
            f" --init-std (it is {self.config.init_std}) or --learning-rate ({self.config.learning_rate})"
        )

    def of_losses(self, losses: Sequence[float]) -> str:
        """Hold the latest losses against T ln K."""
        limit = WORSE * self.uniform
        # The last one decides first: the others cost more to look at.
        if len(losses) < LOSSES or losses[-1] <= limit:
            return ""
        median = float(np.median(list(losses)[-LOSSES:]))
        if median <= limit:
            return ""
        return (
            f"the loss is {median:.1f} over the last {LOSSES} updates, {median / self.uniform:.1f} times that of a"
            f" network that knows nothing, {self.uniform:.1f}: lower --learning-rate (it is"
            f" {self.config.learning_rate}), --clip ({self.config.clip}) or --init-std ({self.config.init_std})"
        )
