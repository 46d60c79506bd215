"""Sentences about the samples: which names and words of the training text they contain."""

from __future__ import annotations

from collections.abc import Sequence

from elman.report.lexicon import Name, WordCount
from elman.report.narrative.formatting import join_and, percent, pluralize
from elman.report.results import PUBLISHED


def describe_names(names: Sequence[Name], updates: int, texts: int) -> str:
    """State which names of the text appear in samples, and when each first did.

    Parameters
    ----------
    names : sequence of Name
    updates : int
        Length of the run.
    texts : int
        Number of samples that were searched for them.
    """
    if not names:
        return (
            "No names were found in the text: no word of four letters or more is repeated with a capital letter, "
            "hardly ever without one, and not only at the beginning of a line or a sentence."
        )
    written = sorted((name for name in names if name.first_update is not None), key=_first)
    missing = [name.name for name in names if name.first_update is None]
    sentences = [_describe_written(written, missing), _compare_with_published(written, updates)]
    if missing:
        sentences.append(
            f"They were looked for in {pluralize(texts, 'sample')}, so the model may have learned names that were not "
            "sampled."
        )
    return " ".join(sentences)


def _first(name: Name) -> int:
    return name.first_update or 0


def _describe_written(written: Sequence[Name], missing: Sequence[str]) -> str:
    total = len(written) + len(missing)
    names = f"the text's {total} most frequent names" if total > 1 else "the one name of the text"
    if not written:
        return f"No sample contains {'any of ' if total > 1 else ''}{names}: {join_and(missing)}."
    if total == 1:
        return f"The model has learned to spell {names}: {_when(written[0])}."
    sentence = f"The model has learned to spell {len(written) if missing else 'all'} of {names}: {_when(written[0])}"
    if len(written) > 1:
        sentence += f", appeared first, and {_when(written[-1])}, last"
    return f"{sentence}. Not in any sample: {join_and(missing)}." if missing else f"{sentence}."


def _when(name: Name) -> str:
    return f"{name.name}, at update\u00a0{_first(name):,}"


def _compare_with_published(written: Sequence[Name], updates: int) -> str:
    at = PUBLISHED.villain_at
    result = f"The course report lists four names, and that of its novel's villain, first seen at update {at:,}"
    before = sum(_first(name) < at for name in written)
    if updates < at:
        return f"{result}; this run ends earlier, at {updates:,}."
    if len(written) < 2:
        return f"{result}."
    return f"{result}; here {'all' if before == len(written) else before} of them appeared before that update."


def describe_words(start: WordCount, during: Sequence[WordCount], final: WordCount) -> str:
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
    sentences = [_describe_final(final)]
    if start.written:
        fraction = f"{start.known:,} of {start.written:,} ({percent(start.share)})"
        sentences.append(f"Before the first update it was {fraction}{', by chance' if start.known else ''}.")
    return " ".join([*sentences, *_describe_between(during), *_describe_no_gain(start, final)])


def _describe_final(final: WordCount) -> str:
    if final.written == 1:
        kind = "a word" if final.known else "no word"
        return f"The one complete word of the final sample is {kind} of the training text."
    fraction = f"{final.known:,} ({percent(final.share)}) {'is a word' if final.known == 1 else 'are words'}"
    return f"Of the {pluralize(final.written, 'word')} in the final sample, {fraction} of the training text."


def _describe_between(during: Sequence[WordCount]) -> list[str]:
    counts = [count for count in during if count.written]
    if not counts:
        return []
    ends = dict.fromkeys((counts[0], counts[-1]))
    fractions = [f"{percent(count.share)} at update\u00a0{count.update:,}" for count in ends]
    return [f"In between it was {join_and(fractions)}."]


def _describe_no_gain(start: WordCount, final: WordCount) -> list[str]:
    if start.written and final.share <= start.share:
        return ["So the model generates no more words of the text than the untrained network did by chance."]
    return []
