"""The complete reference experiment on one text: gradient check, training, longer training, other seeds, report."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from elman import gradcheck, train
from elman.apps.course.grading import read_submission, run_tasks
from elman.apps.report.lexicon import build_lexicon
from elman.apps.report.plots import draw_losses, inline_svg
from elman.apps.report.render import render_html, render_markdown
from elman.apps.report.results import (
    RESULTS,
    collect_results,
    describe_phase,
    load_progress,
    save_results,
    start_progress,
)
from elman.config import ADJUSTABLE, LIMITS, make_config
from elman.errors import ElmanError, check_range, option, quote, require_extra
from elman.model import create_model
from elman.runs import (
    DEFAULT_TEXT,
    Checkpoint,
    DirectoryLock,
    RunDirectory,
    Sample,
    Snapshot,
    Text,
    TrainingData,
    describe_text,
    finite_or_none,
    read_text,
    reject_links,
    require_free,
    save_figure,
)
from elman.storage import exists, replace_file
from elman.testing import REPORTED
from elman.text import CHUNK_SIZE, check_alphabet_size, cut_pieces
from elman.training import FINAL_LENGTH, CallbackList, Run, TrainingCallback

MAX_SEEDS = 100
WRITTEN_LAST = [f"{name}.{suffix}" for name in ("smooth_loss", "complete_run") for suffix in ("png", "svg")]
WRITTEN_LAST += ["report.md", "report.html"]
FIRST_AT = 1200  # position of the first character of the final text, as in the program of the course report


class _StoppedError(Exception):
    """The callback asks to stop during a gradient check."""


class _BestNetwork(CallbackList):
    """Keeps the network with the lowest smooth loss of all rows of metrics; it is not notified of a run's start."""

    def __init__(self, callback: TrainingCallback, lowest: float, save: Callable[[Snapshot, float], None]) -> None:
        super().__init__(callback)
        self.lowest, self.save = lowest, save
        self.network: Snapshot | None = None

    def on_notice(self, notice: str) -> None:
        """Do nothing."""

    def on_progress(self, run: Run, updates: int) -> None:
        """Keep the network if there is a row of metrics."""
        state = run.state
        has_row = len(run.metrics) and run.metrics[-1].update == state.update
        if has_row and state.smooth_loss < self.lowest:
            self.lowest, self.network = state.smooth_loss, run.snapshot().copy()
        super().on_progress(run, updates)

    def on_save(self, run: Run) -> None:
        """Save the network before the checkpoint: a run that is resumed from the checkpoint does not reach it again."""
        self.save_network()
        super().on_save(run)

    def save_network(self) -> None:
        """Save the network, unless it is saved."""
        if self.network is not None:
            self.save(self.network, self.lowest)
            self.network = None


def report(
    corpus: Text = DEFAULT_TEXT,
    *,
    out: str | os.PathLike[str],
    epochs: int = 10,
    long_epochs: int = 100,
    seeds: int = 1,
    resume: bool = False,
    comparison: bool = True,
    submission: str | os.PathLike[str] | None = None,
    callback: TrainingCallback | None = None,
    **options: Any,
) -> dict[str, Any] | None:
    """Carry out the reference experiment on a text and write a report.

    `out` then contains ``report.html`` (one file), ``report.md``, ``smooth_loss.png`` and ``complete_run.png``, both
    also as ``.svg``, ``results.json`` and the run directory ``run/``. The second phase of training continues the same
    run to `long_epochs` in total; it is skipped if `long_epochs` is not above `epochs`. With `seeds` above 1, the first
    phase is repeated with the seeds that follow, in ``seeds/``. Without `comparison`, the report does not contain the
    results of the course report. If `submission` is a file or notebook with a student's solution of the assignment
    (``elman course``), the report contains the errors of its gradients and the smooth loss of its first 20,000 updates.
    `options` are settings of the preset ``reference``.

    Returns
    -------
    dict or None
        None if stopped by the callback; otherwise the content of ``results.json``, every number finite or null. Smooth
        losses are in nats per window, as in the course report.

        - ``finished``: True. A stopped report has False and only ``gradient_check``, ``short`` and ``times``.
        - ``config``, ``alphabet``, ``corpus``, ``versions``, ``machine``: as in ``run.json``.
        - ``gradient_check``: ``experiments`` from a random initial state and ``zero_state`` from zeros, both as in
          ``elman gradcheck --json``; ``passed``; ``limit``, the maximum error that passes.
        - ``short``, ``long``: as ``elman train --json`` after the first phase and after the second (or null), with
          ``requested_epochs``, and with ``plotted_minimum`` and ``plotted_minimum_at`` over every 10,000th update (or
          ``sample_every``-th), as the course report plots them.
        - ``seeds``: for each seed, ``seed``, ``curve`` and the first phase as in ``short``.
        - ``curve``: ``update`` and ``smooth_loss`` of the complete run.
        - ``statistics``: see `elman.apps.report.curve`.
        - ``samples``, ``final``, ``best``: ``update``, ``smooth_loss``, ``text``; ``final`` is from the last network,
          ``best`` from the lowest point of the curve, both from a zero state and ``first_character``.
        - ``names``: ``name``, ``count`` in the text, ``first_update`` of a sample that has it (or null), ``context``.
        - ``words``: ``update``, ``written``, ``known``, ``share`` of each of the samples, ``final`` and ``best``.
        - ``form``: for the text and ``final``, ``sentences`` and how many are ``capitalized``, ``quotations`` and how
          many are ``closed``.
        - ``searched_samples``: the number of samples that were searched for names.
        - ``times``: ``gradient_check_seconds``, ``training_seconds``, ``whole_seconds``, ``microseconds_per_update``.
        - ``reference``: the results of the course report.
        - ``submission``: null, or its ``name``, ``findings``, ``gradient_check`` and ``training``, as of the run.
    """
    with require_extra("plot"):
        import matplotlib as matplotlib  # checked before the report, which may take hours
    check_range("long_epochs", long_epochs, 1)
    check_range("seeds", seeds, 1, MAX_SEEDS)
    callback = callback or TrainingCallback()
    builder = _ReportBuilder(Path(out), epochs, long_epochs, seeds, comparison, submission, callback, options)
    return builder.make(corpus, resume)


@dataclass
class _ReportBuilder:
    """State of one call of `report`."""

    out: Path
    epochs: int
    long_epochs: int
    seeds: int
    comparison: bool
    submission: str | os.PathLike[str] | None
    callback: TrainingCallback
    options: dict[str, Any]

    def __post_init__(self) -> None:
        self.lock, self.directory = DirectoryLock(self.out), RunDirectory(self.out / "run")
        self.progress, self.started_at = start_progress(), time.perf_counter()

    def make(self, source: Text, resume: bool) -> dict[str, Any] | None:
        """Carry out the remaining steps; return the results, or None if stopped."""
        reject_links(self.directory.path)
        with self.lock:
            self.open(source, resume)
            self.callback.on_notice(describe_text(self.corpus))
            self.lock.acquire()
            with DirectoryLock(self.directory.path) as run_lock:  # until training acquires it
                run_lock.acquire()
                checked = self.check_gradients()
            finished = checked and all(step() for step in (self.train_short, self.train_other_seeds, self.train_long))
            self.save_progress()
            return self.write() if finished else None

    def open(self, source: Text, resume: bool) -> None:
        """Load the progress, read the text, and reject unusable arguments early."""
        if resume:
            self.progress = load_progress(self.out)
        elif self.directory.holds_run():
            remedy = f"use {option.resume:True}, or choose another {option.out}"
            raise ElmanError(f"{quote(self.out)} already contains a report: {remedy}")
        else:
            require_free(self.out, WRITTEN_LAST)
            if exists(self.out / RESULTS):  # of a gradient check that was interrupted
                load_progress(self.out)
        saved = self.directory.load() if self.directory.holds_run() else None
        self.config = saved.config if saved else make_config("reference", {"epochs": self.epochs} | self.options)
        if self.config.is_counts_only or self.config.lines:
            unusable = option.lines if self.config.lines else f"{option.hidden_size:0}"
            raise ElmanError(f"a report needs a network that reads running text: remove {unusable}")
        if not self.config.sample_every:
            raise ElmanError(f"a report shows samples from training: {option.sample_every} must be at least 1 (got 0)")
        if self.submission is not None:
            read_submission(Path(self.submission))  # raises an error if it cannot
        self.corpus = read_text(source, self.config)
        longest, given = max(points for points, *_ in REPORTED), len(self.corpus.indices)
        if given <= longest:
            needed = f"the gradient check of a report needs more than {longest} characters"
            raise ElmanError(f"{needed} (got {given} in {self.corpus.label}): use a longer text")
        check_alphabet_size(self.corpus, self.config.hidden_size)
        windows = TrainingData(self.config, self.corpus).windows  # raises an error if the text is too short
        self.last_short = self.epochs * windows.per_epoch
        if saved is None:
            # At least a few hundred points, even of a short run.
            self.options.setdefault("metrics_every", max(1, min(self.last_short // 300, self.config.metrics_every)))
            self.require_same_check()
        else:
            self.require_same_experiment(saved, windows.per_epoch)

    def require_same_experiment(self, saved: Checkpoint, per_epoch: int) -> None:
        """Check that the run, as far as it is done, matches the request."""
        for name in sorted((ADJUSTABLE - LIMITS) & self.options.keys()):
            if self.options[name] != (value := getattr(saved.config, name)):
                values = f"run: {value}, given: {self.options[name]}"
                raise ElmanError(f"cannot change {option[name]} of a report ({values}): choose another {option.out}")
        short, update = self.progress["short"], saved.state.update
        reached = f"the run in {quote(self.out)} is already at epoch {saved.state.epoch}"
        if (update > self.last_short or short) and (short is None or short["requested_epochs"] != self.epochs):
            done = short["requested_epochs"] if short else saved.state.epoch + 1
            raise ElmanError(f"cannot report {self.epochs} epochs: {reached}; use {option.epochs:{done}}")
        if update > max(self.epochs, self.long_epochs) * per_epoch:
            remedy = f"use {option.long_epochs:{-(-update // per_epoch)}}"
            raise ElmanError(f"cannot report {self.long_epochs} epochs in total: {reached}; {remedy}")

    def require_same_check(self) -> None:
        """Check that finished experiments of the gradient check belong to this text and network."""
        check, config = self.progress["gradient_check"], self.config
        setting = [self.corpus.sha256, config.cell, config.layers, config.ngram_order, config.seed]
        if check["setting"] not in (None, setting):
            remedy = f"choose another {option.out}, or remove {option.resume:True} and the files in it"
            raise ElmanError(f"the gradient check in {quote(self.out)} has another text, network or seed: {remedy}")
        check["setting"] = setting

    def save_progress(self) -> None:
        now = time.perf_counter()
        self.progress["times"]["whole_seconds"] += now - self.started_at
        self.started_at = now
        save_results(self.out, self.progress)

    def check_gradients(self) -> bool:
        """Carry out the remaining experiments, from a random initial state and from zeros; return False if stopped."""
        result = self.progress["gradient_check"]
        settings = {name: getattr(self.config, name) for name in ("cell", "layers", "ngram_order", "engine", "seed")}
        for key, zero_state in (("experiments", False), ("zero_state", True)):
            for points, m, T, _ in REPORTED[len(result[key]) :]:
                started = time.perf_counter()
                sizes: dict[str, Any] = {"points": points, "hidden_size": m, "seq_length": T, "zero_state": zero_state}
                show = partial(self.show_check, points, m, T)
                try:
                    (check,) = gradcheck(self.corpus, **sizes, **settings, full=True, on_progress=show)
                except _StoppedError:
                    return False
                errors = {name: finite_or_none(error) for name, error in check.relative_error.items()}
                result[key].append(asdict(check) | {"relative_error": errors})
                result["passed"] &= check.passed
                self.progress["times"]["gradient_check_seconds"] += time.perf_counter() - started
                self.save_progress()
                if self.callback.should_stop():
                    return False
        return True

    def show_check(self, points: int, m: int, T: int, done: float) -> None:
        """Show the progress of an experiment, and end it if the callback asks to stop."""
        self.callback.on_gradient_check(points, m, T, done)
        if done < 1 and self.callback.should_stop():
            raise _StoppedError

    def train_short(self) -> bool:
        """Train the first phase; return False if stopped."""
        if self.progress["short"] and self.long_epochs > self.epochs:  # the run may be in the second phase
            return True
        self.run, finished = self.train(self.epochs)
        if finished and self.run.state.update <= self.last_short:
            self.progress["short"] = describe_phase(self.run, self.epochs)
            self.save_progress()
        return finished

    def train_long(self) -> bool:
        """Continue to the end of the second phase, if there is one; return False if stopped."""
        finished = True
        if self.long_epochs > self.epochs:
            self.run, finished = self.train(self.long_epochs)
        return finished

    def train(self, epochs: int) -> tuple[Run, bool]:
        """Train up to a number of epochs, resuming the run; return it, and whether it was not stopped."""
        best = self.progress["best"]
        callback = _BestNetwork(self.callback, best["smooth_loss"] if best else math.inf, self.save_best)
        try:
            run = self.call_train(self.directory.path, epochs, callback, self.options)
        finally:
            callback.save_network()  # if this failed: the error ends training only after the checkpoint is written
        return run, not run.interrupted

    def save_best(self, network: Snapshot, smooth_loss: float) -> None:
        """Save the text of the network with the lowest smooth loss so far."""
        self.progress["best"] = asdict(Sample(network.update, smooth_loss, self.write_text(network)))
        self.save_progress()

    def train_other_seeds(self) -> bool:
        """Repeat the first phase with the seeds that follow; return False if stopped."""
        self.others = []
        for seed in range(self.config.seed + 1, self.config.seed + self.seeds):
            self.callback.on_notice(f"seed {seed} …")
            path, callback = self.out / "seeds" / str(seed), _BestNetwork(self.callback, -math.inf, self.save_best)
            run = self.call_train(path, self.epochs, callback, self.options | {"seed": seed})
            if run.interrupted:
                return False
            self.others.append(run)
        return True

    def call_train(self, path: Path, epochs: int, callback: TrainingCallback, options: dict[str, Any]) -> Run:
        resume = RunDirectory(path).holds_run()
        settings: dict[str, Any] = {"preset": "reference", "epochs": epochs} | options
        run = train(self.corpus, out=path, resume=resume, progress=False, callback=callback, **settings)
        if not math.isfinite(run.state.smooth_loss):
            raise ElmanError(f"the smooth loss of the run in {quote(path)} is not finite: lower {option.learning_rate}")
        return run

    def first_character(self) -> str:
        """Return the character that the final text begins with."""
        return self.corpus.alphabet.decode(self.corpus.indices[min(FIRST_AT, len(self.corpus.indices) - 1) :][:1])

    def write_text(self, network: Snapshot) -> str:
        """Return a text as ``elman sample RUN --prompt X`` generates it, from a state of zeros."""
        first = self.first_character()
        return first + create_model(network).sample(FINAL_LENGTH - 1, prompt=first, seed=self.config.seed)

    def measure_submission(self) -> dict[str, Any]:
        """Return the name and the measurements of the submission, or why there are none; empty without a submission."""
        if self.submission is None:
            return {}
        path, config, corpus = Path(self.submission), self.config, self.corpus
        self.callback.on_notice(f"measuring {path.name} …")
        updates = min(20_000, self.progress["short"]["updates"])  # at about a thousand per second
        text = corpus.alphabet.decode(corpus.indices[: updates * config.seq_length + 1000])
        return {"name": path.name} | run_tasks(
            path, "measure", ["backward", "train"], 300, text=text, m=config.hidden_size, T=config.seq_length,
            eta=config.learning_rate, seed=config.seed, updates=updates,
        )  # fmt: skip

    def write(self) -> dict[str, Any]:
        """Write the report of a finished run and return its results."""
        self.callback.on_notice("writing the report …")
        run = self.run
        lexicon = build_lexicon(cut_pieces(self.corpus.chunks(), CHUNK_SIZE))
        is_long = run.state.update > self.progress["short"]["updates"]
        long = describe_phase(run, self.long_epochs) if is_long else None
        final, first, submission = self.write_text(run.snapshot()), self.first_character(), self.measure_submission()
        results = collect_results(run, self.others, lexicon, self.progress, long, final, first, submission)
        markdown, images = render_markdown(results, comparison=self.comparison), list[str]()
        for name, figure in draw_losses(results).items():
            for suffix in ("png", "svg"):
                save_figure(figure, self.out / f"{name}.{suffix}")
            images.append(inline_svg(figure, name))
        replace_file(self.out / "report.md", markdown.encode())
        replace_file(self.out / "report.html", render_html(markdown, lexicon, images).encode())
        save_results(self.out, results)
        return results
