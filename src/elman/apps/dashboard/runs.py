"""The runs that the dashboard displays: one in training in this process, and runs in run directories."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from elman.apps.dashboard.history import RunHistory, compute_histograms
from elman.config import Config
from elman.errors import ElmanError
from elman.network.cells import CELLS
from elman.runs import CHECKPOINT, METRICS, SAMPLES, RunDirectory, RunManifest, Sample
from elman.runs.loggers import MANIFEST
from elman.storage import real_path
from elman.training import Run, TrainingCallback, continue_text

POINT_SECONDS = 0.25  # interval between two points of a curve where no row of metrics is due
SPEED_SECONDS = 20.0  # time over which the speed is measured, from which the remaining time is estimated
HISTOGRAM_FRACTION = 0.003  # maximum fraction of the time that computing histograms may take
TICK = 0.5
"""Interval in seconds at which waiting code checks for changes. Every check interrupts the training."""
ENDED = ("done", "stopped", "failed")

FileVersion = tuple[int, int, int]
"""The version of a file: inode, size, and time of modification in nanoseconds, which change with its contents."""


def describe_manifest(manifest: RunManifest) -> dict[str, Any]:
    """Return settings, text and network of a run as JSON."""
    text = manifest.corpus
    return {
        "config": asdict(manifest.config),
        "corpus": {"name": text.name, "chars": text.chars, "alphabet_size": text.alphabet_size, "sha256": text.sha256},
        "network": describe_network(manifest.config),
    }


def describe_network(config: Config) -> str:
    """Return cell, size and layers in words."""
    if config.is_counts_only:
        return f"N-gram counts of order {config.ngram_order}"
    layers = f", {config.layers} layers" if config.layers > 1 else ""
    return f"{CELLS[config.cell].title}, hidden size {config.hidden_size}{layers}"


class LiveRun(TrainingCallback):
    """A training callback through which the dashboard displays and controls a run."""

    # The training loop calls it between two calls of the engine; the server reads from another thread. None of this
    # changes the run: samples requested from the dashboard use a random generator of their own.

    def __init__(self, name: str) -> None:
        self.name, self.history = name, RunHistory(Config())
        self.stop_requested, self.sample_requested = threading.Event(), threading.Event()
        self._run: Run | None = None
        self._copied_metrics = 0  # rows of the run's metrics that are in the history
        self._stage, self._ending, self._warning = "preparing", "", ""
        self._updates = 0
        self._recent: deque[tuple[float, int]] = deque()  # times, and the updates done by then
        self._point_at = 0.0
        self._histograms: list[dict[str, Any]] = []
        self._histograms_due = 0.0
        self.subscribers, self._is_closed = 0, False

    # --- Called by the training loop ---

    def on_progress(self, run: Run, updates: int) -> None:
        """Record new data and generate a requested sample."""
        if self._run is None:
            self._start(run)
        now = time.monotonic()
        self._updates = updates
        self._copy_metrics(run)
        if now - self._point_at >= POINT_SECONDS:
            self._add_point(run, now)
        if self.sample_requested.is_set():
            self._generate_sample(run)

    def on_sample(self, run: Run, sample: Sample) -> None:
        """Record a sample."""
        self.history.add_samples([sample])

    def on_warning(self, warning: str) -> None:
        """Record a warning."""
        self._warning = warning

    def should_stop(self) -> bool:
        """Return whether the dashboard has requested a stop."""
        return self.stop_requested.is_set()

    def _start(self, run: Run) -> None:
        """Start the history; a resumed run's earlier history is included."""
        history = RunHistory(run.config)
        history.add_samples(run.samples)
        self.history, self._run, self._stage = history, run, "running"

    def _copy_metrics(self, run: Run) -> None:
        rows = run.metrics[self._copied_metrics :]
        self.history.extend(rows)
        self._copied_metrics += len(rows)

    def _add_point(self, run: Run, now: float) -> None:
        """Record a point between two rows of metrics, and the speed."""
        state, self._point_at = run.state, now
        train_loss = run.history.estimator.at(state.update, run.smooth_loss)
        self.history.add_point(state.update, state.seconds, train_loss)
        self._recent.append((now, state.update))
        while now - self._recent[0][0] > SPEED_SECONDS:
            self._recent.popleft()

    def _generate_sample(self, run: Run) -> None:
        update, number = run.state.update, len(self.history.samples)
        text = continue_text(run, run.config.sample_length, np.random.default_rng([run.config.seed, update, number]))
        self.history.add_samples([Sample(update, None, text)], requested=True)
        self.sample_requested.clear()

    # --- Called at the end of training ---

    def finish(self, run: Run | None, error: str = "") -> None:
        """Record the end of training: with a run, or with an error."""
        if run is not None:
            if self._run is None:
                self._start(run)
            self._copy_metrics(run)
            self._updates = self._updates or run.state.update
        self._histograms_due = 0.0
        self._ending = error or (run.advice if run is not None else "")
        self._stage = "failed" if error else "stopped" if run is not None and run.interrupted else "done"

    def close(self, timeout: float) -> None:
        """Wait until all subscribers have disconnected or the timeout is over, and close the rest."""
        deadline = time.monotonic() + (timeout if self._stage in ENDED else 0.0)
        try:
            while self.subscribers and time.monotonic() < deadline:
                time.sleep(TICK)
        finally:
            self._is_closed = True

    # --- Called by the server ---

    async def subscribe(self) -> AsyncGenerator[bytes]:
        """Yield server-sent events: one at the end of training, then none until either side closes the connection."""
        # Every open dashboard subscribes, including those in background tabs: browsers slow their timers down, but not
        # their connections. It disconnects when it has fetched the last data.
        self.subscribers += 1
        try:
            yield b":\n\n"  # a comment, which confirms the subscription
            while self._stage not in ENDED and not self._is_closed:
                await asyncio.sleep(TICK)
            yield b"data: over\n\n"
            while not self._is_closed:
                await asyncio.sleep(TICK)
        finally:
            self.subscribers -= 1

    def about(self) -> dict[str, Any]:
        """Return settings, text and network; empty before the first update."""
        return {} if self._run is None else describe_manifest(self._run.manifest)

    def status(self) -> dict[str, Any]:
        """Return the current status."""
        stage = "stopping" if self.stop_requested.is_set() and self._stage == "running" else self._stage
        status: dict[str, Any] = {"stage": stage, "ending": self._ending, "warning": self._warning}
        status["sampling"] = self.sample_requested.is_set()
        if self._run is None:
            return status
        state = self._run.state
        seconds_left, chars_per_second = self._estimate_speed(self._run.config.chars_per_update)
        status |= {"updates": self._updates, "seconds_left": seconds_left, "chars_per_second": chars_per_second}
        return status | _describe_progress(self.history, state.update, self._run.epochs, state.seconds)

    def _estimate_speed(self, chars_per_update: int) -> tuple[float | None, float | None]:
        """Return the seconds to the last update and the characters per second, from the recent wall-clock speed."""
        recent = list(self._recent) or [(0.0, 0)]
        (start, first), (end, last) = recent[0], recent[-1]
        if start == end:
            return None, None
        updates_per_second = (last - first) / (end - start)
        seconds_left = round(max(0, self._updates - last) / updates_per_second, 1) if updates_per_second else None
        return seconds_left, round(updates_per_second * chars_per_update)

    def histograms(self) -> list[dict[str, Any]]:
        """Return histograms of the current arrays, or the last ones if they are too recent for what they cost."""
        if self._run is not None and (now := time.monotonic()) >= self._histograms_due:
            self._histograms_due = math.inf  # for other requests, until these are computed
            state = self._run.state
            self._histograms = compute_histograms(state.parameters, state.hidden.recurrent)
            self._histograms_due = now + (time.monotonic() - now) / HISTOGRAM_FRACTION
        return self._histograms


class DashboardRun:
    """A run directory that the dashboard displays: a finished run, or a run that another process is training."""

    def __init__(self, path: Path, name: str = "") -> None:
        self.directory, self.name = RunDirectory(path), name or real_path(path).name
        self._lock, self._warning = threading.Lock(), ""
        self._versions: list[FileVersion | None] = []
        self._histograms: tuple[FileVersion | None, list[dict[str, Any]]] = (None, [])
        self._read()

    def _read(self) -> None:
        """Read the files, unless they have not changed since the last time."""
        directory = self.directory
        versions = [_version(directory.path / name) for name in (MANIFEST, METRICS, SAMPLES, CHECKPOINT)]
        if versions == self._versions:
            return
        metrics, samples, manifest = directory.metrics(), directory.samples(), directory.manifest()
        history = RunHistory(manifest.config)
        history.extend(metrics)
        history.add_samples(samples)
        self._history, self._last = history, metrics[-1] if metrics else None
        self._about, self._versions = describe_manifest(manifest), versions

    @property
    def history(self) -> RunHistory:
        """The history so far, as recorded in the files."""
        with self._lock:
            try:
                self._read()
                self._warning = ""
            except ElmanError as error:  # the next call tries again
                self._warning = f"the files cannot be read at the moment: {error}"
            return self._history

    def about(self) -> dict[str, Any]:
        """Return settings, text and network."""
        return self._about

    def status(self) -> dict[str, Any]:
        """Return the current status."""
        history, last, written = self.history, self._last, self._versions[1]
        status: dict[str, Any] = {"stage": "saved", "warning": self._warning, "update": 0, "epoch": 0}
        if last is None:
            return status
        characters = last.update * history.config.chars_per_update
        speed = round(characters / last.seconds) if last.seconds else None
        status |= {"written": written and written[2] / 1e9, "chars_per_second": speed}
        return status | _describe_progress(history, last.update, last.epoch, last.seconds)

    def histograms(self) -> list[dict[str, Any]]:
        """Return histograms of the checkpoint; empty while it cannot be read."""
        with self._lock:
            version = _version(self.directory.path / CHECKPOINT)
            try:
                if version != self._histograms[0]:
                    state = self.directory.load().state
                    self._histograms = (version, compute_histograms(state.parameters, state.hidden.recurrent))
            except ElmanError:
                return []
            return self._histograms[1]


def _describe_progress(history: RunHistory, update: int, epoch: float, seconds: float) -> dict[str, Any]:
    found = {"update": update, "epoch": epoch, "seconds": round(seconds, 1)}
    return found | {"train_loss": history.last_train_loss, "best": history.validation_loss.minimum()}


def _version(path: Path) -> FileVersion | None:
    """Return the version of a file; None if there is none."""
    with suppress(OSError):
        status = path.stat()
        return status.st_ino, status.st_size, status.st_mtime_ns
    return None


RunSource = LiveRun | DashboardRun  # a run that the dashboard displays
