"""A run in training, for a page to look at: the watcher that keeps what the page asks for, and takes its wishes.

The training calls, between two calls of the engine; the server reads from another thread what is kept here. Nothing of
this changes the run: a text that is asked for is drawn apart from those that are due.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

import numpy as np

from elman.network.parameters import Array
from elman.runs.metadata import run_metadata
from elman.runs.records import Sample, finite_or_none
from elman.runs.run import Run
from elman.serve.live.end_event import Farewell
from elman.serve.live.histograms import histograms
from elman.serve.live.history import Progress, Written

POINT_SECONDS = 0.25
"""Between two points of a curve where no row of metrics is due."""
PACE_SECONDS = 20.0
"""Over which the speed is measured that the time left is reckoned from."""
HISTOGRAM_SECONDS = 2.0
"""Between two looks at the weights, at least, where a page shows them."""
HISTOGRAM_SHARE = 0.003
"""Of the time, that looking at the weights may take."""
SHOWN_SECONDS = 10.0
"""After which a page that has not asked again shows no weights."""
ENDED = ("done", "stopped", "failed")
STATES = 20_000
"""Numbers of hidden states that are kept for their histogram, of the latest moments."""


class LiveRun:
    """The watcher that a page looks on through.

    Parameters
    ----------
    name : str
        Of the run.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.stop, self.sample_asked = threading.Event(), threading.Event()
        self._run: Run | None = None
        self._progress = Progress(1)
        self._rows = 0  # of the run's metrics that are in the progress
        self._stage, self._ending, self._warning = "preparing", "", ""
        self._updates = 0
        self._pace: deque[tuple[float, int]] = deque()  # moments, and the updates done then
        self._noted_at = 0.0
        self._states: deque[Array] = deque()
        self._histograms: list[dict[str, Any]] = []
        self._histograms_asked, self._histograms_due = -SHOWN_SECONDS, 0.0
        self.farewell = Farewell()

    # What the training calls.

    def on_compile(self) -> None:
        """The kernels are about to be compiled."""

    def on_progress(self, run: Run, updates: int) -> None:
        """Keep what is new, and do what was asked for."""
        if self._run is None:
            self._begin(run)
        now = time.monotonic()
        self._updates = updates
        self._catch_up(run)
        if now - self._noted_at >= POINT_SECONDS:
            self._note(run, now)
        if self.sample_asked.is_set():
            self._write(run)
        if now - self._histograms_asked < SHOWN_SECONDS:
            self._look(run, now)

    def on_sample(self, sample: Sample) -> None:
        """Keep a text."""
        self._progress.samples.append(Written(sample))

    def on_warning(self, warning: str) -> None:
        """Keep it."""
        self._warning = warning

    def should_stop(self) -> bool:
        """Whether the page asked."""
        return self.stop.is_set()

    def ended(self, run: Run | None, error: str = "") -> None:
        """The training is over: with a run, or with an error."""
        if run is not None:
            if self._run is None:
                self._begin(run)
            self._catch_up(run)
            self._histograms = histograms(run.state.parameters, run.state.h)
            self._updates = self._updates or run.state.update
        self._ending = error or (run.advice if run is not None else "")
        self._stage = "failed" if error else "stopped" if run is not None and run.interrupted else "done"

    # What the server asks.

    @property
    def progress(self) -> Progress:
        """As far as it is known."""
        return self._progress

    def about(self) -> dict[str, Any]:
        """Return what ``run.json`` says."""
        return {} if self._run is None else run_metadata(self._run)

    def status(self) -> dict[str, Any]:
        """Return where the run stands."""
        status = {
            "stage": "stopping" if self.stop.is_set() and self._stage == "running" else self._stage,
            "ending": self._ending,
            "warning": self._warning,
            "sampling": self.sample_asked.is_set(),
        }
        return status if self._run is None else status | self._figures(self._run)

    def histograms(self) -> list[dict[str, Any]]:
        """Return the latest; who asks again gets newer ones."""
        self._histograms_asked = time.monotonic()
        return self._histograms

    def close(self, seconds: float) -> None:
        """Wait until every page that is open has all there is to tell, if training is over, at most so long."""
        self.farewell.say(seconds if self._stage in ENDED else 0.0)

    # How.

    def _begin(self, run: Run) -> None:
        """Begin with what a run that is gone on with brings."""
        progress = Progress(run.config.chars_per_update)
        progress.samples.extend(Written(sample) for sample in run.samples)
        self._progress, self._run, self._stage = progress, run, "running"
        self._states = deque(maxlen=max(1, STATES // run.state.h.size))

    def _note(self, run: Run, now: float) -> None:
        """Note what no row of metrics tells: a point in between, the pace, and the hidden states."""
        state, self._noted_at = run.state, now
        self._progress.rows.add(state.update, state.seconds, state.smooth_loss)
        self._states.append(state.h.copy())
        self._pace.append((now, state.update))
        while now - self._pace[0][0] > PACE_SECONDS:
            self._pace.popleft()

    def _catch_up(self, run: Run) -> None:
        end = len(run.metrics)
        self._progress.add(run.metrics[self._rows : end])
        self._rows = end

    def _write(self, run: Run) -> None:
        """Write a text apart from those that are due, and from their generator."""
        state, asked = run.state, len(self._progress.samples)
        generator = np.random.default_rng([run.config.random_state, state.update, asked])
        text = run.write(run.config.sample_length, generator)
        sample = Sample(state.update, finite_or_none(state.smooth_loss), text)
        self._progress.samples.append(Written(sample, asked=True))
        self.sample_asked.clear()

    def _look(self, run: Run, now: float) -> None:
        """Look at the weights, if the last time is long enough ago for what it cost."""
        if now < self._histograms_due:
            return
        self._histograms = histograms(run.state.parameters, np.stack(self._states))
        took = time.monotonic() - now
        self._histograms_due = now + max(HISTOGRAM_SECONDS, took / HISTOGRAM_SHARE)

    def _figures(self, run: Run) -> dict[str, Any]:
        state, config, best = run.state, run.config, self._progress.scores.least()
        left, speed = self._left_and_speed(config.chars_per_update)
        return {
            "update": state.update,
            "updates": self._updates,
            "epoch": state.epoch,
            "seconds": round(state.seconds, 1),
            "smooth_loss": finite_or_none(state.smooth_loss),
            "minimum": [state.minimum_at, finite_or_none(state.minimum_smooth_loss)],
            "best": best,
            "seconds_left": left,
            "chars_per_second": speed,
        }

    def _left_and_speed(self, characters: int) -> tuple[float | None, float | None]:
        """Seconds to the last update and characters a second, by the pace of late, all that comes on top included."""
        pace = list(self._pace)
        if len(pace) < 2 or pace[-1][0] == pace[0][0]:
            return None, None
        per_second = (pace[-1][1] - pace[0][1]) / (pace[-1][0] - pace[0][0])
        left = round(max(0, self._updates - pace[-1][1]) / per_second, 1) if per_second else None
        return left, round(per_second * characters)
