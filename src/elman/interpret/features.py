"""What a unit may keep track of: things that a reader can name, each a function from a text to one number a character.

N  characters in the text

The number at a place depends on the text up to it, the character at the place included, and on nothing behind it: so
much the network has read when its units are looked at there.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Track = NDArray[np.float32]
"""One number a character, shape (N,)."""

_OPENING, _CLOSING = "([{", ")]}"
_SENTENCE_ENDS = ".!?"


@dataclass(frozen=True)
class Nameable:
    """Something that a reader can name.

    Parameters
    ----------
    name : str
        A few words.
    says : str
        How it is counted, a sentence.
    holds : bool
        Whether it either holds or does not, 1 or 0; otherwise it is an amount of 0 or more.
    remembered : bool
        Whether it needs more than the character just read.
    of : callable
        Returns it for every place of a text.
    """

    name: str
    says: str
    holds: bool
    remembered: bool
    of: Callable[[str], Track]


def position_in_line(text: str) -> Track:
    """Characters since the last line feed; 0 at the line feed itself."""
    return _since(_each(text, "\n".__eq__))


def position_in_sentence(text: str) -> Track:
    """Characters since the last full stop, exclamation mark or question mark."""
    return _since(_each(text, lambda c: c in _SENTENCE_ENDS))


def word_so_far(text: str) -> Track:
    """Letters of the word read so far; 0 between words."""
    return _since(~_each(text, str.isalpha))


def indentation(text: str) -> Track:
    """Spaces and tabs that the line begins with, as far as it is read."""
    found, depth, indenting = np.empty(len(text), np.float32), 0, True
    for n, c in enumerate(text):
        if c == "\n":
            depth, indenting = 0, True
        elif indenting and c in " \t":
            depth += 1
        else:
            indenting = False
        found[n] = depth
    return found


def inside_quotes(text: str) -> Track:
    """Whether a quotation mark is open: from the opening one to the character before the closing one."""
    found, opened, before = np.empty(len(text), np.float32), False, ""
    for n, c in enumerate(text):
        if c == '"':
            opened = not opened
        elif c in "“«„":
            opened = True
        elif c in "”»" or c == before == "\n":
            opened = False
        found[n], before = opened, c
    return found


def inside_brackets(text: str) -> Track:
    """Whether a bracket ( [ { is open; a blank line closes all."""
    found, depth, before = np.empty(len(text), np.float32), 0, ""
    for n, c in enumerate(text):
        if c in _OPENING:
            depth += 1
        elif c in _CLOSING:
            depth = max(0, depth - 1)
        elif c == before == "\n":
            depth = 0
        found[n], before = depth > 0, c
    return found


def after_sentence(text: str) -> Track:
    """Whether a sentence has ended and no letter or digit has come since."""
    found, ended = np.empty(len(text), np.float32), False
    for n, c in enumerate(text):
        ended = c in _SENTENCE_ENDS or (ended and not c.isalnum())
        found[n] = ended
    return found


def _each(text: str, test: Callable[[str], bool]) -> NDArray[np.bool_]:
    """Return whether a test holds of every character, asked once of each that there is."""
    passed = {c for c in set(text) if test(c)}
    return np.fromiter((c in passed for c in text), np.bool_, len(text))


def _since(restarts: NDArray[np.bool_]) -> Track:
    """Return how many characters ago it last restarted, or the text began."""
    places = np.arange(1, len(restarts) + 1)
    return (places - np.maximum.accumulate(np.where(restarts, places, 0))).astype(np.float32)


def _of_character(name: str, says: str, test: Callable[[str], bool]) -> Nameable:
    return Nameable(name, says, True, False, lambda text: _each(text, test).astype(np.float32))


NAMEABLE = (
    Nameable("position in the line", "Characters since the last line feed.", False, True, position_in_line),
    Nameable("position in the sentence", "Characters since the last . ! or ?", False, True, position_in_sentence),
    Nameable("length of the word so far", "Letters read of the word; 0 between words.", False, True, word_so_far),
    Nameable(
        "indentation", "Spaces and tabs that the line begins with, as far as it is read.", False, True, indentation
    ),
    Nameable(
        "inside quotes",
        'From an opening " “ « „ to the closing one; a blank line ends it too. Single quotes, which are apostrophes as '
        "well, do not count.",
        True,
        True,
        inside_quotes,
    ),
    Nameable(
        "inside brackets",
        "From ( [ or { to the one that closes it; a blank line ends it too.",
        True,
        True,
        inside_brackets,
    ),
    Nameable(
        "after a sentence",
        "From . ! or ? to the character before the next letter or digit.",
        True,
        True,
        after_sentence,
    ),
    _of_character("line feed", "A line feed has just been read: a line begins.", "\n".__eq__),
    _of_character("space", "The character just read is a space.", " ".__eq__),
    _of_character("upper case", "The character just read is an upper-case letter.", str.isupper),
    _of_character("letter", "The character just read is a letter of any kind.", str.isalpha),
    _of_character("vowel", "The character just read is a, e, i, o or u, small or large.", lambda c: c in "aeiouAEIOU"),
    _of_character("digit", "The character just read is a digit.", str.isdigit),
    _of_character(
        "punctuation",
        "The character just read is a punctuation mark, by Unicode's category P.",
        lambda c: unicodedata.category(c).startswith("P"),
    ),
)
"""Everything that units are held against: first what has to be remembered, then what the character itself tells."""
