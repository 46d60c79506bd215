"""Dropout masks: values and statistics, and that they depend on seed, update, layer and position only."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.network import Dropout, Parameters, WeightDropout, dropout
from support.networks import make_parameters
from support.tolerances import DEVIATIONS

SIZE = {"T": 25, "B": 8, "m": 50}
N = 25 * 8 * 50


def mix(x: int) -> int:
    """lowbias32 in Python's own integers."""
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ x >> 16


def naive_mask(rate: float, seed: int, update: int, layer: int, elements: int) -> Iterator[float]:
    key = mix(mix(mix((seed ^ 0x9E3779B9) % 2**32) ^ update % 2**32) ^ layer)
    for e in range(elements):
        u = mix((key + e * 0x9E3779B9) % 2**32)
        yield 1 / (1 - rate) if u >= int(rate * 2**32) else 0.0


numbers = st.integers(0, 2**40)


@given(st.floats(0, 0.99), numbers, numbers)
def test_masks_are_those_of_the_definition(rate: float, seed: int, update: int) -> None:
    T, B, m = 3, 2, 4
    for variational, elements in ((False, T * B * m), (True, B * m)):
        masks = Dropout(rate, variational, seed).masks(update, 2, T, B, m, np.float64)
        for layer, mask in enumerate(masks, 1):
            assert mask.shape == (1 if variational else T, B, m)
            assert mask.ravel().tolist() == list(naive_mask(rate, seed, update, layer, elements))


def test_the_hash_is_lowbias32() -> None:
    hashes = dropout.lowbias32(np.array([0, 1, 2, 2**32 - 1], np.uint32))
    assert hashes.tolist() == [mix(0), mix(1), mix(2), mix(2**32 - 1)]
    assert len(set(dropout.lowbias32(np.arange(2**16, dtype=np.uint32)).tolist())) == 2**16  # one to one


@pytest.mark.parametrize("variational", [False, True])
def test_a_single_sequence_has_the_masks_of_a_batch_of_one(variational: bool) -> None:
    dropout_ = Dropout(0.3, variational, 7)
    for alone, batch in zip(
        dropout_.masks(5, 2, 6, None, 4, np.float32), dropout_.masks(5, 2, 6, 1, 4, np.float32), strict=True
    ):
        assert alone.dtype == np.float32
        assert alone.shape == (1 if variational else 6, 4)
        np.testing.assert_array_equal(alone, batch[:, 0])


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5, 0.9])
def test_the_fraction_of_units_kept(rate: float) -> None:
    masks = np.array([Dropout(rate, False, s).masks(n, 3, **SIZE, dtype=np.float64) for s in (0, 1) for n in (1, 2)])
    kept = masks > 0
    assert set(np.unique(masks)) == {0.0, 1 / (1 - rate)}
    for share in (kept.mean(axis=(2, 3, 4)), kept[:, :, :, 0, 0].mean()):
        size = kept.size / np.size(share) if np.size(share) > 1 else kept[:, :, :, 0, 0].size
        assert np.abs(share - (1 - rate)).max() <= DEVIATIONS * np.sqrt(rate * (1 - rate) / size)


def test_masks_of_other_updates_layers_seeds_and_places_are_not_correlated() -> None:
    kept = {
        (seed, update, layer): (mask > 0).ravel() - 0.5
        for seed in (0, 1, 2)
        for update in (1, 2, 3, 4)
        for layer, mask in enumerate(Dropout(0.5, False, seed).masks(update, 3, **SIZE, dtype=np.float64), 1)
    }
    masks = np.array(list(kept.values())) * 2
    correlations = masks @ masks.T / N
    np.fill_diagonal(correlations, 0)
    assert np.abs(correlations).max() <= DEVIATIONS / np.sqrt(N)
    for shift in (1, SIZE["m"], SIZE["B"] * SIZE["m"]):  # the next unit, batch row and step
        along = (masks[:, shift:] * masks[:, :-shift]).mean(axis=1)
        assert np.abs(along).max() <= DEVIATIONS / np.sqrt(N - shift)


@given(st.floats(0, 0.99), numbers, numbers)
def test_weight_masks_are_those_of_the_definition(rate: float, seed: int, update: int) -> None:
    parameters = example_parameters()
    masks = WeightDropout(rate, seed).masks(update, parameters)
    assert list(masks) == ["W", "W2"]
    for layer, mask in enumerate(masks.values(), 1):
        assert mask.shape == (6, 2)
        assert mask.ravel().tolist() == list(naive_mask(rate, seed, update, 2**31 + layer, 12))


def example_parameters() -> Parameters:
    return make_parameters(5, 2, 0.1, np.random.RandomState(0), np.float64, "gru", layers=2)
