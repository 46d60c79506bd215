"""When a run ends: its limits, and the time budget, for which the duration of each part is measured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from elman.config import Config
from elman.engine import TrainState, compile_seconds
from elman.engine.processes import run_on_first_process
from elman.engine_registry import ENGINES
from elman.errors import format_count, option
from elman.text import Windows
from elman.training.run import Run

TICK_SECONDS = 0.4
"""Seconds between two refreshes of the progress display."""
MEMORY_SECONDS = 2.0
"""Time constant with which measurements are forgotten: the load from other programs varies."""
PLOT_SECONDS = 0.5
"""Time to draw a plot, including the import of Matplotlib."""
TRAINING_SHARE = 0.5
"""Fraction of a time budget that is spent on updates, at least, however long everything else takes."""
MIN_UPDATES = 300
"""Updates that a run with a time budget makes, at least, …"""
MAX_BUDGETS = 2.0
"""… unless they take longer than this multiple of the budget."""
TOLERANCE = 1.1
"""A command that takes longer than this multiple of its budget says why."""
BUSY = 0.7
"""A machine is busy if a thread that never waits runs for a smaller fraction of the time."""
PAUSE_SECONDS, PAUSE_FACTOR = 2.0, 4.0
"""Work was interrupted, as by Ctrl-Z or a suspended machine, if it lasts longer than so many seconds plus a multiple of
the expected time."""
END_PER_START = 2.0
"""The plot, the samples and the exit of a command take so many times as long as its start, which is measured."""
MAX_END = 0.1
"""Upper bound of that time, as a fraction of the time budget: a start that waits for the disk says nothing about the
end."""


class Stopwatch:
    """The time since the start of a command, or of a call of `elman.train`, without the compilation of kernels."""

    def __init__(self, started: float | None = None) -> None:
        now = time.monotonic()
        self._started, self._compiled = now if started is None else started, compile_seconds()
        self._start_seconds = now - self._started

    def elapsed(self) -> float:
        """Return the time in seconds."""
        return time.monotonic() - self._started - self.compiled()

    def compiled(self) -> float:
        """Return the seconds of compilation since the start."""
        return compile_seconds() - self._compiled

    def leave_out_pause(self, seconds: float, expected: float) -> float:
        """Return the seconds that work took, without a pause of the process, which does not count as time.

        The work was expected to last `expected` seconds, 0 if that is not known.
        """
        if not expected or seconds <= PAUSE_SECONDS + PAUSE_FACTOR * expected:
            return seconds
        self._started += seconds - expected
        return expected

    def estimate_exit(self, limit: float) -> float:
        """Return how long plot, samples and exit are expected to take, if the time budget is `limit` seconds."""
        return max(PLOT_SECONDS, min(END_PER_START * self._start_seconds, PLOT_SECONDS + MAX_END * limit))


STOPWATCH: ContextVar[Stopwatch | None] = ContextVar("STOPWATCH", default=None)
"""The stopwatch of a command whose time budget began before it calls `elman.train`."""


class Timer:
    """Measures the calls of the engine: they are the seconds of the run, and decide how many updates are next.

    `limit` is the time budget in seconds, None for none; `total` is the last update, whatever the time; `factor` is
    the result of `elman.recipe.alphabet_factor`. Everything else needs `per_update` seconds per update, and `at_end`
    seconds after the last one.
    """

    def __init__(
        self, state: TrainState, limit: float | None, total: int, stopwatch: Stopwatch, factor: float = 1.0
    ) -> None:
        self.state, self.limit, self.total, self.stopwatch, self.factor = state, limit, total, stopwatch, factor
        self.at_end = self.per_update = 0.0
        self.tick = 1  # updates per call, until their speed is known
        self.engine_seconds = self.core_seconds = 0.0  # in the engine: of time, and of a processor core
        self._spent_before = state.spent
        self._updates, self._seconds = float(state.update), state.seconds  # of late, see `MEMORY_SECONDS`

    def measure(self, advance: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
        """Call the engine, and return the losses of its updates."""
        started, core_started = self.stopwatch.elapsed(), time.thread_time()  # without compilation
        losses = advance()

        def measure() -> tuple[float, float]:
            expected = len(losses) * self._seconds / self._updates if self._updates else 0.0
            seconds = self.stopwatch.elapsed() - started
            return self.stopwatch.leave_out_pause(seconds, expected), self.stopwatch.elapsed()

        seconds, elapsed = run_on_first_process(measure)
        self.engine_seconds += seconds
        self.core_seconds += time.thread_time() - core_started
        self.state.seconds += seconds
        self.state.spent = self._spent_before + elapsed
        decay = math.exp(-seconds / MEMORY_SECONDS)
        self._updates, self._seconds = decay * self._updates + len(losses), decay * self._seconds + seconds
        # The first updates are slow, and the speed of one call says little of the next.
        # Some clocks tick coarsely.
        self.tick = max(1, min(round(len(losses) * TICK_SECONDS / max(seconds, 1e-6)), 4 * self.tick))
        return losses

    def reserve(self, estimate: Callable[[], tuple[float, float]]) -> None:
        """Set aside the estimated seconds that everything except updates needs, at the end and per update."""
        if self.limit is not None:
            self.at_end, self.per_update = run_on_first_process(estimate)

    def last_update(self) -> int:
        """Return the update that is expected to be the last: the one at which the time is up, or the total."""
        if self.limit is None or not self._seconds:
            return self.total
        update, in_engine = self.state.update, self._seconds / self._updates
        left = max(0.0, self.limit - self.at_end - self.state.spent)
        until_end = update + left / (in_engine + self.per_update)
        # A model that was hardly trained is of no use, however long everything else takes: updates have a share of the
        # time, and there are a few of them unless the machine is so slow that even these are too many.
        of_share = update + (TRAINING_SHARE * self.limit - self.state.seconds) / in_engine
        of_longest = update + (max(1.0, MAX_BUDGETS / self.factor) * self.limit - self.state.seconds) / in_engine
        return round(min(self.total, max(until_end, of_share, min(MIN_UPDATES / self.factor, of_longest))))

    def finish(self, stopped: str) -> None:
        """Set the time spent to the whole budget if it ended the run, so that its last seconds are not resumed."""
        if stopped == "max_seconds" and self.limit is not None:
            self.state.spent = max(self.state.spent, self.limit)

    def processor_share(self) -> float:
        """Return the fraction of the time in the engine in which its first thread ran and did not wait."""
        return self.core_seconds / self.engine_seconds if self.engine_seconds else 1.0


def find_last_update(config: Config, windows: Windows) -> int:
    """Return the update that ends the run, unless time or patience ends it earlier."""
    total = config.epochs * windows.per_epoch
    return min(total, config.max_updates or total)


def find_reached_limit(run: Run, config: Config, last_update: int) -> str:
    """Return the limit that a run has reached, one of the names of `Run.stopped`; empty while there is none.

    The limits are taken from `config`; its time budget ends the run at `last_update`.
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
        return f"the counts are complete; to add the counts of another text, start a new run with {option.init_from}"
    state, value = run.state, getattr(run.config, limit)
    done = {
        "max_updates": f"already at update {state.update:,}",
        "epochs": f"already at epoch {state.epoch:,} (update {state.update:,})",
        "max_seconds": f"its time of {state.spent:,.1f} s is up (update {state.update:,})",
        "patience": f"already stopped early at update {state.update:,}",
    }[limit]
    return f"{done}; pass a higher {option[limit]} (now {value:,})"


def describe_extension(run: Run, saved: Config) -> str:
    """Return what the learning rate does if a run that reached a limit of `saved` is extended; empty if nothing."""
    config, update = run.config, run.state.update
    if config.schedule == "constant" or not was_ended_by(run, saved):
        return ""
    total = find_last_update(config, run.data.windows)
    last_update = Timer(run.state, config.max_seconds, total, Stopwatch()).last_update()
    before = float(replace(run.optimizer, last_update=update).learning_rates(update - 1, 1)[0])
    after = float(replace(run.optimizer, last_update=last_update).learning_rates(update, 1)[0])
    ends = f"the {config.schedule} schedule had ended at update {update:,} and now ends at update {last_update:,}"
    return f"{ends}: the learning rate changes from {before:.3g} to {after:.3g} and decays from there"


def describe_time(run: Run, stopwatch: Stopwatch, share: float) -> str:
    """Return why a command took longer than its time budget, or made few updates in it; empty if it did not.

    `share` is the result of `Timer.processor_share`; it is not measured for an engine whose threads wait for a device.
    """
    limit, elapsed, compiled = run.config.max_seconds, stopwatch.elapsed(), stopwatch.compiled()
    is_over = limit is not None and elapsed > TOLERANCE * limit + run.file_seconds
    is_busy = run.stopped == "max_seconds" and share < BUSY and not ENGINES[run.config.engine].has_devices
    parts, updates = list[str](), format_count(run.state.update, "update")
    if is_over:
        parts.append(f"the command took {elapsed + compiled:,.0f} s instead of {limit:g} s")
        if compiled >= 1:
            parts.append(f"{compiled:,.0f} s of them to compile kernels, once")
        if not is_busy and not run.config.is_counts_only:
            parts.append(f"{run.preparation_seconds:,.0f} s of them before the first update")
    if is_busy:
        parts.append(f"other programs kept the processor busy: {updates}, each {1 / share:.1f} times as long as alone")
    return ", ".join(parts)
