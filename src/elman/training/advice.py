"""The advice after a run: train longer, use a larger network, or stop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from elman.errors import format_count, option
from elman.network.state import TRAINED_UPDATES
from elman.recipe import PRESETS, limit_epochs
from elman.training.run import Run

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

GAIN = 0.02
"""The nats per character by which a network must be better than the counts alone to be worth its time."""

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
    gain: float | None = None
    """The validation loss of the counts alone minus the model's; None where either is unknown."""


def outcome_of(run: Run) -> Outcome:
    """Return the outcome of a run since its n-gram prior takes part: the fall of the loss at that point is no trend."""
    config, rows = run.config, [row for row in run.metrics if row.update > run.state.prior_since]
    validation, last = [(row.update, row.validation_loss) for row in rows], rows[-1] if rows else None
    preset = PRESETS.get(run.preset)  # the name in a file may be any
    has_recipe = preset is not None and preset.budget is not None and config.max_seconds is not None
    recipe_epochs = limit_epochs(len(run.data.windows.indices))
    return Outcome(
        # The last quarter of the dense rows at the beginning says nothing of a trend.
        smooth=[(row.update, row.smooth_loss) for row in rows if row.update % config.metrics_every == 0 or row is last],
        validation=[(update, loss) for update, loss in validation if loss is not None and math.isfinite(loss)],
        train_loss=run.train_loss,
        dropout=config.dropout,
        epochs=run.epochs,
        read_enough=run.stopped == "epochs" and has_recipe and config.epochs == recipe_epochs,
        reference=(config.cell, config.optimizer) == ("rnn", "adagrad"),
        interrupted=run.interrupted,
        counts_only=config.is_counts_only,
        gain=None if run.counts_loss is None or run.validation_loss is None else run.counts_loss - run.validation_loss,
    )


def advise(outcome: Outcome) -> str:
    """Return what to do next in one or two sentences: train longer, use a larger network, or stop."""
    if outcome.gain is not None and outcome.gain < GAIN and not (outcome.interrupted or outcome.counts_only):
        better = f"is only {outcome.gain:.3f} nats/char better than its counts" if outcome.gain > 0 else "is its counts"
        return f"{LONGER}: the model {better}, which {option.preset:counts} computes in a second."
    larger = f"Increase {option.hidden_size} or {option.layers}."
    if outcome.interrupted:
        return f"The run was interrupted: continue it with {option.resume:True}."
    if outcome.counts_only:
        return "The counts are complete. A network that is trained beside them predicts better: pass another preset."
    if outcome.epochs < 1:
        return f"{LONGER}: not even one epoch is complete."
    if outcome.validation:
        return _advise_from_validation(outcome, larger)
    if outcome.train_loss is not None and outcome.train_loss < MEMORIZED:
        loss = f"train loss is only {outcome.train_loss:.3f} nats/char"
        return f"Stop: {loss}: the model has memorized its text. To improve, add text."
    if len(outcome.smooth) < 2:
        return f"{LONGER}: there are too few updates to see a trend."
    advice = f"Use a larger network: train loss has plateaued; more epochs would help little. {larger}"
    if fall(outcome.smooth) >= FALLING:
        advice = f"{LONGER}: train loss was still falling."
    if outcome.reference:
        return advice
    return f"{advice} To see whether the model overfits, hold out a validation set with {option.validation:0.1}."


def _advise_from_validation(outcome: Outcome, larger: str) -> str:
    last, lowest = outcome.validation[-1][1], min(loss for _, loss in outcome.validation)
    gap = last / outcome.train_loss - 1 if outcome.train_loss else 0.0
    overfits, is_close = gap >= WIDE, gap <= CLOSE
    above = f" ({100 * gap:.0f} % above train loss)" if gap < 1 else f" ({gap + 1:,.1f} times train loss)"
    remedy = "add text" if outcome.dropout >= 0.5 else f"add text or increase {option.dropout}"
    if last > lowest * (1 + WORSE):
        cause = f"{above}: the model is overfitting"
        if not overfits:
            cause = ", although the model is not overfitting"
            remedy = f"lower {option.learning_rate} or use {option.schedule:cosine}"
        risen = f"validation loss has risen from its minimum{cause}"
        return f"Stop: {risen}. The best model is kept; to improve, {remedy}."
    if outcome.read_enough:
        epochs = round(outcome.epochs)
        enough = f"{format_count(epochs, 'epoch')} {'is' if epochs == 1 else 'are'} enough"
        return f"Stop: {enough}; more would overfit. To improve, add text."
    if len(outcome.validation) < VALIDATIONS and not overfits:
        return f"{LONGER}: there are too few validation losses to see a trend."
    if fall(outcome.validation) >= FALLING:
        return f"{LONGER}: validation loss was still falling{above if overfits else ''}."
    plateau = f"Stop: validation loss has plateaued{above}"
    if overfits:
        return f"{plateau}: the model is overfitting. A larger network would only overfit more; to improve, {remedy}."
    # Before, the loss is mainly the loss of the counts. The learning rate of a short run has decayed, too.
    if outcome.epochs < EPOCHS or outcome.validation[-1][0] < TRAINED_UPDATES:
        return f"{LONGER}: before {EPOCHS} epochs and {TRAINED_UPDATES} updates, a plateau says little."
    if not is_close and fall(outcome.smooth) >= FALLING:
        beginning = "while train loss was still falling: the model is beginning to overfit"
        return f"{plateau}, {beginning}. To improve, {remedy}."
    both = "validation loss has plateaued, close to train loss"
    both = both if is_close else f"train and validation loss have both plateaued{above}"
    return f"Use a larger network: {both}. {larger}"


def fall(curve: Curve) -> float:
    """Return the fraction of its loss that a curve lost over the last quarter of its updates; negative if it rose."""
    last, loss = curve[-1]
    before = [value for update, value in curve if update <= 0.75 * last] or [curve[0][1]]
    return (before[-1] - loss) / before[-1] if before[-1] else 0.0
