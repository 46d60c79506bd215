"""The complete reference experiment on one text: gradient check, training, longer training, report."""

from __future__ import annotations

import copy
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elman.config import Config, make_config
from elman.engine import TrainState
from elman.errors import ElmanError, check_range, option, quote, require_extra
from elman.report.lexicon import build_lexicon
from elman.report.plots import draw_losses, inline_svg
from elman.report.render import render_html, render_markdown
from elman.report.results import collect_results, describe_phase, load_progress, save_results, start_progress
from elman.runs.data import DEFAULT_TEXT, Text, TrainingData, describe_text
from elman.runs.directory import DirectoryLock, RunDirectory, reject_links
from elman.runs.history import Sample, finite_or_none
from elman.runs.plots import save_figure
from elman.runs.run import FINAL_LENGTH, Run
from elman.storage.atomic import replace_file
from elman.testing.gradcheck import REPORTED, gradcheck
from elman.testing.grading import read_submission, run_tasks
from elman.text import Corpus, read_corpus
from elman.text.corpus import CHUNK_SIZE
from elman.text.reading import cut_pieces
from elman.text.unknown import check_alphabet_size
from elman.training.callbacks import CallbackList, TrainingCallback
from elman.training.train import train


class _StoppedError(Exception):
    """The callback asks to stop during the gradient check."""


class _BestNetwork(CallbackList):
    """Keeps the network with the lowest smooth loss of all rows of metrics; how each run starts is not notified."""

    def __init__(self, callback: TrainingCallback, best: dict[str, Any] | None) -> None:
        super().__init__(callback)
        self.lowest: float = best["smooth_loss"] if best else math.inf
        self.state: TrainState | None = None

    def on_notice(self, notice: str) -> None:
        """Do nothing."""

    def on_progress(self, run: Run, updates: int) -> None:
        """Keep the state where there is a row."""
        state, counts = run.state, run.state.parameters.ngrams
        has_row = state.update % run.config.metrics_every == 0 or state.update == updates
        if has_row and state.smooth_loss < self.lowest:
            self.lowest, self.state = state.smooth_loss, copy.deepcopy(state, {id(counts): counts})
        super().on_progress(run, updates)


def report(
    corpus: Text = DEFAULT_TEXT,
    *,
    out: str | os.PathLike[str],
    epochs: int = 10,
    long_epochs: int = 100,
    resume: bool = False,
    comparison: bool = True,
    submission: str | os.PathLike[str] | None = None,
    callback: TrainingCallback | None = None,
    **options: Any,
) -> dict[str, Any] | None:
    """Carry out the reference experiment on a text and write a report.

    `out` then contains ``report.html`` (one file), ``report.md``, ``smooth_loss.png``, ``smooth_loss.svg``,
    ``results.json`` and the run directory ``run/``. The second phase of the training continues the same run to
    `long_epochs` in total; it is skipped if these are not above `epochs`. Without `comparison`, the report has no
    results of the course report. Of `submission`, a file or notebook with a student's solution of the assignment
    (``elman course``), it has the errors of the gradients, and the smooth loss of the first 20,000 updates.

    Returns
    -------
    dict or None
        None if stopped by the callback; otherwise the content of ``results.json``, every number finite or null:

        - ``finished``: True. A stopped report has False, and otherwise only ``gradient_check``, ``short``, ``times``.
        - ``config``, ``alphabet``, ``corpus``, ``versions``, ``machine``: as in ``run.json``.
        - ``gradient_check``: ``experiments`` and ``passed`` as of ``elman gradcheck --json``; ``limit``, the maximum
          error that passes.
        - ``short``, ``long``: as ``elman train --json`` after the first phase and after the second (or null), with
          ``requested_epochs``.
        - ``curve``: ``update`` and ``smooth_loss`` of the complete run.
        - ``statistics``: of the first phase: ``per_epoch`` (updates), ``uniform`` (T ln K, the loss of the uniform
          distribution), ``start`` and ``end`` (smooth loss of the first and the last update), ``first_tenth`` (fraction
          of the decrease after a tenth of the updates), ``lower`` of ``compared`` (points below the curve one epoch
          earlier, at the same position in the text).
        - ``samples``, ``best``: ``update``, ``smooth_loss``, ``text``; ``best`` of the point where the curve is lowest.
        - ``names``: ``name``, ``count`` in the text, ``first_update`` of a sample that has it (or null), ``context``.
        - ``words``: ``update``, ``written``, ``known``, ``share`` of each of the samples, that of ``best`` last.
        - ``searched_samples``: the number of samples that were searched for names.
        - ``times``: ``gradient_check_seconds``, ``training_seconds``, ``whole_seconds``, ``microseconds_per_update``.
        - ``reference``: the results of the course report.
        - ``submission``: null, or its ``name``, ``findings``, ``gradient_check`` and ``training``, as of the run.
    """
    with require_extra("plot"):
        import matplotlib as matplotlib  # before the hours that a report may take
    if options.get("min_count") is None:
        directory = RunDirectory(Path(out) / "run")
        options["min_count"] = directory.load().config.min_count if resume and directory.holds_run() else 0
    reading = {"encoding": options.get("encoding", "utf-8"), "keep_crlf": options.get("keep_crlf", False)}
    corpus = read_corpus(corpus, min_count=options["min_count"], **reading)
    callback = callback or TrainingCallback()
    builder = _ReportBuilder(corpus, Path(out), epochs, long_epochs, comparison, submission, callback, options)
    return builder.make(resume)


@dataclass
class _ReportBuilder:
    """State of one call of `report`."""

    corpus: Corpus
    out: Path
    epochs: int
    long_epochs: int
    comparison: bool
    submission: str | os.PathLike[str] | None
    callback: TrainingCallback
    options: dict[str, Any]

    def __post_init__(self) -> None:
        self.options = {"preset": "reference"} | self.options | {"encoding": self.corpus.encoding}
        self.lock, self.directory = DirectoryLock(self.out), RunDirectory(self.out / "run")
        self.progress, self.started_at = start_progress(), time.perf_counter()

    def make(self, resume: bool) -> dict[str, Any] | None:
        """Carry out the remaining steps; return the results, or None if stopped."""
        reject_links(self.directory.path)
        with self.lock:
            config = self.open(resume)
            self.callback.on_notice(describe_text(self.corpus))
            self.lock.acquire()
            run = self.train(self.epochs) if self.check_gradients(config) else None
            if run is not None and run.state.update <= self.last_short(run.config):
                self.progress["short"] = describe_phase(run, self.epochs)
                self.save_progress()
            if run is not None and self.long_epochs > self.epochs:
                run = self.train(self.long_epochs)
            self.save_progress()
            return None if run is None else self.write(run)

    def open(self, resume: bool) -> Config:
        """Load the progress, reject unusable arguments early, and return the settings."""
        if resume:
            self.progress = load_progress(self.out)
        elif self.directory.holds_run():
            remedy = f"use {option.resume:True}, or choose another {option.out}"
            raise ElmanError(f"{quote(self.out)} already contains a report: {remedy}")
        longest = max(points for points, *_ in REPORTED)
        if len(self.corpus.indices) <= longest:
            raise ElmanError(
                f"the gradient check of a report needs more than {longest} characters (got "
                f"{len(self.corpus.indices)} in {self.corpus.label}): use a longer text"
            )
        config = self.settings()
        check_range("long_epochs", self.long_epochs, 1)
        if self.submission is not None:
            read_submission(Path(self.submission))  # raises if it cannot
        if not config.sample_every:
            raise ElmanError(f"a report shows samples from training: {option.sample_every} must be at least 1 (got 0)")
        return config

    def settings(self) -> Config:
        """Return the settings of the existing run, or of a new one."""
        if not self.directory.holds_run():
            options: dict[str, Any] = {"epochs": self.epochs} | self.options
            config = make_config(options.pop("preset"), options)
            check_alphabet_size(self.corpus, config.hidden_size)
            windows = TrainingData(config, self.corpus).windows  # raises if the text is too short
            every = self.epochs * windows.per_epoch // 500  # a dense curve
            self.options.setdefault("metrics_every", max(1, min(every, config.metrics_every)))
            return config
        saved, short = self.directory.load(), self.progress["short"]
        beyond = saved.state.update > self.last_short(saved.config)
        if beyond and (short is None or short["requested_epochs"] != self.epochs):
            raise ElmanError(
                f"cannot report {self.epochs} epochs: the run in {quote(self.out)} is already at epoch "
                f"{saved.state.epoch}; use"
                f" {option.epochs:{short['requested_epochs'] if short else saved.state.epoch + 1}}"
            )
        return saved.config

    def last_short(self, config: Config) -> int:
        """Return the last update of the first phase, if no limit ends it earlier."""
        return self.epochs * TrainingData(config, self.corpus).windows.per_epoch

    def save_progress(self) -> None:
        now = time.perf_counter()
        self.progress["times"]["whole_seconds"] += now - self.started_at
        self.started_at = now
        save_results(self.out, self.progress)

    def check_gradients(self, config: Config) -> bool:
        """Carry out the remaining experiments; return False if stopped."""
        result = self.progress["gradient_check"]
        for points, m, T, _ in REPORTED[len(result["experiments"]) :]:

            def show(done: float, points: int = points, m: int = m, T: int = T) -> None:
                self.callback.on_gradient_check(points, m, T, done)
                if self.callback.should_stop():
                    raise _StoppedError

            started = time.perf_counter()
            try:
                show(0.0)
                (check,) = gradcheck(
                    self.corpus,
                    points=points,
                    hidden_size=m,
                    seq_length=T,
                    full=True,
                    engine=config.engine,
                    seed=config.seed,
                    on_progress=show,
                )
            except _StoppedError:
                return False
            errors = {name: finite_or_none(error) for name, error in check.relative_error.items()}
            result["experiments"].append(check.as_dict() | {"relative_error": errors})
            result["passed"] &= check.passed
            self.progress["times"]["gradient_check_seconds"] += time.perf_counter() - started
            self.save_progress()
        return True

    def train(self, epochs: int) -> Run | None:
        """Train up to a number of epochs, resuming the run; return None if stopped."""
        out, resume = self.directory.path, self.directory.holds_run()
        best = _BestNetwork(self.callback, self.progress["best"])
        run = train(self.corpus, out=out, resume=resume, progress=False, callback=best, epochs=epochs, **self.options)
        if best.state is not None:
            (kept := copy.copy(run)).state, update = best.state, best.state.update
            text = kept.generate(FINAL_LENGTH, np.random.default_rng([run.config.seed, update]))
            self.progress["best"] = asdict(Sample(update, best.lowest, text))
        return None if run.interrupted else run

    def measure_submission(self, run: Run) -> dict[str, Any]:
        """Return the name of the submission and what is measured of it, or why there is nothing; empty without one."""
        if self.submission is None:
            return {}
        path, config, corpus = Path(self.submission), run.config, run.corpus
        self.callback.on_notice(f"measuring {path.name} …")
        updates = min(20_000, self.progress["short"]["updates"])  # at about a thousand per second
        text = corpus.alphabet.decode(corpus.indices[: updates * config.seq_length + 1000])
        return {"name": path.name} | run_tasks(
            path, "measure", ["backward", "train"], 300, text=text, m=config.hidden_size, T=config.seq_length,
            eta=config.learning_rate, seed=config.seed, updates=updates,
        )  # fmt: skip

    def write(self, run: Run) -> dict[str, Any]:
        """Write the report of a finished run and return its results."""
        lexicon = build_lexicon(cut_pieces(self.corpus.chunks(), CHUNK_SIZE))
        is_long = run.state.update > self.progress["short"]["updates"]
        long = describe_phase(run, self.long_epochs) if is_long else None
        results = collect_results(run, lexicon, self.progress, long, self.measure_submission(run))
        figures = draw_losses(results)
        for suffix in ("png", "svg"):
            save_figure(figures[0], self.out / f"smooth_loss.{suffix}")
        markdown = render_markdown(results, comparison=self.comparison)
        images = [inline_svg(figure, f"figure{n}") for n, figure in enumerate(figures)]
        replace_file(self.out / "report.md", markdown.encode())
        replace_file(self.out / "report.html", render_html(markdown, lexicon, images).encode())
        save_results(self.out, results)
        return results
