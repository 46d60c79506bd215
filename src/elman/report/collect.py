"""From a finished run to everything the report says of it."""

from __future__ import annotations

import math
from itertools import islice

from elman.report import published_results
from elman.report.curve_stats import Part, curve_facts, curve_of, first_loss
from elman.report.narrative.lexicon import Lexicon, count_words, first_written
from elman.report.progress import Kept
from elman.report.results import Results, Times
from elman.runs.metadata import describe
from elman.runs.records import Sample
from elman.runs.run import Run, split

NAMES = 12
"""The names that are followed: the most frequent ones."""


def find(known: Lexicon, run: Run, kept: Kept, long: Part | None) -> Results:
    """Return the results of a run.

    Parameters
    ----------
    known : Lexicon
        Of the run's text.
    run : Run
        Finished.
    kept : Kept
        The gradient check, the first training and the time taken.
    long : Part or None
        Where the run went on after the first training, its end.
    """
    corpus = run.corpus
    assert kept.short is not None
    start, per_epoch = first_loss(corpus, run.config), split(corpus, run.config)[0].per_epoch
    uniform = run.config.seq_length * math.log(len(corpus.alphabet))
    short_curve, curve = (curve_of(part, run.metrics, start) for part in (kept.short, long or kept.short))
    final = Sample(run.state.update, run.state.smooth_loss, run.final_text())
    samples = run.samples[: published_results.SAMPLES]
    return Results(
        about=describe(run),
        config=run.config,
        checks=kept.checks,
        short=kept.short,
        long=long,
        short_curve=short_curve,
        curve=curve,
        facts=curve_facts(short_curve, per_epoch, uniform),
        long_facts=curve_facts(curve, per_epoch, uniform) if long else None,
        samples=samples,
        final=final,
        names=first_written(dict(islice(known.names.items(), NAMES)), [*run.samples, final]),
        words=[count_words(sample, known.words) for sample in (*samples, final)],
        texts=len(run.samples) + 1,
        times=_times(run, kept),
    )


def _times(run: Run, kept: Kept) -> Times:
    seconds = run.state.seconds
    return Times(kept.check_seconds, seconds, kept.seconds, 1e6 * seconds / run.state.update)
