"""Features of a text that units are probed for: each a function from a text to one number per character.

N  characters in the text

A value depends on the text up to and including its position, never on later text: the network has read no more when
its activations are recorded there.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FeatureValues = NDArray[np.float32]
"""One number per character, shape (N,)."""

_OPENING, _CLOSING = "([{", ")]}"
_SENTENCE_ENDS = ".!?"


@dataclass(frozen=True)
class Feature:
    """A feature of the text.

    Parameters
    ----------
    name : str
        A few words.
    description : str
        How it is counted, in a sentence.
    is_binary : bool
        Whether its values are 1 and 0; otherwise they are amounts of 0 or more.
    needs_history : bool
        Whether it depends on more than the last character read.
    compute : callable
        Returns its value at every position of a text.
    """

    name: str
    description: str
    is_binary: bool
    needs_history: bool
    compute: Callable[[str], FeatureValues]


def position_in_line(text: str) -> FeatureValues:
    """Count characters since the last line feed; 0 at the line feed itself."""
    return _count_since(_test_each(text, "\n".__eq__))


def position_in_sentence(text: str) -> FeatureValues:
    """Count characters since the last full stop, exclamation mark or question mark."""
    return _count_since(_test_each(text, lambda c: c in _SENTENCE_ENDS))


def length_of_word(text: str) -> FeatureValues:
    """Count letters of the word read so far; 0 between words."""
    return _count_since(~_test_each(text, str.isalpha))


def indentation(text: str) -> FeatureValues:
    """Count spaces and tabs at the start of the line, as far as it has been read."""
    values, depth, in_indent = np.empty(len(text), np.float32), 0, True
    for n, c in enumerate(text):
        if c == "\n":
            depth, in_indent = 0, True
        elif in_indent and c in " \t":
            depth += 1
        else:
            in_indent = False
        values[n] = depth
    return values


def inside_quotes(text: str) -> FeatureValues:
    """Mark positions from an opening quotation mark to the character before the closing one."""
    values, is_open, previous = np.empty(len(text), np.float32), False, ""
    for n, c in enumerate(text):
        if c == '"':
            is_open = not is_open
        elif c in "“«„":
            is_open = True
        elif c in "”»" or c == previous == "\n":
            is_open = False
        values[n], previous = is_open, c
    return values


def inside_brackets(text: str) -> FeatureValues:
    """Mark positions where a bracket ( [ { is open; a blank line closes all."""
    values, depth, previous = np.empty(len(text), np.float32), 0, ""
    for n, c in enumerate(text):
        if c in _OPENING:
            depth += 1
        elif c in _CLOSING:
            depth = max(0, depth - 1)
        elif c == previous == "\n":
            depth = 0
        values[n], previous = depth > 0, c
    return values


def after_sentence(text: str) -> FeatureValues:
    """Mark positions from the end of a sentence to the character before the next letter or digit."""
    values, ended = np.empty(len(text), np.float32), False
    for n, c in enumerate(text):
        ended = c in _SENTENCE_ENDS or (ended and not c.isalnum())
        values[n] = ended
    return values


def _test_each(text: str, test: Callable[[str], bool]) -> NDArray[np.bool_]:
    """Return the result of a test for every character; the test runs once per distinct character."""
    passed = {c for c in set(text) if test(c)}
    return np.fromiter((c in passed for c in text), np.bool_, len(text))


def _count_since(restarts: NDArray[np.bool_]) -> FeatureValues:
    """Count characters since the last restart, or since the start of the text."""
    positions = np.arange(1, len(restarts) + 1)
    return (positions - np.maximum.accumulate(np.where(restarts, positions, 0))).astype(np.float32)


def _amount(name: str, description: str, compute: Callable[[str], FeatureValues]) -> Feature:
    return Feature(name, description, is_binary=False, needs_history=True, compute=compute)


def _condition(name: str, description: str, compute: Callable[[str], FeatureValues]) -> Feature:
    return Feature(name, description, is_binary=True, needs_history=True, compute=compute)


def _character_class(name: str, description: str, test: Callable[[str], bool]) -> Feature:
    def compute(text: str) -> FeatureValues:
        return _test_each(text, test).astype(np.float32)

    return Feature(name, description, is_binary=True, needs_history=False, compute=compute)


FEATURES = (
    _amount("position in the line", "Characters since the last line feed.", position_in_line),
    _amount("position in the sentence", "Characters since the last . ! or ?", position_in_sentence),
    _amount("length of the word so far", "Letters of the word read so far; 0 between words.", length_of_word),
    _amount("indentation", "Spaces and tabs at the start of the line, as far as it has been read.", indentation),
    _condition(
        "inside quotes",
        'From an opening " “ « „ to the closing one; a blank line ends it too. Single quotes do not count, since they '
        "are also apostrophes.",
        inside_quotes,
    ),
    _condition("inside brackets", "From ( [ or { to the closing one; a blank line ends it too.", inside_brackets),
    _condition("after a sentence", "From . ! or ? to the character before the next letter or digit.", after_sentence),
    _character_class("line feed", "The last character read is a line feed: a line begins.", "\n".__eq__),
    _character_class("space", "The last character read is a space.", " ".__eq__),
    _character_class("upper case", "The last character read is an upper-case letter.", str.isupper),
    _character_class("letter", "The last character read is a letter.", str.isalpha),
    _character_class(
        "vowel", "The last character read is a, e, i, o or u, in either case.", lambda c: c in "aeiouAEIOU"
    ),
    _character_class("digit", "The last character read is a digit.", str.isdigit),
    _character_class(
        "punctuation",
        "The last character read is a punctuation mark (Unicode category P).",
        lambda c: unicodedata.category(c).startswith("P"),
    ),
)
"""All features: first those that need history, then those that the last character determines."""
