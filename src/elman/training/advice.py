"""What to do after a run, in words: train longer, use a larger network, or stop.

Two numbers tell. The gap is how much worse the network does on the text kept aside than on what it learned from, as
a share of the latter; the slope is how much of its loss it lost over the last quarter of the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Curve = Sequence[tuple[int, float]]
"""Update and loss, from the first to the last."""

FALLING = 0.01
"""A curve still falls if its last quarter brought this share of the loss."""

WIDE = 0.2
"""A gap is wide from this share on: the network knows its own text better than the language of it. The end of a text
is often harder than the rest by half as much, with nothing learned by heart."""

SCORES = 3
"""Scores of the text kept aside that it takes to see where they are going."""

WORSE = 0.01
"""The text kept aside is predicted worse again if its last loss is above its best by this share."""


@dataclass(frozen=True)
class Outcome:
    """What the advice rests on.

    Parameters
    ----------
    smooth : Curve
        The smooth loss, nats a window.
    validation : Curve
        Of the text kept aside, nats a character; empty if none was.
    train_loss : float or None
        Of the latest updates, nats a character; with dropout it is that of the thinned network.
    dropout : float
    epochs : int
        Times that the whole text was read.
    reference : bool
        Whether it is the reference's network and update rule, which keep no text aside.
    interrupted : bool
    """

    smooth: Curve
    validation: Curve = ()
    train_loss: float | None = None
    dropout: float = 0.0
    epochs: int = 1
    reference: bool = False
    interrupted: bool = False


def advise(outcome: Outcome) -> str:
    """Return one or two sentences."""
    if outcome.interrupted:
        return "The run was interrupted: go on with it by --resume."
    if outcome.epochs < 1:
        return "Train longer: the text has not been read to its end once."
    if outcome.validation:
        return _from_validation(outcome)
    if len(outcome.smooth) < 2:
        return "There are too few updates to tell anything: train longer."
    said = (
        "The smooth loss was still falling: train longer."
        if fall(outcome.smooth) >= FALLING
        else "The smooth loss has come to rest: a larger network will bring more than more epochs."
    )
    if outcome.reference:
        return said
    return f"{said} Whether it learns its text by heart, only a text kept aside tells: give --validation 0.1."


def _from_validation(outcome: Outcome) -> str:
    last, best = outcome.validation[-1][1], min(loss for _, loss in outcome.validation)
    gap = last / outcome.train_loss - 1 if outcome.train_loss else None
    wide = gap is not None and gap >= WIDE
    known = "" if gap is None else f" ({100 * gap:.0f} % above that of its own text)"
    more = "more text" if outcome.dropout >= 0.5 else "more text or more --dropout"
    if last > best * (1 + WORSE) and not wide:
        return (
            "Stop: the loss of the text kept aside was lower before, though the network does not learn its own text by "
            "heart. The best network is kept; a lower --learning-rate or --schedule cosine will bring a better one."
        )
    if last > best * (1 + WORSE):
        return (
            f"Stop: the loss of the text kept aside was lower before{known}, so the network now learns its own text "
            f"by heart. The best network is kept; only {more} will bring a better one."
        )
    if len(outcome.validation) < SCORES and not wide:
        return "Train longer: there are too few scores of the text kept aside to see where they are going."
    if fall(outcome.validation) >= FALLING:
        return f"Train longer: the loss of the text kept aside was still falling{known if wide else ''}."
    if wide:
        return (
            f"Stop: the loss of the text kept aside has come to rest{known}. "
            f"A larger network would only learn more by heart; {more} will bring more."
        )
    return "Use a larger network: both losses have come to rest, and they are close."


def fall(curve: Curve) -> float:
    """Return which share of its loss a curve lost over the last quarter of its updates; below 0 where it rose."""
    last, loss = curve[-1]
    before = [value for update, value in curve if update <= 0.75 * last] or [curve[0][1]]
    return (before[-1] - loss) / before[-1] if before[-1] else 0.0
