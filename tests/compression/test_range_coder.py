"""The length of a code."""

import math

import numpy as np
import pytest

from elman.compression.range_coder import Coder

FREQS = np.array([[(1 << 24) - 3 - 100, 99, 1]], np.float32)
"""Frequencies minus one of three symbols."""


def code(symbols: list[int]) -> Coder:
    coder = Coder()
    for symbol in symbols:
        coder.code(FREQS, np.array([symbol], np.int64))
    return coder


def test_nothing_has_no_length() -> None:
    assert Coder().nats == 0


@pytest.mark.parametrize("symbols", [[0], [1], [2] * 9, [0] * 1000, [0, 1, 2] * 50])
def test_a_length_is_the_surprisal_of_the_symbols(symbols: list[int]) -> None:
    probs = (FREQS[0].astype(float) + 1) / (1 << 24)
    coder = code(symbols)
    assert coder.nats == pytest.approx(-np.log(probs)[symbols].sum(), rel=1e-2)
    bits = coder.nats / math.log(2)
    assert bits - 8 <= 8 * len(coder.finish()) <= bits + 64


def test_a_decoder_has_the_same_length() -> None:
    coder = code([0, 1, 2] * 50)
    decoder = Coder(coder.finish())
    for _ in range(150):
        decoder.code(FREQS, np.zeros(1, np.int64))
    assert decoder.nats == coder.nats
