"""Functions and frequencies in bit-exact arithmetic, and the range coder, which is that of constriction."""

import itertools

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from elman.apps.compress import arithmetic, range_coder
from elman.apps.compress.arithmetic import FREQ_BITS, Floats, Ints, apportion
from elman.apps.compress.range_coder import COUNT, Coder
from support.tolerances import FIXED_FUNCTIONS


def test_functions_are_close_to_the_true_ones() -> None:
    x = np.linspace(-21.5, 21.5, 20_001, dtype=np.float32)
    wide = x.astype(np.float64)
    assert max(abs(arithmetic.exp(number) / np.exp(float(number)) - 1) for number in x[::7]) < FIXED_FUNCTIONS
    sigmoids = [arithmetic.sigmoid(number) for number in x[::7]]
    np.testing.assert_allclose(sigmoids, 1 / (1 + np.exp(-wide[::7])), rtol=0, atol=FIXED_FUNCTIONS)
    y = np.empty_like(x)
    arithmetic.set_tanh(x, y)
    np.testing.assert_allclose(y, np.tanh(wide), rtol=0, atol=FIXED_FUNCTIONS)


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
    arithmetic.add_matmul(y, a, B.ravel())
    np.testing.assert_array_equal(y, expected)


def freqs_of(logits: list[float], escape: int = 1 << 10, has_unknown: bool = False) -> Floats:
    o = np.array([logits], np.float32)
    freqs = np.empty(len(logits) + 1, np.float32)
    was_byte, counts = np.zeros(1, np.int64), np.empty(len(logits), np.int64)
    arithmetic.set_freqs(o, np.array([[escape, 0]], np.int64), was_byte, has_unknown, counts, freqs[None])
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


def test_zeros_follow_a_payload() -> None:
    beyond = np.full(1, 0xFFFF_FFFF, np.uint32)
    state, symbols = np.array([0, 1 << 32], np.uint64), np.zeros(1, np.int64)
    freqs = np.array([[0, (1 << FREQ_BITS) - 2]], np.float32)  # of the symbol 0 as small as can be
    assert range_coder.decode(freqs, symbols, state, beyond[:0], 0) == 1
    assert (symbols.tolist(), state.tolist()) == ([0], [0, 1 << 40])


STEPS = st.lists(st.tuples(st.integers(0, 2**32), st.sampled_from([1, 8, 30, 200]), st.booleans()), max_size=60)


def make_step(seed: int, sharpness: int, most_likely: bool) -> tuple[Floats, NDArray[np.int64]]:
    """Return the frequencies minus one of a random number of symbols, and one of the symbols."""
    generator = np.random.default_rng(seed)
    n = int(generator.integers(2, 70))
    freqs = np.empty((1, n), np.float32)
    counts = (2.0**20 * generator.random(n) ** sharpness).astype(np.int64) + 1
    apportion(counts, np.int64((1 << FREQ_BITS) - n), freqs[0])
    return freqs, np.array([freqs.argmax() if most_likely else generator.integers(n)])


def code(coder: Coder, freqs: Floats, symbols: Ints) -> None:
    coder.reserve(len(symbols))
    assert range_coder.code(coder.arrays, freqs, symbols)


@settings(deadline=None)
@given(STEPS)
def test_the_coder_is_the_one_of_constriction(steps: list[tuple[int, int, bool]]) -> None:
    """Its words, and the interval that it is left with, decide the payload."""
    ours, theirs = Coder(), constriction.stream.queue.RangeEncoder()
    family = constriction.stream.model.Categorical(perfect=False)
    for freqs, symbol in itertools.starmap(make_step, steps):
        code(ours, freqs, symbol)
        theirs.encode(symbol.astype(np.int32), family, freqs)
    position, (low, size) = theirs.pos()
    assert ([*map(int, ours.arrays.state)], ours.arrays.counters[COUNT]) == ([low, size], position)
    words = theirs.get_compressed()[: position + 1]
    point = int.from_bytes(words.astype(">u4").tobytes()) << 32 if len(words) else 0
    lower = int.from_bytes(ours.arrays.words[:position].astype(">u4").tobytes()) << 64 | low
    assert lower <= point < lower + size


@settings(deadline=None)
@given(STEPS)
def test_a_payload_is_as_short_as_its_information(steps: list[tuple[int, int, bool]]) -> None:
    encoder, bits, coded = Coder(), 0.0, []
    for freqs, symbol in itertools.starmap(make_step, steps):
        bits += FREQ_BITS - float(np.log2(freqs[0, symbol[0]] + 1))
        code(encoder, freqs, symbol)
        coded.append((freqs, symbol))
    payload = encoder.finish()
    assert 8 * len(payload) < bits + 9
    decoder = Coder(payload)
    for freqs, symbol in coded:
        decoded = np.zeros(1, np.int64)
        code(decoder, freqs, decoded)
        assert decoded == symbol
    assert decoder.finish() == payload
