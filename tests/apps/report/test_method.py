"""The code that the report prints computes the numbers of the ``numpy`` engine."""

from typing import Any

import numpy as np

from elman.apps.course.faults import read_solution
from elman.apps.report.render import METHOD
from elman.engine import TrainState, get_engine
from elman.network import Architecture, Optimizer, initial_parameters
from elman.network.bptt import loss_and_gradients
from elman.text import Corpus, Windows
from support.state import TEXT
from support.tolerances import NAIVE, largest_relative_error

M_UNITS, T, UPDATES, ETA = 20, 60, 10, 0.01
SOURCE = "\n\n".join(read_solution()[name] for name in METHOD)
CORPUS = Corpus.from_text(TEXT * 12)


def load_method() -> dict[str, Any]:
    names: dict[str, Any] = {"np": np}
    exec(SOURCE, names)
    return names


def make_state() -> TrainState:
    network = Architecture(len(CORPUS.alphabet), M_UNITS)
    return TrainState.initial(initial_parameters(network, 0.1, np.random.RandomState(400), np.float64), seed=400)


def test_the_gradients_are_those_of_the_engine() -> None:
    """From an initial state that is not zero."""
    own, parameters = load_method(), make_state().parameters
    h0, (x, y) = np.tanh(np.random.RandomState(1).randn(M_UNITS)), Windows(CORPUS.indices, T).at(0)
    state = parameters.architecture.zero_state(np.float64).with_recurrent(h0)
    expected = loss_and_gradients(parameters, state, x, y)
    loss, h, p = own["forward"](parameters, h0, x, y)
    gradients = own["backward"](parameters, x, y, h, p)
    assert largest_relative_error(loss, expected.loss) < NAIVE
    for name, gradient in {**expected.gradients, "h0": expected.dh0}.items():
        assert largest_relative_error(gradients[name], gradient) < NAIVE, name


def test_ten_updates_are_those_of_the_engine() -> None:
    """At a learning rate at which rounding differences do not grow; some gradients are clipped."""
    own, state, windows = load_method(), make_state(), Windows(CORPUS.indices, T)
    parameters = {name: array.copy() for name, array in state.parameters.items()}
    M, h, largest = {name: np.zeros_like(array) for name, array in parameters.items()}, np.zeros(M_UNITS), 0.0
    losses = []
    for n in range(UPDATES):
        x, y = windows.at(n * T)
        loss, states, p = own["forward"](parameters, h, x, y)
        gradients = own["backward"](parameters, x, y, states, p)
        own["adagrad"](parameters, gradients, M, ETA)
        losses.append(loss)
        h, largest = states[T], max(largest, *(np.abs(each).max() for each in gradients.values()))
    expected = get_engine("numpy").advance(state, windows, UPDATES, Optimizer(ETA, 5.0))
    assert largest > 5
    assert largest_relative_error(losses, expected) < NAIVE
    for name, array in state.parameters.items():
        assert largest_relative_error(parameters[name], array) < NAIVE, name
        assert largest_relative_error(M[name], state.M[name]) < NAIVE, name
