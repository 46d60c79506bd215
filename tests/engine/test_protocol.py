"""Callbacks in the middle of a call of an engine: when they are made, their arguments, and that they may stop it."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from elman.engine import CALLBACK_INTERVAL, TrainState, get_engine
from elman.network import Optimizer
from elman.network.parameters import Array
from elman.text import Alphabet, Windows
from support.networks import make_state
from support.state import TEXT, snapshot

INDICES = Alphabet.from_text(TEXT).encode(TEXT)
NETWORKS: tuple[dict[str, Any], ...] = ({}, {"cell": "lstm", "layers": 2}, {"batch_size": 3})
engines = pytest.mark.parametrize("name", ["numpy", "numba"])
networks = pytest.mark.parametrize("network", NETWORKS, ids=str)


def start(network: dict[str, Any], done: int) -> tuple[TrainState, Windows, Optimizer]:
    """Return a state after `done` updates, with its windows and optimizer."""
    optimizer, windows = Optimizer(0.01, 5.0), Windows(INDICES, 5, network.get("batch_size", 1))
    state = make_state(len(set(TEXT)), 4, 0.1, 1, np.float64, optimizer=optimizer, **network)
    get_engine("numpy").advance(state, windows, done, optimizer)
    return state, windows, optimizer


@engines
@networks
def test_a_callback_is_due_after_certain_updates_however_these_are_called(name: str, network: dict[str, Any]) -> None:
    state, windows, optimizer = start(network, 3)
    first = state.update
    calls: list[tuple[Array, NDArray[np.float64]]] = []

    def callback(h: Array, losses: NDArray[np.float64]) -> bool:
        calls.append((h.copy(), losses.copy()))
        return False

    losses = [
        get_engine(name).advance(state, windows, n, optimizer, callback)
        for n in (40, CALLBACK_INTERVAL, 1, CALLBACK_INTERVAL)
    ]
    assert sum(map(len, losses)) == 41 + 2 * CALLBACK_INTERVAL
    assert [len(chunk) for _, chunk in calls] == [CALLBACK_INTERVAL - 43, CALLBACK_INTERVAL - 44]
    np.testing.assert_array_equal(calls[0][1], losses[1][: CALLBACK_INTERVAL - 43])
    again, _, _ = start(network, first)
    get_engine(name).advance(again, windows, CALLBACK_INTERVAL - first, optimizer)
    np.testing.assert_array_equal(calls[0][0], again.hidden.recurrent)


@engines
@networks
def test_a_callback_may_end_the_call(name: str, network: dict[str, Any]) -> None:
    state, windows, optimizer = start(network, 0)
    losses = get_engine(name).advance(state, windows, 3 * CALLBACK_INTERVAL, optimizer, lambda h, losses: True)
    expected, _, _ = start(network, 0)
    np.testing.assert_array_equal(losses, get_engine(name).advance(expected, windows, CALLBACK_INTERVAL, optimizer))
    assert snapshot(state) == snapshot(expected)


def test_a_state_is_printed_in_a_line() -> None:
    assert repr(start({}, 7)[0]) == "<TrainState after 7 updates, 0 epochs complete>"
