"""Names and shapes of parameters, the architecture that follows from them, and initialization."""

import numpy as np
import pytest

from elman.network import Architecture
from elman.network.cells import CELLS
from elman.network.parameters import NAMES, layer
from support.networks import make_parameters
from support.tolerances import DEVIATIONS, ORTHOGONAL

K, M = 7, 4


def test_the_names_and_shapes() -> None:
    assert Architecture(K, M).shapes() == {"U": (4, 7), "W": (4, 4), "V": (7, 4), "b": (4,), "c": (7,)}
    assert tuple(Architecture(K, M).shapes()) == NAMES
    assert list(Architecture(K, M, "lstm", 3).shapes()) == ["U", "W", "b", "U2", "W2", "b2", "U3", "W3", "b3", "V", "c"]
    assert list(Architecture(K, M, "rnn", 2).shapes()) == ["U", "W", "b", "U2", "W2", "b2", "V", "c"]
    shapes = Architecture(K, M, "gru", 2).shapes()
    assert " ".join(shapes) == "U W b d U2 W2 b2 d2 V c"
    assert [*shapes.values()] == [(12, 7), (12, 4), (12,), (4,), (12, 4), (12, 4), (12,), (4,), (7, 4), (7,)]


@pytest.mark.parametrize("m", [1, M])
@pytest.mark.parametrize("layers", [1, 2, 11])
@pytest.mark.parametrize(("cell", "gates", "state_vectors"), [("rnn", 1, 1), ("gru", 3, 1), ("lstm", 4, 2)])
def test_parameters_tell_their_architecture(cell: str, gates: int, state_vectors: int, layers: int, m: int) -> None:
    parameters = make_parameters(K, m, 0.1, np.random.RandomState(1), np.float32, cell, layers)
    network = parameters.architecture
    assert network == Architecture(K, m, cell, layers)
    assert (network.gates, network.state_vectors) == (gates, state_vectors)
    assert network.state_size == layers * state_vectors * m
    assert {name: array.shape for name, array in parameters.items()} == network.shapes()


def test_the_arrays_of_one_layer_have_plain_names() -> None:
    parameters = make_parameters(K, M, 0.1, np.random.RandomState(1), np.float64, "gru", 2)
    for number, ending in ((1, ""), (2, "2")):
        assert list(layer(parameters, number)) == ["U", "W", "b", "d"]
        assert all(array is parameters[name + ending] for name, array in layer(parameters, number).items())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_weights_and_biases_are_initialized_layer_by_layer(cell: str, layers: int, dtype: type[np.floating]) -> None:
    parameters = make_parameters(K, M, 0.1, np.random.RandomState(400), dtype, cell, layers)
    generator = np.random.RandomState(400)
    for name in (*("U", "W", "U2", "W2")[: 2 * layers], "V"):
        drawn = generator.randn(*parameters[name].shape) * 0.1
        np.testing.assert_array_equal(parameters[name], drawn.astype(dtype))
    assert {array.dtype for array in parameters.values()} == {np.dtype(dtype)}
    forget = np.repeat([0, 1, 0, 0], M)
    for name in {"b", "b2", "c", "d", "d2"} & set(parameters):
        np.testing.assert_array_equal(parameters[name], forget if cell == "lstm" and name != "c" else 0)


@pytest.mark.parametrize("cell", CELLS)
def test_orthogonal_weights(cell: str) -> None:
    K, m = 30, 50
    parameters = make_parameters(K, m, 0.3, np.random.RandomState(400), np.float64, cell, 2, orthogonal=True)
    for name in ("W", "W2"):
        for block in parameters[name].reshape(-1, m, m):
            np.testing.assert_allclose(block.T @ block, np.eye(m), rtol=0, atol=ORTHOGONAL)
    for name, std in {"U": 0.3, "U2": m**-0.5, "V": m**-0.5}.items():
        size = parameters[name].size
        assert abs(parameters[name].std() / std - 1) <= DEVIATIONS / np.sqrt(2 * size)
    np.testing.assert_array_equal(parameters["U"], np.random.RandomState(400).randn(*parameters["U"].shape) * 0.3)


def test_orthogonal_matrices_have_no_preferred_sign() -> None:
    """Without the correction of QR's signs the diagonal would be negative more often than not."""
    generator = np.random.RandomState(1)
    W = np.array([make_parameters(1, 2, 1, generator, np.float64, orthogonal=True)["W"] for _ in range(2000)])
    assert np.abs(W.mean(axis=0)).max() <= DEVIATIONS / np.sqrt(2 * 2000)  # the variance of a component is 1/m
    assert abs((np.linalg.det(W) > 0).mean() - 0.5) <= DEVIATIONS * 0.5 / np.sqrt(2000)
