"""Words and names of a text, and their occurrences in samples.

A word is a maximal run of letters. Words are compared case-insensitively and counted if they have two letters or more:
nearly every single letter occurs alone somewhere in a text, so random letters would count as words.

A name is, by this heuristic, a word

- of at least `MIN_NAME_LENGTH` letters that occurs at least `MIN_NAME_COUNT` times,
- without a capital in at most one of twenty occurrences,
- in at least half of them capitalized where no sentence and no line begins, or entirely in capitals, like the speakers
  in plays,
- and in fewer than half of them directly before another capitalized word, unlike titles, such as Professor.

This finds the speakers of a play and the people and places of a novel; in documentation it finds identifiers, and in
German, which capitalizes every noun, it also finds common nouns. A text mostly without lower case has no names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elman.runs import Sample

MIN_NAME_LENGTH, MIN_NAME_COUNT = 3, 3
_WORD = re.compile(r"[^\W\d_]+")
# A word that begins a line or follows the end of a sentence: its capital does not count.
_OPENING = re.compile(r"(?:^|[.!?…:;][\"”’')\]]*\s)[^\w\n]*([^\W\d_]+)", re.MULTILINE)
# A word directly before another word, whose first letter is the second group.
_BEFORE_WORD = re.compile(r"([^\W\d_]+)\.? (?=([^\W\d_]))")
_SENTENCE = re.compile(r"[.!?…][\"”’')\]]*[^\S\n]+[\"“‘'(\[]*([^\W\d_])")
_BEFORE, _AFTER = 24, 32  # characters shown around a name


@dataclass(frozen=True)
class Lexicon:
    """Words and names of a text."""

    words: frozenset[str]  # every word, case folded
    names: dict[str, tuple[str, int]]
    """The names, most frequent first: case-folded name to its most common spelling and count."""
    form: dict[str, int]  # see `measure_form`


def build_lexicon(pieces: Iterable[str]) -> Lexicon:
    """Return the words and the names of a text, given in pieces that end with a line feed if possible."""
    spellings, openings, titles, form = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for piece in pieces:
        spellings.update(match[0] for match in _WORD.finditer(piece))
        openings.update(match[1] for match in _OPENING.finditer(piece))
        titles.update(match[1].casefold() for match in _BEFORE_WORD.finditer(piece) if match[2].isupper())
        form.update(measure_form(piece))
    words = frozenset(word.casefold() for word in spellings)
    return Lexicon(words, _names(spellings, openings, titles), dict(form))


def measure_form(text: str) -> dict[str, int]:
    """Count sentences that follow another in a line, capitalized ones among them, quotations, and closed quotations."""
    # A quotation is closed if its second quotation mark is in the same line.
    openings = [match[1].isupper() for match in _SENTENCE.finditer(text)]
    straight = [line.count('"') for line in text.splitlines()]
    curly = [(line.count("“"), line.count("”")) for line in text.splitlines()]
    return {
        "sentences": len(openings),
        "capitalized": sum(openings),
        "quotations": sum((count + 1) // 2 for count in straight) + sum(map(max, curly)),
        "closed": sum(count // 2 for count in straight) + sum(map(min, curly)),
    }


def _names(spellings: Counter[str], openings: Counter[str], titles: Counter[str]) -> dict[str, tuple[str, int]]:
    total, capital, capital_within = Counter[str](), Counter[str](), Counter[str]()
    for spelling, count in spellings.items():
        word = spelling.casefold()
        total[word] += count
        if spelling[0].isupper():
            capital[word] += count
            capital_within[word] += count if spelling.isupper() else count - openings[spelling]
    if 2 * capital.total() > total.total():
        return {}  # capitals distinguish nothing here

    def is_name(word: str, count: int) -> bool:
        is_frequent = len(word) >= MIN_NAME_LENGTH and count >= MIN_NAME_COUNT
        is_capital = 20 * capital[word] >= 19 * count and 2 * capital_within[word] >= count
        return is_frequent and is_capital and 2 * titles[word] < count

    most_common = {spelling.casefold(): spelling for spelling, _ in reversed(spellings.most_common())}
    return {word: (most_common[word], count) for word, count in total.most_common() if is_name(word, count)}


def complete_words(text: str) -> list[re.Match[str]]:
    """Return the words of a sample except those at its ends, which may be truncated."""
    return [match for match in _WORD.finditer(text) if match.start() > 0 and match.end() < len(text)]


def count_words(sample: Sample, words: frozenset[str]) -> dict[str, Any]:
    """Count the words of a sample with two letters or more, and how many of them are in `words`, for JSON."""
    written = [match[0].casefold() for match in complete_words(sample.text) if len(match[0]) > 1]
    known = sum(word in words for word in written)
    share = known / len(written) if written else 0.0
    return {"update": sample.update, "written": len(written), "known": known, "share": share}


def find_names(names: Mapping[str, tuple[str, int]], samples: Iterable[Sample]) -> list[dict[str, Any]]:
    """Return, for each name, the first sample that contains it as a capitalized word, and its context, for JSON."""
    occurrences: dict[str, tuple[int, str]] = {}
    for sample in samples:
        for match in complete_words(sample.text):
            if match[0][0].isupper() and match[0].casefold() in names:
                occurrences.setdefault(match[0].casefold(), (sample.update, _context(match)))
    rows = ((name, count, *occurrences.get(word, (None, ""))) for word, (name, count) in names.items())
    return [dict(zip(("name", "count", "first_update", "context"), row, strict=True)) for row in rows]


def _context(match: re.Match[str]) -> str:
    """Return the surroundings of a word in one line, without words truncated at the borders."""
    text, start, end = match.string, max(0, match.start() - _BEFORE), match.end() + _AFTER
    before, after = text[start : match.start()], text[match.end() : end]
    if start > 0:
        before = re.sub(r"^\S*\s", "", before)
    if end < len(text):
        after = re.sub(r"\s\S*$", "", after)
    return " ".join((before + match[0] + after).split())


def classify_words(text: str, lexicon: Lexicon) -> Sequence[tuple[str, str]]:
    """Split a sample into chunks, each with its kind: ``name``, ``word`` (of the text), ``invented`` or ``between``."""
    chunks, end = [], 0
    for match in _WORD.finditer(text):
        word, is_capital = match[0].casefold(), match[0][0].isupper()
        kind = "name" if is_capital and word in lexicon.names else "word" if word in lexicon.words else "invented"
        chunks += [("between", text[end : match.start()]), (kind, match[0])]
        end = match.end()
    return [(kind, chunk) for kind, chunk in [*chunks, ("between", text[end:])] if chunk]
