"""The codec's network is that of the mathematics."""

import numpy as np
import pytest

from elman.apps.compress.exact_network import make_network, read_characters, round_weights
from elman.model import Model
from elman.network import loss_and_gradients
from support.codec_models import K, make_model
from support.tolerances import FIXED_FUNCTIONS

CELLS = pytest.mark.parametrize(("cell", "layers"), [("rnn", 1), ("gru", 2), ("lstm", 1), ("lstm", 3)])
TEXT = np.random.default_rng(3).integers(0, K, (9, 3))


def expected_state(model: Model, x: np.ndarray) -> np.ndarray:
    x = np.append(x, 0).astype(np.uint8)
    return loss_and_gradients(model.parameters, model.state.reset(), x[:-1], x[1:]).state.recurrent


@CELLS
@pytest.mark.parametrize("lines", [False, True], ids=["text", "lines"])
def test_states_are_those_of_the_mathematics(cell: str, layers: int, lines: bool) -> None:
    model = make_model(cell, layers, dtype=np.float64, lines=lines)
    network = make_network(round_weights(model.parameters), R=3)
    for x in TEXT:
        read_characters(network, x, np.ones(3, np.bool_))
    for r in range(3):
        expected = expected_state(model, TEXT[:, r])
        np.testing.assert_allclose(network.state[:, r].reshape(-1), expected, atol=4 * FIXED_FUNCTIONS)
        logits = network.state[-1 if cell != "lstm" else -2, r] @ model.parameters["V"].T + model.parameters["c"]
        np.testing.assert_allclose(network.logits[r], logits, atol=20 * FIXED_FUNCTIONS)


@CELLS
def test_a_row_that_reads_nothing_does_not_change(cell: str, layers: int) -> None:
    network = make_network(round_weights(make_model(cell, layers).parameters), R=2)
    read_characters(network, np.array([3, 4]), np.ones(2, np.bool_))
    state, logits = network.state.copy(), network.logits.copy()
    read_characters(network, np.array([5, 5]), np.array([True, False]))
    np.testing.assert_array_equal(network.state[:, 1], state[:, 1])
    np.testing.assert_array_equal(network.logits[1], logits[1])
    assert not np.array_equal(network.state[:, 0], state[:, 0])
