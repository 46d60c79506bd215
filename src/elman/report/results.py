"""The results of a report as one value, and how they are collected from a finished run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from elman.config import Config
from elman.report.curve_stats import CurveStats, PhaseSummary, curve_of, curve_stats, first_loss
from elman.report.lexicon import Lexicon, Name, WordCount, count_words, first_written
from elman.report.progress import ReportProgress, check_dict
from elman.runs.records import Metrics, Sample
from elman.runs.run import Run
from elman.training.gradcheck import REPORTED, GradientCheck

NAMES = 12
"""Number of most frequent names that the samples are searched for."""


@dataclass(frozen=True)
class PublishedResults:
    """The published results of the reference experiment, and our measurements of its algorithm.

    It is the vanilla character RNN of a KTH DD2424 course report (2021). The errors of its gradient
    check are in `elman.training.gradcheck.REPORTED`.
    """

    chars: int = 1_107_542
    """Length of the novel it was trained on."""
    alphabet_size: int = 80
    """K of that novel."""
    seq_length: int = 25
    """T."""
    short_epochs: int = 10
    """Epochs of the run whose curve was published."""
    short_loss: float = 38.87
    """Its minimum smooth loss, in nats per window."""
    long_epochs: int = 100
    """Epochs of the longer run."""
    long_loss: float = 35.9
    """Its final smooth loss, in nats per window."""
    villain_at: int = 931_000
    """The update at which the name of the novel's villain first appeared in a sample."""
    samples: int = 11
    """Number of published samples: one before the first update, and ten more."""
    seeds: tuple[float, float] = (37.84, 41.35)
    """Minimum smooth loss of our runs with seeds 400 and 1, all other settings as published (10 epochs)."""


PUBLISHED = PublishedResults()


@dataclass(frozen=True)
class Times:
    """Seconds of the gradient check, of training, and of the complete report over all calls."""

    gradient_check_seconds: float
    training_seconds: float
    whole_seconds: float
    microseconds_an_update: float


@dataclass(frozen=True)
class Results:
    """Results of a report.

    Parameters
    ----------
    about : dict
        Settings, alphabet, text, versions and machine, as in ``run.json``.
    config : Config
    checks : sequence of GradientCheck
    short : PhaseSummary
    long : PhaseSummary or None
        None where there was no second phase.
    short_curve, curve : sequence of Metrics
        From the first update to the last, of the first phase and of the complete run.
    facts : CurveStats
        Of the first phase.
    long_facts : CurveStats or None
        Of the complete run.
    samples : sequence of Sample
        The first ones, as many as were published of the reference experiment.
    final : Sample
        Text from the final model.
    names : sequence of Name
    words : sequence of WordCount
        Of each of `samples`, then of `final`.
    texts : int
        Number of samples that were searched for the names, including the final one.
    times : Times
    """

    about: Mapping[str, Any]
    config: Config
    checks: Sequence[GradientCheck]
    short: PhaseSummary
    long: PhaseSummary | None
    short_curve: Sequence[Metrics]
    curve: Sequence[Metrics]
    facts: CurveStats
    long_facts: CurveStats | None
    samples: Sequence[Sample]
    final: Sample
    names: Sequence[Name]
    words: Sequence[WordCount]
    texts: int
    times: Times

    @property
    def last(self) -> PhaseSummary:
        """Outcome of the last phase."""
        return self.long or self.short

    @property
    def alphabet_size(self) -> int:
        """K."""
        return int(self.about["corpus"]["alphabet_size"])

    def as_dict(self) -> dict[str, Any]:
        """Return the content of ``results.json`` without the discussion; `elman.report.report` lists the keys."""
        return {
            "finished": True,
            **self.about,
            "gradient_check": check_dict(self.checks),
            "short": self.short.as_dict(),
            "long": self.long.as_dict() if self.long else None,
            "curve": {
                "update": [row.update for row in self.curve],
                "smooth_loss": [row.smooth_loss for row in self.curve],
            },
            "facts": {
                "short": asdict(self.facts),
                "long": asdict(self.long_facts) if self.long_facts else None,
            },
            "samples": [asdict(sample) for sample in self.samples],
            "final": asdict(self.final),
            "names": [asdict(name) for name in self.names],
            "words": [asdict(count) | {"share": count.share} for count in self.words],
            "texts": self.texts,
            "times": asdict(self.times),
            "reference": reference_dict(),
        }


def reference_dict() -> dict[str, Any]:
    """Return the published results of the reference experiment."""
    keys = ("points", "hidden_size", "seq_length", "relative_error")
    return {
        "chars": PUBLISHED.chars,
        "alphabet_size": PUBLISHED.alphabet_size,
        "seq_length": PUBLISHED.seq_length,
        "gradient_check": [dict(zip(keys, experiment, strict=True)) for experiment in REPORTED],
        "short": {"epochs": PUBLISHED.short_epochs, "minimum_smooth_loss": PUBLISHED.short_loss},
        "long": {"epochs": PUBLISHED.long_epochs, "smooth_loss": PUBLISHED.long_loss},
        "last_name_at": PUBLISHED.villain_at,
    }


def collect_results(lexicon: Lexicon, run: Run, progress: ReportProgress, long: PhaseSummary | None) -> Results:
    """Return the results of a run.

    Parameters
    ----------
    lexicon : Lexicon
        Words and names of the training text.
    run : Run
        A finished run.
    progress : ReportProgress
        Gradient check, first phase and times.
    long : PhaseSummary or None
        Outcome of the second phase, if there was one.
    """
    corpus = run.corpus
    assert progress.short is not None
    start, per_epoch = first_loss(run), run.data.windows.per_epoch
    uniform = run.config.seq_length * math.log(len(corpus.alphabet))
    short_curve, curve = (curve_of(part, run.metrics, start) for part in (progress.short, long or progress.short))
    final = Sample(run.state.update, run.state.smooth_loss, run.final_sample())
    samples = run.samples[: PUBLISHED.samples]
    return Results(
        about=run.manifest.as_dict(),
        config=run.config,
        checks=progress.checks,
        short=progress.short,
        long=long,
        short_curve=short_curve,
        curve=curve,
        facts=curve_stats(short_curve, per_epoch, uniform),
        long_facts=curve_stats(curve, per_epoch, uniform) if long else None,
        samples=samples,
        final=final,
        names=first_written(dict(islice(lexicon.names.items(), NAMES)), [*run.samples, final]),
        words=[count_words(sample, lexicon.words) for sample in (*samples, final)],
        texts=len(run.samples) + 1,
        times=_times(run, progress),
    )


def _times(run: Run, progress: ReportProgress) -> Times:
    seconds = run.state.seconds
    return Times(progress.check_seconds, seconds, progress.seconds, 1e6 * seconds / run.state.update)
