"""The forward step on two threads has the same bits as on one, whichever thread computes what."""

import numpy as np
import pytest

from elman.compression import assistant, exact_kernels, shared_forward
from elman.compression.adaptive import make_window
from elman.compression.assistant import share_forward
from elman.compression.exact_gradients import Window
from elman.compression.exact_kernels import Floats
from elman.compression.exact_network import ExactNetwork, build_exact_network
from elman.compression.shared_forward import FINISHED, WIDTH, SharedForward
from elman.engine.numba.linalg.atomics import LINE
from support.codec_models import K, make_model

SHAPES = pytest.mark.parametrize(("layers", "m"), [(1, 5), (1, 64), (2, 70), (3, 40)])
"""Of one unit and several, with a last unit that is narrower or not, and an m that is divisible by 8 or not."""
TEXT = np.random.default_rng(0).integers(0, K, 6)


@pytest.fixture(autouse=True)
def _small_networks_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assistant, "MIN_SHARED_WEIGHTS", 1)
    monkeypatch.setattr(assistant, "thread_count", lambda: 2)


def make_network(layers: int, m: int) -> tuple[ExactNetwork, Window]:
    network = build_exact_network(make_model("gru", layers, m=m, std=0.2).parameters)
    return network, make_window(network, 1, 1)


def expected_logits(layers: int, m: int) -> list[Floats]:
    """Return the logits after each character as `forward_step` computes them."""
    network, window = make_network(layers, m)
    logits = []
    for x in TEXT:
        exact_kernels.forward_step(
            network.theta, network.cell, network.G, K, np.array([x]), *window.states, window.gates[0], window.logits,
            0, 1,
        )  # fmt: skip
        window.states[0] = window.states[1]
        logits.append(window.logits.copy())
    return logits


def read(shared: SharedForward, window: Window, x: np.int64) -> Floats:
    """Read a character; return the logits."""
    shared_forward.shared_forward_step(shared, x, window.states[0], window.gates[0], window.logits)
    window.states[0] = window.states[1]
    return window.logits.copy()


@SHAPES
@pytest.mark.parametrize("units", [0, 1, 3, 100])
def test_the_bits_are_those_of_the_forward_step(layers: int, m: int, units: int) -> None:
    """Before each step an assistant does so many units."""
    window = make_network(layers, m)[1]
    shared = share_forward(make_network(layers, m)[0], window)
    logits = []
    for x in TEXT:
        done = sum(shared_forward.run_unit(shared) for _ in range(units))
        assert done == min(units, layers * -(-3 * m // WIDTH))
        logits.append(read(shared, window, x))
    np.testing.assert_array_equal(logits, expected_logits(layers, m))


@SHAPES
def test_a_unit_is_taken_over_from_an_assistant_that_does_not_finish_it(layers: int, m: int) -> None:
    """What it writes when it goes on later, in the middle of the next step, is not used."""
    network, window = make_network(layers, m)
    shared, W, logits = share_forward(network, window), layers - 1, []
    for x in TEXT:
        unit, free = shared_forward.claim_unit(shared, W)
        assert unit == 0
        logits.append(read(shared, window, x))
        at = (1 + len(shared.biases) + W * -(-3 * m // WIDTH)) * LINE
        assert shared.queue[at] == free + FINISHED
        shared.results[W] = np.nan
    np.testing.assert_array_equal(logits, expected_logits(layers, m))


@pytest.mark.parametrize(("k", "n"), [(1, 1), (7, 3), (8, 96), (21, 17)])
def test_a_panel_is_multiplied_in_the_order_of_all_products(k: int, n: int) -> None:
    rng = np.random.default_rng(0)
    a, B, y = (rng.normal(size=shape).astype(np.float32) for shape in ((1, k), (k, n), (1, n)))
    expected = y.copy()
    exact_kernels.add_matmul(expected, a, B)
    shared_forward.multiply_panel(y[0], a[0], B.reshape(-1))
    np.testing.assert_array_equal(y, expected)
