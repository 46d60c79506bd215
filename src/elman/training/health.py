"""Health checks of a network in training: saturated or dead layers, losses that blow up, numbers that are not finite.

K  size of the alphabet, m  hidden units of a layer, T  characters in one window, B  rows of the batch
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from elman.config import Config
from elman.engine import CALLBACK_INTERVAL
from elman.errors import NonFiniteLossError, option
from elman.network.parameters import Architecture, Array
from elman.training.callbacks import TrainingCallback
from elman.training.run import Run

EDGE = 1e-6
"""A unit is saturated within this distance of -1 or 1, where the slope of tanh is 2e-6, and dead this close to 0."""
MAX_FRACTION = 0.99
"""Fraction of a layer's units, in all rows of the batch, above which the layer is saturated or dead. In a saturated
LSTM or GRU the units may be either: a closed gate makes a unit 0."""
CHECKS = 2
"""How many checks in a row, at different characters, must find it: a single one may be due to the character."""
LOSSES = 90
"""Updates whose median loss decides: nearly all updates between two checks."""
DIVERGED = 1.5
"""A median loss this many times the loss of uniform predictions, T ln K, is no longer just a bad start."""


class HealthMonitor:
    """The checks of one network for saturated and dead layers and for losses that blow up."""

    def __init__(self, config: Config, architecture: Architecture) -> None:
        self.config, self.architecture = config, architecture
        self.uniform_loss = config.seq_length * math.log(architecture.K)
        self.problem = ""  # found by the latest check
        m, parts = architecture.m, architecture.state_vectors
        # The slice of a state with each layer's h, without the cell state of an LSTM.
        self._h_slices = [slice(n * parts * m, (n * parts + 1) * m) for n in range(architecture.layers)]
        self._stuck = [0] * architecture.layers  # checks in a row that found a layer saturated or dead

    def check(self, h: Array, losses: Sequence[float]) -> None:
        """Find the problem and how to correct it; empty if there is none.

        `h`, (D,) or (B, D), is the state after the last window; `losses` are the latest, in nats per window.
        """
        problem = self.check_state(h)
        # A second check of the state is worth the wait for the next update: it explains why the losses are high.
        self.problem = problem or ("" if self.needs_recheck else self.check_losses(losses))

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
        stuck = (number for number, checks in enumerate(self._stuck) if checks >= CHECKS)
        return next((self._describe_layer(number + 1, sizes[number]) for number in stuck), "")

    def _describe_layer(self, number: int, size: Array) -> str:
        dead = np.count_nonzero(size < EDGE) > MAX_FRACTION * size.size
        layer = f"layer {number}" if self.architecture.layers > 1 else "the hidden layer"
        edges = "-1, 0 or 1" if self.architecture.spec.is_gated else "-1 or 1"
        state, edges, verb, also = ("dead", "0", "raise", "lower ") if dead else ("saturated", edges, "lower", "")
        init_std, learning_rate = _now(self.config, "init_std"), _now(self.config, "learning_rate")
        problem = f"{layer} is {state} (its units stay within {EDGE:g} of {edges}, where they get almost no gradient)"
        return f"{problem}: {verb} {init_std} or {also}{learning_rate}"

    def check_losses(self, losses: Sequence[float]) -> str:
        """Compare the latest losses with T ln K, the loss of uniform predictions."""
        limit, T = DIVERGED * self.uniform_loss, self.config.seq_length
        # A few losses settle most cases; checking all of them costs more.
        if len(losses) < LOSSES or max(islice(reversed(losses), 8)) <= limit:
            return ""
        if (median := float(np.median(list(losses)[-LOSSES:]))) <= limit:
            return ""
        uniform = (
            f"{median / self.uniform_loss:.1f} times the loss of uniform predictions ({self.uniform_loss / T:.2f})"
        )
        loss = f"the loss is {median / T:.2f} nats per character over the last {LOSSES} updates"
        return f"{loss}, {uniform}: {_suggest_lowering(self.config)}"


class HealthCheck:
    """Checks the network of a run while the engine runs, and again one update later if the second check decides."""

    def __init__(self, run: Run, callback: TrainingCallback) -> None:
        self.run, self.callback = run, callback
        self.monitor = HealthMonitor(run.config, run.state.parameters.architecture)
        self.losses = deque[float](maxlen=LOSSES)  # the latest, in nats per window
        self.has_warned = False
        self._checked_at = run.state.update
        self._finite_at = -1

    def next_update(self, last_update: int) -> float:
        """Return the update after the latest check if a second check decides; the current one if a warning is due."""
        if self.monitor.needs_recheck:
            return self._checked_at + 1
        return self._checked_at if self.monitor.problem and not self.has_warned else math.inf

    def perform(self, last_update: int) -> None:
        """Check the state again, and warn once."""
        state, monitor = self.run.state, self.monitor
        if monitor.needs_recheck:
            self._checked_at = state.update
            monitor.check(state.hidden.recurrent, self.losses)
        if monitor.problem and not self.has_warned:
            self.has_warned = True
            self.callback.on_warning(f"at update {state.update} {monitor.problem}")

    def on_step(self, h: Array, losses: NDArray[np.float64]) -> bool:
        """Check the state in the middle of a call of the engine; return whether to interrupt it."""
        new = losses.tolist()
        self.losses.extend(new)
        if not math.isfinite(sum(new)):
            return True
        self.monitor.check(h, self.losses)
        return self.monitor.needs_recheck or (bool(self.monitor.problem) and not self.has_warned)

    def after_call(self, losses: NDArray[np.float64]) -> None:
        """Add the losses of a call, which must be finite."""
        update = self.run.state.update
        require_finite_losses(losses, self.run)
        unseen = min(len(losses), update % CALLBACK_INTERVAL)  # `on_step` has seen the others
        self._checked_at = max(self._checked_at, update - unseen)
        if unseen:
            self.losses.extend(losses[-unseen:].tolist())

    def require_finite(self) -> None:
        """Stop before weights that are not finite are used or saved; the weights of an update are checked once."""
        if self._finite_at != self.run.state.update:
            require_finite_state(self.run)
            self._finite_at = self.run.state.update


def _now(config: Config, name: str) -> str:
    return f"{option[name]} (now {getattr(config, name)})"


def _suggest_lowering(config: Config) -> str:
    learning_rate, grad_clip, init_std = (_now(config, name) for name in ("learning_rate", "grad_clip", "init_std"))
    if not config.grad_clip:
        return f"lower {learning_rate} or {init_std}, or clip gradients ({option.grad_clip:5})"
    return f"lower {learning_rate}, {grad_clip} or {init_std}"


def require_finite_losses(losses: NDArray[np.float64], run: Run) -> None:
    """Raise NonFiniteLossError if a loss of the last updates is not finite."""
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        raise _not_finite("the loss", run.state.update - len(losses) + int(bad[0]) + 1, run)


def require_finite_state(run: Run) -> None:
    """Raise NonFiniteLossError if a number of the training state is not finite, as it may be after a finite loss."""
    state = run.state
    arrays = [a for group in (state.parameters, state.M, state.N, state.average) for a in group.values()]
    if not all(np.isfinite(array).all() for array in (*arrays, state.hidden.recurrent)):
        raise _not_finite("a weight, a moment of the optimizer or a hidden unit", state.update, run)


def _not_finite(what: str, update: int, run: Run) -> NonFiniteLossError:
    kept = "" if run.directory is None else "; the last good checkpoint is kept"
    return NonFiniteLossError(f"{what} of update {update} is not finite{kept}: {_suggest_lowering(run.config)}")
