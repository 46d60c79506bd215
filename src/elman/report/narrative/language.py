"""Sentences about the samples: which names and words of the training text they contain."""

from __future__ import annotations

from collections.abc import Sequence

from elman.report import published_results as published
from elman.report.lexicon import Name, WordCount
from elman.report.narrative.formatting import join_and, percent, pluralize


def names(found: Sequence[Name], updates: int, texts: int) -> str:
    """State which names of the text appear in samples, and when each first did.

    Parameters
    ----------
    found : sequence of Name
    updates : int
        Length of the run.
    texts : int
        Number of samples in which they were looked for.
    """
    if not found:
        return (
            "No names were found in the text: no word of four letters or more is repeated with a capital letter, "
            "hardly ever without one, and not only at the beginning of a line or a sentence."
        )
    known = sorted((name for name in found if name.first_update is not None), key=_first)
    missing = [name.name for name in found if name.first_update is None]
    said = [_known(known, missing), _beside(known, updates)]
    if missing:
        said.append(
            f"They were looked for in {pluralize(texts, 'sample')}, so the model may have learned names that were not "
            "sampled."
        )
    return " ".join(said)


def _first(name: Name) -> int:
    return name.first_update or 0


def _known(known: Sequence[Name], missing: Sequence[str]) -> str:
    found = len(known) + len(missing)
    of = f"the text's {found} most frequent names" if found > 1 else "the one name of the text"
    if not known:
        return f"No sample contains {'any of ' if found > 1 else ''}{of}: {join_and(missing)}."
    if found == 1:
        return f"The model has learned to spell {of}: {_when(known[0])}."
    said = f"The model has learned to spell {len(known) if missing else 'all'} of {of}: {_when(known[0])}"
    if len(known) > 1:
        said += f", appeared first, and {_when(known[-1])}, last"
    return f"{said}. Not in any sample: {join_and(missing)}." if missing else f"{said}."


def _when(name: Name) -> str:
    return f"{name.name}, at update\u00a0{_first(name):,}"


def _beside(known: Sequence[Name], updates: int) -> str:
    at = published.VILLAIN_AT
    theirs = f"The course report lists four names, and that of its novel's villain, first seen at update {at:,}"
    before = sum(_first(name) < at for name in known)
    if updates < at:
        return f"{theirs}; this run ends earlier, at {updates:,}."
    if len(known) < 2:
        return f"{theirs}."
    return f"{theirs}; here {'all' if before == len(known) else before} of them appeared before that update."


def words(start: WordCount, during: Sequence[WordCount], final: WordCount) -> str:
    """State which fraction of the sampled words are words of the text, at the end and during training.

    Parameters
    ----------
    start : WordCount
        Of the sample before the first update.
    during : sequence of WordCount
        Of the samples after it.
    final : WordCount
        Of the final sample.
    """
    if not final.written:
        return "The final sample has no complete word."
    said = [_final(final)]
    if start.written:
        share = f"{start.known:,} of {start.written:,} ({percent(start.share)})"
        said.append(f"Before the first update it was {share}{', by chance' if start.known else ''}.")
    return " ".join([*said, *_on_the_way(during), *_no_gain(start, final)])


def _final(final: WordCount) -> str:
    if final.written == 1:
        known = "a word" if final.known else "no word"
        return f"The one complete word of the final sample is {known} of the training text."
    known = f"{final.known:,} ({percent(final.share)}) {'is a word' if final.known == 1 else 'are words'}"
    return f"Of the {pluralize(final.written, 'word')} in the final sample, {known} of the training text."


def _on_the_way(during: Sequence[WordCount]) -> list[str]:
    told = [count for count in during if count.written]
    if not told:
        return []
    at = [f"{percent(count.share)} at update\u00a0{count.update:,}" for count in dict.fromkeys((told[0], told[-1]))]
    return [f"In between it was {join_and(at)}."]


def _no_gain(start: WordCount, final: WordCount) -> list[str]:
    if start.written and final.share <= start.share:
        return ["So the model writes no more words than the untrained network did by chance."]
    return []
