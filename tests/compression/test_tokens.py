"""Bytes become tokens, and tokens become blocks of substreams, without loss."""

import numpy as np
import pytest

from elman.compression import tokens
from elman.compression.tokens import block_sizes, count_blocks, deinterleave, from_tokens, interleave, to_tokens
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


@pytest.mark.parametrize("R", [1, 3, 7])
@pytest.mark.parametrize("N", [0, 1, 15, 16, 17, 100])
def test_substreams_are_joined_as_they_were_divided(N: int, R: int) -> None:
    text = np.arange(N, dtype=np.int32)
    table = interleave(text, R)
    assert table.shape == (-(-N // R), R)
    np.testing.assert_array_equal(deinterleave(table, N), text)


@pytest.mark.parametrize("R", [1, 7])
@pytest.mark.parametrize("N", [0, 1, 63, 64, 65, 128, 129, 1000])
def test_blocks_have_complete_steps(N: int, R: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "BLOCK_SIZE", 64)
    sizes = [*block_sizes(N, R)]
    assert sum(sizes) == N
    assert len(sizes) == count_blocks(N) == max(1, -(-N // 64))
    assert all(size % R == 0 for size in sizes[:-1])
    assert max(sizes) <= 64 + R
