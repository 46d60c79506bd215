"""A run in training as a source for the dashboard: a training callback that records what the dashboard requests.

The training loop calls it between two calls of the engine; the server reads from another thread. None of this changes
the run: samples requested from the dashboard use a random generator of their own.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any

import numpy as np

from elman.config import Config
from elman.network.parameters import Array
from elman.runs.records import Sample, finite_or_none
from elman.runs.run import Run
from elman.serve.history import RunHistory, SampleEntry, compute_histograms
from elman.training.callbacks import TrainingCallback

POINT_SECONDS = 0.25
"""Interval between two points of a curve where no row of metrics is due."""
SPEED_SECONDS = 20.0
"""Time over which the speed is measured, from which the remaining time is estimated."""
HISTOGRAM_SECONDS = 2.0
"""Minimum interval between two histograms, computed only while a dashboard displays them."""
HISTOGRAM_FRACTION = 0.003
"""Maximum fraction of the time that computing histograms may take."""
HISTOGRAM_TIMEOUT = 10.0
"""Seconds after its last request when a dashboard no longer counts as displaying histograms."""
ENDED = ("done", "stopped", "failed")
MAX_STATE_VALUES = 20_000
"""Numbers of recent hidden states that are kept for their histogram."""
TICK = 0.5
"""Interval in seconds at which waiting code checks for changes. Every check interrupts the training."""
MAX_SUBSCRIBERS = 4
"""Subscriptions that are kept open. A browser opens six connections to a server, for all of its tabs together."""


class EndEvent:
    """The event at the end of training, sent to every open dashboard, including those in background tabs.

    A dashboard keeps a request open that is answered at the end: browsers slow the timers of background tabs down, but
    not their connections. It closes the request when it has fetched the last data, so that the server knows when it
    may stop. Only the server's thread changes the subscriptions; another thread announces the end.
    """

    def __init__(self) -> None:
        self._subscribers: list[int] = []  # numbers, the latest last
        self._number = 0
        self._is_announced = self._is_closed = False

    @property
    def has_subscribers(self) -> bool:
        """Whether a dashboard keeps a request open."""
        return bool(self._subscribers)

    async def subscribe(self) -> AsyncGenerator[bytes]:
        """Yield server-sent events: one at the end of training, then nothing until either side closes the connection.

        A subscription ends without an event once there are `MAX_SUBSCRIBERS` later ones.
        """
        self._number += 1
        number = self._number
        self._subscribers.append(number)
        try:
            yield b":\n\n"  # a comment, which confirms the subscription
            while not self._is_announced:
                if number not in self._subscribers[-MAX_SUBSCRIBERS:]:
                    return
                await asyncio.sleep(TICK)
            yield b"data: over\n\n"
            while not self._is_closed:
                await asyncio.sleep(TICK)
        finally:
            self._subscribers.remove(number)

    def announce(self, timeout: float) -> None:
        """Send the event, wait until all subscribers have disconnected or the timeout is over, then close the rest."""
        self._is_announced, deadline = True, time.monotonic() + timeout
        try:
            while self.has_subscribers and time.monotonic() < deadline:
                time.sleep(TICK)
        finally:
            self._is_closed = True


class LiveRun(TrainingCallback):
    """A training callback through which the dashboard displays and controls a run.

    Parameters
    ----------
    name : str
        Name of the run.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.stop_requested, self.sample_requested = threading.Event(), threading.Event()
        self.end_event = EndEvent()
        self._run: Run | None = None
        self._history = RunHistory(Config())
        self._copied_metrics = 0  # rows of the run's metrics that are in the history
        self._stage, self._ending, self._warning = "preparing", "", ""
        self._updates = 0
        self._recent: deque[tuple[float, int]] = deque()  # times, and the updates done by then
        self._point_at = 0.0
        self._states: deque[Array] = deque()
        self._histograms: list[dict[str, Any]] = []
        self._histograms_requested, self._histograms_due = -HISTOGRAM_TIMEOUT, 0.0

    # Called by the training loop.

    def on_progress(self, run: Run, updates: int) -> None:
        """Record new data and carry out requests."""
        if self._run is None:
            self._start(run)
        now = time.monotonic()
        self._updates = updates
        self._copy_metrics(run)
        if now - self._point_at >= POINT_SECONDS:
            self._add_point(run, now)
        if self.sample_requested.is_set():
            self._generate_sample(run)
        if now - self._histograms_requested < HISTOGRAM_TIMEOUT:
            self._update_histograms(run, now)

    def on_sample(self, sample: Sample) -> None:
        """Record a sample."""
        self._history.samples.append(SampleEntry(sample))

    def on_warning(self, warning: str) -> None:
        """Record a warning."""
        self._warning = warning

    def should_stop(self) -> bool:
        """Return whether the dashboard has requested a stop."""
        return self.stop_requested.is_set()

    # Called at the end of training.

    def finish(self, run: Run | None, error: str = "") -> None:
        """Record the end of training: with a run, or with an error."""
        if run is not None:
            if self._run is None:
                self._start(run)
            self._copy_metrics(run)
            self._histograms = compute_histograms(run.state.parameters, run.state.h)
            self._updates = self._updates or run.state.update
        self._ending = error or (run.advice if run is not None else "")
        self._stage = "failed" if error else "stopped" if run is not None and run.interrupted else "done"

    def close(self, timeout: float) -> None:
        """Close the subscriptions; if training is over, first give open dashboards time to fetch the last data."""
        self.end_event.announce(timeout if self._stage in ENDED else 0.0)

    # Called by the server.

    @property
    def history(self) -> RunHistory:
        """The history so far."""
        return self._history

    def about(self) -> dict[str, Any]:
        """Return the contents of ``run.json``."""
        return {} if self._run is None else self._run.manifest.as_dict()

    def status(self) -> dict[str, Any]:
        """Return the current status."""
        status = {
            "stage": "stopping" if self.stop_requested.is_set() and self._stage == "running" else self._stage,
            "ending": self._ending,
            "warning": self._warning,
            "sampling": self.sample_requested.is_set(),
        }
        return status if self._run is None else status | self._current_metrics(self._run)

    def histograms(self) -> list[dict[str, Any]]:
        """Return the latest histograms; newer ones are computed for the next request."""
        self._histograms_requested = time.monotonic()
        return self._histograms

    # Internals.

    def _start(self, run: Run) -> None:
        """Start the history, for a resumed run with what happened before."""
        history = RunHistory(run.config)
        history.samples.extend(SampleEntry(sample) for sample in run.samples)
        self._history, self._run, self._stage = history, run, "running"
        self._states = deque(maxlen=max(1, MAX_STATE_VALUES // run.state.h.size))

    def _add_point(self, run: Run, now: float) -> None:
        """Record a point between two rows of metrics, the speed, and the hidden states."""
        state, self._point_at = run.state, now
        self._history.add_point(state.update, state.seconds, state.smooth_loss)
        self._states.append(state.h.copy())
        self._recent.append((now, state.update))
        while now - self._recent[0][0] > SPEED_SECONDS:
            self._recent.popleft()

    def _copy_metrics(self, run: Run) -> None:
        end = len(run.metrics)
        self._history.extend(run.metrics[self._copied_metrics : end])
        self._copied_metrics = end

    def _generate_sample(self, run: Run) -> None:
        """Generate a requested sample, with a random generator of its own."""
        state, number = run.state, len(self._history.samples)
        generator = np.random.default_rng([run.config.seed, state.update, number])
        text = run.generate(run.config.sample_length, generator)
        sample = Sample(state.update, finite_or_none(state.smooth_loss), text)
        self._history.samples.append(SampleEntry(sample, is_requested=True))
        self.sample_requested.clear()

    def _update_histograms(self, run: Run, now: float) -> None:
        """Compute new histograms, unless the last ones were too recent for what they cost."""
        if now < self._histograms_due:
            return
        self._histograms = compute_histograms(run.state.parameters, np.stack(self._states))
        cost = time.monotonic() - now
        self._histograms_due = now + max(HISTOGRAM_SECONDS, cost / HISTOGRAM_FRACTION)

    def _current_metrics(self, run: Run) -> dict[str, Any]:
        state, config, best = run.state, run.config, self._history.validation_loss.minimum()
        seconds_left, chars_per_second = self._estimate_speed(config.chars_per_update)
        return {
            "update": state.update,
            "updates": self._updates,
            "epoch": state.epoch,
            "seconds": round(state.seconds, 1),
            "smooth_loss": finite_or_none(state.smooth_loss),
            "train_loss": self._history.last_train_loss,
            "minimum": [state.minimum_at, finite_or_none(state.minimum_smooth_loss)],
            "best": best,
            "seconds_left": seconds_left,
            "chars_per_second": chars_per_second,
        }

    def _estimate_speed(self, chars_per_update: int) -> tuple[float | None, float | None]:
        """Return the seconds to the last update and the characters per second, from the recent wall-clock speed."""
        recent = list(self._recent)
        if len(recent) < 2 or recent[-1][0] == recent[0][0]:
            return None, None
        updates_per_second = (recent[-1][1] - recent[0][1]) / (recent[-1][0] - recent[0][0])
        updates_left = max(0, self._updates - recent[-1][1])
        seconds_left = round(updates_left / updates_per_second, 1) if updates_per_second else None
        return seconds_left, round(updates_per_second * chars_per_update)
