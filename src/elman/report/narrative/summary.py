"""The sentences of every section: summary, results, and the discussion.

Every function takes numbers and returns a paragraph, also where they contradict the published results.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from elman.config import Config
from elman.report.narrative import curve, language
from elman.report.narrative.curve import format_length
from elman.report.narrative.formatting import agree, duration, join_and, nats, percent, pluralize, scientific
from elman.report.results import PUBLISHED, Results
from elman.training.gradcheck import MAX_RELATIVE_ERROR, GradientCheck


def summary(results: Results) -> str:
    """Return a summary of the report in a few sentences."""
    last, final, T = results.last, results.words[-1], results.config.seq_length
    total, written = len(results.names), sum(name.first_update is not None for name in results.names)
    sentences = [
        f"A vanilla RNN with {pluralize(results.config.hidden_size, 'hidden unit')} was trained on the text for "
        f"{format_length(last)}, in {duration(last.seconds)}.",
        f"Its smooth loss fell from {nats(results.facts.start)} to a minimum of {nats(last.minimum_smooth_loss)} nats "
        f"per window of {pluralize(T, 'character')}: from {results.facts.start / T:.3f} to "
        f"{last.minimum_smooth_loss / T:.3f} nats per character.",
    ]
    if final.written:
        sentences.append(f"Of the words in its final sample, {percent(final.share)} are words of the text.")
    if total:
        sentences.append(_names_written(written, total))
    return " ".join(sentences)


def _names_written(written: int, total: int) -> str:
    if total == 1:
        return f"Its samples {'contain' if written else 'do not contain'} the one name of the text."
    if not written:
        return f"Its samples contain none of the text's {total} most frequent names."
    return f"Its samples contain {'all' if written == total else written} of the text's {total} most frequent names."


def gradients(checks: Sequence[GradientCheck]) -> str:
    """State the result of the gradient check."""
    errors = [(error, name, n) for n, check in enumerate(checks, 1) for name, error in check.relative_error.items()]
    failed = [f"{_symbol(name)} in experiment {n}" for error, name, n in errors if not error <= MAX_RELATIVE_ERROR]
    limit = scientific(MAX_RELATIVE_ERROR).removeprefix("1.00×")
    if failed:
        noun = "error" if len(failed) == 1 else "errors"
        return (
            f"The check has failed: the {noun} of {join_and(failed)} {agree(len(failed), 'is')} above {limit}. "
            "All further results were computed with wrong gradients."
        )
    worst, name, n = max(errors)
    return (
        f"All {len(errors)} errors are below {limit}; the largest, {scientific(worst)}, is that of {_symbol(name)} in "
        f"experiment {n}. So the gradients are the derivatives of the loss."
    )


def _symbol(name: str) -> str:
    return "h₀" if name == "h0" else name


def smooth_loss(results: Results) -> str:
    """State the minima of the curve, and the published one."""
    T, short, long = results.config.seq_length, results.short, results.long
    their_start = PUBLISHED.seq_length * math.log(PUBLISHED.alphabet_size)
    sentences = [
        f"The minimum in {format_length(short)} is {nats(short.minimum_smooth_loss)} nats per window of "
        f"{pluralize(T, 'character')}, at update {short.minimum_at:,}.",
        f"The course report gives {PUBLISHED.short_loss} for {PUBLISHED.short_epochs} epochs on another text, with "
        f"{PUBLISHED.alphabet_size} distinct characters and windows of {PUBLISHED.seq_length}: a uniform distribution "
        f"has a loss of {nats(their_start)} nats there, and of {nats(results.facts.uniform)} here.",
    ]
    if long:
        sentences.append(
            f"In {format_length(long)} the minimum is {nats(long.minimum_smooth_loss)}, at update {long.minimum_at:,}."
        )
    return " ".join(filter(None, [*sentences, _describe_limit(results)]))


def _describe_limit(results: Results) -> str:
    """State where a limit ended the run before its last epoch; empty where none did."""
    last = results.last
    planned = last.epochs_asked * results.facts.per_epoch
    if last.updates >= planned:
        return ""
    return f"A limit ended the run at update {last.updates:,} of {planned:,}."


def describe_samples(results: Results) -> str:
    """State when the samples were generated, and why there are not more of them."""
    every, length, shown = results.config.sample_every, results.config.sample_length, len(results.samples)
    if not every:
        return f"One sample of {pluralize(length, 'character')} was generated before the first update, and no others."
    schedule = (
        f"Before the first update and after every {every:,}, a sample of {pluralize(length, 'character')} is "
        "generated, starting from the hidden state and the first character of the current window."
    )
    if shown < PUBLISHED.samples:
        return f"{schedule} The run ends at update {results.last.updates:,}, before the next would be due."
    total = results.texts - 1
    return f"{schedule} These are the first {shown} of {total}." if total > shown else schedule


def describe_final_sample(results: Results) -> str:
    """Compare the smooth loss of the final model with the published one."""
    last, length = results.last, len(results.final.text)
    return (
        f"A sample of {pluralize(length, 'character')} from the model after {format_length(last)}. Its smooth loss is "
        f"{nats(last.smooth_loss)} nats per window of {pluralize(results.config.seq_length, 'character')}, its minimum "
        f"{nats(last.minimum_smooth_loss)}; the published smooth loss after {PUBLISHED.long_epochs} epochs, on another "
        f"text, is {PUBLISHED.long_loss}."
    )


def text_facts(results: Results) -> list[tuple[str, str]]:
    """Return name and value of the properties of the text."""
    corpus = results.about["corpus"]
    return [
        ("Name", str(corpus["name"])),
        ("Characters", f"{corpus['chars']:,}"),
        ("Alphabet, K", f"{corpus['alphabet_size']:,}"),
        ("SHA-256", str(corpus["sha256"])),
    ]


def time_facts(results: Results) -> list[tuple[str, str]]:
    """Return name and value of the times."""
    times = results.times
    return [
        ("Gradient check", duration(times.gradient_check_seconds)),
        ("Training", f"{duration(times.training_seconds)} for {pluralize(results.last.updates, 'update')}"),
        ("One update", f"{times.microseconds_an_update:,.1f}\u00a0µs"),
        ("Complete report", duration(times.whole_seconds)),
    ]


def machine_facts(results: Results) -> list[tuple[str, str]]:
    """Return name and value of machine and versions, which results and times depend on."""
    machine = results.about["machine"]
    facts = [(name.capitalize(), str(value)) for name, value in machine.items() if value not in ("", None)]
    return facts + [(name, str(value)) for name, value in results.about["versions"].items()]


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of the discussion and its heading."""

    title: str
    text: str


def discussion(results: Results) -> list[Paragraph]:
    """Return the discussion, the last part of the report."""
    T, K, chars = results.config.seq_length, results.alphabet_size, results.about["corpus"]["chars"]
    start, *during, final = results.words
    repeated = results.facts if results.facts.compared else results.long_facts or results.facts
    return [
        Paragraph("Initial loss", curve.compare_with_uniform(results.facts, T, K)),
        Paragraph("Speed of the decrease", curve.describe_speed(results.facts, results.short.updates)),
        Paragraph("Trend from epoch to epoch", curve.describe_trend(repeated)),
        Paragraph("Longer training", curve.describe_long_run(results.short, results.long)),
        Paragraph("Comparison with the published result", curve.compare_with_published(results.short, T, K, chars)),
        Paragraph("Names", language.describe_names(results.names, results.last.updates, results.texts)),
        Paragraph("Words", language.describe_words(start, during, final)),
        Paragraph("What one run shows", describe_scope(results.config)),
    ]


def describe_scope(config: Config) -> str:
    """State the conclusions that one run permits."""
    return (
        f"All results are from one run, with seed {config.seed}, in {config.dtype}. Training is chaotic: "
        "float32 and float64, or two engines that sum in a different order, agree for the first few updates and "
        "then diverge. The same settings on the same machine reproduce the run; everything else should be compared "
        "over several seeds, not number by number."
    )
