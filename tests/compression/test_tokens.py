"""Bytes become tokens, and tokens become blocks of substreams, without loss."""

from elman.compression.tokens import from_tokens, to_tokens
from elman.text import Alphabet
from support.codec_models import ALPHABET, K


def test_characters_that_the_alphabet_lacks_stay_bytes() -> None:
    coded = to_tokens("aﬀé".encode() + b"\xff", ALPHABET)
    expected = [K + byte for byte in "ﬀ".encode()]
    assert coded.tolist() == [1, *expected, ALPHABET.characters.index("é"), K + 0xFF]
    assert from_tokens(coded, ALPHABET) == "aﬀé".encode() + b"\xff"


def test_invalid_bytes_are_no_lone_surrogates_of_an_alphabet() -> None:
    data = b"a\xff\xed\xa0\x80"
    assert to_tokens(data, Alphabet("a\udcff\ud800")).tolist() == [0, *(3 + byte for byte in data[1:])]
