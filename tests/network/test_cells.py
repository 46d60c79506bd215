"""Every cell, in one layer and in several, for a single sequence and a batch of three, with and without dropout.

Every dimension has a size of its own, T, K, m, B = 5, 7, 4, 3. No parameter and no initial state is zero, and a
character is read twice.
"""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from elman.network import Dropout, loss_and_gradients
from elman.network.cells import CELLS
from elman.network.parameters import Architecture, Array, Arrays, Parameters
from elman.network.state import State
from support import reference_impl
from support import tolerances as tolerances
from support.networks import state_of, window_loss
from support.tolerances import largest_relative_error

T, K, M, B = 5, 7, 4, 3
TEXTS = np.array([[3, 1, 3, 6, 0, 4], [5, 5, 2, 0, 2, 1], [0, 6, 4, 4, 4, 3]], np.uint8)

Sequence = tuple[Array, NDArray[np.unsignedinteger], NDArray[np.unsignedinteger], list[Array] | None]

DROPOUTS = {"all units": None, "dropout": Dropout(0.4, False, 1), "variational": Dropout(0.4, True, 1)}

every_network = pytest.mark.parametrize("layers", [1, 2, 3])
every_cell = pytest.mark.parametrize("cell", CELLS)
every_batch_size = pytest.mark.parametrize("batch_size", [None, B])


class Example(NamedTuple):
    cell: str
    layers: int
    parameters: Parameters
    h0: Array
    x: NDArray[np.unsignedinteger]
    y: NDArray[np.unsignedinteger]
    masks: list[Array] | None

    @property
    def state(self) -> State:
        return state_of(self.parameters, self.h0)

    def rows(self) -> Iterator[Sequence]:
        """Yield h0, x, y and masks of each batch row, as the naive code takes them."""
        if self.x.ndim == 1:
            yield self.h0, self.x, self.y, for_all_steps(self.masks)
            return
        for b in range(self.x.shape[1]):
            masks = None if self.masks is None else [mask[:, b] for mask in self.masks]
            yield self.h0[b], self.x[:, b], self.y[:, b], for_all_steps(masks)

    def naive_loss(self) -> float:
        results = [
            reference_impl.deep_loss(self.cell, self.layers, self.parameters, h0, x, y, masks)
            for h0, x, y, masks in self.rows()
        ]
        return float(np.mean([loss for loss, _ in results]))


def for_all_steps(masks: list[Array] | None) -> list[Array] | None:
    return None if masks is None else [np.broadcast_to(mask, (T, M)) for mask in masks]


def example(cell: str, layers: int, batch_size: int | None = None, dropout: Dropout | None = None) -> Example:
    generator, net = np.random.default_rng(1), Architecture(K, M, cell, layers)
    arrays: Arrays = {name: generator.normal(size=shape) * 0.5 for name, shape in net.shapes().items()}
    parameters = Parameters(net, arrays)
    text = TEXTS[0] if batch_size is None else TEXTS[:batch_size].T
    D = parameters.architecture.state_size
    h0 = np.tanh(generator.normal(size=D if batch_size is None else (batch_size, D)))
    masks = None if dropout is None else dropout.masks(1, layers, T, batch_size, M, np.float64)
    return Example(cell, layers, parameters, h0, text[:-1], text[1:], masks)


IN_EVERY_RUN = [(1, None, "all units"), (1, B, "all units"), (2, None, "all units")]
IN_EVERY_RUN += [(2, B, "dropout"), (2, B, "variational")]


@pytest.mark.parametrize(
    ("layers", "batch_size", "dropout"),
    [
        pytest.param(*case, marks=() if case in IN_EVERY_RUN else pytest.mark.slow)
        for case in product((1, 2, 3), (B, None), DROPOUTS)
    ],
)
@every_cell
def test_gradients_are_central_differences(cell: str, layers: int, batch_size: int | None, dropout: str) -> None:
    given = example(cell, layers, batch_size, DROPOUTS[dropout])
    result = loss_and_gradients(given.parameters, given.state, given.x, given.y, given.masks)
    assert result.loss == pytest.approx(given.naive_loss(), rel=tolerances.NAIVE)
    assert list(result.gradients) == list(given.parameters)
    analytic = result.gradients | {"h0": result.dh0}
    for name, array in {**given.parameters, "h0": given.h0}.items():
        numeric = reference_impl.central_differences(given.naive_loss, array, tolerances.CENTRAL_STEP)
        assert np.count_nonzero(numeric), name
        np.testing.assert_allclose(
            analytic[name], numeric, tolerances.CENTRAL, tolerances.CENTRAL_ABSOLUTE, err_msg=name
        )


@every_batch_size
@every_network
@every_cell
def test_losses_and_final_states_are_those_of_the_naive_code(cell: str, layers: int, batch_size: int | None) -> None:
    given = example(cell, layers, batch_size)
    losses, final = window_loss(given.parameters, given.state, given.x, given.y)
    expected = [reference_impl.deep_loss(cell, layers, given.parameters, h0, x, y) for h0, x, y, _ in given.rows()]
    assert isinstance(losses, float) if batch_size is None else losses.shape == (B,)
    assert largest_relative_error(np.atleast_1d(losses), [loss for loss, _ in expected]) <= tolerances.NAIVE
    h = np.atleast_2d(final.recurrent)
    assert largest_relative_error(h, [last for _, last in expected]) <= tolerances.NAIVE
    again = loss_and_gradients(given.parameters, given.state, given.x, given.y)
    np.testing.assert_array_equal(final.recurrent, again.state.recurrent)


@every_batch_size
@every_cell
def test_a_window_in_two_parts_equals_the_window_at_once(cell: str, batch_size: int | None) -> None:
    given = example(cell, 2, batch_size)
    parameters, x, y = given.parameters, given.x, given.y
    at_once, last = window_loss(parameters, given.state, x, y)
    first, state = window_loss(parameters, given.state, x[:2], y[:2])
    second, end = window_loss(parameters, state, x[2:], y[2:])
    assert largest_relative_error(first + second, at_once) <= tolerances.NAIVE
    assert largest_relative_error(end.recurrent, last.recurrent) <= tolerances.NAIVE


@every_cell
def test_nothing_overflows_where_the_gates_saturate(cell: str) -> None:
    _, _, parameters, h0, x, y, _ = example(cell, 2)
    large = parameters.map(lambda array: (array * 1e4).astype(np.float32))
    result = loss_and_gradients(large, state_of(large, h0.astype(np.float32)), x, y)
    assert all(np.isfinite(array).all() for array in [*result.gradients.values(), result.dh0, result.state.recurrent])
