"""Two places have equal hashes of a context where, and only where, what it describes is equal."""

from collections import defaultdict
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from elman.compression import bit_contexts as contexts
from elman.compression.bit_contexts import (
    CONTEXTS,
    SHAPE,
    fold_symbols,
    make_rows,
    read_symbol,
    set_hashes,
    symbol_classes,
)
from elman.text import Alphabet

TEXT = "GET /a 200 12\nGET /b 404 7\nPUT /a 200 12\n\niT's a b_c, a\nGET /a 201 13\nit's a b_c, b\n" * 2
ALPHABET = Alphabet("".join(sorted(set(TEXT))))


def hashes_of(text: str) -> list[list[int]]:
    """Return the hashes of the contexts before each character of a text."""
    rows, classes, folded = make_rows(1), symbol_classes(ALPHABET), fold_symbols(ALPHABET)
    hashes, all_hashes = np.zeros(CONTEXTS, np.int64), []
    for x in ALPHABET.encode(text):
        set_hashes(rows, 0, classes, hashes)
        all_hashes.append(hashes.tolist())
        read_symbol(rows, 0, int(x), classes, folded)
    return all_hashes


def is_letter(c: str) -> bool:
    return c.isalpha() or c in "_'"


def words(text: str) -> list[str]:
    """Return the words of a text, the current one last: empty outside words."""
    return "".join(c if is_letter(c) else " " for c in text).split(" ")


def last_words(text: str) -> tuple[str, str, str]:
    """Return the current word, and the two before it."""
    *earlier, current = words(text)
    previous, before, *_ = [*(word for word in reversed(earlier) if word), "", ""]
    return current, previous, before


def fields(line: str) -> list[str]:
    """Return the fields of a line: each begins with the character that ends the one before."""
    parts = [""]
    for c in line:
        if is_letter(c) or c.isdigit():
            parts[-1] += c
        else:
            parts.append(c)
    return parts


def described(text: str) -> list[Any]:
    """Return what each context describes behind a text."""
    *above, line = ["", *text.split("\n")][-2:]
    above_char = above[0][len(line) : len(line) + 1]
    parts, (word, previous, before) = fields(line), last_words(text.lower())
    is_first = len(text.split("\n")) > 1 and not text.split("\n")[-2]
    first = parts[0] if len(parts) > 1 else ""
    return [
        *(text[max(0, len(text) - n) :] if n <= len(text) else text for n in range(1, 7)),
        word,
        (word, previous),
        (word, previous, before),
        (word, before),
        (above_char, text[-2:]),
        (len(parts), parts[-1], first),
        (len(parts), above_char, parts[-1]),
        len(parts),
        *described_in_paragraph(text, word),
        (is_first, len(line)),
        ("".join("a" if is_letter(c) else c for c in text[-SHAPE:]), word),
    ]


def described_in_paragraph(text: str, word: str) -> list[Any]:
    """Return what the contexts of paragraphs describe: their first lines, which are those behind empty lines."""
    lines = text.split("\n")
    first_lines = [line for empty, line in pairwise(lines[:-1]) if not empty and line]
    last, before = [*reversed(first_lines), "", ""][:2]
    if len(lines) > 1 and not lines[-2]:
        return [("first", last, before, lines[-1]), ("first", last, lines[-1])]
    return [(word, last), (text[-2:], last)]


@pytest.mark.parametrize("context", range(CONTEXTS))
def test_hashes_are_those_of_what_a_context_describes(context: int) -> None:
    by_description: defaultdict[Any, set[int]] = defaultdict(set)
    start = 8  # from where no context extends beyond the beginning
    for i, hashes in list(enumerate(hashes_of(TEXT)))[start:]:
        by_description[described(TEXT[:i])[context]].add(hashes[context])
    assert all(len(hashes) == 1 for hashes in by_description.values())
    assert len(set.union(*by_description.values())) == len(by_description)


def test_classes_do_not_depend_on_the_version_of_unicode() -> None:
    classes = symbol_classes(Alphabet("a_'é漢1² \t\n.-"))
    letter, digit, space, line_feed, other = classes[[0, 5, 7, 9, 10]]
    assert classes.tolist() == [
        letter, letter, letter, letter, letter, digit, letter, space, space, line_feed, other, other, other,
    ]  # fmt: skip
    assert len({letter, digit, space, line_feed, other}) == 5


def test_a_line_of_any_length_is_read() -> None:
    rows, classes, folded = make_rows(1), symbol_classes(ALPHABET), fold_symbols(ALPHABET)
    for _ in range(2):
        for x in ALPHABET.encode("a" * (contexts.WIDTH + 20) + "\n"):
            read_symbol(rows, 0, int(x), classes, folded)
    assert rows.line[0, contexts.WIDTH_ABOVE] == contexts.WIDTH


def test_words_are_the_same_in_upper_case() -> None:
    alphabet = Alphabet("aAbBZÉéÀΑαЖжЁё×÷ß1")
    lower = "aabbZééÀααжжёё×÷ß1"  # Z and À have no small letter in this alphabet
    folded = fold_symbols(alphabet)
    assert "".join(alphabet.characters[k] for k in folded[:-1]) == lower
    assert folded[-1] == len(alphabet)
