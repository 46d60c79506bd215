"""The training loop: an engine advances many updates in one call, and the loop decides where to stop next."""

from __future__ import annotations

import math
import shlex
import time
from collections import deque
from dataclasses import replace
from importlib.util import find_spec
from statistics import median_low

import numpy as np
from numpy.typing import NDArray

from elman.config import Config
from elman.engine import CALLBACK_INTERVAL, COMPILING, TrainState, compile_kernels, get_engine, watch_compilation
from elman.engine.processes import run_on_first_process
from elman.engine.protocol import Indices
from elman.model.score import score
from elman.network.bptt import begin_text
from elman.network.parameters import Array
from elman.runs.history import Metrics, Sample, finite_or_none
from elman.runs.snapshot import Snapshot
from elman.training.callbacks import StoppedEarly, TrainingCallback
from elman.training.health import LOSSES, HealthMonitor, advise, outcome_of, require_finite_losses, require_finite_state
from elman.training.limits import (
    MEASURED_CHARS,
    Stopwatch,
    TimeBudget,
    chars_validated,
    describe_load,
    describe_overrun,
    find_last_update,
    find_reached_limit,
    reads_whole_set,
    validation_interval,
)
from elman.training.run import Run

TICK_SECONDS = 0.4
"""Between two refreshes of the progress display."""
CHECKPOINT_SECONDS = 30.0
"""Between two checkpoints, at most, unless writing them takes too much of the time."""
CHECKPOINT_UPDATES = 100_000
"""Between two checkpoints, likewise."""
CHECKPOINT_SHARE = 0.01
"""Largest fraction of the time spent writing checkpoints: one that took s seconds is followed by a pause of 100 s."""

LATE_ALPHA = 0.4
"""Weight of an n-gram prior that is switched on in a network which predicts as well as the counts alone."""


class Trainer:
    """One call of `elman.train`: the loop, and its state between two stops."""

    def __init__(self, run: Run, callback: TrainingCallback, stopwatch: Stopwatch) -> None:
        self.run, self.callback, self.stopwatch = run, callback, stopwatch
        self.config, self.state, self.optimizer = run.config, run.state, run.optimizer
        self.windows_epoch = run.state.epoch
        self.windows = run.data.windows_of(run.state.epoch)
        self.engine = get_engine(run.config.engine, run.config.device, run.config.mixed_precision)
        self.last_update = find_last_update(run.config, self.windows)
        self.budget = TimeBudget(run.config.max_seconds, run.state.update, run.state.seconds)
        self.spent_before = run.state.spent
        self.seconds_per_validated = 0.0  # character
        self.engine_seconds = self.core_seconds = 0.0  # in the engine: of time, and of a processor core
        self.unsaved_metrics: list[Metrics] = []
        self.unsaved_samples: list[Sample] = []
        self.saved_at = time.monotonic()
        self.saved_update = run.state.update
        self.save_seconds = [run.file_seconds]  # of every save; of several, one may have waited for the disk
        run.preparation_seconds = stopwatch.elapsed()
        self.tick = 1  # updates per call, until their speed is known
        self.recent_losses = deque[float](maxlen=LOSSES)
        self.health = HealthMonitor(run.config, run.state.parameters.architecture)
        self.has_warned = False

    def train(self) -> None:
        """Advance to the end or to a limit, then save everything."""
        try:
            self.prepare()
        except StoppedEarly:  # the directory has what a resumed run starts from
            self.run.stopped = "interrupted"
            self.write_reason()
            return
        if self.config.is_counts_only:
            self.run.stopped = self.reached_limit()
            self.finish_validation()
        while not self.run.stopped:
            limit = self.advance()
            asked = run_on_first_process(self.callback.should_stop)
            self.run.stopped = limit or ("interrupted" if asked else "")
        self.finish()

    def prepare(self) -> None:
        """Do what takes a while, and what a run has before its first update."""
        self.callback.on_compile()
        with watch_compilation(lambda: self.callback.on_notice(COMPILING)):
            compile_kernels(self.engine, self.state, self.windows, self.optimizer, self.config.sample_every > 0)
        if self.state.update == 0 and self.config.sample_every:
            self.add_sample()
        self.measure_validation()
        self.evaluate_counts()

    def finish(self) -> None:
        """End the run: the last row, the checkpoint, the advice and the plot."""
        run, state = self.run, self.state
        if run.stopped == "max_seconds" and self.config.max_seconds is not None:
            state.spent = max(state.spent, self.config.max_seconds)
        if self.recent_losses and all(row.update < state.update for row in run.metrics[-1:]):
            self.add_row(None)  # of an interrupted run; dropped if it is resumed
        if run.interrupted:
            self.validate_interrupted()
        self.save()
        problem = self.health.problem
        is_healthy = run.interrupted or not problem
        run.advice = advise(outcome_of(run)) if is_healthy else f"{problem[0].upper()}{problem[1:]}."
        share = self.core_seconds / self.engine_seconds if self.engine_seconds else 1.0
        for warning in filter(None, (describe_overrun(run, self.stopwatch.elapsed()), describe_load(run, share))):
            self.callback.on_warning(warning)
        self.write_reason()
        save_plot(run, self.callback)

    def write_reason(self) -> None:
        """Write ``run.json`` again, with the reason why the run ended."""
        if self.run.directory is not None:
            self.run.directory.write_manifest(self.run.manifest)

    def reached_limit(self) -> str:
        """Return the name of the limit that is reached; empty while none is."""
        return find_reached_limit(self.run, self.config, self.estimate_last_update())

    def estimate_last_update(self) -> int:
        """Return the update that is expected to be the last."""
        return self.budget.estimate_last_update(self.state, self.last_update)

    def advance(self) -> str:
        """Do the updates up to the next stop, and everything that is due there; return the limit that is reached."""
        losses = self.call_engine(max(self.estimate_last_update(), self.state.update + 1))
        require_finite_losses(losses, self.state.update, self.config, saved=self.run.directory is not None)
        update_smooth_loss(self.state, losses)
        self.check_health(losses)
        self.record()
        self.callback.on_progress(self.run, self.estimate_last_update())
        # At the end `finish` saves, with a last row that a run resumed from here would not have.
        limit = self.reached_limit()
        if self.checkpoint_is_due() and not limit:
            self.save()
        return limit

    def call_engine(self, last_update: int) -> NDArray[np.float64]:
        """Advance to the next stop, measure the time, and return the losses."""
        self.optimizer = replace(self.optimizer, last_update=last_update)
        is_due = self.state.update >= prior_start(self.config, last_update)
        if is_due and switch_on_prior(self.state, self.gap_to_counts()):
            self.state.prior_since = self.state.update
        if self.config.lines and self.windows_epoch != self.state.epoch:
            self.windows_epoch = self.state.epoch
            self.windows = self.run.data.windows_of(self.windows_epoch)
        updates, started, core_started = self.updates_to_next_stop(last_update), time.perf_counter(), time.thread_time()
        losses = self.engine.advance(self.state, self.windows, updates, self.optimizer, self.on_step)

        def measure() -> tuple[float, float]:
            expected = self.budget.estimate_seconds(len(losses))
            return self.stopwatch.leave_out_pause(time.perf_counter() - started, expected), self.stopwatch.elapsed()

        seconds, elapsed = run_on_first_process(measure)
        self.engine_seconds += seconds
        self.core_seconds += time.thread_time() - core_started
        self.state.seconds += seconds
        self.state.spent = self.spent_before + elapsed
        self.budget.observe(len(losses), seconds)
        self.budget.reserve, self.budget.per_update = run_on_first_process(self.estimate_rest)
        self.tick = max(1, min(round(len(losses) * TICK_SECONDS / seconds), 4 * self.tick))
        return losses

    def gap_to_counts(self) -> float:
        """Return by how much the network alone is worse than the counts alone, in nats per character; 0 if unknown."""
        network, counts = self.run.train_loss, self.run.counts_loss
        return 0.0 if network is None or counts is None else network - counts

    def estimate_rest(self) -> tuple[float, float]:
        """Return the expected seconds from the last update to the exit, and those of validations before, per update."""
        if self.config.max_seconds is None:
            return 0.0, 0.0
        at_end, per_update = chars_validated(self.run.data, self.config, self.estimate_last_update())
        files = 0.0
        if self.run.directory is not None:
            files = median_low(self.save_seconds) + self.stopwatch.estimate_exit(self.config.max_seconds)
        return files + at_end * self.seconds_per_validated, per_update * self.seconds_per_validated

    def updates_to_next_stop(self, last_update: int) -> int:
        """Return the smallest number of updates after which something is due."""
        update = self.state.update
        stops = [1 if self.health.needs_recheck else self.tick, max(1, last_update - update)]
        if update < prior_start(self.config, last_update):
            stops.append(prior_start(self.config, last_update) - update)
        if self.run.data.validation_sample is not None:
            stops.append(max(1, self.next_validation(last_update) - update))
        intervals = [self.config.metrics_every, self.config.sample_every]
        if self.config.lines:  # the next epoch has another order
            intervals.append(self.windows.per_epoch)
        return min(stops + [every - update % every for every in intervals if every])

    def on_step(self, h: Array, losses: NDArray[np.float64]) -> bool:
        """Check the health of the network while the engine is at work; return whether to interrupt it."""
        new = losses.tolist()
        self.recent_losses.extend(new)
        if not math.isfinite(sum(new)):
            return True
        problem = self.health.check(h, self.recent_losses)
        return self.health.needs_recheck or (bool(problem) and not self.has_warned)

    def check_health(self, losses: NDArray[np.float64]) -> None:
        """Add the losses that `on_step` has not seen, check again where that is due, and warn once."""
        if unseen := min(len(losses), self.state.update % CALLBACK_INTERVAL):
            self.recent_losses.extend(losses[-unseen:].tolist())
            if self.health.needs_recheck:
                self.health.check(self.state.hidden.recurrent, self.recent_losses)
        if self.health.problem and not self.has_warned:
            self.has_warned = True
            self.callback.on_warning(f"at update {self.state.update} {self.health.problem}")

    def check_weights(self) -> None:
        """Stop before weights that are not finite are used or saved."""
        require_finite_state(self.state, self.config, saved=self.run.directory is not None)

    def record(self) -> None:
        """Add the row, the validation and the sample that are due after this update; the last one is validated, too.

        The final network is not `best` where it is validated only because the run ends: a longer run would not do so.
        """
        run, update, is_last = self.run, self.state.update, bool(self.reached_limit())
        validation_is_due = self.validation_is_due(is_last)
        validates = validation_is_due or (is_last and run.data.validation_sample is not None)
        sample_is_due = bool(self.config.sample_every) and update % self.config.sample_every == 0
        if validates or sample_is_due:
            self.check_weights()
        if validates or update % self.config.metrics_every == 0 or is_last:
            self.add_row(self.validate() if validates else None)
        if validates:
            run.selected = self.better_of_best_and_current(run.metrics[-1].validation_loss)
        if validation_is_due:
            run.best = run.selected
        if validates and self.reached_limit():  # of patience, which this validation may exhaust
            self.finish_validation()
        if sample_is_due:
            self.add_sample()

    def add_row(self, validation_loss: float | None) -> None:
        """Add a row of metrics for the update just done."""
        state, rows = self.state, self.run.metrics
        since_update, since_seconds = (rows[-1].update, rows[-1].seconds) if rows else (0, 0.0)
        chars, seconds = (state.update - since_update) * self.config.chars_per_update, state.seconds - since_seconds
        smooth_loss, loss = self.run.smooth_loss, self.recent_losses[-1] / self.config.seq_length
        row = Metrics(
            state.update,
            float(self.run.epochs),
            smooth_loss,
            loss,
            self.run.estimator.append(state.update, smooth_loss, loss),
            validation_loss,
            state.seconds,
            chars / seconds if seconds > 0 else 0.0,
            float(self.optimizer.learning_rates(state.update - 1, 1)[0]),
        )
        self.run.add_row(row)
        self.unsaved_metrics.append(row)

    def add_sample(self) -> None:
        """Generate a sample from the current state and the next character of the text."""
        generated = self.run.generate(self.config.sample_length, self.state.sample_generator)
        sample = Sample(self.state.update, finite_or_none(self.run.smooth_loss), generated)
        self.run.samples.append(sample)
        self.unsaved_samples.append(sample)
        self.callback.on_sample(self.run, sample)

    def checkpoint_is_due(self) -> bool:
        """Return whether enough time or updates have passed, and enough time given the cost of the last checkpoint."""
        seconds, updates = time.monotonic() - self.saved_at, self.state.update - self.saved_update
        due = seconds > CHECKPOINT_SECONDS or updates >= CHECKPOINT_UPDATES
        return due and seconds * CHECKPOINT_SHARE >= median_low(self.save_seconds)

    def save(self) -> None:
        """Bring the directory up to date: first the records, then the checkpoint that covers them."""
        run, started = self.run, time.monotonic()
        self.check_weights()
        if run.directory is not None:
            run.directory.append(self.unsaved_metrics, self.unsaved_samples)
            run.directory.save(run.checkpoint, run.selected and replace(run.selected, lines=run.lines))
            run.metrics.spill()
            run.samples.spill()
        self.unsaved_metrics, self.unsaved_samples = [], []
        run.corpus.release()  # the pages of a long text would add up
        self.saved_at, self.saved_update = time.monotonic(), self.state.update
        self.save_seconds.append(self.saved_at - started)
        run.file_seconds = sum(self.save_seconds)

    def next_validation(self, last_update: int) -> int:
        """Return the update of the next validation, if the run ends at `last_update`; none is due shortly before it."""
        interval = validation_interval(self.run.data, self.config, last_update)
        due = max(self.run.validated_at + interval, self.state.update)
        return due if self.config.validate_every or due + interval / 2 <= last_update else last_update

    def validation_is_due(self, is_last: bool) -> bool:
        """Return whether a validation is due; in a run that ends here, only by `Config.validate_every`."""
        if self.run.data.validation_sample is None or (is_last and not self.config.validate_every):
            return False
        return self.state.update >= self.next_validation(self.estimate_last_update())

    def validate(self) -> float:
        """Return the validation loss of the current network, in nats per character."""
        validation_loss = self.score(self.run.snapshot(), self.run.data.validation_sample)
        self.callback.on_validation(self.run, validation_loss)
        return validation_loss

    def measure_validation(self) -> None:
        """Measure how long validations of the current network will take."""
        sample = self.run.data.validation_sample
        if sample is not None and self.config.max_seconds is not None:
            self.score(self.run.snapshot(), sample[:MEASURED_CHARS])

    def score(self, network: Snapshot, indices: Indices | None) -> float:
        """Return the loss of a text in nats per character, and measure how long it takes."""
        assert indices is not None
        state = begin_text(network.parameters, network.h)

        def measure() -> tuple[float, float]:
            started = self.stopwatch.elapsed()
            loss = score(self.engine, network.parameters, state, indices).nats_per_char
            seconds = self.stopwatch.elapsed() - started
            return loss, self.stopwatch.leave_out_pause(seconds, len(indices) * self.seconds_per_validated)

        loss, seconds = run_on_first_process(measure)
        self.run.validation_seconds += seconds
        self.seconds_per_validated = seconds / len(indices)
        return loss

    def evaluate_counts(self) -> None:
        """Let the counts alone, without the network, be the best model so far: none that is worse is kept."""
        run, sample, ngrams = self.run, self.run.data.validation_sample, self.state.parameters.ngrams
        if sample is None or ngrams is None or (self.state.update and not self.best_is_mixed()):
            return
        from elman.ngram.language_model import compute_losses

        run.counts_loss = run_on_first_process(lambda: float(compute_losses(ngrams, sample, self.config.dtype).mean()))
        parameters = self.state.parameters.map(np.zeros_like).switch_on_prior(1.0, 0.0)
        run.best = run.selected = replace(run.snapshot(run.counts_loss), parameters=parameters, update=0)

    def best_is_mixed(self) -> bool:
        """Return whether the best model is that of `mix_with_counts`, at the end of the run that is extended."""
        best, V = self.run.best, self.state.eval_parameters["V"]
        return best is not None and best.update == self.state.update and not np.array_equal(best.parameters["V"], V)

    def mix_with_counts(self) -> None:
        """Where the counts alone are the best model, try the geometric mean of them and the network."""
        run, counts = self.run, self.run.selected
        if self.config.is_counts_only or counts is None or counts.validation_loss is None or counts.update:
            return
        network = run.snapshot()
        mean = {name: (network.parameters[name] + counts.parameters[name]) / 2 for name in ("alpha", "V", "c")}
        mixed = network.parameters.with_arrays({**network.parameters, **mean}).map(np.copy)
        loss = self.score(replace(network, parameters=mixed), run.data.validation_sample)
        if loss < counts.validation_loss:
            run.best = run.selected = replace(network, parameters=mixed, validation_loss=loss)

    def validate_interrupted(self) -> None:
        """Validate the network of a run that was interrupted while the counts alone were the best."""
        run, sample = self.run, self.run.data.validation_sample
        if sample is not None and run.best is not None and run.best.update == 0 < self.state.update:
            run.selected = self.better_of_best_and_current(self.score(run.snapshot(), sample))

    def finish_validation(self) -> None:
        """Validate the selected network of a run that ends on the whole validation set, if that does not take long.

        Of independent lines, compute the quantiles of scores from which `elman score` takes its thresholds.
        """
        run, data = self.run, self.run.data
        sample = data.validation_sample
        self.mix_with_counts()
        if run.selected is not None and reads_whole_set(data, self.config, self.state.update):
            loss = self.score(run.selected, data.validation_set)
            if math.isfinite(loss):
                run.whole_loss, run.selected = loss, replace(run.selected, validation_loss=loss)
        if self.config.lines and sample is not None:
            from elman.model.score_lines import compute_score_quantiles

            run.score_quantiles = run_on_first_process(lambda: compute_score_quantiles(run.model, sample))

    def better_of_best_and_current(self, validation_loss: float | None) -> Snapshot | None:
        """Return the current network if its validation loss is below that of the best so far, else the latter."""
        best, lowest = self.run.best, math.inf
        if best is not None and best.validation_loss is not None:
            lowest = best.validation_loss
        if validation_loss is None or not validation_loss < lowest:  # nan is not
            return best
        return self.run.snapshot(validation_loss).copy()


def update_smooth_loss(state: TrainState, losses: NDArray[np.float64]) -> None:
    """Apply S <- 0.999 S + 0.001 L to the losses of the last updates; S starts as the first loss of the run."""
    S, minimum, at = state.smooth_loss, state.minimum_smooth_loss, state.minimum_at
    for update, L in enumerate(losses.tolist(), state.update - len(losses) + 1):
        S = L if update == 1 else 0.999 * S + 0.001 * L
        if math.isnan(minimum) or minimum > S:
            minimum, at = S, update
    state.smooth_loss, state.minimum_smooth_loss, state.minimum_at = S, minimum, at


# --- When the n-gram prior takes part ---
#
# A network that is trained with the prior from the start leaves to it what the last characters imply, and learns less
# of everything else. With `ngram_start` it first learns without the prior, whose alpha are zero; for the rest of the
# run both are trained together, and only then is the cost of the counts paid.


def prior_start(config: Config, last_update: int) -> int:
    """Return after how many of `last_update` updates the prior takes part."""
    return math.ceil(config.ngram_start * last_update)


def switch_on_prior(state: TrainState, gap: float = 0.0) -> bool:
    """Let the prior take part from the next update on; return False if it does already, or if there is none.

    The network's own logits are reduced: both describe much of the same. The larger the gap between the network and
    the counts, the more weight these have.
    """
    if not state.parameters.prior.is_off:
        return False
    alpha = min(max(0.3, LATE_ALPHA + 0.5 * gap), 0.9)
    for arrays in filter(None, (state.parameters.arrays, state.average)):
        for name, array in state.parameters.with_arrays(arrays).switch_on_prior(alpha, 0.7 * (1 - alpha)).items():
            arrays[name][...] = array
    return True


def save_plot(run: Run, callback: TrainingCallback) -> None:
    """Write the plot of a run with a directory or, without Matplotlib, say how to get it."""
    if run.directory is None or not run.metrics:
        return
    if find_spec("matplotlib"):
        run.save_plot()
    else:
        plot = shlex.join(["elman", "plot", str(run.directory.path)])
        callback.on_notice(f"no loss curve was drawn: pip install 'elman[plot]', then {plot}")
