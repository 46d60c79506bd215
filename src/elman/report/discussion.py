"""What a run's numbers say, in sentences.

Every function takes numbers and returns a paragraph that follows from them, also where they say the opposite of
what the reference found.

T  characters in one window, K  size of the alphabet
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from elman.experiment.config import Config
from elman.experiment.gradcheck import LARGEST_ERROR, GradientCheck
from elman.report import reference
from elman.report.curve import CurveFacts, Part
from elman.report.results import Results
from elman.report.words import Name, WordCount
from elman.report.wording import agreeing, counted, listed, nats, percent, scientific

FAST = 0.5
"""A curve falls fast at first if its first tenth brings this share of the fall."""

NOISE = 0.05
"""How far, as a share, the first loss may lie from T ln K by the noise of usual initial weights."""


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of the discussion and what it is about."""

    title: str
    text: str


def discussion(results: Results) -> list[Paragraph]:
    """Return the discussion, the last part of the report."""
    config, K = results.config, results.alphabet_size
    return [
        Paragraph("The start", beginning(results.facts, config.seq_length, K)),
        Paragraph("Fast, then slow?", speed(results.facts, results.short.updates)),
        Paragraph("Downward throughout?", downward(results.facts)),
        Paragraph("Longer training", longer(results.short, results.long)),
        Paragraph("Beside the reference", beside(results.short, config.seq_length, K, results.about["corpus"]["chars"])),
        Paragraph("Names", names(results.names, results.last.updates, results.texts)),
        Paragraph("Words", words(results.words[0], results.words[1:-1], results.words[-1])),
        Paragraph("How far the numbers reach", reach(config)),
    ]


def gradients(checks: Sequence[GradientCheck]) -> str:
    """Say what the gradient check found."""
    errors = [
        (error, name, number) for number, check in enumerate(checks, 1) for name, error in check.relative_error.items()
    ]
    failed = [f"{name} in experiment {number}" for error, name, number in errors if not error <= LARGEST_ERROR]
    limit = scientific(LARGEST_ERROR)
    if failed:
        return (
            f"The check has failed: {listed(failed)} {agreeing(len(failed), 'is')} above {limit}. "
            "What follows was computed with wrong gradients."
        )
    worst, name, number = max(errors)
    return (
        f"All {len(errors)} errors are below {limit}; the largest, {scientific(worst)}, is that of {name} in experiment "
        f"{number}. Backpropagation through time computes the derivative of the loss."
    )


def beginning(facts: CurveFacts, T: int, K: int) -> str:
    """Compare the first loss with that of equal chances."""
    said = (
        f"The first window costs {nats(facts.start)} nats. A network that gives each of the {K} characters the same "
        f"chance pays {T} · ln {K} = {nats(facts.uniform)}"
    )
    off = facts.start / facts.uniform - 1
    if abs(off) <= NOISE:
        return f"{said}; the difference of {nats(abs(facts.start - facts.uniform))} is the noise of the initial weights."
    side = "more" if off > 0 else "less"
    return f"{said}; this one pays {percent(abs(off))} {side}, as its initial weights are no mere noise."


def speed(facts: CurveFacts, updates: int) -> str:
    """Say whether the curve falls fast at first and slowly afterwards."""
    theirs = "fell fast at first and slowly afterwards"
    if not facts.fell:
        return (
            f"The smooth loss did not fall: it began at {nats(facts.start)} and ended at {nats(facts.end)}. "
            f"The reference's {theirs}."
        )
    done, path = facts.first_tenth, f"from {nats(facts.start)} to {nats(facts.end)}"
    in_all = counted(updates, "update")
    if done >= 1:
        return f"The whole fall {path} is done within the first tenth of the {in_all}. The reference's curve {theirs}, too."
    if done >= FAST:
        return (
            f"The smooth loss falls fast at first and slowly afterwards, as the reference's did: of the fall {path}, "
            f"{percent(done)} is done after the first tenth of the {in_all}, and the other nine tenths bring the rest."
        )
    return (
        f"The smooth loss does not fall fast at first: of the fall {path}, only {percent(max(done, 0.0))} is done after "
        f"the first tenth of the {in_all}. The reference's curve {theirs}."
    )


def downward(facts: CurveFacts) -> str:
    """Say whether each epoch ends below the one before, comparing equal places in the text."""
    if not facts.compared:
        return (
            "The reference calls its curve downward throughout. This run is too short to say: there is no place in the "
            "text at which two epochs could be compared."
        )
    verdict, each = _verdict(facts), [_by_minima(facts), _by_places(facts), _by_wave(facts)]
    return " ".join([f"The reference calls its curve downward throughout. {verdict}", *filter(None, each)])


def _verdict(facts: CurveFacts) -> str:
    share = facts.lower / facts.compared
    if share == 1:
        return "From epoch to epoch, so is this one."
    if share >= 0.9:
        return "From epoch to epoch, this one nearly is."
    return "From epoch to epoch, this one is not."


def _by_minima(facts: CurveFacts) -> str:
    pairs, lower = len(facts.epoch_minima) - 1, facts.minima_lower
    if pairs < 1:
        return ""
    if pairs == 1:
        return f"The second epoch's minimum is {'below' if lower else 'not below'} the first's."
    if lower == pairs:
        return f"Each of the {pairs + 1} epochs has a minimum below that of the epoch before it."
    return f"Of the {pairs} epochs after the first, {lower} {'has' if lower == 1 else 'have'} a minimum below the one before."


def _by_places(facts: CurveFacts) -> str:
    many = "all" if facts.lower == facts.compared else f"{facts.lower:,}"
    if facts.compared == 1:
        many = "the one comparison" if facts.lower else "not even the one comparison"
        return f"Compared with the same place in the text one epoch earlier, S is lower in {many} that can be made."
    return (
        f"At the same place in the text, it lies below the curve of one epoch earlier in {many} of "
        f"{facts.compared:,} comparisons."
    )


def _by_wave(facts: CurveFacts) -> str:
    if facts.wave is None:
        return ""
    return (
        "Within an epoch it rises and falls with the difficulty of the text, in the last one by "
        f"{nats(facts.wave)} nats, which is why only equal places are compared."
    )


def longer(short: Part, long: Part | None) -> str:
    """Say what the epochs after the short part brought."""
    theirs = (
        f"The reference went from {reference.SHORT_LOSS} in {reference.SHORT_EPOCHS} epochs to {reference.LONG_LOSS} in "
        f"{reference.LONG_EPOCHS}, {percent(1 - reference.LONG_LOSS / reference.SHORT_LOSS)} less."
    )
    if long is None:
        return f"This run did not go on after {counted(short.updates, 'update')}. {theirs}"
    before, after = short.minimum_smooth_loss, long.minimum_smooth_loss
    way = f"Going on from {_span(short)} to {_span(long)}"
    if after >= before:
        return f"{way} did not lower the minimum of {nats(before)} nats a window. {theirs}"
    gain = percent(1 - after / before)
    return f"{way} lowers the minimum from {nats(before)} to {nats(after)} nats a window, {gain} less. {theirs}"


def _span(part: Part) -> str:
    """The length of a part: in epochs where it ended as one did, in updates where a limit cut it short."""
    whole = part.epochs == part.epochs_asked
    return counted(part.epochs, "epoch") if whole else counted(part.updates, "update")


def beside(short: Part, T: int, K: int, chars: int) -> str:
    """Put the headline figure beside the reference's, and say what the comparison is worth."""
    loss, theirs = short.minimum_smooth_loss, reference.SHORT_LOSS
    ours = f"The least smooth loss in {_span(short)} is {nats(loss)} nats for {counted(T, 'character')}"
    said = (
        f"{ours}, {loss / T:.3f} a character; the reference reports {theirs} for {reference.SEQ_LENGTH}, "
        f"{theirs / reference.SEQ_LENGTH:.3f} a character."
    )
    low, high = reference.SEEDS
    spread = (
        f"On one and the same text, two random states gave us {low} and {high}, so that a difference below "
        f"{high - low:.1f} nats would say nothing of the network."
    )
    if (chars, K) == (reference.CHARS, reference.ALPHABET_SIZE):
        return f"{said} The texts have the same length and alphabet. {spread}"
    return (
        f"{said} The two do not measure one thing: the reference read a novel of {reference.CHARS:,} characters, "
        f"K = {reference.ALPHABET_SIZE}, and this text has {chars:,}, K = {K}. {spread}"
    )


def names(found: Sequence[Name], updates: int, texts: int) -> str:
    """Say which names of the text the network has written, the first and the last of them, and which it has not."""
    if not found:
        return (
            "No names were found in the text: no word of four letters or more stands in it several times with a capital, "
            "hardly ever without, and not only where a sentence begins."
        )
    known = sorted((name for name in found if name.first_update is not None), key=lambda name: name.first_update or 0)
    said = [_known_names(known, len(found)), *_missing_names([n.name for n in found if n.first_update is None], known)]
    return " ".join([*said, _beside_villain(known, updates), _looked_for(texts)])


def _known_names(known: Sequence[Name], found: int) -> str:
    asked = "The text's most frequent name is" if found == 1 else f"Of the text's {found} most frequent names"
    if found == 1:
        return f"{asked} {known[0].name}, first written {_when(known[0])}." if known else "The text has one name."
    if not known:
        return f"{asked}, the network has written none."
    first, last = known[0], known[-1]
    many = "all" if len(known) == found else str(len(known))
    if first is last:
        return f"{asked}, the network has written one: {first.name}, {_when(first)}."
    return f"{asked}, the network has written {many}: {first.name} first, {_when(first)}, and {last.name} last, {_when(last)}."


def _when(name: Name) -> str:
    return f"at update\u00a0{name.first_update:,}"


def _missing_names(missing: Sequence[str], known: Sequence[Name]) -> Iterator[str]:
    if missing:
        yield f"Not written yet: {listed(missing)}." if known else f"That would be {listed(missing)}."


def _beside_villain(known: Sequence[Name], updates: int) -> str:
    at = reference.VILLAIN_AT
    theirs = f"The reference was proud of four names and above all of its villain's, first seen at update {at:,}"
    before = sum(name.first_update is not None and name.first_update < at for name in known)
    if updates < at:
        return f"{theirs}; this run ended before that, at {updates:,}."
    if not known:
        return f"{theirs}."
    if before == len(known):
        return f"{theirs}; {'every one' if before > 1 else 'this one'} of these came earlier."
    return f"{theirs}; {before} of these came earlier, {len(known) - before} not."


def _looked_for(texts: int) -> str:
    return (
        f"The names were looked for in {counted(texts, 'text')} that the network wrote, so a name may have been learned "
        "before it turned up."
    )


def words(start: WordCount, during: Sequence[WordCount], final: WordCount) -> str:
    """Say what share of the words written are words of the text, at the end and before the first update."""
    said = [_final_words(final), _first_words(start, final)]
    if during and during[0].written:
        said.append(f"At update {during[0].update:,} it was {percent(during[0].share)} already." if _early(during[0], final) else f"At update {during[0].update:,} it was {percent(during[0].share)}.")
    return " ".join(filter(None, said))


def _early(first: WordCount, final: WordCount) -> bool:
    return first.share >= 0.8 * final.share > 0


def _final_words(final: WordCount) -> str:
    if not final.written:
        return "The final text holds no whole word."
    return f"Of the {counted(final.written, 'word')} in the final text, {final.known:,} ({percent(final.share)}) are words of the text it learned from."


def _first_words(start: WordCount, final: WordCount) -> str:
    return ""


def reach(config: Config) -> str:
    """Say what may be concluded from one run, and what not."""
    low, high = reference.SEEDS
    return ""
