"""Alphabets: any text to indices and back, and what is refused."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.errors import ElmanError
from elman.text import Alphabet
from elman.text.alphabet import as_text, code_points

EMOJI = "👩🏽‍🚀🇸🇪🐈"
CHINESE = "".join(map(chr, range(0x4E00, 0x4E00 + 5000)))
# Every code point there is, lone surrogates included.
ANY_TEXT = st.text(st.characters(exclude_categories=()), min_size=1)


@settings(deadline=None)
@given(ANY_TEXT)
def test_encode_then_decode_is_the_identity(text: str) -> None:
    alphabet = Alphabet.from_text(text)
    indices = alphabet.encode(text)
    assert indices.shape == (len(text),)
    assert indices.dtype == alphabet.dtype
    assert alphabet.decode(indices) == text


@settings(deadline=None)
@given(ANY_TEXT)
def test_an_index_is_the_position_of_its_character(text: str) -> None:
    alphabet = Alphabet.from_text(text)
    expected = [alphabet.characters.index(character) for character in text]
    np.testing.assert_array_equal(alphabet.encode(text), expected)


def test_characters_are_ordered_by_first_appearance() -> None:
    alphabet = Alphabet.from_text("hello world")
    assert alphabet.characters == "helo wrd"
    assert len(alphabet) == 8


@pytest.mark.parametrize("text", [CHINESE + CHINESE[::-1], EMOJI, "a\0b\r\n\ufeff\ud800"])
def test_unusual_texts_survive(text: str) -> None:
    alphabet = Alphabet.from_text(text)
    assert alphabet.decode(alphabet.encode(text)) == text


def test_a_text_longer_than_one_chunk_is_encoded_whole() -> None:
    text = "abcdefg" * 20_000
    np.testing.assert_array_equal(Alphabet.from_text(text).encode(text), np.tile(np.arange(7), 20_000))


@pytest.mark.parametrize(
    ("size", "dtype"),
    [
        (1, np.uint8),
        (256, np.uint8),
        (257, np.uint16),
        (65_536, np.uint16),
        (65_537, np.uint32),
    ],
)
def test_the_index_type_is_the_smallest_that_fits(size: int, dtype: type[np.generic]) -> None:
    alphabet = Alphabet("".join(map(chr, range(size))))
    assert alphabet.dtype == dtype
    assert alphabet.encode(alphabet.characters)[-1] == size - 1


def test_decode_takes_any_indices() -> None:
    alphabet = Alphabet("abc")
    assert alphabet.decode([2, 0, 1]) == "cab"
    assert alphabet.decode(np.array([2, 0, 1], np.int64)[::-1]) == "bac"
    assert alphabet.decode([]) == ""


def test_no_text_is_no_indices() -> None:
    assert Alphabet("ab").encode("").shape == (0,)


def test_a_text_is_encoded_in_another_texts_alphabet() -> None:
    np.testing.assert_array_equal(Alphabet("abc").encode("cab"), [2, 0, 1])


@pytest.mark.parametrize(
    ("unknown", "named"),
    [
        ("é", "'é' (U+00E9)"),
        ("\n", r"'\n' (U+000A)"),
        ("\0", r"'\x00' (U+0000)"),
        ("\ud800", r"'\ud800' (U+D800)"),
        ("🐈", "'🐈' (U+1F408)"),
    ],
)
def test_the_first_character_outside_the_alphabet_is_named(unknown: str, named: str) -> None:
    expected = f"{named} is not among the model's 2 characters: remove it, or train on a text that contains it"
    with pytest.raises(ElmanError, match=f"^{re.escape(expected)}$"):
        Alphabet("ab").encode(f"ab{unknown}!?{unknown}")


def test_a_repeated_character_is_refused() -> None:
    with pytest.raises(ElmanError, match=r"^an alphabet must contain .* 'b' \(U\+0062\) occurs 2 times$"):
        Alphabet("abcb")


def test_an_empty_alphabet_is_refused() -> None:
    with pytest.raises(ElmanError, match="must have at least one character"):
        Alphabet.from_text("")


@pytest.mark.parametrize(
    ("characters", "has_unknown", "start_char"),
    [("ab\n", False, "\n"), ("ab", False, "a"), ("ab\n", True, "a"), ("\n", True, "\n")],
)
def test_the_character_read_where_no_text_precedes(characters: str, has_unknown: bool, start_char: str) -> None:
    assert Alphabet(characters, has_unknown=has_unknown).start_char == start_char


def test_code_points_may_have_any_byte_order() -> None:
    assert as_text(code_points(EMOJI)) == as_text(code_points(EMOJI).astype(">u4")) == EMOJI
