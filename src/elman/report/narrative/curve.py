"""Sentences about the curve of the smooth loss.

T  characters in one window, K  size of the alphabet
"""

from __future__ import annotations

from elman.report import published_results as published
from elman.report.curve_stats import CurveFacts, Part
from elman.report.narrative.formatting import counted, nats, percent

FAST = 0.5
"""A curve falls fast at first if its first tenth brings this share of the fall."""

NOISE = 0.05
"""How far, as a share, the first loss may lie from T ln K by the noise of usual initial weights."""

NEARLY = 0.9
"""A curve goes nearly downward if this share of the comparisons say so."""


def start(facts: CurveFacts, T: int, K: int) -> str:
    """Compare the first loss with that of equal chances."""
    said = (
        f"The first window costs {nats(facts.start)} nats. A network that gives each of the {K} characters the same "
        f"chance pays {T} · ln {K} = {nats(facts.uniform)}"
    )
    off = facts.start / facts.uniform - 1
    if abs(off) <= NOISE:
        return f"{said}; the difference, {nats(abs(facts.start - facts.uniform))}, is the noise of the initial weights."
    side = "more" if off > 0 else "less"
    return f"{said}; this one pays {percent(abs(off))} {side}, so its initial weights prefer some characters by far."


def speed(facts: CurveFacts, updates: int) -> str:
    """Say whether the curve falls fast at first and slowly afterwards, as the reference's did."""
    path, done = f"from {nats(facts.start)} to {nats(facts.end)}", facts.first_tenth
    tenth = f"the first tenth of the {counted(updates, 'update')}"
    if not facts.fell:
        return f"The smooth loss does not fall at all: it goes {path}. The reference's fell fast at first, then slowly."
    if done < FAST:
        return (
            f"The smooth loss does not fall fast at first, as the reference's did: of its fall {path}, "
            f"{percent(max(done, 0))} is done after {tenth}."
        )
    rest = "and the other nine tenths bring the rest" if done < 1 else "and the other nine tenths bring nothing"
    return (
        f"The smooth loss falls fast at first and then slowly, as the reference's did: of its fall {path}, "
        f"{percent(min(done, 1))} is done after {tenth}, {rest}."
    )


def downward(facts: CurveFacts) -> str:
    """Say whether the curve falls from epoch to epoch, comparing equal places in the text."""
    theirs = "The reference calls its curve downward throughout."
    if not facts.compared:
        return f"{theirs} This run is too short to say: no place of the text was passed twice with its loss recorded."
    said = [theirs, _by_places(facts), _by_minima(facts), _by_wave(facts)]
    return " ".join(filter(None, said))


def _by_places(facts: CurveFacts) -> str:
    verdict = "is not"
    if facts.lower == facts.compared:
        verdict = "is too"
    elif facts.lower >= NEARLY * facts.compared:
        verdict = "nearly is"
    elif 2 * facts.lower > facts.compared:
        verdict = "mostly is"
    return (
        f"From epoch to epoch this one {verdict}: it lies lower than one epoch earlier, at the same place in the text, "
        f"in {facts.lower:,} of {counted(facts.compared, 'comparison')}."
    )


def _by_minima(facts: CurveFacts) -> str:
    pairs, lower = len(facts.epoch_minima) - 1, facts.minima_lower
    if pairs < 1:
        return ""
    if pairs == 1:
        return f"The second epoch's minimum is {'below' if lower else 'not below'} the first's."
    if lower == pairs:
        return "Each epoch's minimum is below that of the epoch before."
    return f"The minimum of an epoch is below that of the epoch before in {lower} of {pairs} cases."


def _by_wave(facts: CurveFacts) -> str:
    if facts.wave is None:
        return ""
    return (
        f"Within an epoch it rises and falls with the difficulty of the text, by {nats(facts.wave)} nats in the last "
        "one, so only equal places may be compared."
    )


def longer(short: Part, long: Part | None) -> str:
    """Say what going on brought."""
    theirs = (
        f"The reference went from {published.SHORT_LOSS} after {published.SHORT_EPOCHS} epochs to "
        f"{published.LONG_LOSS} after {published.LONG_EPOCHS}, {_gain(published.SHORT_LOSS, published.LONG_LOSS)}."
    )
    if long is None:
        return f"This run ended after {span(short)}. {theirs}"
    before, after = short.minimum_smooth_loss, long.minimum_smooth_loss
    way = f"Going on from {short.epochs if _whole(short) and _whole(long) else span(short)} to {span(long)}"
    if after >= before:
        return f"{way} did not bring the smooth loss below its minimum of {nats(before)} nats. {theirs}"
    ours = f"{way} brought the minimum of the smooth loss from {nats(before)} to {nats(after)} nats"
    return f"{ours}, {_gain(before, after)}. {theirs}"


def _gain(before: float, after: float) -> str:
    return f"{percent(1 - after / before)} less"


def span(part: Part) -> str:
    """Return the length of a part, in epochs or, where a limit cut it short, in updates."""
    return counted(part.epochs, "epoch") if _whole(part) else counted(part.updates, "update")


def _whole(part: Part) -> bool:
    return part.epochs == part.epochs_asked


def beside(short: Part, T: int, K: int, chars: int) -> str:
    """Put the headline figure beside the reference's, and say what the comparison is worth."""
    loss, theirs, their_T = short.minimum_smooth_loss, published.SHORT_LOSS, published.SEQ_LENGTH
    said = (
        f"The minimum in {span(short)} is {nats(loss)} nats for {counted(T, 'character')}, {loss / T:.3f} nats a "
        f"character. The reference reports {theirs} for {their_T}, {theirs / their_T:.3f} a character. "
        f"{_texts(K, chars)}"
    )
    low, high = published.SEEDS
    return (
        f"{said} Even on one text two random states differ: in our runs of the reference's experiment on a novel of "
        f"that length they reached {low} and {high}."
    )


def _texts(K: int, chars: int) -> str:
    if (chars, K) == (published.CHARS, published.ALPHABET_SIZE):
        return "Its text has the length and the alphabet size of this one."
    return (
        f"The two figures do not measure the same: its text was a novel of {published.CHARS:,} characters with "
        f"K = {published.ALPHABET_SIZE}, and this one has {chars:,} with K = {K}."
    )
