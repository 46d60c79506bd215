"""Whether a network in training is alive: its hidden state, and its loss against that of knowing nothing.

K  size of the alphabet, m  hidden units of a layer, T  characters in one window, B  streams
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice

import numpy as np

from elman.config import Config
from elman.network.parameters import Architecture, Array

EDGE = 1e-6
"""A unit is saturated this close to -1 or 1, where tanh passes on two millionths of a gradient; silent, to 0."""
SHARE = 0.99
"""Of the units of a layer, in all streams, above which it is saturated or silent as a whole. Those of a saturated LSTM
or GRU may be either: a gate that is shut makes a unit silent."""
LOOKS = 2
"""So often in a row, with different characters read, a layer must be so: once may be the character."""
LOSSES = 90
"""Updates whose median loss tells: nearly all between two looks."""
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
        m, parts = architecture.m, architecture.state_vectors
        # Where in a state the units of each layer stand: its h, and not the memory of an LSTM.
        self.places = [slice(n * parts * m, (n * parts + 1) * m) for n in range(architecture.layers)]
        self.stuck = [0] * architecture.layers  # looks in a row at which a layer was saturated or silent

    def look(self, h: Array, losses: Sequence[float]) -> str:
        """Return what is wrong, in words, and what to lower; empty if nothing is.

        Parameters
        ----------
        h : ndarray, shape (D,) or (B, D)
            The state that the last window left.
        losses : sequence of float
            Of the latest updates, in nats a window, the last one last.
        """
        ailing = self.of_state(h)
        # What the state tells is worth the wait for the next update: it says why the losses are high.
        return ailing or ("" if self.suspects else self.of_losses(losses))

    def of_state(self, h: Array) -> str:
        """Look at every layer: a tanh that is saturated or silent passes on no gradient."""
        sizes = [np.abs(h[..., place]) for place in self.places]
        for number, size in enumerate(sizes):
            at_an_edge = np.count_nonzero(np.abs(size - 0.5) > 0.5 - EDGE)
            self.stuck[number] = self.stuck[number] + 1 if at_an_edge > SHARE * size.size else 0
        for number, size in enumerate(sizes):
            if self.stuck[number] >= LOOKS:
                return self.of_layer(number + 1, size)
        return ""

    @property
    def suspects(self) -> bool:
        """Whether another look, after the next update, will tell."""
        return any(0 < looks < LOOKS for looks in self.stuck)

    def of_layer(self, number: int, size: Array) -> str:
        """Say what a layer is whose units are of such sizes, and what to change."""
        dead = np.count_nonzero(size < EDGE) > SHARE * size.size
        layer = f"layer {number}" if self.architecture.layers > 1 else "the hidden layer"
        if dead:
            return (
                f"{layer} is dead: its units stay within {EDGE:g} of 0 and learn next to nothing: raise --init-std"
                f" (it is {self.config.init_std}) or lower --learning-rate ({self.config.learning_rate})"
            )
        edges = "-1 or 1" if self.config.cell == "rnn" else "-1, 0 or 1"
        return (
            f"{layer} is saturated: its units stay within {EDGE:g} of {edges} and learn next to nothing: lower"
            f" --init-std (it is {self.config.init_std}) or --learning-rate ({self.config.learning_rate})"
        )

    def of_losses(self, losses: Sequence[float]) -> str:
        """Hold the latest losses against T ln K."""
        limit = WORSE * self.uniform
        # A few of them decide first: the others cost more to look at.
        if len(losses) < LOSSES or max(islice(reversed(losses), 8)) <= limit:
            return ""
        median = float(np.median(list(losses)[-LOSSES:]))
        if median <= limit:
            return ""
        return (
            f"the loss is {median:.1f} over the last {LOSSES} updates, {median / self.uniform:.1f} times that of a"
            f" network that knows nothing, {self.uniform:.1f}: lower --learning-rate (it is"
            f" {self.config.learning_rate}), --clip ({self.config.clip}) or --init-std ({self.config.init_std})"
        )
