"""A table of the right size in an untrusted file may contain any numbers: kernels stay within its arrays and theirs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from elman.ngram.counting import count_ngrams
from elman.ngram.language_model import read_compiled
from elman.ngram.model import NgramModel
from elman.ngram.table import NgramSpec

K, ORDER, T = 5, 3, 100
TEXT = np.random.default_rng(0).integers(0, K, 5_000, np.uint8)


def read(model: NgramModel) -> tuple[Any, Any]:
    """Return q (T, K) after each character of the text, and the matched lengths."""
    log_q, matched, _ = read_compiled(model, np.zeros((1, ORDER), np.int32), TEXT[:T, None])
    return np.exp(log_q[:, 0]), matched


def change(array: np.ndarray[Any, np.dtype[Any]], generator: np.random.Generator) -> Any:
    """Return an array with other numbers of the same type."""
    largest = np.iinfo(array.dtype).max
    match generator.integers(4):
        case 0:
            return np.full_like(array, largest)
        case 1:
            return generator.integers(0, largest, len(array), array.dtype, endpoint=True)
        case 2:
            array = array.copy()
            array[generator.integers(len(array))] ^= generator.integers(1, largest, 1, array.dtype)[0]
    return array


@pytest.mark.parametrize("number", [60, pytest.param(5_000, marks=pytest.mark.slow)])
def test_any_table_gives_distributions(number: int) -> None:
    model = count_ngrams(TEXT, NgramSpec(K, ORDER), min_count=1)
    assert model is not None
    for seed in range(number):
        generator = np.random.default_rng(seed)
        changed: dict[str, Any] = {name: change(array, generator) for name, array in model.table.arrays().items()}
        q, matched = read(replace(model, table=replace(model.table, **changed), derived={}))
        np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-5, err_msg=f"seed {seed}")
        assert matched.max() <= ORDER


def test_more_children_than_characters() -> None:
    model = count_ngrams(TEXT, NgramSpec(K, ORDER), min_count=1)
    assert model is not None
    children = np.full_like(model.table.children, np.iinfo(np.uint64).max)
    children[: model.table.nodes // 64] = 0  # of the root
    q, _ = read(replace(model, table=replace(model.table, children=children), derived={}))
    np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-5)


def test_nothing_is_read_after_the_large_counts() -> None:
    model = count_ngrams(TEXT, NgramSpec(K, ORDER), min_count=1)
    assert model is not None
    codes = {name: np.full_like(getattr(model.table, name), np.iinfo(np.uint64).max) for name in ("strings", "rests")}
    found = []
    for after in (0, 1):
        memory = np.concatenate([model.table.large, np.full(8, after * 0x0707070707070707, np.uint64)])
        table = replace(model.table, **codes, large=memory[: len(model.table.large)])
        found.append(read(replace(model, table=table, derived={}))[0])
    np.testing.assert_array_equal(*found)
