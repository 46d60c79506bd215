"""Numbers in packed arrays, and their codes."""

import tracemalloc

import numpy as np
import pytest

from elman.errors import MAX_INT, ElmanError
from elman.ngram import table as ngram_table
from elman.ngram.table import CODES, MAX_ORDER, NgramSpec, NgramTable, Nodes, check_table, encode_counts, pack, unpack
from elman.text import corpus as text_corpus


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


def test_a_large_table_is_mapped_and_checked_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    K = 100
    strings, contexts = K + K**2 + K**3, 1 + K + K**2
    nodes = Nodes(
        np.tile(np.arange(K, dtype=np.uint8), strings // K), np.full(strings, 20, np.uint8),
        np.ones(contexts, np.uint8), np.full(contexts, K, np.uint8),
    )  # fmt: skip
    monkeypatch.setattr(text_corpus, "LARGE", 1 << 16)
    tracemalloc.start()
    table = NgramTable.from_nodes(NgramSpec(K, 2), nodes)
    assert tracemalloc.get_traced_memory()[0] < 0.5 * table.nbytes
    tracemalloc.reset_peak()
    check_table(table)
    assert tracemalloc.get_traced_memory()[1] < 8 * strings
    tracemalloc.stop()


def test_a_table_has_all_contexts() -> None:
    one = np.ones(1, np.uint8)
    check_table(NgramTable.from_nodes(NgramSpec(3, 1), Nodes(one, one, np.zeros(2, np.uint8), np.array([1, 0]))))
    with pytest.raises(ElmanError, match="not a trie"):
        check_table(NgramTable.from_nodes(NgramSpec(3, 1), Nodes(one, one, one, one)))


def test_a_number_has_the_nearest_code() -> None:
    numbers = np.append(np.arange(5_000), (1 << np.arange(13, 34))[:, None] + np.arange(-2, 3))
    differences = np.abs(CODES[encode_counts(numbers)] - numbers)
    np.testing.assert_array_equal(differences, np.abs(CODES - numbers[:, None]).min(axis=1))
    assert (differences <= numbers / 17).all()


@pytest.mark.parametrize(("name", "low", "high"), [("K", 1, MAX_INT), ("order", 2, MAX_ORDER), ("reset_at", 0, 6)])
def test_a_description_is_in_range(name: str, low: int, high: int) -> None:
    description = {"K": 7, "order": 3, "reset_at": 0}
    for value in (low, high):
        NgramSpec.parse(description | {"reset_at": None, name: value})
    for wrong in (low - 1, high + 1, float(low), str(low)):
        with pytest.raises(ValueError, match=f"^{name} must be an integer from {low} to {high}$"):
            NgramSpec.parse(description | {name: wrong})
