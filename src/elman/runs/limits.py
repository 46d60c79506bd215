"""Whether a run that is resumed has reached a limit already, and what its learning rate does if it is extended."""

from __future__ import annotations

from dataclasses import replace

from elman.config import Config
from elman.errors import flag
from elman.network.optimizer import Optimizer
from elman.runs.run import Run, training_length
from elman.runs.short_text import long_run_settings


def reached_limit(run: Run, config: Config, end: int, validation_every: int) -> str:
    """Return the limit that a run, as its checkpoint left it, has reached; empty if none.

    Parameters
    ----------
    run : Run
    config : Config
        The limits: those of the run, or those that it had before it was resumed.
    end : int
        The last update of `config`, if neither time nor patience ends the run before.
    validation_every : int
        Updates between validations.
    """
    update = run.state.update
    if update >= end:
        return "max_updates" if config.max_updates == end else "epochs"
    # The run ended where less than half an update was left at its latest speed; from its mean speed it may be one.
    if update + 1 >= estimate_end(run, config, end) < end:
        return "max_seconds"
    since = update - (0 if run.best is None else run.best.update)
    return "patience" if config.patience and since // validation_every >= config.patience else ""


def estimate_end(run: Run, config: Config, end: int) -> int:
    """Return the update at which a run is expected to end, from its speed so far."""
    state = run.state
    if config.max_seconds is None or not state.update or not state.seconds:
        return end
    return min(end, state.update + round(max(0.0, config.max_seconds - state.seconds) * state.update / state.seconds))


def raise_limit(run: Run) -> tuple[str, float]:
    """Return the limit to raise for a longer run, and twice its value: the one that ended the run.

    A limit of epochs that a preset has for a run of so many seconds is raised with the seconds.
    """
    name, seconds = run.stopped, run.config.max_seconds
    if (
        name == "epochs"
        and run.preset
        and long_run_settings(run.preset, seconds, training_length(run.corpus, run.config))
    ):
        name = "max_seconds"
    return name, round(2 * getattr(run.config, name), 3)


def describe_reached(run: Run, limit: str) -> str:
    """Return why a resumed run has nothing to do, and which limit to raise."""
    state, value = run.state, getattr(run.config, limit)
    done = {
        "max_updates": f"already at update {state.update:,}",
        "epochs": f"already at epoch {state.epoch:,} (update {state.update:,})",
        "max_seconds": f"already trained for {state.seconds:,.1f} s (update {state.update:,})",
        "patience": f"already stopped early at update {state.update:,}",
    }[limit]
    return f"{done}; pass a higher {flag(limit)} (now {value:,})"


def describe_schedule(config: Config, optimizer: Optimizer, update: int, end: int) -> str:
    """Return what the learning rate does when a finished run is extended; empty if its schedule is constant.

    Parameters
    ----------
    config : Config
    optimizer : Optimizer
    update : int
        The last update before.
    end : int
        The last update now, as far as it is known.
    """
    if config.schedule == "constant":
        return ""
    before, after = (
        float(replace(optimizer, end=last).learning_rates(done, 1)[0])
        for last, done in ((update, update - 1), (end, update))
    )
    return (
        f"the {config.schedule} schedule had ended at update {update:,} and now ends at update {end:,}: the learning"
        f" rate changes from {before:.3g} to {after:.3g} and decays from there"
    )
