"""The sentences that stand before the discussion: what the run was, and what each part of the report shows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from elman.report import published_results as published
from elman.report.narrative.curve import span
from elman.report.narrative.formatting import agreeing, counted, duration, listed, nats, percent, scientific
from elman.report.results import Results
from elman.training.gradcheck import LARGEST_ERROR, GradientCheck


def summary(results: Results) -> str:
    """Return the report in a few sentences."""
    last, final, T = results.last, results.words[-1], results.config.seq_length
    found, known = len(results.names), sum(name.first_update is not None for name in results.names)
    said = [
        f"A network of {counted(results.config.hidden_size, 'hidden unit')} read the text for {span(last)}, in "
        f"{duration(last.seconds)} of training.",
        f"Its smooth loss began at {nats(results.facts.start)} nats for {counted(T, 'character')} and came down to "
        f"{nats(last.minimum_smooth_loss)} at best.",
    ]
    if final.written:
        said.append(f"Of the words it writes now, {percent(final.share)} are words of the text.")
    if found:
        said.append(_names_written(known, found))
    return " ".join(said)


def _names_written(known: int, found: int) -> str:
    if found == 1:
        return f"It has {'written' if known else 'not yet written'} the one name of the text."
    if not known:
        return f"It has not yet written any of the text's {found} most frequent names."
    return f"It has written {'all' if known == found else known} of the text's {found} most frequent names."


def gradients(checks: Sequence[GradientCheck]) -> str:
    """Say what the gradient check found."""
    errors = [(error, name, n) for n, check in enumerate(checks, 1) for name, error in check.relative_error.items()]
    failed = [f"{_symbol(name)} in experiment {n}" for error, name, n in errors if not error <= LARGEST_ERROR]
    limit = scientific(LARGEST_ERROR).removeprefix("1.00×")
    if failed:
        noun = "error" if len(failed) == 1 else "errors"
        return (
            f"The check has failed: the {noun} of {listed(failed)} {agreeing(len(failed), 'is')} above {limit}. "
            "What follows was computed with wrong gradients."
        )
    worst, name, n = max(errors)
    return (
        f"All {len(errors)} errors are below {limit}; the largest, {scientific(worst)}, is that of {_symbol(name)} in "
        f"experiment {n}. So the gradients that the network learns by are the derivatives of its loss."
    )


def _symbol(name: str) -> str:
    return "h₀" if name == "h0" else name


def smooth_loss(results: Results) -> str:
    """Name the minima of the curve, the reference's beside the first."""
    T, short, long = results.config.seq_length, results.short, results.long
    their_start = published.SEQ_LENGTH * math.log(published.ALPHABET_SIZE)
    said = [
        f"The minimum in {span(short)} is {nats(short.minimum_smooth_loss)} nats for {counted(T, 'character')}, at "
        f"update {short.minimum_at:,}.",
        f"The reference reports {published.SHORT_LOSS} for {published.SHORT_EPOCHS} epochs, on another text: with "
        f"{published.ALPHABET_SIZE} characters in its alphabet and {published.SEQ_LENGTH} in a window, guessing cost "
        f"it {nats(their_start)} nats, and here it costs {nats(results.facts.uniform)}.",
    ]
    if long:
        said.append(f"In {span(long)} the minimum is {nats(long.minimum_smooth_loss)}, at update {long.minimum_at:,}.")
    return " ".join(filter(None, [*said, stopped(results)]))


def stopped(results: Results) -> str:
    """Say where a limit ended the run before its last epoch; nothing where none did."""
    last = results.last
    asked = last.epochs_asked * results.facts.per_epoch
    if last.updates >= asked:
        return ""
    return f"A limit ended the run at update {last.updates:,} of {asked:,}."


def during(results: Results) -> str:
    """Say when the samples were written, and why there are not more of them."""
    every, length, shown = results.config.sample_every, results.config.sample_length, len(results.samples)
    if not every:
        return f"The network writes {counted(length, 'character')} before the first update, and no more were asked for."
    said = (
        f"Before the first update and after every {every:,} the network writes {counted(length, 'character')}, going "
        "on from the state and the first character of the window at hand."
    )
    if shown < published.SAMPLES:
        return f"{said} The run ends at update {results.last.updates:,}, before the next would be due."
    return f"{said} These are the first {shown} of {results.texts - 1}." if results.texts - 1 > shown else said


def after(results: Results) -> str:
    """Put the finished network's smooth loss beside the reference's."""
    last, length = results.last, len(results.final.text)
    return (
        f"The network after {span(last)} writes {counted(length, 'character')}. Its smooth loss is "
        f"{nats(last.smooth_loss)} nats for {counted(results.config.seq_length, 'character')} and was "
        f"{nats(last.minimum_smooth_loss)} at its least; the reference's, after {published.LONG_EPOCHS} epochs of its "
        f"own text, was {published.LONG_LOSS}."
    )


def text_facts(results: Results) -> list[tuple[str, str]]:
    """Return name and value of what tells one text from another."""
    corpus = results.about["corpus"]
    return [
        ("Name", str(corpus["name"])),
        ("Characters", f"{corpus['chars']:,}"),
        ("Alphabet, K", f"{corpus['alphabet_size']:,}"),
        ("SHA-256", str(corpus["sha256"])),
    ]


def time_facts(results: Results) -> list[tuple[str, str]]:
    """Return name and value of the times taken."""
    times = results.times
    return [
        ("Gradient check", duration(times.gradient_check_seconds)),
        ("Training", f"{duration(times.training_seconds)} for {counted(results.last.updates, 'update')}"),
        ("One update", f"{times.microseconds_an_update:,.1f}\u00a0µs"),
        ("Report as a whole", duration(times.whole_seconds)),
    ]


def machine_facts(results: Results) -> list[tuple[str, str]]:
    """Return name and value of what the numbers and the times depend on."""
    machine = results.about["machine"]
    facts = [(name.capitalize(), str(value)) for name, value in machine.items() if value not in ("", None)]
    return facts + [(name, str(value)) for name, value in results.about["versions"].items()]
