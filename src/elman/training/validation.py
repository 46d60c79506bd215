"""Validation: when the network is validated, and which is the best."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from elman.engine import Engine, Indices
from elman.engine.processes import run_on_first_process
from elman.model.score import score
from elman.network.bptt import begin_text
from elman.recipe import alphabet_factor
from elman.runs.snapshot import Snapshot
from elman.training.callbacks import TrainingCallback
from elman.training.health import HealthCheck
from elman.training.limits import Stopwatch
from elman.training.records import MetricsRows
from elman.training.run import Run

VALIDATIONS = 10
"""Validations per run, at least, unless they would need too much of the time."""
FREE_CHARS = 20_000
"""Characters of a validation set, with a small alphabet, that are read in no time worth counting."""
CHARS_PER_VALIDATED = 10
"""Characters trained on per further character of a validation, at least. A validation reads at least two characters in
the time of one in training, so that it accounts for about 5 % of the time."""


class Validation:
    """Validates the network, adds the loss to the metrics, and keeps the best network."""

    def __init__(
        self, run: Run, callback: TrainingCallback, engine: Engine, stopwatch: Stopwatch, rows: MetricsRows,
        health: HealthCheck,
    ) -> None:  # fmt: skip
        self.run, self.callback, self.engine, self.stopwatch = run, callback, engine, stopwatch
        self.rows, self.health, self.seconds_per_char = rows, health, 0.0

    def next_update(self, last_update: int) -> float:
        """Return the update of the next validation, at most the last update; none is due shortly before the last."""
        run = self.run
        if run.data.validation_sample is None:
            return math.inf
        interval = validation_interval(run, last_update)
        due = max(run.history.validated_at + interval, run.state.update)
        return min(due, last_update) if run.config.validate_every or due + interval / 2 <= last_update else last_update

    def perform(self, last_update: int) -> None:
        """Validate the current network."""
        run, update = self.run, self.run.state.update
        # The final network does not become `best` if it is validated only because the run ends: a longer run would
        # not validate it.
        every, at = run.config.validate_every, run.history.validated_at
        is_regular = update >= at + every if every else update < last_update
        self.health.require_finite()
        loss = self.score(run.snapshot(), run.data.validation_sample)
        self.callback.on_validation(run, loss)
        self.rows.add(loss)
        run.selected = self.better_of_best_and_current(loss)
        if is_regular:
            run.best = run.selected

    def better_of_best_and_current(self, validation_loss: float) -> Snapshot | None:
        """Return the current network if its validation loss is lower than the best one so far, else the best one."""
        best = self.run.best
        lowest = math.inf if best is None or best.validation_loss is None else best.validation_loss
        # A loss that is nan is not lower.
        return self.run.snapshot(validation_loss).copy() if validation_loss < lowest else best

    def score(self, network: Snapshot, indices: Indices | None) -> float:
        """Return the loss of a text in nats per character, and measure how long it takes."""
        assert indices is not None
        state = begin_text(network.parameters, network.h)

        def measure() -> tuple[float, float]:
            started = self.stopwatch.elapsed()
            loss = score(self.engine, network.parameters, state, indices).nats_per_char
            seconds = self.stopwatch.elapsed() - started
            return loss, self.stopwatch.leave_out_pause(seconds, len(indices) * self.seconds_per_char)

        loss, seconds = run_on_first_process(measure)
        self.run.validation_seconds += seconds
        self.seconds_per_char = seconds / len(indices)
        return loss

    # --- Before the first update ---

    def prepare(self) -> None:
        """Measure how long validations take if there is a time budget, and evaluate the counts."""
        run, sample, ngrams = self.run, self.run.data.validation_sample, self.run.state.parameters.ngrams
        if sample is not None and run.config.max_seconds is not None:
            self.score(run.snapshot(), sample[: round(free_chars(run)) + 1])
        if sample is None or ngrams is None or (run.state.update and not self.best_is_mixed()):
            return
        # Let the counts alone, without the network, be the best model so far: no worse network is kept.
        from elman.ngram.language_model import compute_losses

        run.counts_loss = run_on_first_process(lambda: float(compute_losses(ngrams, sample, run.config.dtype).mean()))
        parameters = run.state.parameters.map(np.zeros_like).switch_on_prior(1.0, 0.0)
        run.best = run.selected = replace(run.snapshot(run.counts_loss), parameters=parameters, update=0)

    def estimate_seconds(self, last_update: int) -> tuple[float, float]:
        """Return the expected seconds of validations: after `last_update`, and per update before it."""
        run, sample, whole = self.run, self.run.data.validation_sample, self.run.data.validation_set
        if sample is None or whole is None:
            return 0.0, 0.0
        # Scoring the lines takes about as long again as a validation.
        at_end = len(sample) * (1 + run.config.lines) + len(whole) * reads_whole_set(run, last_update)
        per_update = len(sample) / validation_interval(run, last_update)
        return at_end * self.seconds_per_char, per_update * self.seconds_per_char

    def best_is_mixed(self) -> bool:
        """Return whether the best model is the result of `mix_with_counts`, at the end of the run that is extended."""
        best, V = self.run.best, self.run.state.eval_parameters["V"]
        return best is not None and best.update == self.run.state.update and not np.array_equal(best.parameters["V"], V)

    # --- At the end ---

    def finish(self) -> None:
        """Validate the selected network on the whole validation set, if that does not take long.

        For independent lines, compute the quantiles of scores from which `elman score` derives its thresholds. If a run
        was interrupted while the counts alone were the best, validate the network.
        """
        run, sample = self.run, self.run.data.validation_sample
        if run.interrupted:
            if sample is not None and run.best is not None and run.best.update == 0 < run.state.update:
                run.selected = self.better_of_best_and_current(self.score(run.snapshot(), sample))
            return
        self.mix_with_counts()
        if run.selected is not None and reads_whole_set(run, run.state.update):
            loss = self.score(run.selected, run.data.validation_set)
            if math.isfinite(loss):
                run.whole_loss, run.selected = loss, replace(run.selected, validation_loss=loss)
        if run.config.lines and sample is not None:
            from elman.model.score_lines import compute_score_quantiles

            run.score_quantiles = run_on_first_process(lambda: compute_score_quantiles(run.model, sample))

    def mix_with_counts(self) -> None:
        """If the counts alone are the best model, try the geometric mean of them and the network."""
        run, counts = self.run, self.run.selected
        if run.config.is_counts_only or counts is None or counts.validation_loss is None or counts.update:
            return
        network = run.snapshot()
        mean = {name: (network.parameters[name] + counts.parameters[name]) / 2 for name in ("alpha", "V", "c")}
        mixed = network.parameters.with_arrays({**network.parameters, **mean}).map(np.copy)
        loss = self.score(replace(network, parameters=mixed), run.data.validation_sample)
        if loss < counts.validation_loss:
            run.best = run.selected = replace(network, parameters=mixed, validation_loss=loss)


def free_chars(run: Run) -> float:
    """Return how many characters are read in no time worth counting: measuring how long they take costs nothing."""
    return FREE_CHARS / alphabet_factor(len(run.corpus.alphabet), run.config.max_seconds)


def validation_interval(run: Run, last_update: int) -> int:
    """Return the number of updates between validations of a run that is expected to end at `last_update`."""
    data, config = run.data, run.config
    assert data.validation_sample is not None
    costly = CHARS_PER_VALIDATED * (len(data.validation_sample) - free_chars(run)) / config.chars_per_update
    often = min(math.ceil(last_update / VALIDATIONS), data.windows.per_epoch)
    return config.validate_every or max(often, math.ceil(costly))


def reads_whole_set(run: Run, last_update: int) -> bool:
    """Return whether the validation at the end of a run, after `last_update`, reads more than the others."""
    whole = run.data.validation_set
    if whole is None or whole is run.data.validation_sample:
        return False
    return CHARS_PER_VALIDATED * len(whole) <= last_update * run.config.chars_per_update
