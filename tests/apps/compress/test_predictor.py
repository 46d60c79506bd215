"""Counts of escaped bytes."""

import numpy as np

from elman.apps.compress.predictor import BYTES, COUNT_STEP, MAX_TOTAL, count_byte


def test_counts_are_halved_only_above_their_maximum() -> None:
    """They are part of the format: a decoder that halves them elsewhere decodes other bytes."""
    for above in (0, 1):
        counts = np.full(BYTES, 2, np.int64)
        counts[0] = MAX_TOTAL - COUNT_STEP - 2 * (BYTES - 1) + above
        expected = counts + COUNT_STEP * (np.arange(BYTES) == 7)
        assert expected.sum() == MAX_TOTAL + above
        count_byte(counts, 7)
        np.testing.assert_array_equal(counts, expected - (expected >> 1 if above else 0))
