"""The compiled n-gram model against the reference."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from elman.jit import exact
from elman.ngram import kernels, language_model, sorting
from elman.ngram.counting import count_ngrams
from elman.ngram.language_model import read_compiled, reader
from elman.ngram.model import MIN_PROB, Indices, NgramModel, read
from elman.ngram.table import MAX_ORDER, NgramSpec
from elman.text import corpus as text_corpus
from support import tolerances as tolerances
from support.ngram_counting import count_text

Read = tuple[NDArray[np.floating], NDArray[np.integer], NDArray[np.integer]]
"""log q (T, B, K), the matched lengths (T, B), and the histories (B, n) at the end."""


def make_text(length: int, K: int, seed: int = 1) -> Indices:
    """Return a text with contexts of every length, and the largest index in it."""
    steps = np.random.default_rng(seed).integers(-1, 3, length)
    return ((K - 1 - np.cumsum(steps)) % K).astype(np.min_scalar_type(K - 1))


def counted(text: Indices, K: int, order: int, folds: int = 3) -> NgramModel:
    ngrams = count_ngrams(text, NgramSpec(K, order), folds)
    assert ngrams is not None
    return ngrams


def assert_same(result: Read, expected: Read) -> None:
    np.testing.assert_allclose(result[0], expected[0], rtol=0, atol=tolerances.LOG_Q)
    for array, other in zip(result[1:], expected[1:], strict=True):
        np.testing.assert_array_equal(array, other)


def example_input(text: Indices, K: int, order: int, folds: int, T: int = 9, B: int = 3) -> tuple[Any, Any, Any]:
    """Return histories, characters and folds of a batch, whose first row has read nothing.

    The rows are parts of the text, in which some characters are replaced.
    """
    generator = np.random.default_rng(order)
    starts = generator.integers(0, len(text), B)
    x = np.array([np.resize(np.roll(text, -start), T) for start in starts]).T
    x = np.where(generator.random(x.shape) < 0.1, generator.integers(0, K, x.shape), x).astype(text.dtype)
    histories = np.array([np.resize(np.roll(text, order - start), order) for start in starts]).astype(np.int32) + 1
    histories[0] = 0
    histories[1, : order // 2] = 0
    return histories, x, generator.integers(0, folds + 1, x.shape)


def arrays_of(model: NgramModel) -> list[NDArray[Any]]:
    return [*model.table.arrays().values(), model.histogram, model.fold_starts, *(model.fold_counts or ())]


def assert_same_arrays(model: NgramModel | None, expected: list[NDArray[Any]]) -> None:
    assert model is not None
    for array, other in zip(arrays_of(model), expected, strict=True):
        np.testing.assert_array_equal(array, other)


PIECES = (1, 1), (7, 30), (sorting.PIECE, sorting.BATCH)
"""How many records are sorted and merged at a time: single ones, some, all."""


@pytest.mark.parametrize("K", [1, 7, 256, 257, 70_000])
@pytest.mark.parametrize("order", [2, MAX_ORDER - 1])
def test_an_alphabet_of_any_size(K: int, order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records take one or several words of 64 bits; counts are collected in files."""
    monkeypatch.setattr(text_corpus, "LARGE", 1000)
    text = make_text(120, K)
    for min_count, folds, reset_at in ((1, 0, None), (2, 3, None), (3, 2, 0)):
        spec = NgramSpec(K, order, reset_at if K > 1 else None)
        expected = arrays_of(count_text(text, spec, folds, min_count))
        for piece, batch in PIECES if folds == 3 else PIECES[1:]:  # single records take most of the time
            monkeypatch.setattr(sorting, "PIECE", piece)
            monkeypatch.setattr(sorting, "BATCH", batch)
            assert_same_arrays(count_ngrams(text, spec, folds, min_count), expected)


def test_a_table_that_fits_keeps_the_minimum_count_however_many_pieces_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first pieces are no estimate of the size of the whole table."""
    monkeypatch.setattr(sorting, "PIECE", 30)
    text, spec = np.tile(make_text(100, 7), 20), NgramSpec(7, 5)
    expected = count_text(text, spec, 0, 2)
    size = 1.2 * expected.table.nbytes
    assert_same_arrays(count_ngrams(text, spec, 0, 2, max_size=size), arrays_of(expected))


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.integers(1, 5),
    st.integers(1, 3),
    st.sampled_from([0, 2, 10]),
    st.sampled_from([None, 0]),
)
def test_short_texts(text: list[int], order: int, min_count: int, folds: int, reset_at: int | None) -> None:
    codes, spec = np.array(text, np.uint8), NgramSpec(4, order, reset_at)
    assert_same_arrays(
        count_ngrams(codes, spec, folds, min_count), arrays_of(count_text(codes, spec, folds, min_count))
    )


@pytest.mark.parametrize("folds", [0, 3])
@pytest.mark.parametrize("K", [2, 11, 300, 70_000])
@pytest.mark.parametrize("order", [1, 3, MAX_ORDER - 1])
def test_distributions_are_those_of_the_reference(K: int, order: int, folds: int) -> None:
    text = make_text(400, K)
    ngrams = counted(text, K, order, folds)
    histories, x, left_out = example_input(text, K, order, ngrams.folds, T=4 if K > 1000 else 20)
    for fold in (None, left_out):
        assert_same(read_compiled(ngrams, histories, x, fold), read(ngrams, histories, x, fold))


@pytest.fixture(params=[-1, 0, 1, 2])
def cached_order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(language_model, "MAX_CACHED_ORDER", request.param)
    return int(request.param)


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("folds", [0, 3])
def test_the_cache_only_rounds(cached_order: int, order: int, folds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = make_text(300, 11)
    histories, x, left_out = example_input(text, 11, order, folds, T=30)
    ngrams = counted(text, 11, order, folds=folds)
    result = read_compiled(ngrams, histories, x, left_out)
    assert reader(ngrams).table.cached_order == min(cached_order, order)
    monkeypatch.setattr(language_model, "MAX_CACHED_ORDER", -1)
    assert_same(result, read_compiled(counted(text, 11, order, folds=folds), histories, x, left_out))


@pytest.mark.parametrize(("distributions", "expected"), [(0, -1), (1, 0), (10, 0), (11, 1), (10_000, 2)])
def test_the_cache_has_a_limit(distributions: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one context of no characters, and 11 of one."""
    monkeypatch.setattr(language_model, "MAX_CACHE_BYTES", distributions * 11 * 8)
    assert reader(counted(make_text(300, 11), 11, 3, folds=0)).table.cached_order == expected


@pytest.fixture(params=[1, 7, 1 << 10])
def capacity(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(language_model, "INITIAL_CAPACITY", request.param)
    return int(request.param)


@pytest.mark.usefixtures("capacity")
@pytest.mark.parametrize("K", [2, 300, 200_000])
@pytest.mark.parametrize("order", [1, MAX_ORDER - 1])
def test_counts_grow_beyond_their_first_capacity(K: int, order: int) -> None:
    text = make_text(60, K)
    base = counted(text, K, order)
    grown, T = base.continued(), 5 if K > 1000 else 40
    histories, x, _ = example_input(text, K, order, 0, T)
    expected = read(grown, histories, x)
    parts = np.split(np.arange(T), [1, 2, T // 2])
    last, results = histories, []
    for steps in parts:
        results.append(read_compiled(grown, last, x[steps]))
        last = results[-1][2]
    assert_same((np.concatenate([r[0] for r in results]), np.concatenate([r[1] for r in results]), last), expected)
    for model in (grown.frozen(), base):
        assert_same(read_compiled(model, histories, x[:3]), read(model, histories, x[:3]))


def test_logarithms() -> None:
    """Of probabilities from below the smallest to 1, near powers of 2 and near 1."""
    powers = 2.0 ** np.arange(-30, 1)
    near = np.concatenate([np.nextafter(powers, 0), powers, np.nextafter(powers[:-1], 1)])
    borders = powers * np.sqrt(0.5)
    q = np.concatenate([[0.0, MIN_PROB], near, borders, np.nextafter(borders, 0), np.linspace(1e-9, 1, 9999)])
    out = np.empty(len(q) + 1)
    _set_logs(q.copy(), np.empty(len(q), np.int64), np.empty(len(q)), out)
    np.testing.assert_allclose(out[1:], np.log(np.maximum(q, MIN_PROB)), rtol=0, atol=tolerances.LOG_Q)


@exact
def _set_logs(q, bits, powers, out):  # type: ignore[no-untyped-def]
    kernels.set_logs(q, bits, powers, out, 1)
