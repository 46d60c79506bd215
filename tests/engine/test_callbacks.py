"""Looking at a network while an engine is at work: when, at what, and that it may end there."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from elman.engine import LOOK_EVERY, State, get_engine
from elman.network import Rule
from elman.network.parameters import Array
from elman.text import Alphabet, Windows
from support.state import TEXT, everything

CODES = Alphabet.from_text(TEXT).encode(TEXT)
NETWORKS: tuple[dict[str, Any], ...] = ({}, {"cell": "lstm", "layers": 2}, {"batch_size": 3})
engines = pytest.mark.parametrize("name", ["numpy", "numba"])
networks = pytest.mark.parametrize("network", NETWORKS, ids=str)


def begun(network: dict[str, Any], done: int) -> tuple[State, Windows, Rule]:
    """Return a state after so many updates."""
    rule, windows = Rule(0.01, 5.0), Windows(CODES, 5, network.get("batch_size", 1))
    state = State.initial(len(set(TEXT)), 4, 0.1, 1, np.float64, rule=rule, **network)
    get_engine("numpy").advance(state, windows, done, rule)
    return state, windows, rule


@engines
@networks
def test_a_look_is_due_after_certain_updates_however_these_are_called(name: str, network: dict[str, Any]) -> None:
    state, windows, rule = begun(network, 3)
    first = state.update
    looked: list[tuple[Array, NDArray[np.float64]]] = []

    def look(h: Array, losses: NDArray[np.float64]) -> bool:
        looked.append((h.copy(), losses.copy()))
        return False

    losses = [get_engine(name).advance(state, windows, n, rule, look) for n in (40, LOOK_EVERY, 1, LOOK_EVERY)]
    assert sum(map(len, losses)) == 41 + 2 * LOOK_EVERY
    assert [len(seen) for _, seen in looked] == [LOOK_EVERY - 43, LOOK_EVERY - 44]
    np.testing.assert_array_equal(looked[0][1], losses[1][: LOOK_EVERY - 43])
    again, _, _ = begun(network, first)
    get_engine(name).advance(again, windows, LOOK_EVERY - first, rule)
    np.testing.assert_array_equal(looked[0][0], again.h)


@engines
@networks
def test_a_look_may_end_the_call(name: str, network: dict[str, Any]) -> None:
    state, windows, rule = begun(network, 0)
    losses = get_engine(name).advance(state, windows, 3 * LOOK_EVERY, rule, lambda h, losses: True)
    expected, _, _ = begun(network, 0)
    np.testing.assert_array_equal(losses, get_engine(name).advance(expected, windows, LOOK_EVERY, rule))
    assert everything(state) == everything(expected)
