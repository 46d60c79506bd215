"""The words and the names of a text, and what a network has learned of them.

A word is a maximal run of letters. Words are compared whatever their case, and counted from two letters on: nearly
every letter stands alone somewhere in a text, so that letters thrown about at random would count as words.

A name, as far as this file can tell, is a word

- of at least `SHORTEST` letters that stands in the text at least `RAREST` times,
- at most one time in twenty without a capital,
- and at least every other time capitalised where no sentence and no line begins, or wholly in capitals, as plays write
  their speakers.

That finds the speakers of a play and the people and places of a novel; in documentation it finds identifiers, and in
German, which gives every noun a capital, common nouns as well. A text mostly without lower case has none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from elman.runs.records import Sample

SHORTEST, RAREST = 4, 3
_WORD = re.compile(r"[^\W\d_]+")
# A word that begins a line or follows the end of a sentence: its capital says nothing.
_OPENING = re.compile(r"(?:^|[.!?…:;][\"”’')\]]*\s)[^\w\n]*([^\W\d_]+)", re.MULTILINE)
_BEFORE, _AFTER = 24, 32  # characters shown around a name


@dataclass(frozen=True)
class Lexicon:
    """What a text is made of.

    Parameters
    ----------
    words : frozenset of str
        Every word, case folded.
    names : dict of str to tuple of (str, int)
        The names, the most frequent first: case folded, in their commonest spelling, and how often they occur.
    """

    words: frozenset[str]
    names: dict[str, tuple[str, int]]


@dataclass(frozen=True)
class Name:
    """A name of the text, and where the network first wrote it.

    Parameters
    ----------
    name : str
        As the text mostly spells it.
    count : int
        How often the text has it.
    first_update : int or None
        Updates done when it was first written; None where it was not.
    context : str
        What the network wrote around it.
    """

    name: str
    count: int
    first_update: int | None = None
    context: str = ""


@dataclass(frozen=True)
class WordCount:
    """How many words of two letters or more a sample holds, and how many of them are words of the text."""

    update: int
    written: int
    known: int

    @property
    def share(self) -> float:
        """Words of the text among those written; 0 where none was written."""
        return self.known / self.written if self.written else 0.0


def lexicon(text: str) -> Lexicon:
    """Return the words and the names of a text."""
    spellings = Counter(match[0] for match in _WORD.finditer(text))
    openings = Counter(match[1] for match in _OPENING.finditer(text))
    return Lexicon(frozenset(word.casefold() for word in spellings), _names(spellings, openings))


def _names(spellings: Counter[str], openings: Counter[str]) -> dict[str, tuple[str, int]]:
    in_all, capital, telling = Counter[str](), Counter[str](), Counter[str]()
    for word, count in spellings.items():
        in_all[word.casefold()] += count
        if word[0].isupper():
            capital[word.casefold()] += count
            telling[word.casefold()] += count if word.isupper() else count - openings[word]
    if 2 * capital.total() > in_all.total():
        return {}  # capitals distinguish nothing here

    def is_name(word: str) -> bool:
        count = in_all[word]
        mostly_capital = 20 * capital[word] >= 19 * count
        return len(word) >= SHORTEST and count >= RAREST and mostly_capital and 2 * telling[word] >= count

    commonest: dict[str, str] = {}
    for spelling, _ in spellings.most_common():
        commonest.setdefault(spelling.casefold(), spelling)
    return {word: (commonest[word], count) for word, count in in_all.most_common() if is_name(word)}


def whole_words(text: str) -> list[re.Match[str]]:
    """Return the words of a sample but for those that touch its ends, where a word may be cut."""
    return [match for match in _WORD.finditer(text) if match.start() > 0 and match.end() < len(text)]


def count_words(sample: Sample, words: frozenset[str]) -> WordCount:
    """Count the words of a sample that have two letters or more, and those of them that are in `words`."""
    written = [match[0].casefold() for match in whole_words(sample.text) if len(match[0]) > 1]
    return WordCount(sample.update, len(written), sum(word in words for word in written))


def first_written(names: Mapping[str, tuple[str, int]], samples: Iterable[Sample]) -> list[Name]:
    """Return for each name the first of the samples, in their order, that has it as a whole word with its capital."""
    seen: dict[str, tuple[int, str]] = {}
    for sample in samples:
        for match in whole_words(sample.text):
            if _is_written(match[0], names):
                seen.setdefault(match[0].casefold(), (sample.update, _context(match)))
    return [Name(name, count, *seen.get(word, (None, ""))) for word, (name, count) in names.items()]


def _is_written(word: str, names: Mapping[str, tuple[str, int]]) -> bool:
    return word[0].isupper() and word.casefold() in names


def _context(match: re.Match[str]) -> str:
    """Return what stands around a word, in one line; words that the cut may have halved are left out."""
    text, start, end = match.string, max(0, match.start() - _BEFORE), match.end() + _AFTER
    before, after = text[start : match.start()], text[match.end() : end]
    if start > 0:
        before = re.sub(r"^\S*\s", "", before)
    if end < len(text):
        after = re.sub(r"\s\S*$", "", after)
    return " ".join((before + match[0] + after).split())


def marked(text: str, known: Lexicon) -> Sequence[tuple[str, str]]:
    """Cut a sample into pieces that together are the sample.

    Returns
    -------
    sequence of (kind, piece)
        The kind is ``name``, ``word`` (of the text), ``invented`` (any other word) or ``between``.
    """
    pieces, end = [], 0
    for match in _WORD.finditer(text):
        pieces.append(("between", text[end : match.start()]))
        pieces.append((_kind(match[0], known), match[0]))
        end = match.end()
    return [(kind, piece) for kind, piece in [*pieces, ("between", text[end:])] if piece]


def _kind(word: str, known: Lexicon) -> str:
    if _is_written(word, known.names):
        return "name"
    return "word" if word.casefold() in known.words else "invented"
