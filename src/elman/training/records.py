"""The records of a run: rows of ``metrics.csv``, samples, and at the end a plot of the losses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elman.engine import TrainState, get_engine
from elman.engine_registry import inference_engine
from elman.errors import ElmanError, join_command, require_extra
from elman.model.generate import sample_chunks
from elman.network.sampling import SamplingParams
from elman.runs.directory import PLOT
from elman.runs.history import Metrics, Sample, finite_or_none
from elman.training.callbacks import TrainingCallback
from elman.training.health import HealthCheck
from elman.training.run import Run


class MetricsRows:
    """Adds a row for the update just done; `losses` are the latest of the current call, in nats per window."""

    def __init__(self, run: Run, losses: Sequence[float]) -> None:
        self.run, self.losses = run, losses

    def next_update(self, last_update: int) -> float:
        """Return the update at which the next row is due, at most the last one."""
        rows = self.run.metrics
        return min(next_row(rows[-1].update if len(rows) else 0, self.run.config.metrics_every), last_update)

    def perform(self, last_update: int) -> None:
        """Add a row without a validation loss, unless there is one for this update, or no update was done."""
        rows = self.run.metrics
        if self.losses and (not len(rows) or rows[-1].update < self.run.state.update):
            self.add(None)

    def add(self, validation_loss: float | None) -> None:
        """Add a row of metrics."""
        run, state, rows = self.run, self.run.state, self.run.metrics
        since_update, since_seconds = (rows[-1].update, rows[-1].seconds) if len(rows) else (0, 0.0)
        chars, seconds = (state.update - since_update) * run.config.chars_per_update, state.seconds - since_seconds
        smooth_loss, loss = run.smooth_loss, self.losses[-1] / run.config.seq_length
        train_loss = run.history.estimator.append(state.update, smooth_loss, loss)
        rates = chars / seconds if seconds > 0 else 0.0, float(run.optimizer.learning_rates(state.update - 1, 1)[0])
        losses = smooth_loss, loss, train_loss, validation_loss
        run.history.add(Metrics(state.update, float(run.epochs), *losses, state.seconds, *rates))


def next_row(update: int, every: int) -> int:
    """Return the first update after `update` that has a row: a multiple of `every`, or one of the denser rows before.

    Each of the first 8 updates has a row, then 4 rows follow whenever the number of updates doubles. A short run
    therefore has a curve, too, and a long one is not delayed noticeably, although a call of the engine costs 1 ms.
    """
    step = min(every, 1 << max(0, update.bit_length() - 3))
    return min((update // step + 1) * step, (update // every + 1) * every)


def due_rows(last_update: int, every: int) -> Iterator[int]:
    """Yield the updates up to `last_update` that have a row, see `next_row`."""
    update = next_row(0, every)
    while update <= last_update:
        yield update
        update = next_row(update, every)


def update_smooth_loss(state: TrainState, losses: NDArray[np.float64]) -> None:
    """Apply S <- 0.999 S + 0.001 L to the losses of the last updates; S starts as the first loss of the run."""
    S, minimum, at = state.smooth_loss, state.minimum_smooth_loss, state.minimum_at
    for update, L in enumerate(losses.tolist(), state.update - len(losses) + 1):
        S = L if update == 1 else 0.999 * S + 0.001 * L
        if math.isnan(minimum) or minimum > S:
            minimum, at = S, update
    state.smooth_loss, state.minimum_smooth_loss, state.minimum_at = S, minimum, at


FINAL_LENGTH = 1000
"""Length of the sample of the finished network, as in the reference experiment."""
FINAL_LINES = 10
"""Lines of that sample if the text consists of independent lines."""
FINAL_TEMPERATURE = 0.7
"""Temperature of that sample, the default of `elman.Model.sample`."""


class Samples:
    """Generates a sample after every `Config.sample_every` updates."""

    def __init__(self, run: Run, callback: TrainingCallback, health: HealthCheck) -> None:
        self.run, self.callback, self.health = run, callback, health

    def next_update(self, last_update: int) -> float:
        """Return the next multiple of the interval; 0 before the first sample."""
        every, samples = self.run.config.sample_every, self.run.samples
        if not every:
            return math.inf
        return (samples[-1].update // every + 1) * every if len(samples) else 0

    def perform(self, last_update: int) -> None:
        """Generate a sample with the generator of the run, which nothing else uses."""
        self.health.require_finite()
        self.add(continue_text(self.run, self.run.config.sample_length, self.run.state.sample_generator))

    def finish(self) -> None:
        """Add the last sample of a run that was not interrupted, unless this update has one."""
        run = self.run
        if run.config.sample_every and not run.interrupted and run.samples[-1].update < run.state.update:
            self.health.require_finite()
            self.add(generate_final_sample(self.run))

    def add(self, text: str) -> None:
        """Add a sample."""
        run = self.run
        sample = Sample(run.state.update, finite_or_none(run.smooth_loss), text)
        run.samples.append(sample)
        self.callback.on_sample(run, sample)


def continue_text(run: Run, length: int, generator: np.random.Generator, temperature: float = 1.0) -> str:
    """Generate `length` characters from the current state: a continuation of the last batch row, or new lines."""
    state, alphabet, windows, lines = run.state, run.corpus.alphabet, run.data.windows, run.config.lines
    session = get_engine(inference_engine(run.config.engine, run.config.cell)).session(state.eval_parameters)
    position = (windows.batch_size - 1) * windows.row_length + state.position
    first = int(run.corpus.indices[0 if lines else position])
    shown = "" if lines else alphabet.decode([first])
    start, sampling = (state.final_hidden.reshape(1), np.array([first])), SamplingParams(temperature)
    chunks = sample_chunks(session, *start, length - len(shown), sampling, [generator])
    return shown + "".join(alphabet.decode(characters[:, 0]) for characters in chunks)


def generate_final_sample(run: Run, temperature: float = FINAL_TEMPERATURE) -> str:
    """Generate a sample of the selected network, with a generator of its own, so that the run does not change."""
    seed = [run.config.seed, run.state.update]
    if run.config.lines:
        length = FINAL_LENGTH // FINAL_LINES
        return "\n".join(run.model.samples(FINAL_LINES, length, seed=sum(seed), temperature=temperature))
    if run.selected is None or run.selected.update == run.state.update:
        return continue_text(run, FINAL_LENGTH, np.random.default_rng(seed), temperature)
    return run.model.sample(FINAL_LENGTH, seed=sum(seed), temperature=temperature)


def save_plot(run: Run, callback: TrainingCallback) -> None:
    """Write the plot of a run with a directory or, without Matplotlib, say how to get it."""
    if run.directory is None or not len(run.metrics):
        return
    try:
        with require_extra("plot"):
            import matplotlib as matplotlib
    except ElmanError as error:
        plot = join_command("elman", "plot", run.directory.path)
        callback.on_notice(f"no loss curve was drawn: {error}, then {plot}")
    else:
        write_plot(run, run.directory.path / PLOT)


def write_plot(run: Run, path: Path) -> None:
    """Write the plot to a file."""
    from elman.runs.plots import save_figure

    save_figure(run.plot(), path)
