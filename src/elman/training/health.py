"""Health checks of a network in training, and the advice after it.

K  size of the alphabet, m  hidden units of a layer, T  characters in one window, B  rows of the batch
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from elman.config import Config
from elman.engine import TrainState
from elman.errors import NonFiniteLossError, format_count, option
from elman.network.parameters import Architecture, Array
from elman.network.prior import TRAINED_UPDATES
from elman.presets import PRESETS, limit_epochs
from elman.training.run import Run

EDGE = 1e-6
"""A unit is saturated within this distance of -1 or 1, where the slope of tanh is 2e-6, and dead within it of 0."""
MAX_FRACTION = 0.99
"""Fraction of a layer's units, in all rows of the batch, above which the layer is saturated or dead. In a saturated
LSTM or GRU the units may be either: a closed gate makes a unit 0."""
CHECKS = 2
"""Checks in a row, at different characters, that must find a layer so: once may be due to the character."""
LOSSES = 90
"""Updates whose median loss decides: nearly all between two checks."""
DIVERGED = 1.5
"""A median loss this many times that of uniform predictions, T ln K, is no longer just a bad start."""


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

    def check(self, h: Array, losses: Sequence[float]) -> str:
        """Return the problem and how to correct it; empty if there is none.

        `h`, (D,) or (B, D), is the state after the last window; `losses` are the latest, in nats per window.
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
        stuck = (number for number, checks in enumerate(self._stuck) if checks >= CHECKS)
        return next((self._describe_layer(number + 1, sizes[number]) for number in stuck), "")

    def _describe_layer(self, number: int, size: Array) -> str:
        dead = np.count_nonzero(size < EDGE) > MAX_FRACTION * size.size
        layer = f"layer {number}" if self.architecture.layers > 1 else "the hidden layer"
        edges = "-1, 0 or 1" if self.architecture.spec.is_gated else "-1 or 1"
        state, edges, verb, also = ("dead", "0", "raise", "lower ") if dead else ("saturated", edges, "lower", "")
        init_std, learning_rate = _now(self.config, "init_std"), _now(self.config, "learning_rate")
        return (
            f"{layer} is {state} (its units stay within {EDGE:g} of {edges}, where they get almost no gradient): {verb}"
            f" {init_std} or {also}{learning_rate}"
        )

    def check_losses(self, losses: Sequence[float]) -> str:
        """Compare the latest losses with T ln K, the loss of uniform predictions."""
        limit = DIVERGED * self.uniform_loss
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
            f" {_suggest_lowering(self.config)}"
        )


def _now(config: Config, name: str) -> str:
    return f"{option[name]} (now {getattr(config, name)})"


def _suggest_lowering(config: Config) -> str:
    learning_rate, grad_clip, init_std = (_now(config, name) for name in ("learning_rate", "grad_clip", "init_std"))
    if not config.grad_clip:
        return f"lower {learning_rate} or {init_std}, or clip gradients ({option.grad_clip:5})"
    return f"lower {learning_rate}, {grad_clip} or {init_std}"


def require_finite_losses(losses: NDArray[np.float64], update: int, config: Config, *, saved: bool) -> None:
    """Raise NonFiniteLossError if a loss of the last updates, of which `update` is the latest, is not finite."""
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        raise _not_finite("the loss", update - len(losses) + int(bad[0]) + 1, config, saved=saved)


def require_finite_state(state: TrainState, config: Config, *, saved: bool) -> None:
    """Raise NonFiniteLossError if a number of the training state is not finite, as it may be after a finite loss."""
    arrays = [a for group in (state.parameters, state.M, state.N, state.average) for a in group.values()]
    if not all(np.isfinite(array).all() for array in (*arrays, state.hidden.recurrent)):
        raise _not_finite("a weight, a moment of the optimizer or a hidden unit", state.update, config, saved=saved)


def _not_finite(what: str, update: int, config: Config, *, saved: bool) -> NonFiniteLossError:
    kept = "; the last good checkpoint is kept" if saved else ""
    return NonFiniteLossError(f"{what} of update {update} is not finite{kept}: {_suggest_lowering(config)}")


LONGER = "Train longer"
"""How the advice begins to raise the limit that ended the run."""

Curve = Sequence[tuple[int, float]]
"""Update and loss, from the first to the last."""

FALLING = 0.01
"""A curve is still falling if its last quarter reduced the loss by this fraction."""

WIDE = 0.2
"""The gap from which on the network overfits. The end of a text is often harder than the rest by half as much, without
any overfitting."""

CLOSE = 0.05
"""The gap up to which validation loss is close to train loss."""

VALIDATIONS, EPOCHS = 2, 2
"""Validation losses needed to see a trend, and epochs needed for a plateau to be the limit of a network."""

MEMORIZED = 0.05
"""The train loss, in nats per character, below which a network has memorized its text."""

WORSE = 0.01
"""The validation loss has risen if the last is above the minimum by this fraction."""


@dataclass(frozen=True)
class Outcome:
    """The measurements that the advice is based on."""

    smooth: Curve
    """The smooth loss, in nats per character."""
    validation: Curve = ()
    """The validation loss, in nats per character; empty if nothing was held out."""
    train_loss: float | None = None
    dropout: float = 0.0
    epochs: float = EPOCHS
    """Epochs done."""
    read_enough: bool = False
    """Whether the run ended after the epochs of a recipe, beyond which it would overfit."""
    reference: bool = False
    """Whether it is the reference experiment's network and optimizer, without a validation set."""
    interrupted: bool = False
    counts_only: bool = False


def outcome_of(run: Run) -> Outcome:
    """Return the outcome of a run from when its n-gram prior takes part: that the loss falls there is no trend."""
    config, rows = run.config, [row for row in run.metrics if row.update > run.state.prior_since]
    validation = [(row.update, row.validation_loss) for row in rows]
    preset = PRESETS.get(run.preset)  # that in a file may be any
    has_recipe = preset is not None and preset.has_recipe and config.max_seconds is not None
    recipe_epochs = limit_epochs(len(run.data.windows.indices))
    return Outcome(
        smooth=[(row.update, row.smooth_loss) for row in rows],
        validation=[(update, loss) for update, loss in validation if loss is not None and math.isfinite(loss)],
        train_loss=run.train_loss,
        dropout=config.dropout,
        epochs=run.epochs,
        read_enough=run.stopped == "epochs" and has_recipe and config.epochs == recipe_epochs,
        reference=(config.cell, config.optimizer) == ("rnn", "adagrad"),
        interrupted=run.interrupted,
        counts_only=config.is_counts_only,
    )


def advise(outcome: Outcome) -> str:
    """Return what to do next in one or two sentences: train longer, use a larger network, or stop."""
    if outcome.interrupted:
        return f"The run was interrupted: continue it with {option.resume:True}."
    if outcome.counts_only:
        return "The counts are complete. A network that is trained beside them predicts better: pass another preset."
    if outcome.epochs < 1:
        return f"{LONGER}: not even one epoch is complete."
    if outcome.validation:
        return _advise_from_validation(outcome)
    if outcome.train_loss is not None and outcome.train_loss < MEMORIZED:
        return (
            f"Stop: train loss is only {outcome.train_loss:.3f} nats/char: the model has memorized its text. To"
            " improve, add text."
        )
    if len(outcome.smooth) < 2:
        return f"{LONGER}: there are too few updates to see a trend."
    advice = (
        f"{LONGER}: train loss was still falling."
        if fall(outcome.smooth) >= FALLING
        else "Use a larger network: train loss has plateaued; more epochs would help little. Increase"
        f" {option.hidden_size} or {option.layers}."
    )
    if outcome.reference:
        return advice
    return f"{advice} To see whether the model overfits, hold out a validation set with {option.validation:0.1}."


def _advise_from_validation(outcome: Outcome) -> str:
    last, lowest = outcome.validation[-1][1], min(loss for _, loss in outcome.validation)
    gap = last / outcome.train_loss - 1 if outcome.train_loss else 0.0
    overfits, is_close = gap >= WIDE, gap <= CLOSE
    above = f" ({100 * gap:.0f} % above train loss)" if gap < 1 else f" ({gap + 1:,.1f} times train loss)"
    remedy = "add text" if outcome.dropout >= 0.5 else f"add text or increase {option.dropout}"
    if last > lowest * (1 + WORSE):
        risen = "Stop: validation loss has risen from its minimum"
        if not overfits:
            return (
                f"{risen}, although the model is not overfitting. The best model is kept; to improve, lower"
                f" {option.learning_rate} or use {option.schedule:cosine}."
            )
        return f"{risen}{above}: the model is overfitting. The best model is kept; to improve, {remedy}."
    if outcome.read_enough:
        epochs = round(outcome.epochs)
        enough = f"{format_count(epochs, 'epoch')} {'is' if epochs == 1 else 'are'} enough"
        return f"Stop: {enough}; more would overfit. To improve, add text."
    if len(outcome.validation) < VALIDATIONS and not overfits:
        return f"{LONGER}: there are too few validation losses to see a trend."
    if fall(outcome.validation) >= FALLING:
        return f"{LONGER}: validation loss was still falling{above if overfits else ''}."
    if overfits:
        return (
            f"Stop: validation loss has plateaued{above}: the model is overfitting. A larger network would only "
            f"overfit more; to improve, {remedy}."
        )
    # Before, the loss is mainly that of the counts; and the learning rate has decayed in a short run, too.
    if outcome.epochs < EPOCHS or outcome.validation[-1][0] < TRAINED_UPDATES:
        return f"{LONGER}: before {EPOCHS} epochs and {TRAINED_UPDATES} updates, a plateau says little."
    if not is_close and fall(outcome.smooth) >= FALLING:
        return (
            f"Stop: validation loss has plateaued{above}, while train loss was still falling: the model is beginning to"
            f" overfit. To improve, {remedy}."
        )
    plateau = "validation loss has plateaued, close to train loss"
    if not is_close:
        plateau = f"train and validation loss have both plateaued{above}"
    return f"Use a larger network: {plateau}. Increase {option.hidden_size} or {option.layers}."


def fall(curve: Curve) -> float:
    """Return the fraction of its loss that a curve lost over the last quarter of its updates; negative if it rose."""
    last, loss = curve[-1]
    before = [value for update, value in curve if update <= 0.75 * last] or [curve[0][1]]
    return (before[-1] - loss) / before[-1] if before[-1] else 0.0
