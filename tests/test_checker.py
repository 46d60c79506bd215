"""The checkers are tested too: an engine with a fault planted in it fails, in the figures that the fault spoils.

Every faulty engine is the reference but for one thing, so what else differs is nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

import tolerances
from elman.engine import Engine, State, get_engine
from elman.engine.protocol import Indices
from elman.engine.reference import NumpyEngine
from elman.experiment.gradcheck import LARGEST_ERROR, GradientCheck, _check, gradcheck
from elman.network import AdaGrad, Draw, LossAndGradients, Parameters
from elman.network.adagrad import EPSILON
from elman.network.parameters import NAMES, Array
from elman.testing import check_engine, compare_gradients
from elman.text import Corpus, Windows

CORPUS = Corpus.from_text("a tiny text, to be read again")
ALL = {*NAMES, "h0"}


def blamed(errors: dict[str, float], limit: float) -> set[str]:
    """Return what is not within the limit; what is not a number is not."""
    return {name for name, error in errors.items() if not error <= limit}


def blamed_by_checker(engine: Engine, *, K: int = 7) -> set[str]:
    found = check_engine(engine, K=K)
    window = found.gradients | {"loss": found.loss, "final_state": found.final_state}
    run = {"trajectory": found.trajectory, "end": found.end, "score": found.score}
    same = {"text": found.same_text, "counts": found.same_counts}
    differing = {name for name, alike in same.items() if not alike}
    return blamed(window, tolerances.COMPILED) | blamed(run, tolerances.COMPILED_TRAJECTORY) | differing


@pytest.mark.parametrize("name", ["numba", "numpy"])
def test_a_right_engine_is_not_blamed(name: str) -> None:
    assert blamed_by_checker(get_engine(name)) == set()


# --- Faults in the gradients of a window ---

Fault = Callable[[LossAndGradients, Parameters, Array], LossAndGradients]


def scaled(name: str, factor: float) -> Fault:
    """Return the fault that multiplies one gradient."""

    def fault(result: LossAndGradients, parameters: Parameters, h0: Array) -> LossAndGradients:
        return result._replace(gradients=result.gradients | {name: factor * result.gradients[name]})

    return fault


def h0_dropped_from_dW(result: LossAndGradients, parameters: Parameters, h0: Array) -> LossAndGradients:
    da_first = np.linalg.solve(parameters["W"].T, result.dh0)
    dW = result.gradients["W"] - np.outer(da_first, h0)
    return result._replace(gradients=result.gradients | {"W": dW})


def dh0_zeroed(result: LossAndGradients, parameters: Parameters, h0: Array) -> LossAndGradients:
    return result._replace(dh0=np.zeros_like(result.dh0))


class FaultyGradients(NumpyEngine):
    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    def loss_and_gradients(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> LossAndGradients:
        return self.fault(super().loss_and_gradients(parameters, h0, x, y), parameters, h0)


class SinglePrecision(NumpyEngine):
    """Computes in float32 whatever it is given, and returns float64."""

    def loss(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[float, Array]:
        loss, h = super().loss(narrow(parameters), h0.astype(np.float32), x, y)
        return loss, h.astype(np.float64)

    def loss_and_gradients(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> LossAndGradients:
        result = super().loss_and_gradients(narrow(parameters), h0.astype(np.float32), x, y)
        gradients: Parameters = {name: array.astype(np.float64) for name, array in result.gradients.items()}
        return LossAndGradients(result.loss, gradients, result.dh0.astype(np.float64), result.h.astype(np.float64))


def narrow(parameters: Parameters) -> Parameters:
    return {name: array.astype(np.float32) for name, array in parameters.items()}


FAULTS = [
    pytest.param(scaled("W", -1), {"W"}, id="wrong sign in dW"),
    pytest.param(scaled("V", 2.001), {"V"}, id="dV times 2.001"),
    pytest.param(scaled("V", 1.001), {"V"}, id="dV times 1.001"),
    pytest.param(h0_dropped_from_dW, {"W"}, id="h_0 dropped from dW"),
    pytest.param(dh0_zeroed, {"h0"}, id="dh_0 zeroed"),
    *(pytest.param(scaled(name, 0), {name}, id=f"d{name} zeroed") for name in NAMES),
    *(pytest.param(scaled(name, math.nan), {name}, id=f"d{name} not a number") for name in NAMES),
]


@pytest.mark.parametrize(("fault", "spoiled"), FAULTS)
def test_the_checker_catches_a_faulty_gradient(fault: Fault, spoiled: set[str]) -> None:
    assert blamed_by_checker(FaultyGradients(fault)) == spoiled


@pytest.mark.parametrize(("fault", "spoiled"), FAULTS)
def test_the_gradient_check_catches_a_faulty_gradient(fault: Fault, spoiled: set[str]) -> None:
    check = _check(CORPUS, 5, 5, 5, FaultyGradients(fault), 400)
    assert blamed(check.relative_error, LARGEST_ERROR) == spoiled
    assert not check.passed


@pytest.mark.parametrize("carried", [True, False])
def test_only_a_state_carried_in_shows_that_dW_forgot_it(carried: bool) -> None:
    state = State.initial(7, 4, 0.3, 2, np.float64)
    state.h += carried * 0.5
    windows = Windows(np.array([3, 1, 3, 6, 0, 4], np.uint8), 5)
    errors = compare_gradients(FaultyGradients(h0_dropped_from_dW), state, windows)
    assert blamed(errors, tolerances.COMPILED) == ({"W"} if carried else set())


def test_the_checker_catches_single_precision() -> None:
    assert blamed_by_checker(SinglePrecision()) == ALL | {"loss", "final_state", "score"}


def test_the_gradient_check_catches_single_precision() -> None:
    check = _check(CORPUS, 5, 5, 5, SinglePrecision(), 400)
    assert blamed(check.relative_error, LARGEST_ERROR) == ALL
    assert not check.passed


def test_the_gradient_check_catches_a_wrong_loss() -> None:
    class WrongLoss(NumpyEngine):
        def loss(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[float, Array]:
            loss, h = super().loss(parameters, h0, x, y)
            return loss / len(x), h

    assert not _check(CORPUS, 5, 5, 5, WrongLoss(), 400).passed


# --- Faults in the loop and in the update ---


class CarriesNothing(NumpyEngine):
    def advance(self, state: State, windows: Windows, updates: int, rule: AdaGrad) -> NDArray[np.float64]:
        losses = np.empty(updates)
        for n in range(updates):
            losses[n] = super().advance(state, windows, 1, rule)[0]
            state.h = np.zeros_like(state.h)
        return losses


class NeverResets(NumpyEngine):
    def advance(self, state: State, windows: Windows, updates: int, rule: AdaGrad) -> NDArray[np.float64]:
        losses = np.empty(updates)
        for n in range(updates):
            if state.position + windows.seq_length >= len(windows.indices):
                state.position = 0
            losses[n] = super().advance(state, windows, 1, rule)[0]
        return losses


class FaultyRule(NumpyEngine):
    def __init__(self, rule: type[AdaGrad]) -> None:
        self.rule = rule

    def advance(self, state: State, windows: Windows, updates: int, rule: AdaGrad) -> NDArray[np.float64]:
        return super().advance(state, windows, updates, self.rule(rule.learning_rate, rule.clip))


class ClipsFirst(AdaGrad):
    def update(self, parameters: Parameters, M: Parameters, gradients: Parameters) -> None:
        super().update(parameters, M, {name: np.clip(g, -self.clip, self.clip) for name, g in gradients.items()})


class ClipsNothing(AdaGrad):
    def update(self, parameters: Parameters, M: Parameters, gradients: Parameters) -> None:
        AdaGrad(self.learning_rate, math.inf).update(parameters, M, gradients)


class EpsilonOutside(AdaGrad):
    def update(self, parameters: Parameters, M: Parameters, gradients: Parameters) -> None:
        for name, theta in parameters.items():
            M[name] += gradients[name] ** 2
            clipped = np.clip(gradients[name], -self.clip, self.clip)
            theta -= self.learning_rate * clipped / (np.sqrt(M[name]) + EPSILON)


class WrongSign(AdaGrad):
    def update(self, parameters: Parameters, M: Parameters, gradients: Parameters) -> None:
        super().update(parameters, M, gradients | {"W": -gradients["W"]})


@pytest.mark.parametrize(
    "engine",
    [
        CarriesNothing(),
        NeverResets(),
        *map(FaultyRule, [ClipsFirst, ClipsNothing, EpsilonOutside, WrongSign]),
    ],
    ids=["carries nothing", "never resets", "clips first", "clips nothing", "epsilon outside", "wrong sign"],
)
def test_the_checker_catches_a_faulty_trajectory(engine: Engine) -> None:
    assert blamed_by_checker(engine) == {"trajectory", "end"}


# --- Faults in what is left behind, and in the text ---


class LeavesBehind(NumpyEngine):
    """Computes the right losses, and then spoils the state."""

    def __init__(self, spoil: Callable[[State], None]) -> None:
        self.spoil = spoil

    def advance(self, state: State, windows: Windows, updates: int, rule: AdaGrad) -> NDArray[np.float64]:
        losses = super().advance(state, windows, updates, rule)
        self.spoil(state)
        return losses


def nan_in_one_parameter(state: State) -> None:
    state.parameters["c"][:] = math.nan


def no_squares(state: State) -> None:
    state.M["W"][:] = 0


def no_state(state: State) -> None:
    state.h = np.zeros_like(state.h)


def no_position(state: State) -> None:
    state.position = 0


def no_count(state: State) -> None:
    state.update = state.epoch = 0


@pytest.mark.parametrize("spoil", [nan_in_one_parameter, no_squares, no_state, no_position, no_count])
def test_the_checker_catches_what_is_not_left_behind(spoil: Callable[[State], None]) -> None:
    assert blamed_by_checker(LeavesBehind(spoil)) != set()


class OneByte(NumpyEngine):
    """Reads indices as bytes, whatever they are."""

    def advance(self, state: State, windows: Windows, updates: int, rule: AdaGrad) -> NDArray[np.float64]:
        narrow = Windows(windows.indices.astype(np.uint8), windows.seq_length)
        return super().advance(state, narrow, updates, rule)


def test_the_checker_catches_indices_cut_to_a_byte() -> None:
    assert blamed_by_checker(OneByte(), K=300) != set()


class AlwaysWhole(NumpyEngine):
    """Draws among all characters, whatever is asked."""

    def generate(
        self, parameters: Parameters, h: Array, x: int, uniforms: NDArray[np.float64], draw: Draw
    ) -> tuple[NDArray[np.intp], Array]:
        return super().generate(parameters, h, x, uniforms, Draw(draw.temperature))


def test_the_checker_catches_another_text() -> None:
    assert blamed_by_checker(AlwaysWhole()) == {"text"}


# --- The gradient check ---


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize("points", [5, 13])
def test_a_right_engine_passes_the_gradient_check(engine: str, points: int) -> None:
    """The second number of points is no multiple of T: three characters are left over."""
    (check,) = gradcheck(CORPUS, hidden_size=5, seq_length=5, points=points, engine=engine)
    assert (check.points, check.hidden_size, check.seq_length) == (points, 5, 5)
    assert set(check.relative_error) == ALL
    assert check.passed


def test_the_characters_left_over_are_not_read() -> None:
    checks = [_check(CORPUS, points, 5, 5, NumpyEngine(), 400) for points in (10, 13)]
    assert checks[0].relative_error == checks[1].relative_error


@pytest.mark.parametrize(("error", "passed"), [(0.0, True), (1e-7, True), (1.1e-7, False), (math.nan, False)])
def test_every_array_has_to_pass(error: float, passed: bool) -> None:
    for name in ALL:
        errors = dict.fromkeys(ALL, 1e-9) | {name: error}
        assert GradientCheck(5, 5, 5, errors).passed == passed
