"""The training loop.

An engine advances many updates in one call; this loop only decides where to stop next: at a row of metrics, a text
sample, a score of the text kept aside, a tick of the progress display, or a limit.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections import deque
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.engine import CALLBACK_INTERVAL, Engine, TrainState, get_engine
from elman.errors import ElmanError, NonFiniteLossError
from elman.inference.score import score
from elman.network import SamplingParams
from elman.network.optimizer import Optimizer
from elman.network.parameters import Array, architecture
from elman.runs.checkpoint import Network
from elman.runs.lifecycle import begin, last_update, resume_run, rule_of, validation_every
from elman.runs.loggers import open_logs
from elman.runs.records import Metrics, RunDirectory, Sample, finite_or_none
from elman.runs.run import Run, split
from elman.text import Corpus, Windows
from elman.training.advice import Outcome, advise
from elman.training.callbacks import Nobody, Watcher
from elman.training.health import Health
from elman.training.plots import save_figure, smooth_loss_figure
from elman.training.time_budget import Budget

TICK_SECONDS = 0.1
CHECKPOINT_SECONDS = 30.0
"""Between two checkpoints, at most, unless writing them takes too much of the time."""
CHECKPOINT_UPDATES = 100_000
"""Likewise."""
CHECKPOINT_SHARE = 0.01
"""Of the time, that writing checkpoints may take: after one that took s seconds, s / share pass before the next."""
RECENT = 1000
"""Updates, at most and of the last tenth, whose mean loss tells how well the network does on its own text."""


def train(
    corpus: str | os.PathLike[str] | Corpus = "python-docs",
    *,
    out: str | os.PathLike[str] | None = None,
    preset: str = "paper",
    resume: bool = False,
    log: Sequence[str] = (),
    watcher: Watcher | None = None,
    **options: Any,
) -> Run:
    """Train a network on a text.

    Parameters
    ----------
    corpus : str, path or Corpus
        A file, ``-`` for standard input, a built-in name (``python-docs``, ``shakespeare``), or a text read already.
    out : path, optional
        The run directory to write. Without one nothing is written and the run lives in memory.
    preset : str
        Where settings come from that are not given; ``paper`` is the reference experiment.
    resume : bool
        Go on with the run in `out`. Its settings are taken from there; other limits may be given.
    log : sequence of str
        Write the metrics once more in `out`: ``jsonl``, in ``metrics.jsonl``; ``tensorboard``, in ``tensorboard/``.
        A run that is gone on with goes on with the logs that are there.
    watcher : Watcher, optional
        Told about progress.
    **options
        The fields of `elman.Config`.

    Returns
    -------
    Run

    Raises
    ------
    ElmanError
        If an option, the text or the directory does not fit, or another training writes to it; the message says what
        to do.
    NonFiniteLossError
        If a loss is not finite. The last good checkpoint is kept.
    """
    if out is None and resume:
        raise ElmanError("--resume needs the run to go on with: name its directory by --out")
    if out is None and log:
        raise ElmanError("--log writes in the directory of the run: name it by --out")
    directory = None if out is None else RunDirectory(Path(out), open_logs(Path(out), log, resume=resume))
    with nullcontext() if directory is None else directory.writer:
        if resume and directory is not None:
            run = resume_run(directory, corpus, preset, options)
        else:
            run = begin(directory, corpus, preset, options)
        # What is no longer finite is noticed and said in words; NumPy need not say it as well.
        with np.errstate(over="ignore", invalid="ignore"):
            _Trainer(run, watcher or Nobody()).train()
    return run


class _Trainer:
    """One call of `train`: the loop and what it keeps between two stops."""

    def __init__(self, run: Run, watcher: Watcher) -> None:
        self.run, self.watcher = run, watcher
        self.config, self.state = run.config, run.state
        self.windows, self.kept_aside = split(run.corpus, run.config)
        self.engine = get_engine(run.config.engine)
        self.optimizer = self.current_optimizer = rule_of(run.config)
        self.end = last_update(run.config, self.windows)
        self.validation_every = validation_every(run.config, self.windows)
        self.budget = Budget(run.config.max_seconds, run.state.update, run.state.seconds)
        self.new_metrics: list[Metrics] = []
        self.new_samples: list[Sample] = []
        self.new_rates: list[float] = []  # of the new rows' updates
        self.saved_at = time.monotonic()
        self.saved_update = run.state.update
        self.save_seconds = 0.0  # that the last save took
        self.tick = 1  # updates in one call, until their speed is known
        self.recent = deque[float](maxlen=RECENT)
        self.health = Health(run.config, architecture(run.state.parameters))
        self.ailing = ""  # what is wrong with the network now
        self.warned = False
        self.end_score: float | None = None  # of the finished network, on the text kept aside

    def train(self) -> None:
        """Advance to the end or a limit, then leave everything saved."""
        self.watcher.preparing()
        prepare(self.engine, self.state, self.windows, self.optimizer)
        if self.state.update == 0 and self.config.sample_every:
            self.sample()
        while not self.reason_to_stop():
            self.advance()
            if self.watcher.stop_asked():
                self.run.stopped = self.reason_to_stop() or "interrupted"
                break
        self.run.stopped = self.run.stopped or self.reason_to_stop()
        self.end_curve()
        if self.kept_aside is not None and not self.run.interrupted:
            self.score_the_end()
        self.save()
        self.run.advice = self.advice()
        if self.run.directory is not None and self.run.metrics:
            save_figure(smooth_loss_figure([(self.run.corpus.name, self.run.metrics)]), self.run.directory.figure)

    def reason_to_stop(self) -> str:
        """The limit that is reached, by its name; empty while none is."""
        done, patience = self.state.update, self.config.patience
        if done >= self.end:
            return "max_updates" if self.config.max_updates == self.end else "epochs"
        if done >= self.last():
            return "max_seconds"
        return "patience" if patience and self.scores_since_best() >= patience else ""

    def last(self) -> int:
        """The update that will be the last, as far as is known."""
        return self.budget.last(self.state.update, self.state.seconds, self.end)

    def scores_since_best(self) -> int:
        """How often the text kept aside was scored since it was predicted best, or from the beginning."""
        since = self.state.update - (0 if self.run.best is None else self.run.best.update)
        return since // self.validation_every

    def advance(self) -> None:
        """Do the updates up to the next stop, and what is due there."""
        state, last = self.state, self.last()
        updates = self.updates_to_next_stop(last)
        began = time.perf_counter()
        self.current_optimizer = replace(self.optimizer, end=last)
        losses = self.engine.advance(state, self.windows, updates, self.current_optimizer, self.look)
        took = time.perf_counter() - began
        state.seconds += took
        self.budget.measured(len(losses), took)
        self.tick = max(1, min(round(len(losses) * TICK_SECONDS / took), 4 * self.tick))
        self.check(losses)
        smooth(state, losses)
        if unseen := min(len(losses), state.update % CALLBACK_INTERVAL):
            self.recent.extend(losses[-unseen:].tolist())
            if self.health.suspects:
                self.ailing = self.health.look(state.h, self.recent)
        if self.ailing and not self.warned:
            self.warned = True
            self.watcher.warned(f"at update {state.update} {self.ailing}")
        self.record()
        self.watcher.progressed(self.run, self.last())
        # At the end `train` saves, and adds the row that ends the curve, which a run resumed here would not know.
        if self.checkpoint_is_due() and not self.reason_to_stop():
            self.save()

    def look(self, h: Array, losses: NDArray[np.float64]) -> bool:
        """See, while the engine is at work, whether the network is alive; have it stop where there is more to do."""
        latest = losses.tolist()
        self.recent.extend(latest)
        if not math.isfinite(sum(latest)):
            return True
        self.ailing = self.health.look(h, self.recent)
        return self.health.suspects or (bool(self.ailing) and not self.warned)

    def checkpoint_is_due(self) -> bool:
        """Whether enough time has passed, or enough updates, and enough time for what the last one cost."""
        since, updates = time.monotonic() - self.saved_at, self.state.update - self.saved_update
        due = since > CHECKPOINT_SECONDS or updates >= CHECKPOINT_UPDATES
        return due and since * CHECKPOINT_SHARE >= self.save_seconds

    def updates_to_next_stop(self, last: int) -> int:
        """The least number of updates after which something is due."""
        done = self.state.update
        stops = [1 if self.health.suspects else self.tick, max(1, last - done)]
        for every in (self.config.metrics_every, self.config.sample_every, self.validation_every):
            if every:
                stops.append(every - done % every)
        return min(stops)

    def record(self) -> None:
        """Keep the row, the score and the text that are due after this update."""
        done, every = self.state.update, self.validation_every
        validated = bool(every) and done % every == 0
        sampled = bool(self.config.sample_every) and done % self.config.sample_every == 0
        if validated or sampled:
            self.check_weights()
        if validated or done % self.config.metrics_every == 0:
            self.add_row(self.validate() if validated else None)
        if validated:
            self.run.best = self.run.kept = self.better_of_now_and(self.run.best, self.run.metrics[-1].validation_loss)
        if sampled:
            self.sample()

    def add_row(self, validation_loss: float | None) -> None:
        """Add a row of metrics for the update just done."""
        state, rows = self.state, self.run.metrics
        since = (rows[-1].update, rows[-1].seconds) if rows else (0, 0.0)
        chars = (state.update - since[0]) * self.config.chars_per_update
        row = Metrics(
            state.update,
            state.epoch,
            state.smooth_loss,
            self.recent[-1],
            validation_loss,
            state.seconds,
            chars / (state.seconds - since[1]) if state.seconds > since[1] else 0.0,
        )
        rows.append(row)
        self.new_metrics.append(row)
        self.new_rates.append(float(self.current_optimizer.learning_rates(state.update - 1, 1)[0]))
        if validation_loss is not None:
            self.run.latest_score = validation_loss

    def end_curve(self) -> None:
        """End the curve at the last update. A run that goes on takes that row away."""
        rows = self.run.metrics
        if self.recent and (not rows or rows[-1].update < self.state.update):
            self.add_row(None)

    def score_the_end(self) -> None:
        """Score what was kept aside with the finished network.

        What that finds is kept for use, but is no part of the run: a longer one would not have asked here.
        """
        self.check_weights()
        self.end_score = self.last_score()
        self.run.kept = self.better_of_now_and(self.run.best, self.end_score)

    def advice(self) -> str:
        """What to do next; for a network that is not well, what is wrong with it."""
        if self.ailing and not self.run.interrupted:
            return f"{self.ailing[0].upper()}{self.ailing[1:]}."
        return advise(self.outcome())

    def outcome(self) -> Outcome:
        """What there is to say what to do next from."""
        run, config = self.run, self.config
        recent = list(self.recent)[-max(1, run.state.update // 10) :]
        rows = list(run.metrics)
        scores = [(row.update, row.validation_loss) for row in rows] + [(run.state.update, self.end_score)]
        validation = [(update, loss) for update, loss in scores if loss is not None and math.isfinite(loss)]
        return Outcome(
            smooth=[(row.update, row.smooth_loss) for row in rows],
            validation=validation,
            train_loss=float(np.mean(recent)) / config.seq_length if recent else None,
            dropout=config.dropout,
            epochs=run.state.epoch,
            reference=(config.cell, config.optimizer) == ("rnn", "adagrad"),
            interrupted=run.interrupted,
        )

    def last_score(self) -> float:
        """How the network of now predicts the text kept aside, which a row may tell."""
        rows = self.run.metrics
        if rows and rows[-1].update == self.state.update and rows[-1].validation_loss is not None:
            return rows[-1].validation_loss
        return self.validate()

    def better_of_now_and(self, best: Network | None, validation_loss: float | None) -> Network | None:
        """Return the network of now if it scores better than the best so far, else that one."""
        if validation_loss is None or not math.isfinite(validation_loss):
            return best
        if best is not None and best.validation_loss is not None and best.validation_loss <= validation_loss:
            return best
        return Network.of(self.state, validation_loss)

    def validate(self) -> float:
        """Score the text kept aside, whole."""
        assert self.kept_aside is not None
        state = self.state
        return score(self.engine, state.eval_parameters, state.final_hidden, self.kept_aside.indices).nats_per_char

    def sample(self) -> None:
        """Write text from the state and the first character of the window at hand."""
        text = self.run.write(self.config.sample_length, self.state.sample_generator)
        sample = Sample(self.state.update, finite_or_none(self.state.smooth_loss), text)
        self.run.samples.append(sample)
        self.new_samples.append(sample)
        self.watcher.sampled(sample)

    def save(self) -> None:
        """Bring the directory up to date: rows first, then the checkpoint that covers them."""
        began = time.monotonic()
        self.check_weights()
        if self.run.directory is not None:
            self.run.directory.append(self.new_metrics, self.new_rates, self.new_samples)
            self.run.directory.save(self.run.checkpoint, self.run.kept)
            self.run.metrics.let_go()
            self.run.samples.let_go()
        self.run.corpus.release()  # what a long text's pages took would add up
        self.new_metrics, self.new_samples, self.new_rates = [], [], []
        self.saved_at, self.saved_update = time.monotonic(), self.state.update
        self.save_seconds = self.saved_at - began

    def check(self, losses: NDArray[np.float64]) -> None:
        """Stop at a loss that is not finite; the directory stays at the last checkpoint."""
        bad = np.flatnonzero(~np.isfinite(losses))
        if len(bad):
            raise self.not_finite("the loss", self.state.update - len(losses) + int(bad[0]) + 1)

    def check_weights(self) -> None:
        """Stop before weights that are not finite are used or saved: one finite loss may come before."""
        state = self.state
        arrays = [a for group in (state.parameters, state.M, state.N, state.average) for a in group.values()]
        if not all(np.isfinite(array).all() for array in (*arrays, state.h)):
            raise self.not_finite("a weight, its momentum, its sum of squares or a hidden unit", state.update)

    def not_finite(self, what: str, update: int) -> NonFiniteLossError:
        """The error that says what to lower."""
        directory, config = self.run.directory, self.config
        return NonFiniteLossError(
            f"{what} of update {update} is not finite"
            f"{'' if directory is None else '; the last good checkpoint is kept'}:"
            f" lower --learning-rate (it is {config.learning_rate}), --clip ({config.clip}) or --init-std"
            f" ({config.init_std})"
        )


def smooth(state: TrainState, losses: NDArray[np.float64]) -> None:
    """Carry S <- 0.999 S + 0.001 L through the losses of the last updates, S_0 being the first of all."""
    S, least, at = state.smooth_loss, state.minimum_smooth_loss, state.minimum_at
    for update, L in enumerate(losses.tolist(), state.update - len(losses) + 1):
        S = L if update == 1 else 0.999 * S + 0.001 * L
        if math.isnan(least) or least > S:
            least, at = S, update
    state.smooth_loss, state.minimum_smooth_loss, state.minimum_at = S, least, at


def prepare(engine: Engine, state: TrainState, windows: Windows, optimizer: Optimizer) -> None:
    """Have everything compiled that training calls, by calling it on a copy."""
    trial = copy.deepcopy(state)
    engine.advance(trial, windows, 1, optimizer)
    engine.generate(trial.eval_parameters, trial.final_hidden, 0, np.zeros(1), SamplingParams())
