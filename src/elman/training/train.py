"""The training loop.

An engine advances many updates in one call. The loop only decides where to stop next: at a row of metrics, a sample, a
validation, a refresh of the progress display, or a limit.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from elman.config import Config, accept_former_names
from elman.engine import CALLBACK_INTERVAL, TrainState, get_engine
from elman.engine.compilation import COMPILING, compile_kernels, watch_compilation
from elman.errors import name_options
from elman.inference.score import score
from elman.network.parameters import Array, architecture
from elman.processes import current_process, run_on_first_process
from elman.runs.checkpoint import NetworkSnapshot
from elman.runs.directory import RunDirectory
from elman.runs.fine_tuning import ModelSource
from elman.runs.lifecycle import Text, create_optimizer, last_update, resume_run, start_run, validation_every
from elman.runs.loggers import logger_help, open_loggers
from elman.runs.metadata import create_run_metadata
from elman.runs.run import Run, split
from elman.signatures import document_options
from elman.training.advice import advise, outcome_of
from elman.training.callbacks import CallbackList, DeferredErrors, TrainingCallback, combine_callbacks, notify
from elman.training.final_plot import save_plot
from elman.training.health import HealthMonitor, require_finite_losses, require_finite_state
from elman.training.interrupts import InterruptCallback
from elman.training.options import TrainingOptions, check_arguments, collect_settings, list_training_options
from elman.training.prior_schedule import prior_start, switch_on_prior
from elman.training.progress import open_display
from elman.training.recorder import Recorder
from elman.training.time_budget import TimeBudget

TICK_SECONDS = 0.1
"""Between two refreshes of the progress display."""
CHECKPOINT_SECONDS = 30.0
"""Between two checkpoints, at most, unless writing them takes too much of the time."""
CHECKPOINT_UPDATES = 100_000
"""Between two checkpoints, likewise."""
CHECKPOINT_SHARE = 0.01
"""Largest fraction of the time spent writing checkpoints: one that took s seconds is followed by a pause of 100 s."""
RECENT = 1000
"""The training loss is the mean over the last tenth of the updates, but at most this many."""


@accept_former_names({"watcher": "callback"})
@document_options(list_training_options())
def train(
    corpus: Text | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    preset: str | None = None,
    config: Config | None = None,
    init_from: ModelSource | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool | None = None,
    log: Sequence[str] = (),
    callback: TrainingCallback | None = None,
    on_update: Callable[[Run], object] | None = None,
    **options: Unpack[TrainingOptions],
) -> Run:
    """Train a character-level model on a text.

    Parameters
    ----------
    corpus : str, path, open file, list of these, or Corpus
        A file, plain or compressed, a directory, a glob pattern, ``-`` for standard input, a built-in name
        (``python-docs``, ``shakespeare``), or a loaded text; see `elman.text.read_corpus`. For a string that is the
        text itself use `Corpus.from_text`. By default ``python-docs`` or, on resume, the text of the run.
    out : path, optional
        The run directory to write. Without one, nothing is written and the run exists in memory only.
    preset : str
        Settings to start from, which `options` override; by default, as of ``elman train``, ``minute``, which holds
        out the last tenth of the text for validation, and whose settings are the defaults below. ``reference`` is the
        reference experiment. For a text too short for a preset, batch size, sequence length and epochs are lowered,
        unless they are among `options`. A resumed run keeps its preset.
    config : Config, optional
        Settings to start from instead of a preset, which `options` override.
    init_from : path, Run or Model, optional
        Fine-tune: start with the weights of this model, which may be a run directory, a file of weights, a run, or a
        model such as `elman.import_` returns. Cell, hidden size and layers are the model's.
    resume : bool
        Resume the run in `out`. Its settings are taken from there; only the limits may be changed.
    overwrite : bool
        Replace the run in `out`, if there is one, instead of refusing. It is replaced once the settings and the text
        are found to be valid, and other files in `out` are left alone.
    progress : bool, optional
        Whether to show progress: a bar on a terminal and in a notebook, elsewhere a line on standard error every few
        seconds and at every validation. By default, it is shown on a terminal and in a notebook only.
    log : sequence of str
        The loggers to write to in addition to ``metrics.csv`` and ``samples.jsonl``; a resumed run keeps its loggers.

        LOGGERS
    callback : TrainingCallback, optional
        Notified of progress, samples and warnings; may stop the run. If it raises, the run is saved first.
    on_update : callable, optional
        Called with the run after updates, about ten times per second; a true value stops the run.
    OPTIONS

    Returns
    -------
    Run
        Its `stopped` says why training ended. An interrupt (Ctrl-C, the stop button of a notebook) ends it as a limit
        does: the run is saved, and returned with ``stopped == "interrupted"``. A second one raises KeyboardInterrupt.

    Raises
    ------
    ElmanError
        If an option, the text or the directory is invalid, or another training run writes to it; the message says what
        to do.
    NonFiniteLossError
        If a loss is not finite. The last good checkpoint is kept.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> run = elman.train(text, preset="reference", hidden_size=16, max_updates=100, engine="numpy")
    >>> run.state.update, run.stopped
    (100, 'max_updates')
    """
    settings = collect_settings(preset, config, options)
    check_arguments(corpus, out, log, resume=resume, overwrite=overwrite, init_from=init_from)
    own_callbacks, directory = combine_callbacks(callback, on_update), None
    if out is not None:
        directory = RunDirectory(Path(out), open_loggers(Path(out), log, resume=resume), overwrite=overwrite)
    with nullcontext() if directory is None else directory.writing(), open_display(progress) as display:
        if resume and directory is not None:
            run = resume_run(directory, corpus, preset, settings)
        else:
            run = start_run(directory, corpus, preset, settings, init_from)
        if current_process().size > 1:
            run_on_first_process(lambda: replace(run, directory=None))  # what the other processes train
        callbacks = CallbackList(own_callbacks, display)
        for notice in run.notices:
            notify(callbacks, notice)
        if run.was_finished:
            if directory is not None and not directory.plot_path.exists():  # it was killed before it plotted
                save_plot(run, callbacks)
            return run
        # Numbers that overflow are found and reported by the health checks; NumPy need not warn as well.
        interrupt = InterruptCallback()
        with np.errstate(over="ignore", invalid="ignore"), interrupt, DeferredErrors(callbacks, interrupt) as deferring:
            Trainer(run, deferring).train()
    return run


if train.__doc__:  # Python removes docstrings under -OO
    train.__doc__ = train.__doc__.replace("LOGGERS", logger_help().partition("\n\n")[2].replace("\n", f"\n{8 * ' '}"))


class Trainer:
    """One call of `train`: the loop, and its state between two stops.

    Parameters
    ----------
    run : Run
    callback : TrainingCallback
    """

    def __init__(self, run: Run, callback: TrainingCallback) -> None:
        self.run, self.callback = run, callback
        self.config, self.state = run.config, run.state
        self.windows, self.validation_windows = split(run.corpus, run.config, run.validation, run.state.epoch)
        self.windows_epoch = run.state.epoch
        self.engine = get_engine(run.config.engine, run.config.device, run.config.mixed_precision)
        self.optimizer = self.current_optimizer = create_optimizer(run.config)
        self.end = last_update(run.config, self.windows)
        self.validation_every = validation_every(run.config, self.windows)
        self.budget = TimeBudget(run.config.max_seconds, run.state.update, run.state.seconds)
        self.recorder = Recorder(run)
        self.saved_at = time.monotonic()
        self.saved_update = run.state.update
        self.save_seconds = 0.0  # spent on the last save
        self.tick = 1  # updates per call, until their speed is known
        self.recent_losses = deque[float](maxlen=RECENT)
        self.health = HealthMonitor(run.config, architecture(run.state.parameters))
        self.has_warned = False
        self.prior_since = 0  # the update at which it was switched on, by this process
        self.final_validation_loss: float | None = None

    # --- The loop ---

    def train(self) -> None:
        """Advance to the end or to a limit, then save everything."""
        self.callback.on_compile()
        with watch_compilation(lambda: notify(self.callback, COMPILING)):
            compile_kernels(self.engine, self.state, self.windows, self.optimizer, self.config.sample_every > 0)
        if self.state.update == 0 and self.config.sample_every:
            self.sample()
        while not self.reason_to_stop():
            self.advance()
            if run_on_first_process(self.callback.should_stop):
                self.run.stopped = self.reason_to_stop() or "interrupted"
                break
        self.finish()

    def finish(self) -> None:
        """End the run: the last row, the final validation, the checkpoint, the advice and the plot."""
        run = self.run
        run.stopped = run.stopped or self.reason_to_stop()
        if self.recent_losses and not self.recorder.has_row(self.state.update):
            self.add_row(None)  # of an interrupted run; dropped if it is resumed
        if self.validation_windows is not None and not run.interrupted:
            self.validate_final()
        self.save()
        run.advice = name_options(self.advice())
        if run.directory is not None:
            run.directory.write_metadata(create_run_metadata(run))  # again, with the reason why the run ended
        save_plot(run, self.callback)

    def reason_to_stop(self) -> str:
        """Return the name of the limit that is reached; empty while none is."""
        update, patience = self.state.update, self.config.patience
        if update >= self.end:
            return "max_updates" if self.config.max_updates == self.end else "epochs"
        if update >= self.estimate_last():
            return "max_seconds"
        return "patience" if patience and self.validations_since_best() >= patience else ""

    def estimate_last(self) -> int:
        """Return the update that is expected to be the last."""
        return self.budget.last(self.state.update, self.state.seconds, self.end)

    def validations_since_best(self) -> int:
        """Return the number of validations since the best one, or since the start."""
        since = self.state.update - (0 if self.run.best is None else self.run.best.update)
        return since // self.validation_every

    def advance(self) -> None:
        """Do the updates up to the next stop, and everything that is due there."""
        losses = self.call_engine(self.estimate_last())
        require_finite_losses(losses, self.state.update, self.config, saved=self.run.directory is not None)
        update_smooth_loss(self.state, losses)
        self.check_health(losses)
        self.record()
        self.callback.on_progress(self.run, self.estimate_last())
        # At the end `finish` saves, with a last row that a run resumed from here would not have.
        if self.checkpoint_is_due() and not self.reason_to_stop():
            self.save()

    def call_engine(self, last: int) -> NDArray[np.float64]:
        """Advance to the next stop, measure the time, and return the losses."""
        self.current_optimizer = replace(self.optimizer, end=last)
        if self.state.update >= prior_start(self.config, last):
            self.prior_since = self.state.update if switch_on_prior(self.state) else self.prior_since
        self.shuffle_lines()
        updates, started = self.updates_to_next_stop(last), time.perf_counter()
        losses = self.engine.advance(self.state, self.windows, updates, self.current_optimizer, self.on_step)
        seconds = run_on_first_process(lambda: time.perf_counter() - started)
        self.state.seconds += seconds
        self.budget.observe(len(losses), seconds)
        self.tick = max(1, min(round(len(losses) * TICK_SECONDS / seconds), 4 * self.tick))
        return losses

    def shuffle_lines(self) -> None:
        """Put independent lines into the order of the epoch that begins."""
        if self.config.lines and self.windows_epoch != self.state.epoch:
            self.windows_epoch = self.state.epoch
            self.windows, _ = split(self.run.corpus, self.config, epoch=self.windows_epoch)

    def updates_to_next_stop(self, last: int) -> int:
        """Return the smallest number of updates after which something is due."""
        update = self.state.update
        stops = [1 if self.health.needs_recheck else self.tick, max(1, last - update)]
        if update < prior_start(self.config, last):
            stops.append(prior_start(self.config, last) - update)
        for every in (self.config.metrics_every, self.config.sample_every, self.validation_every):
            if every:
                stops.append(every - update % every)
        if self.config.lines:  # the next epoch has another order
            stops.append(self.windows.per_epoch - update % self.windows.per_epoch)
        return min(stops)

    # --- Health ---

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
                self.health.check(self.state.h, self.recent_losses)
        if self.health.problem and not self.has_warned:
            self.has_warned = True
            self.callback.on_warning(name_options(f"at update {self.state.update} {self.health.problem}"))

    def check_weights(self) -> None:
        """Stop before weights that are not finite are used or saved."""
        require_finite_state(self.state, self.config, saved=self.run.directory is not None)

    # --- Records ---

    def record(self) -> None:
        """Add the row, the validation and the sample that are due after this update; the last one has a row, too."""
        update, every = self.state.update, self.validation_every
        validation_is_due = bool(every) and update % every == 0
        sample_is_due = bool(self.config.sample_every) and update % self.config.sample_every == 0
        if validation_is_due or sample_is_due:
            self.check_weights()
        if validation_is_due or update % self.config.metrics_every == 0 or self.reason_to_stop():
            self.add_row(self.validate() if validation_is_due else None)
        if validation_is_due:
            self.run.best = self.run.selected = self.better_of_best_and_current(self.run.metrics[-1].validation_loss)
        if sample_is_due:
            self.sample()

    def add_row(self, validation_loss: float | None) -> None:
        """Add a row of metrics for the update just done."""
        learning_rate = float(self.current_optimizer.learning_rates(self.state.update - 1, 1)[0])
        self.recorder.add_row(self.recent_losses[-1], learning_rate, validation_loss)

    def sample(self) -> None:
        """Generate a sample."""
        self.callback.on_sample(self.recorder.add_sample())

    def checkpoint_is_due(self) -> bool:
        """Return whether enough time or updates have passed, and enough time given the cost of the last checkpoint."""
        seconds, updates = time.monotonic() - self.saved_at, self.state.update - self.saved_update
        due = seconds > CHECKPOINT_SECONDS or updates >= CHECKPOINT_UPDATES
        return due and seconds * CHECKPOINT_SHARE >= self.save_seconds

    def save(self) -> None:
        """Save the run to its directory."""
        started = time.monotonic()
        self.check_weights()
        self.recorder.save()
        self.run.corpus.release()  # the pages of a long text would add up
        self.saved_at, self.saved_update = time.monotonic(), self.state.update
        self.save_seconds = self.saved_at - started

    # --- Validation and advice ---

    def validate(self) -> float:
        """Return the validation loss of the current network, in nats per character of the complete validation set."""
        state, windows = self.state, self.validation_windows
        assert windows is not None
        return run_on_first_process(
            lambda: score(self.engine, state.eval_parameters, state.final_hidden, windows.indices).nats_per_char
        )

    def validate_final(self) -> None:
        """Validate the finished network, and select it if it is the best.

        The result is not recorded as `best`: a longer run would not have validated here.
        """
        self.check_weights()
        rows = self.run.metrics
        recorded = rows[-1].validation_loss if self.recorder.has_row(self.state.update) else None
        self.final_validation_loss = self.validate() if recorded is None else recorded
        self.run.selected = self.better_of_best_and_current(self.final_validation_loss)

    def better_of_best_and_current(self, validation_loss: float | None) -> NetworkSnapshot | None:
        """Return the current network if its validation loss is below that of the best so far, else the latter."""
        best = self.run.best
        if validation_loss is None or not math.isfinite(validation_loss):
            return best
        if best is not None and best.validation_loss is not None and best.validation_loss <= validation_loss:
            return best
        return NetworkSnapshot.of(self.state, validation_loss)

    def advice(self) -> str:
        """Return the advice or, for a network that is not healthy, its problem."""
        problem = self.health.problem
        if problem and not self.run.interrupted:
            return f"{problem[0].upper()}{problem[1:]}."
        return advise(outcome_of(self.run, self.recent_losses, self.final_validation_loss, self.prior_since))


def update_smooth_loss(state: TrainState, losses: NDArray[np.float64]) -> None:
    """Apply S <- 0.999 S + 0.001 L to the losses of the last updates; S starts as the first loss of the run."""
    S, minimum, at = state.smooth_loss, state.minimum_smooth_loss, state.minimum_at
    for update, L in enumerate(losses.tolist(), state.update - len(losses) + 1):
        S = L if update == 1 else 0.999 * S + 0.001 * L
        if math.isnan(minimum) or minimum > S:
            minimum, at = S, update
    state.smooth_loss, state.minimum_smooth_loss, state.minimum_at = S, minimum, at
