"""Alphabets: any text to indices and back, and what is refused."""

import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from elman.errors import ElmanError
from elman.text import Alphabet
from elman.text.alphabet import as_text, code_points

EMOJI = "👩🏽‍🚀🇸🇪🐈"
CHINESE = "".join(map(chr, range(0x4E00, 0x4E00 + 5000)))


@given(st.text(st.characters(exclude_categories=()), min_size=1))
@example(CHINESE + CHINESE[::-1])
@example("abcdefg" * 20_000)
def test_encode_then_decode_is_the_identity(text: str) -> None:
    """Of every code point there is, lone surrogates included; an index is the position of its character."""
    alphabet = Alphabet.from_text(text)
    indices = alphabet.encode(text)
    assert (indices.shape, indices.dtype) == ((len(text),), alphabet.dtype)
    assert alphabet.characters == "".join(dict.fromkeys(text))  # in order of first appearance
    np.testing.assert_array_equal(indices[:1000], [alphabet.characters.index(character) for character in text[:1000]])
    assert alphabet.decode(indices) == text


@pytest.mark.parametrize(
    ("size", "dtype"), [(1, np.uint8), (256, np.uint8), (257, np.uint16), (65_536, np.uint16), (65_537, np.uint32)]
)
def test_the_index_type_is_the_smallest_that_fits(size: int, dtype: type[np.generic]) -> None:
    alphabet = Alphabet("".join(map(chr, range(size))))
    assert alphabet.dtype == dtype
    assert alphabet.encode(alphabet.characters)[-1] == size - 1


@pytest.mark.parametrize("unknown", ["é", "\n", "\0", "\ud800", "🐈"], ids=ascii)
def test_the_first_character_outside_the_alphabet_is_named(unknown: str) -> None:
    named = f"{unknown!r} (U+{ord(unknown):04X})"
    with pytest.raises(ElmanError, match=f"^{re.escape(named)} is not among the model's 2 characters"):
        Alphabet("ab").encode(f"ab{unknown}!?{unknown}")


def test_characters_that_are_no_alphabet() -> None:
    repeated = r"^an alphabet must contain .* 'b' \(U\+0062\) occurs 2 times$"
    for characters, message in (("abcb", repeated), ("", "must have at least one character")):
        with pytest.raises(ElmanError, match=message):
            Alphabet(characters)


@pytest.mark.parametrize(
    ("characters", "has_unknown", "start_char"),
    [("ab\n", False, "\n"), ("ab", False, "a"), ("ab\n", True, "a"), ("\n", True, "\n")],
)
def test_the_character_read_where_no_text_precedes(characters: str, has_unknown: bool, start_char: str) -> None:
    assert Alphabet(characters, has_unknown=has_unknown).start_char == start_char


def test_code_points_may_have_any_byte_order() -> None:
    assert as_text(code_points(EMOJI)) == as_text(code_points(EMOJI).astype(">u4")) == EMOJI
