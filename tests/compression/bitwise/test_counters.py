"""Counters follow the bits of their context, forget opposite ones and are not confused with those of others."""

import numpy as np
import pytest

from elman.compression.bitwise import counters
from elman.compression.bitwise.contexts import CONTEXTS
from elman.compression.bitwise.counters import HISTORIES, count_bit, find_buckets, make_counters, next_history

PLACE, GROUP = 3, 5


def after(bits: list[int]) -> counters.Counters:
    """Return counters that have seen bits in every context."""
    made = make_counters(1000, CONTEXTS)
    made.hashes[:] = np.arange(CONTEXTS) * 7919 + 1
    find_buckets(made, GROUP)
    for bit in bits:
        count_bit(made, PLACE, bit)
    return made


def inputs_of(made: counters.Counters) -> list[float]:
    inputs = np.zeros(2 * CONTEXTS, np.float32)
    counters.set_counter_inputs(made, PLACE, inputs)
    return inputs.tolist()


def history(bits: list[int]) -> tuple[int, int, int]:
    """Return zeros, ones and the last bit of the history of bits."""
    h = 0
    for bit in bits:
        h = next_history(h, bit)
        assert 0 < h < HISTORIES
    return h >> 5, (h >> 1) & 15, h & 1


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        ([0], (1, 0, 0)),
        ([1, 1, 0], (1, 2, 0)),
        ([1] * 30, (0, 15, 1)),
        ([1] * 5 + [0], (1, 3, 0)),
        ([1] * 12 + [0], (1, 4, 0)),
        ([1] * 12 + [0, 0, 0], (3, 2, 0)),
    ],
)
def test_bit_histories(bits: list[int], expected: tuple[int, int, int]) -> None:
    assert history(bits) == expected


def test_nothing_is_predicted_in_a_new_context() -> None:
    assert inputs_of(after([])) == [0.0] * 2 * CONTEXTS


@pytest.mark.parametrize("bit", [0, 1])
def test_what_was_seen_is_expected(bit: int) -> None:
    sign = 2 * bit - 1
    once, often = inputs_of(after([bit])), inputs_of(after([bit] * 20))
    assert all(0 < sign * few < sign * many for few, many in zip(once, often, strict=True))


def test_the_probability_is_the_relative_frequency() -> None:
    bits = (np.random.default_rng(0).random(2000) < 0.8).astype(int).tolist()
    logits = inputs_of(after(bits))[1::2]
    assert 1 / (1 + np.exp(-np.array(logits))) == pytest.approx(0.8, abs=0.1)


def test_a_bucket_of_another_context_is_cleared() -> None:
    made = after([1] * 9)
    made.hashes[:] += 1
    made.table[counters.BUCKET - 1 :: counters.BUCKET][made.table[counters.BUCKET - 1 :: counters.BUCKET] == 0] = -1
    find_buckets(made, GROUP)
    assert inputs_of(made) == [0.0] * 2 * CONTEXTS


def test_stretches_are_logits() -> None:
    stretches = make_counters(1, CONTEXTS).stretches
    p = (np.arange(len(stretches)) + 0.5) / len(stretches)
    np.testing.assert_allclose(stretches, np.log(p / (1 - p)), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(stretches, -stretches[::-1])


def test_buckets_are_within_cache_lines() -> None:
    assert make_counters(5000, CONTEXTS).table.ctypes.data % 64 == 0
