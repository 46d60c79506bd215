"""Numbers in packed arrays, and their codes."""

import numpy as np
import pytest

from elman.ngram import table as ngram_table
from elman.ngram.table import CODES, encode_counts, pack, unpack


@pytest.mark.parametrize("width", [1, 5, 12, 29])
@pytest.mark.parametrize("count", [0, 1, 63, 64, 128, 200])
def test_numbers_are_packed_one_after_the_other(width: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngram_table, "_CHUNK", 128)
    values = np.random.default_rng(width).integers(0, 1 << width, count, np.uint32)
    words = pack(values.__getitem__, count, width)
    expected = np.packbits(values[:, None] >> np.arange(width, dtype=np.uint32) & 1, bitorder="little")
    np.testing.assert_array_equal(words.view(np.uint8)[: len(expected)], expected)
    assert len(words) == count * width // 64 + 2
    assert not words.view(np.uint8)[len(expected) :].any()
    np.testing.assert_array_equal(unpack(words, width, count), values)


def test_a_number_has_the_nearest_code() -> None:
    numbers = np.append(np.arange(5_000), (1 << np.arange(13, 34))[:, None] + np.arange(-2, 3))
    differences = np.abs(CODES[encode_counts(numbers)] - numbers)
    np.testing.assert_array_equal(differences, np.abs(CODES - numbers[:, None]).min(axis=1))
    assert (differences <= numbers / 17).all()
