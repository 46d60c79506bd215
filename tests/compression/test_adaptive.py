"""The learning rate of training while coding."""

import math
import struct

import numpy as np
import pytest

from elman.compression.adaptive import RELATIVE_LEARNING_RATE, former_learning_rate, relative_learning_rate
from elman.compression.exact_gradients import sum_squares
from elman.compression.exact_network import build_exact_network
from elman.inference.adaptation import RELATIVE_RATE, learning_rate
from support.codec_models import M, make_model

CELLS = pytest.mark.parametrize(("cell", "layers"), [("rnn", 1), ("gru", 2), ("lstm", 3)])


@CELLS
def test_it_is_that_of_dynamic_evaluation(cell: str, layers: int) -> None:
    parameters = make_model(cell, layers, order=2).parameters
    expected = learning_rate(parameters)
    assert relative_learning_rate(build_exact_network(parameters)) == pytest.approx(expected, rel=1e-14)
    assert RELATIVE_RATE == RELATIVE_LEARNING_RATE


@CELLS
def test_it_has_the_bits_of_a_sum_in_the_order_of_the_file_format(cell: str, layers: int) -> None:
    network = build_exact_network(make_model(cell, layers).parameters)
    total, size = 0.0, 0
    for name in ("W", "W2", "W3")[:layers]:
        partial = 0.0
        for row in network.arrays[name].tolist():
            for entry in row:
                partial += entry * entry
        total, size = total + partial, size + network.arrays[name].size
    rate = 0.045 * math.sqrt(total / size) / math.sqrt(M)
    assert struct.pack("<d", relative_learning_rate(network)) == struct.pack("<d", rate)


def test_formerly_it_depended_on_the_hidden_size_alone() -> None:
    assert former_learning_rate(build_exact_network(make_model().parameters)) == 0.15 / M


def test_squares_of_any_weights_are_summed() -> None:
    largest = np.finfo(np.float32).max
    assert sum_squares(np.full((2, 3), largest, np.float32)) == pytest.approx(6 * float(largest) ** 2)
    assert sum_squares(np.array([[np.inf, 1]], np.float32)) == math.inf
    assert math.isnan(sum_squares(np.array([[np.nan, 1]], np.float32)))
