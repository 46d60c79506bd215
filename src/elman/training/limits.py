"""Limits: which one has ended a run, and what a run that has reached one is told."""

from __future__ import annotations

from dataclasses import replace

from elman.config import Config
from elman.engine_registry import ENGINES
from elman.errors import format_count, option
from elman.text import Windows
from elman.training.budget import MAX_BUDGETS, MIN_UPDATES, TimeBudget
from elman.training.run import Run

TOLERANCE = 1.1
"""A command that takes so many times its budget says why."""
BUSY = 0.7
"""A machine is busy if a thread that never waits runs for a smaller fraction of the time."""


def find_last_update(config: Config, windows: Windows) -> int:
    """Return the update that ends the run, unless time or patience ends it before."""
    total = config.epochs * windows.per_epoch
    return min(total, config.max_updates or total)


def estimate_last_update(run: Run, config: Config) -> int:
    """Return the update at which a run with these limits is expected to end, from its mean speed so far."""
    state, last_update = run.state, find_last_update(config, run.data.windows)
    budget = TimeBudget(config.max_seconds, state.update, state.seconds)
    return budget.estimate_last_update(state, last_update)


def find_reached_limit(run: Run, config: Config, last_update: int) -> str:
    """Return the limit that a run has reached, one of the names of `Run.stopped`; empty while there is none.

    The limits are those of `config`, of which the time budget ends the run at `last_update`.
    """
    if config.is_counts_only:
        return "counts"
    update, total = run.state.update, find_last_update(config, run.data.windows)
    if update >= total:
        return "max_updates" if config.max_updates == total else "epochs"
    if update >= last_update:
        return "max_seconds"
    return "patience" if 0 < config.patience <= run.history.validations_since_best else ""


def was_ended_by(run: Run, config: Config) -> str:
    """Return the limit that a run, as its checkpoint left it, had reached; empty if it was interrupted."""
    if config.is_counts_only and run.best is None and run.data.validation_sample is not None:
        return ""  # before its only validation
    is_spent = config.max_seconds is not None and run.state.spent >= config.max_seconds
    last_update = run.state.update if is_spent else find_last_update(config, run.data.windows)
    return find_reached_limit(run, config, last_update)


def describe_reached(run: Run, limit: str) -> str:
    """Return why a resumed run has nothing to do, and which limit to raise."""
    if limit == "counts":
        return "the counts are complete; to add those of another text, start a new run with " + f"{option.init_from}"
    state, value = run.state, getattr(run.config, limit)
    done = {
        "max_updates": f"already at update {state.update:,}",
        "epochs": f"already at epoch {state.epoch:,} (update {state.update:,})",
        "max_seconds": f"its time of {state.spent:,.1f} s is up (update {state.update:,})",
        "patience": f"already stopped early at update {state.update:,}",
    }[limit]
    return f"{done}; pass a higher {option[limit]} (now {value:,})"


def describe_extension(run: Run, saved: Config) -> str:
    """Return what the learning rate does if a run had reached a limit of `saved` and is extended; empty if nothing."""
    config, update, last_update = run.config, run.state.update, estimate_last_update(run, run.config)
    if config.schedule == "constant" or not was_ended_by(run, saved):
        return ""
    before, after = (
        float(replace(run.optimizer, last_update=last).learning_rates(done, 1)[0])
        for last, done in ((update, update - 1), (last_update, update))
    )
    return (
        f"the {config.schedule} schedule had ended at update {update:,} and now ends at update {last_update:,}: the"
        f" learning rate changes from {before:.3g} to {after:.3g} and decays from there"
    )


def describe_overrun(run: Run, elapsed: float) -> str:
    """Return why a command took longer than its time budget; empty if it did not, or has none."""
    limit = run.config.max_seconds
    if limit is None or elapsed <= TOLERANCE * limit + run.file_seconds:
        return ""
    overrun = f"the command took {elapsed:,.1f} s instead of {limit:g} s ({option.max_seconds})"
    if run.config.is_counts_only:
        return overrun
    return (
        f"{overrun}, {run.preparation_seconds:,.1f} s of them before the first update: half of the time is for"
        f" training, which makes at least {MIN_UPDATES} updates unless they take {MAX_BUDGETS:g} times the budget"
    )


def describe_load(run: Run, share: float) -> str:
    """Return what other programs cost a run with a time budget whose engine ran for a fraction of the time; or empty.

    An engine whose threads wait for a device is not measured so.
    """
    if run.stopped != "max_seconds" or share >= BUSY or ENGINES[run.config.engine].has_devices:
        return ""
    return (
        f"other programs kept the processor busy: training ran {100 * share:.0f} % of its time and made"
        f" {format_count(run.state.update, 'update')}, each {1 / share:.1f} times as long as on an idle machine; for a"
        f" better model raise {option.max_seconds}"
    )
