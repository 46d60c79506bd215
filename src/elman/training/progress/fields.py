"""What a display says of a run in training."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from elman.runs.run import Run


class ProgressFields(NamedTuple):
    """The progress of a run, as texts.

    Parameters
    ----------
    epoch : str
        The current epoch, counted from 1, and their number if no other limit ends the run.
    updates : str
        Updates done, and the expected total.
    losses : str
        The train loss and, once there is one, the validation loss.
    speed : str
        The average so far; empty after the first update, whose time says little.
    left : str
        The expected time of the updates to come; likewise.
    """

    epoch: str
    updates: str
    losses: str
    speed: str
    left: str


def describe_progress(run: Run, updates: int) -> ProgressFields:
    """Describe the progress of a run that is expected to have so many updates."""
    state, config = run.state, run.config
    epoch = min(state.epoch + 1, config.epochs)
    ends_by_epochs = config.max_seconds is None and config.max_updates is None
    seconds_per_update = state.seconds / state.update
    speed = config.chars_per_update / seconds_per_update if seconds_per_update else 0
    losses = {"train": run.train_loss, "validation": run.latest_validation_loss}
    known = [f"{name} loss {loss:.3f}" for name, loss in losses.items() if loss is not None]
    left = timedelta(seconds=round(max(0, updates - state.update) * seconds_per_update))
    return ProgressFields(
        f"epoch {epoch}/{config.epochs}" if ends_by_epochs else f"epoch {epoch}",
        f"update {state.update:,}/{updates:,}",
        f"{', '.join(known)} nats/char",
        f"{speed:,.0f} chars/s" if state.update > 1 else "",
        f"{left} left" if state.update > 1 else "",
    )
