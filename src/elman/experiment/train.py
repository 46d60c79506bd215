"""The training loop.

An engine advances many updates in one call; this loop only decides where to stop next: at a row of metrics, a text
sample, the end of an epoch whose validation is due, a tick of the progress display, or a limit.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from elman.engine import Engine, State, get_engine
from elman.errors import ElmanError, NonFiniteLossError
from elman.experiment.about import describe
from elman.experiment.config import LIMITS, Config, flag, make_config
from elman.experiment.figure import save_figure, smooth_loss_figure
from elman.experiment.record import Metrics, RunDirectory, Sample, finite_or_none
from elman.experiment.run import Run
from elman.network import AdaGrad, Draw
from elman.text import Corpus, Windows, read_corpus
from elman.use.score import score

TICK_SECONDS = 0.1
CHECKPOINT_SECONDS = 30.0


class Watcher(Protocol):
    """Who looks on while a run trains. Every method may do nothing."""

    def preparing(self) -> None:
        """Kernels are about to be compiled, or loaded if they have been before."""

    def progressed(self, run: Run, updates: int) -> None:
        """Some updates were done, of `updates` in all."""

    def sampled(self, sample: Sample) -> None:
        """Text was written."""

    def stop_asked(self) -> bool:
        """Whether to save and stop."""


class Nobody:
    """The watcher that does not look."""

    def preparing(self) -> None:
        """Do nothing."""

    def progressed(self, run: Run, updates: int) -> None:
        """Do nothing."""

    def sampled(self, sample: Sample) -> None:
        """Do nothing."""

    def stop_asked(self) -> bool:
        """Never."""
        return False


def train(
    corpus: str | os.PathLike[str] | Corpus = "python-docs",
    *,
    out: str | os.PathLike[str] | None = None,
    preset: str = "paper",
    resume: bool = False,
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
        If an option, the text or the directory does not fit; the message says what to do.
    NonFiniteLossError
        If a loss is not finite. The last good checkpoint is kept.
    """
    directory = None if out is None else RunDirectory(Path(out))
    if resume:
        if directory is None:
            raise ElmanError("--resume needs the run to go on with: name its directory by --out")
        run = _resumed(directory, corpus, preset, options)
    else:
        run = _begun(directory, corpus, make_config(preset, options))
    # What is no longer finite is noticed and said in words; NumPy need not say it as well.
    with np.errstate(over="ignore", invalid="ignore"):
        _Trainer(run, watcher or Nobody()).train()
    return run


def _begun(directory: RunDirectory | None, source: str | os.PathLike[str] | Corpus, config: Config) -> Run:
    corpus = _read(source, config)
    split(corpus, config)  # refuses a text that is too short before anything is written
    K, m = len(corpus.alphabet), config.hidden_size
    try:
        state = State.initial(K, m, config.init_std, config.random_state, config.dtype)
    except (MemoryError, ValueError):  # NumPy says the second where not even the number of bytes fits
        raise ElmanError(f"there is no memory for a network of K = {K} and m = {m}: lower --hidden-size") from None
    run = Run(config, corpus, state, directory)
    if directory is not None:
        directory.create(describe(run), run.checkpoint)
    return run


def _resumed(
    directory: RunDirectory, source: str | os.PathLike[str] | Corpus, preset: str, options: dict[str, Any]
) -> Run:
    saved = directory.load()
    make_config(preset, options)  # refuses what is unknown or out of range
    differing = [
        f"{flag(name)} is {getattr(saved.config, name)} there and {value} here"
        for name, value in options.items()
        if name not in LIMITS and value != getattr(saved.config, name)
    ]
    if differing:
        raise ElmanError(f"a run goes on with its own settings, and {'; '.join(differing)}: leave these out")
    # A limit of the stopped run would end the longer one that another limit asks for.
    lifted = {"max_updates": None, "max_seconds": None} if LIMITS & options.keys() else {}
    config = replace(saved.config, **lifted | options)
    corpus = _read(source, config)
    if corpus.sha256 != saved.corpus_sha256:
        raise ElmanError(
            f"the run in {str(directory.path)!r} was trained on another text (SHA-256 {saved.corpus_sha256[:12]}…, and "
            f"{corpus.name!r} has {corpus.sha256[:12]}…): give that text, or choose another --out"
        )
    if corpus.alphabet != saved.alphabet:
        raise ElmanError(
            f"the text is encoded in an alphabet of {len(corpus.alphabet)} characters, and the run in "
            f"{str(directory.path)!r} in its own of {len(saved.alphabet)}: read the text with that one"
        )
    run = Run(config, corpus, saved.state, directory)
    run.metrics, run.samples = directory.rewind(*_covered(run))
    directory.describe(describe(run))
    return run


def _covered(run: Run) -> tuple[Callable[[int], bool], Callable[[int], bool]]:
    """Of which updates the checkpoint covers a row of metrics, and of which a sample.

    They are those of a run that was never stopped. The row that ended a shorter run has no place in a longer one.
    """
    windows, kept_aside = split(run.corpus, run.config)
    config, last, end = run.config, run.state.update, last_update(run.config, windows)

    def row(update: int) -> bool:
        due = update % config.metrics_every == 0 or (kept_aside is not None and update % windows.per_epoch == 0)
        return update <= last and (due or update == last >= end)

    def sample(update: int) -> bool:
        # A checkpoint at update 0 was written before the sample there.
        return update <= last and last > 0 and config.sample_every > 0 and update % config.sample_every == 0

    return row, sample


def last_update(config: Config, windows: Windows) -> int:
    """Return the update that ends the run, where no limit of time ends it before."""
    in_all = config.epochs * windows.per_epoch
    return min(in_all, config.max_updates or in_all)


def _read(source: str | os.PathLike[str] | Corpus, config: Config) -> Corpus:
    return source if isinstance(source, Corpus) else read_corpus(source, encoding=config.encoding)


def split(corpus: Corpus, config: Config) -> tuple[Windows, Windows | None]:
    """Return the windows to train on, and those of the share at the end that is kept aside.

    Raises
    ------
    ElmanError
        If a part is shorter than T + 1 characters.
    """
    border = len(corpus.indices) - round(len(corpus.indices) * config.validation)
    windows = Windows(corpus.indices[:border], config.seq_length)
    return windows, Windows(corpus.indices[border:], config.seq_length) if config.validation else None


class _Trainer:
    """One call of `train`: the loop and what it keeps between two stops."""

    def __init__(self, run: Run, watcher: Watcher) -> None:
        self.run, self.watcher = run, watcher
        self.config, self.state = run.config, run.state
        self.windows, self.kept_aside = split(run.corpus, run.config)
        self.engine = get_engine(run.config.engine)
        self.rule = AdaGrad(run.config.learning_rate, run.config.clip)
        self.end = last_update(run.config, self.windows)
        self.new_metrics: list[Metrics] = []
        self.new_samples: list[Sample] = []
        self.saved_at = time.monotonic()
        self.tick = 16  # updates in one call, until their speed is known
        self.last_loss = math.nan

    def train(self) -> None:
        """Advance to the end or a limit, then leave everything saved."""
        self.watcher.preparing()
        prepare(self.engine, self.state, self.windows, self.rule)
        if self.state.update == 0 and self.config.sample_every:
            self.sample()
        while not self.finished():
            self.advance()
            if self.watcher.stop_asked():
                self.run.interrupted = not self.finished()
                break
        if not self.run.interrupted:
            self.end_curve()
        self.save()
        if self.run.directory is not None and self.run.metrics:
            save_figure(smooth_loss_figure([(self.run.corpus.name, self.run.metrics)]), self.run.directory.figure)

    def finished(self) -> bool:
        """Whether a limit is reached."""
        seconds = self.config.max_seconds
        return self.state.update >= self.end or (seconds is not None and self.state.seconds >= seconds)

    def advance(self) -> None:
        """Do the updates up to the next stop, and what is due there."""
        state, updates = self.state, self.updates_to_next_stop()
        began = time.perf_counter()
        losses = self.engine.advance(state, self.windows, updates, self.rule)
        took = time.perf_counter() - began
        state.seconds += took
        self.tick = max(1, min(round(updates * TICK_SECONDS / took), 4 * self.tick))
        self.check(losses)
        smooth(state, losses)
        self.last_loss = float(losses[-1])
        self.record()
        self.watcher.progressed(self.run, self.end)
        if time.monotonic() - self.saved_at > CHECKPOINT_SECONDS:
            self.save()

    def updates_to_next_stop(self) -> int:
        """The least number of updates after which something is due."""
        done = self.state.update
        stops = [self.tick, self.end - done]
        for every in (self.config.metrics_every, self.config.sample_every, self.validation_every()):
            if every:
                stops.append(every - done % every)
        return min(stops)

    def validation_every(self) -> int:
        """Updates between two scores of the text kept aside; 0 where there is none."""
        return self.windows.per_epoch if self.kept_aside is not None else 0

    def record(self) -> None:
        """Keep the row, the score and the text that are due after this update."""
        done, every = self.state.update, self.validation_every()
        validated = bool(every) and done % every == 0
        sampled = bool(self.config.sample_every) and done % self.config.sample_every == 0
        if validated or sampled:
            self.check_weights()
        if validated or done % self.config.metrics_every == 0:
            self.add_row(validated)
        if sampled:
            self.sample()

    def add_row(self, validated: bool) -> None:
        """Add a row of metrics for the update just done."""
        state, rows = self.state, self.run.metrics
        since = (rows[-1].update, rows[-1].seconds) if rows else (0, 0.0)
        chars = (state.update - since[0]) * self.config.seq_length
        row = Metrics(
            state.update,
            state.epoch,
            state.smooth_loss,
            self.last_loss,
            self.validate() if validated else None,
            state.seconds,
            chars / (state.seconds - since[1]) if state.seconds > since[1] else 0.0,
        )
        rows.append(row)
        self.new_metrics.append(row)

    def end_curve(self) -> None:
        """End the curve at the last update, and score what was kept aside with the finished network."""
        rows = self.run.metrics
        if not math.isnan(self.last_loss) and (not rows or rows[-1].update < self.state.update):
            self.add_row(validated=False)
        if self.kept_aside is not None:
            self.run.validation_loss = self.validate()

    def validate(self) -> float:
        """Score the text kept aside, whole."""
        assert self.kept_aside is not None
        return score(self.engine, self.state.parameters, self.state.h, self.kept_aside.indices).nats_per_char

    def sample(self) -> None:
        """Write text from the state and the first character of the window at hand."""
        text = self.run.write(self.config.sample_length, self.state.sample_generator)
        sample = Sample(self.state.update, finite_or_none(self.state.smooth_loss), text)
        self.run.samples.append(sample)
        self.new_samples.append(sample)
        self.watcher.sampled(sample)

    def save(self) -> None:
        """Bring the directory up to date: rows first, then the checkpoint that covers them."""
        self.check_weights()
        if self.run.directory is not None:
            self.run.directory.append(self.new_metrics, self.new_samples)
            self.run.directory.save(self.run.checkpoint)
        self.new_metrics, self.new_samples = [], []
        self.saved_at = time.monotonic()

    def check(self, losses: NDArray[np.float64]) -> None:
        """Stop at a loss that is not finite; the directory stays at the last checkpoint."""
        bad = np.flatnonzero(~np.isfinite(losses))
        if len(bad):
            raise self.not_finite("the loss", self.state.update - len(losses) + int(bad[0]) + 1)

    def check_weights(self) -> None:
        """Stop before weights that are not finite are used or saved: one finite loss may come before."""
        state = self.state
        if not all(np.isfinite(a).all() for a in (*state.parameters.values(), *state.M.values(), state.h)):
            raise self.not_finite("a weight, its sum of squares or a hidden unit", state.update)

    def not_finite(self, what: str, update: int) -> NonFiniteLossError:
        """The error that says what to lower."""
        directory, config = self.run.directory, self.config
        return NonFiniteLossError(
            f"{what} of update {update} is not finite"
            f"{'' if directory is None else '; the last good checkpoint is kept'}:"
            f" lower --learning-rate (it is {config.learning_rate}), --clip ({config.clip}) or --init-std"
            f" ({config.init_std})"
        )


def smooth(state: State, losses: NDArray[np.float64]) -> None:
    """Carry S <- 0.999 S + 0.001 L through the losses of the last updates, S_0 being the first of all."""
    S, least, at = state.smooth_loss, state.minimum_smooth_loss, state.minimum_at
    for update, L in enumerate(losses.tolist(), state.update - len(losses) + 1):
        S = L if update == 1 else 0.999 * S + 0.001 * L
        if math.isnan(least) or least > S:
            least, at = S, update
    state.smooth_loss, state.minimum_smooth_loss, state.minimum_at = S, least, at


def prepare(engine: Engine, state: State, windows: Windows, rule: AdaGrad) -> None:
    """Have everything compiled that training calls, by calling it on a copy."""
    trial = copy.deepcopy(state)
    engine.advance(trial, windows, 1, rule)
    engine.generate(trial.parameters, trial.h, 0, np.zeros(1), Draw())
