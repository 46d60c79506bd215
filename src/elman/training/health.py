"""Health checks of a network in training: saturated and dead layers, losses that blow up, and non-finite numbers.

K  size of the alphabet, m  hidden units of a layer, T  characters in one window, B  rows of the batch
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from elman.config import Config
from elman.engine import TrainState
from elman.errors import NonFiniteLossError
from elman.network.parameters import Architecture, Array

EDGE = 1e-6
"""A unit is saturated within this distance of -1 or 1, where the slope of tanh is 2e-6, and dead within it of 0."""
MAX_FRACTION = 0.99
"""Fraction of a layer's units, in all rows of the batch, above which the layer is saturated or dead. In a saturated
LSTM or GRU the units may be either: a closed gate makes a unit 0."""
CHECKS = 2
"""Checks in a row, at different characters, that must find a layer so: once may be due to the character."""
LOSSES = 90
"""Updates whose median loss decides: nearly all between two checks."""
WORSE = 1.5
"""A median loss this many times that of uniform predictions, T ln K, is no longer just a bad start."""


class HealthMonitor:
    """The health checks of one network, and the problem found by the latest of them.

    Parameters
    ----------
    config : Config
    architecture : Architecture
        Of the network in training.
    """

    def __init__(self, config: Config, architecture: Architecture) -> None:
        self.config, self.architecture = config, architecture
        self.uniform_loss = config.seq_length * math.log(architecture.K)
        self.problem = ""  # found by the latest check
        m, parts = architecture.m, architecture.state_vectors
        # The slice of a state with each layer's h, without the cell state of an LSTM.
        self._h_slices = [slice(n * parts * m, (n * parts + 1) * m) for n in range(architecture.layers)]
        self._stuck = [0] * architecture.layers  # checks in a row that found a layer saturated or dead

    def check(self, h: Array, losses: Sequence[float]) -> str:
        """Return the problem and how to correct it; empty if there is none.

        Parameters
        ----------
        h : ndarray, shape (D,) or (B, D)
            The state after the last window.
        losses : sequence of float
            Of the latest updates, in nats per window, the last one last.
        """
        problem = self.check_state(h)
        # A second check of the state is worth the wait for the next update: it explains why the losses are high.
        self.problem = problem or ("" if self.needs_recheck else self.check_losses(losses))
        return self.problem

    @property
    def needs_recheck(self) -> bool:
        """Whether another check, after the next update, will decide."""
        return any(0 < checks < CHECKS for checks in self._stuck)

    def check_state(self, h: Array) -> str:
        """Check every layer: a tanh that is saturated or dead passes on no gradient."""
        sizes = [np.abs(h[..., layer]) for layer in self._h_slices]
        for number, size in enumerate(sizes):
            at_an_edge = np.count_nonzero(np.abs(size - 0.5) > 0.5 - EDGE)
            self._stuck[number] = self._stuck[number] + 1 if at_an_edge > MAX_FRACTION * size.size else 0
        for number, size in enumerate(sizes):
            if self._stuck[number] >= CHECKS:
                return self._describe_layer(number + 1, size)
        return ""

    def _describe_layer(self, number: int, size: Array) -> str:
        """Return the problem of a layer whose units have these absolute values, and how to correct it."""
        dead = np.count_nonzero(size < EDGE) > MAX_FRACTION * size.size
        layer = f"layer {number}" if self.architecture.layers > 1 else "the hidden layer"
        if dead:
            return (
                f"{layer} is dead (its units stay within {EDGE:g} of 0, where they get almost no gradient): raise"
                f" --init-std (now {self.config.init_std}) or lower --learning-rate (now {self.config.learning_rate})"
            )
        edges = "-1, 0 or 1" if self.architecture.spec.is_gated else "-1 or 1"
        return (
            f"{layer} is saturated (its units stay within {EDGE:g} of {edges}, where they get almost no gradient):"
            f" lower --init-std (now {self.config.init_std}) or --learning-rate (now {self.config.learning_rate})"
        )

    def check_losses(self, losses: Sequence[float]) -> str:
        """Compare the latest losses with T ln K, the loss of uniform predictions."""
        limit = WORSE * self.uniform_loss
        # A few losses settle most cases; checking all of them costs more.
        if len(losses) < LOSSES or max(islice(reversed(losses), 8)) <= limit:
            return ""
        median = float(np.median(list(losses)[-LOSSES:]))
        if median <= limit:
            return ""
        T = self.config.seq_length
        return (
            f"the loss is {median / T:.2f} nats per character over the last {LOSSES} updates,"
            f" {median / self.uniform_loss:.1f} times that of uniform predictions ({self.uniform_loss / T:.2f}):"
            f" lower --learning-rate (now {self.config.learning_rate}), --grad-clip (now {self.config.grad_clip}) or"
            f" --init-std (now {self.config.init_std})"
        )


def require_finite_losses(losses: NDArray[np.float64], update: int, config: Config, *, saved: bool) -> None:
    """Check the losses of the last updates, of which `update` is the latest.

    Raises
    ------
    NonFiniteLossError
        If one is not finite.
    """
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        raise _not_finite("the loss", update - len(losses) + int(bad[0]) + 1, config, saved=saved)


def require_finite_state(state: TrainState, config: Config, *, saved: bool) -> None:
    """Check the weights before they are used or saved: one finite loss may precede a weight that is not.

    Raises
    ------
    NonFiniteLossError
        If a number of the training state is not finite.
    """
    arrays = [a for group in (state.parameters, state.M, state.N, state.average) for a in group.values()]
    if not all(np.isfinite(array).all() for array in (*arrays, state.h)):
        raise _not_finite("a weight, a moment of the optimizer or a hidden unit", state.update, config, saved=saved)


def _not_finite(what: str, update: int, config: Config, *, saved: bool) -> NonFiniteLossError:
    """Return the error, with the options to lower; `saved` is whether there is a directory with a checkpoint."""
    return NonFiniteLossError(
        f"{what} of update {update} is not finite{'; the last good checkpoint is kept' if saved else ''}:"
        f" lower --learning-rate (now {config.learning_rate}), --grad-clip (now {config.grad_clip}) or --init-std"
        f" (now {config.init_std})"
    )
