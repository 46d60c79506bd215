"""Sentences about the smooth-loss curve.

T  characters in one window, K  size of the alphabet
"""

from __future__ import annotations

from elman.report.curve_stats import CurveStats, PhaseSummary
from elman.report.narrative.formatting import nats, percent, pluralize
from elman.report.results import PUBLISHED

FAST = 0.5
"""A curve falls fast at first if at least this fraction of its decrease is in the first tenth."""

NOISE = 0.05
"""Relative difference between the first loss and T ln K that usual initial weights explain."""

NEARLY = 0.9
"""A curve nearly decreases throughout if at least this fraction of the comparisons do."""


def compare_with_uniform(facts: CurveStats, T: int, K: int) -> str:
    """Compare the first loss with that of the uniform distribution."""
    both = (
        f"The loss of the first window is {nats(facts.start)} nats. A uniform distribution over the {K} characters "
        f"has a loss of {T} · ln {K} = {nats(facts.uniform)}"
    )
    excess = facts.start / facts.uniform - 1
    if abs(excess) <= NOISE:
        return (
            f"{both}; the difference, {nats(abs(facts.start - facts.uniform))}, is due to the random initial weights."
        )
    side = "higher" if excess > 0 else "lower"
    return f"{both}; this one is {percent(abs(excess))} {side}, so the initial weights strongly favour some characters."


def describe_speed(facts: CurveStats, updates: int) -> str:
    """State whether the curve falls fast at first and slowly afterwards, as the published one does."""
    change, done = f"from {nats(facts.start)} to {nats(facts.end)}", facts.first_tenth
    tenth = f"the first tenth of the {pluralize(updates, 'update')}"
    if not facts.fell:
        return f"The smooth loss does not fall at all: it goes {change}. The published curve falls, fast at first."
    if done < FAST:
        return (
            f"The smooth loss does not fall fast at first, as the published one does: of its decrease {change}, "
            f"{percent(max(done, 0))} is reached after {tenth}."
        )
    rest = "and the rest in the other nine tenths" if done < 1 else "and none in the other nine tenths"
    return (
        f"The smooth loss falls fast at first and then slowly, as the published one does: of its decrease {change}, "
        f"{percent(min(done, 1))} is reached after {tenth}, {rest}."
    )


def describe_trend(facts: CurveStats) -> str:
    """State whether the curve falls from epoch to epoch, at equal positions in the text."""
    published_trend = "The course report calls its curve downward throughout."
    if not facts.compared:
        return f"{published_trend} This run is too short to tell: no position in the text was recorded twice."
    sentences = [published_trend, _by_positions(facts), _by_minima(facts), _by_wave(facts)]
    return " ".join(filter(None, sentences))


def _by_positions(facts: CurveStats) -> str:
    verdict = "is not"
    if facts.lower == facts.compared:
        verdict = "is too"
    elif facts.lower >= NEARLY * facts.compared:
        verdict = "nearly is"
    elif 2 * facts.lower > facts.compared:
        verdict = "mostly is"
    return (
        f"From epoch to epoch this one {verdict}: it is lower than one epoch earlier, at the same position in the "
        f"text, in {facts.lower:,} of {pluralize(facts.compared, 'comparison')}."
    )


def _by_minima(facts: CurveStats) -> str:
    pairs, lower = len(facts.epoch_minima) - 1, facts.minima_lower
    if pairs < 1:
        return ""
    if pairs == 1:
        return f"The second epoch's minimum is {'below' if lower else 'not below'} the first's."
    if lower == pairs:
        return "The minimum of each epoch is below that of the previous epoch."
    return f"The minimum of an epoch is below that of the previous epoch in {lower} of {pairs} cases."


def _by_wave(facts: CurveStats) -> str:
    if facts.wave is None:
        return ""
    return (
        f"Within an epoch it rises and falls with the difficulty of the text, by {nats(facts.wave)} nats in the last "
        "one, so only equal positions can be compared."
    )


def describe_long_run(short: PhaseSummary, long: PhaseSummary | None) -> str:
    """State the gain of the second training phase."""
    published_losses = (
        f"The published losses are {PUBLISHED.short_loss} after {PUBLISHED.short_epochs} epochs and "
        f"{PUBLISHED.long_loss} after {PUBLISHED.long_epochs}, {_gain(PUBLISHED.short_loss, PUBLISHED.long_loss)}."
    )
    if long is None:
        return f"This run ended after {format_length(short)}. {published_losses}"
    before, after = short.minimum_smooth_loss, long.minimum_smooth_loss
    start = short.epochs if _is_complete(short) and _is_complete(long) else format_length(short)
    phase = f"Training on from {start} to {format_length(long)}"
    if after >= before:
        return f"{phase} did not lower the minimum smooth loss of {nats(before)} nats. {published_losses}"
    gain = f"{phase} lowered the minimum smooth loss from {nats(before)} to {nats(after)} nats"
    return f"{gain}, {_gain(before, after)}. {published_losses}"


def _gain(before: float, after: float) -> str:
    return f"{percent(1 - after / before)} less"


def format_length(part: PhaseSummary) -> str:
    """Return the length of a phase, in epochs or, where a limit ended it early, in updates."""
    return pluralize(part.epochs, "epoch") if _is_complete(part) else pluralize(part.updates, "update")


def _is_complete(part: PhaseSummary) -> bool:
    return part.epochs == part.epochs_asked


def compare_with_published(short: PhaseSummary, T: int, K: int, chars: int) -> str:
    """Compare the minimum smooth loss with the published one, and state the limits of the comparison."""
    loss, published_loss, published_T = short.minimum_smooth_loss, PUBLISHED.short_loss, PUBLISHED.seq_length
    both = (
        f"The minimum in {format_length(short)} is {nats(loss)} nats per window of "
        f"{pluralize(T, 'character')}, {loss / T:.3f} nats per character. The published minimum is {published_loss} "
        f"per window of {published_T}, {published_loss / published_T:.3f} per character. "
        f"{_texts(K, chars)}"
    )
    low, high = PUBLISHED.seeds
    return (
        f"{both} Even on one text two seeds differ: our runs of the same experiment on a novel of that length reached "
        f"{low} and {high}."
    )


def _texts(K: int, chars: int) -> str:
    if (chars, K) == (PUBLISHED.chars, PUBLISHED.alphabet_size):
        return "The two texts have the same length and alphabet size."
    return (
        f"The two losses are not directly comparable: the published one is for a novel of {PUBLISHED.chars:,} "
        f"characters and {PUBLISHED.alphabet_size} distinct characters, this one for "
        f"{chars:,} characters and {K} distinct ones."
    )
