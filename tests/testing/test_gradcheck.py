"""The gradient check: every engine and network passes, a wrong gradient does not, and what cannot be checked."""

import math
import threading
import time
from typing import Any

import numpy as np
import pytest

import elman
from elman.engine.numpy_engine import NumpyEngine
from elman.engine.protocol import Indices
from elman.network import LossAndGradients, Parameters
from elman.network.bptt import logits
from elman.network.cells import CELLS
from elman.network.parameters import Architecture, Array, Arrays, initial_parameters
from elman.network.state import State
from elman.testing.conformance import relative_error
from elman.testing.differences import STEP, central_differences
from elman.testing.gradcheck import REPORTED, GradientCheck
from elman.text import Corpus, Windows
from support import reference_impl, tolerances
from support.cells import COMPILED_CELLS
from support.networks import window_loss


@pytest.mark.parametrize(
    "options", [{}, {"layers": 2}, {"ngram_order": 3}, {"layers": 2, "ngram_order": 3}, {"lines": True}], ids=str
)
@pytest.mark.parametrize(
    ("engine", "cell"), [*(("numba", cell) for cell in COMPILED_CELLS), *(("numpy", cell) for cell in CELLS)]
)
def test_the_gradients_of_every_network_pass(engine: str, cell: str, options: dict[str, Any]) -> None:
    corpus = Corpus.from_text("abc\nb acbcb")  # few characters, as every weight takes two evaluations
    sizes: dict[str, Any] = {"hidden_size": 4, "seq_length": 5, "engine": engine, "cell": cell}
    (check,) = elman.gradcheck(corpus, points=10, **sizes, **options)
    layers, order = options.get("layers", 1), options.get("ngram_order", 0)
    assert set(check.relative_error) == {*Architecture(len(corpus.alphabet), 4, cell, layers, order).shapes(), "h0"}
    assert check.passed
    assert min(check.relative_error.values()) > 0


@pytest.mark.parametrize(("error", "passed"), [(0.0, True), (1e-7, True), (1.1e-7, False), (math.nan, False)])
def test_every_array_has_to_pass(error: float, passed: bool) -> None:
    for name in "UWVbc":
        assert GradientCheck(5, 5, 5, dict.fromkeys("UWVbc", 1e-9) | {name: error}).passed == passed


@pytest.mark.slow
def test_the_experiments_of_the_reference_pass() -> None:
    checks = elman.gradcheck(engine="numpy", full=True)
    assert [(check.points, check.hidden_size, check.seq_length) for check in checks] == [each[:3] for each in REPORTED]
    assert all(check.passed for check in checks)


def test_some_components_of_each_array_are_checked_unless_all_are_asked_for(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = list[list[int]]()

    def count(*arguments: Any) -> Arrays:
        *_, chosen = arguments
        counts.append([len(set(indices.tolist())) for indices in chosen.values()])
        return central_differences(*arguments)

    monkeypatch.setattr("elman.testing.gradcheck.central_differences", count)
    monkeypatch.setattr("elman.testing.gradcheck.SAMPLED", 7)
    for full in (False, True):
        (check,) = elman.gradcheck(corpus, hidden_size=4, seq_length=5, full=full)
        assert check.passed
    K = len(corpus.alphabet)
    assert counts == [[7, 7, 7, 4, 7, 4], [4 * K, 16, 4 * K, 4, K, 4]]


def test_one_number_asks_for_one_experiment(corpus: Corpus) -> None:
    (check,) = elman.gradcheck(corpus, hidden_size=4, engine="numpy")
    assert list(check.relative_error) == ["V", "U", "W", "b", "c", "h0"]
    assert (check.points, check.hidden_size, check.seq_length) == (25, 4, 25)
    (check,) = elman.gradcheck(corpus, hidden_size=4, seq_length=6, engine="numpy")
    assert (check.points, check.hidden_size, check.seq_length) == (6, 4, 6)
    (longer,) = elman.gradcheck(corpus, hidden_size=4, seq_length=6, points=8, engine="numpy")
    assert check.relative_error == longer.relative_error  # points that are left over are not read


@pytest.mark.parametrize("name", ["V", "U", "W", "b", "c", "h0"])
@pytest.mark.parametrize("factor", [-1.0, 2.001, 1.000001, 0.0, None])
def test_wrong_gradients_fail(corpus: Corpus, monkeypatch: pytest.MonkeyPatch, name: str, factor: float | None) -> None:
    """One that is multiplied; without a factor, dW without the term of the initial state."""

    class Wrong(NumpyEngine):
        def loss_and_gradients(self, parameters: Parameters, state: State, x: Indices, y: Indices) -> LossAndGradients:
            result, h0 = super().loss_and_gradients(parameters, state, x, y), state.recurrent
            if factor is None:
                dW = result.gradients["W"] - np.outer(np.linalg.solve(parameters["W"].T, result.dh0), h0)
                return result._replace(gradients=result.gradients | {"W": dW})
            if name == "h0":
                return result._replace(dh0=factor * result.dh0)
            return result._replace(gradients=result.gradients | {name: factor * result.gradients[name]})

    monkeypatch.setattr("elman.testing.gradcheck.get_engine", lambda name: Wrong())
    (check,) = elman.gradcheck(corpus, hidden_size=3, seq_length=4, points=4)
    assert not check.passed
    assert [n for n, error in check.relative_error.items() if error > 1e-7] == ["W" if factor is None else name]


def test_the_state_is_zero_if_asked_for(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    states = list[Array]()

    class Recorder(NumpyEngine):
        def loss_and_gradients(self, parameters: Parameters, state: State, x: Indices, y: Indices) -> LossAndGradients:
            states.append(state.recurrent)
            return super().loss_and_gradients(parameters, state, x, y)

    monkeypatch.setattr("elman.testing.gradcheck.get_engine", lambda name: Recorder())
    for zero_state in (False, True):
        (check,) = elman.gradcheck(corpus, hidden_size=4, seq_length=5, zero_state=zero_state)
        assert check.passed
        assert 0 < check.relative_error["h0"] < 1e-8
    random, zero = states
    assert random.all()
    assert not zero.any()


def start(m: int, T: int, windows: int) -> tuple[Parameters, State, Windows]:
    x = np.random.default_rng(3).integers(0, 7, windows * T + 1, np.uint8)  # of 9 characters, so two are not read
    parameters = initial_parameters(Architecture(9, m), 0.1, np.random.RandomState(1), np.float64)
    state = parameters.architecture.zero_state(np.float64)
    return parameters, state.with_recurrent(np.full(m, 0.5)), Windows(x, T)


@pytest.mark.parametrize("limit", [1, 2**16])
def test_the_differences_are_those_of_a_plain_program(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elman.testing.differences._LOGITS", limit)  # of one step at a time, and of all
    parameters, state, windows = start(3, 6, 2)
    pairs = [windows.at(0), windows.at(6)]
    found = central_differences(parameters, state, windows)
    for name, array in {**parameters, "h0": state.recurrent}.items():
        expected = reference_impl.central_differences(
            lambda: sum(window_loss(parameters, state, x, y)[0] for x, y in pairs), array, STEP
        )
        assert found[name] == pytest.approx(expected, rel=0, abs=tolerances.DIFFERENCE)
    assert not found["U"][:, 7:].any()


def test_rounding_errors_are_those_of_a_plain_program() -> None:
    """The error of V, of which most is rounding, at a length at which the order of summation matters."""
    parameters, state, windows = start(6, 100, 1)
    x, y = windows.at(0)
    analytic = NumpyEngine().loss_and_gradients(parameters, state, x, y).gradients["V"]

    def plain() -> float:
        o, _ = logits(parameters, state, x)
        p = np.exp(o) / np.exp(o).sum(axis=1, keepdims=True)
        return float(-np.log(p[np.arange(len(y)), y]).sum())

    expected = relative_error(analytic, reference_impl.central_differences(plain, parameters["V"], STEP))
    found = relative_error(analytic, central_differences(parameters, state, windows)["V"])
    assert found < 1.3 * expected


@pytest.mark.parametrize("lines", [False, True])
def test_progress_is_reported_often_and_an_exception_ends_the_check(corpus: Corpus, lines: bool) -> None:
    done = list[float]()
    options: dict[str, Any] = {"seq_length": 20, "full": True, "engine": "numpy", "lines": lines}
    elman.gradcheck(corpus, hidden_size=10, **options, on_progress=done.append)
    assert done == sorted(done)
    assert (len(done) > 10, done[-1]) == (True, 1.0)

    def stop(fraction: float) -> None:
        raise RuntimeError

    started, threads = time.perf_counter(), threading.active_count()
    with pytest.raises(RuntimeError):
        elman.gradcheck(corpus, hidden_size=300, **options, on_progress=stop)
    assert time.perf_counter() - started < 10  # all of it would take minutes
    assert threading.active_count() == threads
