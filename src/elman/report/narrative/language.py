"""Sentences about what the network writes: the names and the words of its text."""

from __future__ import annotations

from collections.abc import Sequence

from elman.report import published_results as published
from elman.report.narrative.formatting import counted, listed, percent
from elman.report.narrative.lexicon import Name, WordCount


def names(found: Sequence[Name], updates: int, texts: int) -> str:
    """Say which names of the text the network has learned to spell, and when each was first written.

    Parameters
    ----------
    found : sequence of Name
    updates : int
        Length of the run.
    texts : int
        Samples in which they were looked for.
    """
    if not found:
        return (
            "The text seems to have no names: no word of four letters or more is repeated in it with a capital, hardly "
            "ever without one, and not only where a line or a sentence begins."
        )
    known = sorted((name for name in found if name.first_update is not None), key=_first)
    missing = [name.name for name in found if name.first_update is None]
    said = [_known(known, missing), _beside(known, updates)]
    if missing:
        said.append(
            f"They were looked for in {counted(texts, 'text')} that the network wrote, so it may know a name that "
            "chance has not drawn."
        )
    return " ".join(said)


def _first(name: Name) -> int:
    return name.first_update or 0


def _known(known: Sequence[Name], missing: Sequence[str]) -> str:
    found = len(known) + len(missing)
    of = f"the text's {found} most frequent names" if found > 1 else "the one name of the text"
    if not known:
        return f"The network has not yet written {'any of ' if found > 1 else ''}{of}: {listed(missing)}."
    if found == 1:
        return f"The network has learned to spell {of}: {_when(known[0])}."
    said = f"The network has learned to spell {len(known) if missing else 'all'} of {of}: {_when(known[0])}"
    if len(known) > 1:
        said += f", was the first to be written, and {_when(known[-1])}, the last"
    return f"{said}. Not yet written: {listed(missing)}." if missing else f"{said}."


def _when(name: Name) -> str:
    return f"{name.name}, at update\u00a0{_first(name):,}"


def _beside(known: Sequence[Name], updates: int) -> str:
    at = published.VILLAIN_AT
    theirs = f"The reference was proud of four names, and most of its villain's, first seen at update {at:,}"
    before = sum(_first(name) < at for name in known)
    if updates < at:
        return f"{theirs}; this run ends before, at {updates:,}."
    if len(known) < 2:
        return f"{theirs}."
    return f"{theirs}; here {'all' if before == len(known) else before} of them came before that update."


def words(start: WordCount, during: Sequence[WordCount], final: WordCount) -> str:
    """Say what share of the written words are words of the text, at the end and on the way there.

    Parameters
    ----------
    start : WordCount
        Of the sample before the first update.
    during : sequence of WordCount
        Of the samples after it.
    final : WordCount
        Of the finished network's text.
    """
    if not final.written:
        return "The final text has no whole word."
    said = [_final(final)]
    if start.written:
        share = f"{start.known:,} of {start.written:,} ({percent(start.share)})"
        said.append(f"Before the first update it was {share}{', by chance' if start.known else ''}.")
    return " ".join([*said, *_on_the_way(during), *_no_gain(start, final)])


def _final(final: WordCount) -> str:
    if final.written == 1:
        known = "a word" if final.known else "no word"
        return f"The one whole word of the final text is {known} of the text it learned from."
    known = f"{final.known:,} ({percent(final.share)}) {'is a word' if final.known == 1 else 'are words'}"
    return f"Of the {counted(final.written, 'word')} in the final text, {known} of the text it learned from."


def _on_the_way(during: Sequence[WordCount]) -> list[str]:
    told = [count for count in during if count.written]
    if not told:
        return []
    at = [f"{percent(count.share)} at update\u00a0{count.update:,}" for count in dict.fromkeys((told[0], told[-1]))]
    return [f"In between it was {listed(at)}."]


def _no_gain(start: WordCount, final: WordCount) -> list[str]:
    if start.written and final.share <= start.share:
        return ["So the network writes no more words than chance did."]
    return []
