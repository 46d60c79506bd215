"""The whole reference experiment on one text, from the gradient check to the page."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from elman.config import Config, make_config
from elman.errors import ElmanError
from elman.report.collect import find
from elman.report.curve_stats import Part
from elman.report.narrative.discussion import discussion
from elman.report.narrative.lexicon import lexicon
from elman.report.plots import drawings, loss_figure, save_figures
from elman.report.progress import Kept, load_kept, save_results
from elman.report.render import render_html, render_markdown
from elman.runs.lock import Writer
from elman.runs.records import RunDirectory
from elman.runs.run import Run, split
from elman.storage.atomic import replace_file
from elman.text import Corpus, read_corpus
from elman.text.unknown import fold, refuse_unwieldy
from elman.training.callbacks import Nobody, Watcher
from elman.training.gradcheck import REPORTED, gradcheck
from elman.training.train import train


class ReportWatcher(Watcher, Protocol):
    """Who looks on while a report is made: told about the gradient check, and then about training."""

    def checking(self, points: int, hidden_size: int, seq_length: int) -> None:
        """An experiment of the gradient check begins."""


class _Nobody(Nobody):
    """The watcher that does not look."""

    def checking(self, points: int, hidden_size: int, seq_length: int) -> None:
        """Do nothing."""


def report(
    corpus: str | os.PathLike[str] | Corpus = "python-docs",
    *,
    out: str | os.PathLike[str],
    epochs: int = 10,
    long_epochs: int = 100,
    resume: bool = False,
    watcher: ReportWatcher | None = None,
    encoding: str = "utf-8",
    rare: int | None = None,
    **options: Any,
) -> dict[str, Any] | None:
    """Carry out the reference experiment on a text and write the report of it.

    `out` then holds ``report.html`` (one file), ``report.md``, ``smooth_loss.png``, ``smooth_loss.svg``,
    ``results.json`` and the run directory ``run/``.

    Parameters
    ----------
    corpus : str, path or Corpus
        A file, ``-`` for standard input, a built-in name, or a text read already.
    out : path
        The folder to write.
    epochs : int
        Length of the training whose curve is drawn.
    long_epochs : int
        Length to which the same run then goes on; not above `epochs`, it does not.
    resume : bool
        Go on with the report in `out`, where it was stopped.
    watcher : ReportWatcher, optional
        Told about progress. Where its `stop_asked` says so, what is done is kept, and the report stops.
    encoding : str
        Of the text.
    rare : int, optional
        Fold characters that occur fewer times than this into one, and any met later; by default none, and where a run
        is gone on with, as that does.
    **options
        ``preset`` and the fields of `elman.Config`.

    Returns
    -------
    dict or None
        None where a stop was asked; else what ``results.json`` holds, every number in it finite or null:

        ``finished``
            True. A report that stopped has False here, and besides only ``gradient_check``, ``short`` and ``times``,
            as far as they are known.
        ``config``, ``alphabet``, ``corpus``, ``versions``, ``machine``
            As in ``run.json``.
        ``gradient_check``
            ``experiments`` and ``passed`` as of ``elman gradcheck --json``; ``limit``, the largest error that passes.
        ``short``, ``long``
            Results as of ``elman train --json`` after the first training and after the longer one (or null), with
            ``epochs_asked``.
        ``curve``
            ``update`` and ``smooth_loss`` of the whole run, lists of equal length.
        ``facts``
            Of ``short`` and ``long``: ``per_epoch``, ``start`` (loss of the first window), ``uniform`` (T ln K),
            ``end``, ``first_tenth`` (its share of the fall), ``epoch_minima``, ``lower`` of ``compared`` (rows below
            the curve one epoch earlier), ``wave`` (rise and fall within the last epoch).
        ``samples``, ``final``
            ``update``, ``smooth_loss``, ``text``.
        ``names``
            ``name``, ``count`` in the text, ``first_update`` that wrote it (or null), ``context``.
        ``words``
            ``update``, ``written``, ``known``, ``share`` of each of the samples, the final one last.
        ``texts``
            Number of samples in which names were looked for.
        ``times``
            ``gradient_check_seconds``, ``training_seconds``, ``whole_seconds``, ``microseconds_an_update``.
        ``reference``
            What the reference reported.
        ``discussion``
            ``title`` and ``text`` of each paragraph.

    Raises
    ------
    ElmanError
        If an option, the text or the folder does not fit; the message says what to do.
    """
    if rare is None:
        there = RunDirectory(Path(out) / "run")
        rare = there.load().config.rare if resume and there.holds_run() else 0
    corpus = fold(corpus, rare) if isinstance(corpus, Corpus) else read_corpus(corpus, encoding=encoding, rare=rare)
    desk = _Desk(corpus, Path(out), epochs, long_epochs, watcher or _Nobody(), options | {"rare": rare})
    return desk.make(resume)


class _Desk:
    """One call of `report`: what it works with, and what is known so far."""

    def __init__(
        self,
        corpus: Corpus,
        out: Path,
        epochs: int,
        long_epochs: int,
        watcher: ReportWatcher,
        options: dict[str, Any],
    ) -> None:
        self.corpus, self.out, self.watcher = corpus, out, watcher
        self.epochs, self.long_epochs = epochs, long_epochs
        self.options = options | {"encoding": corpus.encoding}
        self.writer, self.directory = Writer(out), RunDirectory(out / "run")
        self.kept = Kept()
        self.began = time.perf_counter()

    def make(self, resume: bool) -> dict[str, Any] | None:
        """Do what is not done yet; return the results, or None where a stop was asked."""
        with self.writer:
            return self.make_alone(resume)

    def make_alone(self, resume: bool) -> dict[str, Any] | None:
        """Do so as the one writer to the folder."""
        config = self.open(resume)
        self.writer.take()
        run = self.train(self.epochs) if self.check_gradients(config) else None
        if run is not None and run.state.update <= self.last_short(run.config):
            self.keep(short=Part.of(run, self.epochs))
        if run is not None and self.long_epochs > self.epochs:
            run = self.train(self.long_epochs)
        self.keep()
        return None if run is None else self.write(run)

    def open(self, resume: bool) -> Config:
        """Find what is there, refuse at once what cannot be done, and return the settings."""
        if resume:
            self.kept = load_kept(self.out)
        elif self.directory.holds_run():
            raise ElmanError(
                f"{str(self.out)!r} already holds a report: go on with it by --resume, or choose another --out"
            )
        config = self.settings()
        if self.long_epochs < 1:
            raise ElmanError(f"--long-epochs must be 1 or more, and {self.long_epochs} came: give another")
        if not config.sample_every:
            raise ElmanError("a report shows text from training: give --sample-every of 1 or more")
        longest = max(points for points, *_ in REPORTED)
        if len(self.corpus.indices) <= longest:
            raise ElmanError(
                f"a report checks gradients on {longest} characters and the next, and {self.corpus.name!r} has "
                f"{len(self.corpus.indices)} in all: use a longer text"
            )
        return config

    def settings(self) -> Config:
        """Return the settings of the run that is there, or of the one that will be."""
        if not self.directory.holds_run():
            options = {"epochs": self.epochs} | self.options
            config = make_config(options.pop("preset", "paper"), options)
            refuse_unwieldy(self.corpus, config.hidden_size)
            split(self.corpus, config)  # refuses a text that is too short
            return config
        saved, short = self.directory.load(), self.kept.short
        beyond = saved.state.update > self.last_short(saved.config)
        if beyond and (short is None or short.epochs_asked != self.epochs):
            raise ElmanError(
                f"the run in {str(self.out)!r} is at epoch {saved.state.epoch}, and how it was after {self.epochs} "
                f"is not known: give --epochs {short.epochs_asked if short else saved.state.epoch + 1}"
            )
        return saved.config

    def last_short(self, config: Config) -> int:
        """The update that ends the first training, if no limit does."""
        return self.epochs * split(self.corpus, config)[0].per_epoch

    def keep(self, **news: Any) -> None:
        """Write down what became known, so that the report can go on from here."""
        now = time.perf_counter()
        self.kept = replace(self.kept, **news, seconds=self.kept.seconds + now - self.began)
        self.began = now
        save_results(self.out, self.kept.as_dict())

    def check_gradients(self, config: Config) -> bool:
        """Do the experiments that are not done yet; return False where a stop was asked."""
        for points, m, T, _ in REPORTED[len(self.kept.checks) :]:
            self.watcher.checking(points, m, T)
            began = time.perf_counter()
            found = gradcheck(
                self.corpus,
                points=points,
                hidden_size=m,
                seq_length=T,
                engine=config.engine,
                random_state=config.random_state,
            )
            took = self.kept.check_seconds + time.perf_counter() - began
            self.keep(checks=(*self.kept.checks, *found), check_seconds=took)
            if self.watcher.stop_asked():
                return False
        return True

    def train(self, epochs: int) -> Run | None:
        """Train up to a number of epochs, from where the run stands; return None where a stop was asked."""
        run = train(
            self.corpus,
            out=self.directory.path,
            resume=self.directory.holds_run(),
            watcher=self.watcher,
            epochs=epochs,
            **self.options,
        )
        return None if run.interrupted else run

    def write(self, run: Run) -> dict[str, Any]:
        """Write the report of a finished run; return its results."""
        short, known = self.kept.short, lexicon(self.corpus.text)
        assert short is not None
        long = Part.of(run, self.long_epochs) if run.state.update > short.updates else None
        results = find(known, run, self.kept, long)
        figure = loss_figure(results.short_curve, results.short)
        save_figures(figure, self.out)
        page = render_html(results, known, drawings(figure, results))
        replace_file(self.out / "report.html", page.encode())
        replace_file(self.out / "report.md", render_markdown(results).encode())
        said = results.as_dict() | {"discussion": [asdict(paragraph) for paragraph in discussion(results)]}
        save_results(self.out, said)
        return said
