"""Advice after a run: train longer, use a larger network, or stop.

It is based on two numbers. The gap is how far the validation loss is above the training loss, as a fraction of the
latter; the slope is the fraction of its loss that the run lost over its last quarter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from elman.runs.run import Run

LONGER = "Train longer"
"""How the advice begins to raise the limit that ended the run."""

Curve = Sequence[tuple[int, float]]
"""Update and loss, from the first to the last."""

FALLING = 0.01
"""A curve is still falling if its last quarter reduced the loss by this fraction."""

WIDE = 0.2
"""The gap from which on the network overfits. The end of a text is often harder than the rest by half as much, without
any overfitting."""

VALIDATIONS = 2
"""Validation losses needed to see a trend."""

MEMORIZED = 0.05
"""The train loss, in nats per character, below which a network has memorized its text."""

WORSE = 0.01
"""The validation loss has risen if the last is above the minimum by this fraction."""


@dataclass(frozen=True)
class Outcome:
    """The measurements that the advice is based on.

    Parameters
    ----------
    smooth : Curve
        The smooth loss, in nats per window.
    validation : Curve
        The validation loss, in nats per character; empty if nothing was held out.
    train_loss : float or None
        `Run.train_loss`; with dropout, that of the thinned network.
    dropout : float
    epochs : int
        Epochs completed.
    reference : bool
        Whether it is the reference experiment's network and optimizer, without a validation set.
    interrupted : bool
    """

    smooth: Curve
    validation: Curve = ()
    train_loss: float | None = None
    dropout: float = 0.0
    epochs: int = 1
    reference: bool = False
    interrupted: bool = False


def outcome_of(run: Run, final_validation_loss: float | None, since: int = 0) -> Outcome:
    """Return the outcome of a run.

    Parameters
    ----------
    run : Run
    final_validation_loss : float or None
        Of the finished network, where no row of metrics has it.
    since : int
        The update at which the n-gram prior was switched on: the loss falls there, which is no trend.
    """
    config, rows = run.config, [row for row in run.metrics if row.update > since]
    validation = [(row.update, row.validation_loss) for row in rows] + [(run.state.update, final_validation_loss)]
    return Outcome(
        smooth=[(row.update, row.smooth_loss) for row in rows],
        validation=[(update, loss) for update, loss in validation if loss is not None and math.isfinite(loss)],
        train_loss=run.train_loss,
        dropout=config.dropout,
        epochs=run.state.epoch,
        reference=(config.cell, config.optimizer) == ("rnn", "adagrad"),
        interrupted=run.interrupted,
    )


def advise(outcome: Outcome) -> str:
    """Return one or two sentences."""
    if outcome.interrupted:
        return "The run was interrupted: continue it with --resume."
    if outcome.epochs < 1:
        return f"{LONGER}: not even one epoch is complete."
    if outcome.validation:
        return _advise_from_validation(outcome)
    if outcome.train_loss is not None and outcome.train_loss < MEMORIZED:
        return (
            f"Stop: training loss is only {outcome.train_loss:.3f} nats/char: the model has memorized its text. To"
            " improve, add text."
        )
    if len(outcome.smooth) < 2:
        return f"{LONGER}: there are too few updates to see a trend."
    advice = (
        f"{LONGER}: training loss was still falling."
        if fall(outcome.smooth) >= FALLING
        else "Use a larger network: training loss has plateaued; more epochs would help little. Increase --hidden-size"
        " or --layers."
    )
    if outcome.reference:
        return advice
    return f"{advice} To see whether the model overfits, hold out a validation set with --validation 0.1."


def _describe_gap(gap: float) -> str:
    return f"{100 * gap:.0f} % above training loss" if gap < 1 else f"{gap + 1:,.1f} times training loss"


def _advise_from_validation(outcome: Outcome) -> str:
    last, lowest = outcome.validation[-1][1], min(loss for _, loss in outcome.validation)
    gap = last / outcome.train_loss - 1 if outcome.train_loss else None
    overfits = gap is not None and gap >= WIDE
    above = "" if gap is None else f" ({_describe_gap(gap)})"
    remedy = "add text" if outcome.dropout >= 0.5 else "add text or increase --dropout"
    if last > lowest * (1 + WORSE) and not overfits:
        return (
            "Stop: validation loss has risen from its minimum, although the model is not overfitting. The best model "
            "is kept; to improve, lower --learning-rate or use --schedule cosine."
        )
    if last > lowest * (1 + WORSE):
        return (
            f"Stop: validation loss has risen from its minimum{above}: the model is overfitting. The best model is "
            f"kept; to improve, {remedy}."
        )
    if len(outcome.validation) < VALIDATIONS and not overfits:
        return f"{LONGER}: there are too few validation losses to see a trend."
    if fall(outcome.validation) >= FALLING:
        return f"{LONGER}: validation loss was still falling{above if overfits else ''}."
    if overfits:
        return (
            f"Stop: validation loss has plateaued{above}: the model is overfitting. A larger network would only "
            f"overfit more; to improve, {remedy}."
        )
    return (
        "Use a larger network: training and validation loss have both plateaued, close to each other. Increase"
        " --hidden-size or --layers."
    )


def fall(curve: Curve) -> float:
    """Return the fraction of its loss that a curve lost over the last quarter of its updates; negative if it rose."""
    last, loss = curve[-1]
    before = [value for update, value in curve if update <= 0.75 * last] or [curve[0][1]]
    return (before[-1] - loss) / before[-1] if before[-1] else 0.0
