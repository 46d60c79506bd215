"""Functions and frequencies in bit-exact arithmetic are what they should be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.compression import arithmetic
from elman.compression.arithmetic import FREQ_BITS, Floats
from support.tolerances import FIXED_FUNCTIONS


def test_functions_are_close_to_the_true_ones() -> None:
    x = np.linspace(-21.5, 21.5, 20_001, dtype=np.float32)
    wide = x.astype(np.float64)
    assert max(abs(arithmetic.exp(number) / np.exp(float(number)) - 1) for number in x[::7]) < FIXED_FUNCTIONS
    for replace, expected in ((arithmetic.tanhs, np.tanh(wide)), (arithmetic.sigmoids, 1 / (1 + np.exp(-wide)))):
        y = x.copy()
        replace(y)
        np.testing.assert_allclose(y, expected, rtol=0, atol=FIXED_FUNCTIONS)


def test_functions_are_finite_and_exact_where_they_saturate() -> None:
    for x in (np.inf, -np.inf, np.nan, 3e38, -3e38, 1e-45, -0.0):
        assert np.isfinite(arithmetic.exp(np.float32(x)))
    assert arithmetic.exp(np.float32(0)) == 1
    assert arithmetic.sigmoid(np.float32(30)) == 1
    assert arithmetic.tanh(np.float32(30)) == 1


@pytest.mark.parametrize(("R", "k", "n"), [(1, 1, 1), (1, 7, 3), (2, 8, 5), (5, 9, 17), (33, 21, 4)])
def test_a_product_adds_in_the_order_of_the_rows(R: int, k: int, n: int) -> None:
    rng = np.random.default_rng(0)
    y, a, B = (rng.normal(size=shape).astype(np.float32) for shape in ((R, n), (R, k), (k, n)))
    expected = y.copy()
    for j in range(k):
        expected += a[:, j : j + 1] * B[j]
    arithmetic.add_matmul(y, a, B)
    np.testing.assert_array_equal(y, expected)


def freqs_of(logits: list[float], escape: int = 1 << 10, has_unknown: bool = False) -> Floats:
    o = np.array([logits], np.float32)
    freqs = np.empty(len(logits) + 1, np.float32)
    arithmetic.set_freqs(o, np.array([[escape, 0]], np.int64), np.zeros(1, np.int64), has_unknown, freqs[None])
    return freqs


@settings(deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=40), st.integers(31, (1 << 20) - 31), st.booleans())
def test_frequencies_are_integers_of_a_fixed_sum(logits: list[float], escape: int, has_unknown: bool) -> None:
    freqs = freqs_of(logits, escape, has_unknown)
    assert (freqs >= 0).all()
    assert (freqs == np.floor(freqs)).all()
    assert int(freqs.astype(np.int64).sum()) + len(freqs) == 1 << FREQ_BITS


def test_frequencies_are_those_of_the_softmax() -> None:
    logits = np.random.default_rng(0).normal(0, 3, 60)
    p = np.exp(logits) / np.exp(logits).sum()
    frequencies = (freqs_of(list(logits), 0)[:-1] + 1) / (1 << FREQ_BITS)
    np.testing.assert_allclose(frequencies, p, rtol=FIXED_FUNCTIONS, atol=2.0 ** (2 - FREQ_BITS))


def test_the_unknown_symbol_is_coded_as_an_escape() -> None:
    without, with_unknown = (freqs_of([1.0, 2.0, 3.0], has_unknown=has) for has in (False, True))
    assert with_unknown[2] == 0
    assert with_unknown[3] == without[2] + without[3]
