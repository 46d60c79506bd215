"""Numbers in packed arrays."""

import numpy as np
import pytest

from elman.ngram import table as ngram_table
from elman.ngram.table import pack, unpack


@pytest.mark.parametrize("width", [1, 5, 12, 29])
@pytest.mark.parametrize("count", [0, 1, 63, 64, 128, 200])
def test_numbers_are_packed_one_after_the_other(width: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngram_table, "_CHUNK", 128)
    values = np.random.default_rng(width).integers(0, 1 << width, count, np.uint32)
    words = pack(values, width)
    expected = np.packbits(values[:, None] >> np.arange(width, dtype=np.uint32) & 1, bitorder="little")
    np.testing.assert_array_equal(words.view(np.uint8)[: len(expected)], expected)
    assert len(words) == count * width // 64 + 2
    assert not words.view(np.uint8)[len(expected) :].any()
    np.testing.assert_array_equal(unpack(words, width, count), values)
