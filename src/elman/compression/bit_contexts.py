"""The contexts in which bits are counted, as hashes.

R  rows: substreams coded in lockstep      S  symbols: the K characters, and the escape

They are the last 1 to 6 symbols; the current word with the words before it; and what shows in logs, tables and source
code: the symbol above, and the number and beginning of the current field of the line. A field is what letters and
digits make, up to the next other character. Two contain the first lines of the last paragraphs, such as who speaks in a
play; one the column, and whether the line is the first one of a paragraph; one the shape of the last characters, in
which every letter is the same, and the current word. The list is part of the file format.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elman.compression.arithmetic import HASH_MODULUS, HASH_MULTIPLIER, Ints, Ints32, exact_inline, extend_hash
from elman.text import Alphabet

CONTEXTS = 18
LAST_SYMBOLS = 6
WORDS = 3
"""The current word, which is 0 outside words, and the two before it."""
SHAPE = 4
"""Last symbols whose shape is part of a context."""
WIDTH = 256
"""Symbols of a line whose columns are remembered."""
_OTHER, _LETTER, _DIGIT, _SPACE, _LINE_FEED = range(5)
_SECOND_MULTIPLIER = 30269
COLUMN, FIELD, FIELD_START, FIRST_FIELD, ABOVE, WIDTH_ABOVE = range(6)
"""Columns of `Rows.line`: the column; the number of the field; hashes of the field so far and of the first field of the
line; the symbol above + 1, or 0; the length of the line above."""
_UPPER_CASE = (
    (0x41, 0x5A, 32),
    (0xC0, 0xD6, 32),
    (0xD8, 0xDE, 32),
    (0x391, 0x3A9, 32),
    (0x400, 0x40F, 80),
    (0x410, 0x42F, 32),
)
"""Ranges of capitals, and the distance from each to its small letter: Latin with accents, Greek, Cyrillic."""
IN_FIRST_LINE, FIRST_LINE, LAST_FIRST_LINE, FIRST_LINE_BEFORE = range(4)
"""Columns of `Rows.paragraph`: whether the current line is the first one of a paragraph; hashes of this line so far,
and of the first lines of the last paragraph and of the one before it."""


class Rows(NamedTuple):
    """What R rows have read; changed in place."""

    last: Ints  # (R, LAST_SYMBOLS): the last symbols, the latest first
    words: Ints  # (R, WORDS): hashes
    line: Ints  # (R, 6): see `COLUMN`
    paragraph: Ints  # (R, 4): see `IN_FIRST_LINE`
    texts: Ints32  # (R, 2, WIDTH): the current line and the one above


@exact_inline
def scatter(h, x):
    """Return a hash of two numbers whose lowest bits depend on all of theirs."""
    h = (h * HASH_MULTIPLIER + x * _SECOND_MULTIPLIER + 1) % HASH_MODULUS
    return h ^ (h >> 15)


@exact_inline
def set_hashes(rows, r, classes, hashes):
    """Set the `hashes` (C,) of the contexts of row r."""
    last, words, line = rows.last[r], rows.words[r], rows.line[r]
    h = np.int64(0)
    for n in range(LAST_SYMBOLS):
        h = extend_hash(h, last[n])
        hashes[n] = h
    hashes[6] = extend_hash(words[0], 901)
    hashes[7] = extend_hash(extend_hash(words[0], 902), words[1])
    hashes[8] = extend_hash(extend_hash(extend_hash(words[0], 903), words[2]), words[1])
    hashes[9] = extend_hash(extend_hash(words[0], 904), words[2])
    hashes[10] = extend_hash(extend_hash(extend_hash(905, line[ABOVE]), last[0]), last[1])
    hashes[11] = extend_hash(extend_hash(extend_hash(906, line[FIELD]), line[FIELD_START]), line[FIRST_FIELD])
    hashes[12] = extend_hash(extend_hash(extend_hash(907, line[FIELD]), line[ABOVE]), line[FIELD_START])
    hashes[13] = extend_hash(908, line[FIELD])
    set_paragraph_hashes(last, words, rows.paragraph[r], hashes)
    hashes[16] = extend_hash(extend_hash(920, rows.paragraph[r, IN_FIRST_LINE]), line[COLUMN])
    hashes[17] = extend_hash(shape_hash(last, classes), words[0])
    for n in range(CONTEXTS):
        hashes[n] = scatter(hashes[n], n)


@exact_inline
def shape_hash(last, classes):
    """Return a hash of the last symbols in which all letters are the same."""
    h = np.int64(921)
    for n in range(SHAPE):
        h = extend_hash(h, np.int64(-1) if classes[last[n]] == _LETTER else last[n])
    return h


@exact_inline
def set_paragraph_hashes(last, words, paragraph, hashes):
    """Set the hashes of the contexts with first lines of paragraphs."""
    first, second = paragraph[LAST_FIRST_LINE], paragraph[FIRST_LINE_BEFORE]
    if paragraph[IN_FIRST_LINE]:
        hashes[14] = extend_hash(extend_hash(extend_hash(910, first), second), paragraph[FIRST_LINE])
        hashes[15] = extend_hash(extend_hash(911, first), paragraph[FIRST_LINE])
    else:
        hashes[14] = extend_hash(extend_hash(words[0], 912), first)
        hashes[15] = extend_hash(extend_hash(extend_hash(last[0], 913), last[1]), first)


@exact_inline
def read_symbol(rows, r, x, classes, folded):
    """Let row r read symbol x; in words it counts as the symbol `folded[x]`."""
    last, words, line, texts = rows.last[r], rows.words[r], rows.line[r], rows.texts[r]
    kind = classes[x]
    read_in_paragraph(rows.paragraph[r], x, kind == _LINE_FEED, line[COLUMN] == 0)
    for n in range(LAST_SYMBOLS - 1, 0, -1):
        last[n] = last[n - 1]
    last[0] = x
    if kind == _LETTER:
        words[0] = extend_hash(words[0], folded[x])
    elif words[0] != 0:
        words[2], words[1], words[0] = words[1], words[0], 0
    if kind == _LINE_FEED:
        line[WIDTH_ABOVE] = min(line[COLUMN], WIDTH)
        for n in range(line[WIDTH_ABOVE]):
            texts[1, n] = texts[0, n]
        line[COLUMN], line[FIELD], line[FIELD_START], line[FIRST_FIELD] = 0, 0, 0, 0
    else:
        if line[COLUMN] < WIDTH:
            texts[0, line[COLUMN]] = x
        line[COLUMN] += 1
        if kind in (_SPACE, _OTHER):
            if line[FIELD] == 0:
                line[FIRST_FIELD] = line[FIELD_START]
            line[FIELD] += 1
            line[FIELD_START] = extend_hash(np.int64(0), x)
        else:
            line[FIELD_START] = extend_hash(line[FIELD_START], x)
    line[ABOVE] = np.int64(texts[1, line[COLUMN]]) + 1 if line[COLUMN] < line[WIDTH_ABOVE] else np.int64(0)


@exact_inline
def read_in_paragraph(paragraph, x, ends_line, is_empty):
    """Read a symbol, which may end a line; an empty line ends a paragraph."""
    if ends_line:
        if paragraph[IN_FIRST_LINE] and paragraph[FIRST_LINE] != 0:
            paragraph[FIRST_LINE_BEFORE] = paragraph[LAST_FIRST_LINE]
            paragraph[LAST_FIRST_LINE] = paragraph[FIRST_LINE]
            paragraph[IN_FIRST_LINE] = 0
        if is_empty:
            paragraph[IN_FIRST_LINE], paragraph[FIRST_LINE] = 1, 0
    elif paragraph[IN_FIRST_LINE]:
        paragraph[FIRST_LINE] = extend_hash(paragraph[FIRST_LINE], x)


def make_rows(R: int) -> Rows:
    """Return R rows that have read nothing."""
    return Rows(
        last=np.zeros((R, LAST_SYMBOLS), np.int64),
        words=np.zeros((R, WORDS), np.int64),
        line=np.zeros((R, 6), np.int64),
        paragraph=np.zeros((R, 4), np.int64),
        texts=np.zeros((R, 2, WIDTH), np.int32),
    )


def symbol_classes(alphabet: Alphabet) -> Ints:
    """Return the class of every symbol (S,).

    Everything beyond ASCII counts as a letter: Unicode's own classes differ between versions of Python.
    """
    return np.array([*map(_character_class, alphabet.characters), _OTHER])


def fold_symbols(alphabet: Alphabet) -> Ints:
    """Return for every symbol (S,) that of the same letter in lower case, if the alphabet has it, else itself."""
    characters = alphabet.characters
    index = {c: k for k, c in enumerate(characters)}
    return np.array([*(index.get(_lower(c), k) for k, c in enumerate(characters)), len(characters)])


def _lower(c: str) -> str:
    """Return a letter of the Latin, Greek and Cyrillic alphabets in lower case.

    Not by `str.lower`: Unicode's cases differ between versions of Python.
    """
    code = ord(c)
    for first, last, distance in _UPPER_CASE:
        if first <= code <= last:
            return chr(code + distance)
    return c


def _character_class(c: str) -> int:
    if ord(c) >= 128 or c in "_'" or c.isalpha():
        return _LETTER
    if c.isdigit():
        return _DIGIT
    return _LINE_FEED if c == "\n" else _SPACE if c in " \t" else _OTHER
