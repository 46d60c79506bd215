"""The checkers are tested too: an engine with a fault planted in it fails, in the figures that the fault spoils.

Every faulty engine is the reference but for one thing, so what else differs is nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from elman.engine import Engine, State, get_engine
from elman.engine.callbacks import Look, unwatched
from elman.engine.numpy_engine import NumpyEngine, NumpyReader
from elman.engine.protocol import Indices, Passages
from elman.network import Draw, Dropout, LossAndGradients, Parameters, Rule
from elman.network.optimizer import EPSILON
from elman.network.parameters import NAMES, Array, shapes
from elman.testing import RULE, check_engine, compare_gradients
from elman.text import Corpus, Windows
from elman.training.gradcheck import LARGEST_ERROR, GradientCheck, gradcheck
from support import tolerances as tolerances

CORPUS = Corpus.from_text("a tiny text, to be read again")
ALL = {*NAMES, "h0"}


def blamed(errors: dict[str, float], limit: float) -> set[str]:
    """Return what is not within the limit; what is not a number is not."""
    return {name for name, error in errors.items() if not error <= limit}


def blamed_by_checker(engine: Engine, **setting: Any) -> set[str]:
    found = check_engine(engine, **setting)
    window = found.gradients | {"loss": found.loss, "final_state": found.final_state}
    run = {"trajectory": found.trajectory, "end": found.end, "score": found.score, "reading": found.reading}
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

    def loss(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[Any, Array]:
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


@pytest.fixture
def check_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Engine], GradientCheck]:
    """The gradient check of an engine that has no name."""

    def check(engine: Engine, points: int = 5) -> GradientCheck:
        monkeypatch.setattr("elman.training.gradcheck.get_engine", lambda name: engine)
        return gradcheck(CORPUS, hidden_size=5, seq_length=5, points=points)[0]

    return check


@pytest.mark.parametrize(("fault", "spoiled"), FAULTS)
def test_the_gradient_check_catches_a_faulty_gradient(
    check_of: Callable[[Engine], GradientCheck], fault: Fault, spoiled: set[str]
) -> None:
    check = check_of(FaultyGradients(fault))
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


def test_the_gradient_check_catches_single_precision(check_of: Callable[[Engine], GradientCheck]) -> None:
    check = check_of(SinglePrecision())
    assert blamed(check.relative_error, LARGEST_ERROR) == ALL
    assert not check.passed


def test_the_gradient_check_catches_a_wrong_loss(check_of: Callable[[Engine], GradientCheck]) -> None:
    class WrongLoss(NumpyEngine):
        def loss(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[Any, Array]:
            loss, h = super().loss(parameters, h0, x, y)
            return loss / len(x), h

    assert not check_of(WrongLoss()).passed


# --- Faults in the loop and in the update ---


class CarriesNothing(NumpyEngine):
    def advance(
        self, state: State, windows: Windows, updates: int, rule: Rule, look: Look = unwatched
    ) -> NDArray[np.float64]:
        losses = np.empty(updates)
        for n in range(updates):
            losses[n] = super().advance(state, windows, 1, rule)[0]
            state.h = np.zeros_like(state.h)
        return losses


class NeverResets(NumpyEngine):
    def advance(
        self, state: State, windows: Windows, updates: int, rule: Rule, look: Look = unwatched
    ) -> NDArray[np.float64]:
        losses = np.empty(updates)
        for n in range(updates):
            if windows.begins_epoch(state.position):
                state.position = 0
            losses[n] = super().advance(state, windows, 1, rule)[0]
        return losses


class FaultyRule(NumpyEngine):
    """Trains by another rule than the one it is given."""

    def __init__(self, other: Callable[[Rule], Rule]) -> None:
        self.other = other

    def advance(
        self, state: State, windows: Windows, updates: int, rule: Rule, look: Look = unwatched
    ) -> NDArray[np.float64]:
        return super().advance(state, windows, updates, self.other(rule))


class ClipsFirst(Rule):
    def update(
        self, n: int, parameters: Parameters, M: Parameters, N: Parameters, average: Parameters, gradients: Parameters
    ) -> None:
        clipped: Parameters = {name: np.clip(g, -self.clip, self.clip) for name, g in gradients.items()}
        super().update(n, parameters, M, N, average, clipped)


class EpsilonOutside(Rule):
    def update(
        self, n: int, parameters: Parameters, M: Parameters, N: Parameters, average: Parameters, gradients: Parameters
    ) -> None:
        for name, theta in parameters.items():
            M[name] += gradients[name] ** 2
            clipped = np.clip(gradients[name], -self.clip, self.clip)
            theta -= self.learning_rate * clipped / (np.sqrt(M[name]) + EPSILON)


class WrongSign(Rule):
    def update(
        self, n: int, parameters: Parameters, M: Parameters, N: Parameters, average: Parameters, gradients: Parameters
    ) -> None:
        super().update(n, parameters, M, N, average, gradients | {"W": -gradients["W"]})


@pytest.mark.parametrize(
    "engine",
    [
        CarriesNothing(),
        NeverResets(),
        FaultyRule(lambda rule: ClipsFirst(**vars(rule))),
        FaultyRule(lambda rule: replace(rule, clip=math.inf)),
        FaultyRule(lambda rule: EpsilonOutside(**vars(rule))),
        FaultyRule(lambda rule: WrongSign(**vars(rule))),
    ],
    ids=["carries nothing", "never resets", "clips first", "clips nothing", "epsilon outside", "wrong sign"],
)
def test_the_checker_catches_a_faulty_trajectory(engine: Engine) -> None:
    assert blamed_by_checker(engine) == {"trajectory", "end"}


# --- Faults in an optimiser, its schedule and what it keeps ---

ADAM = Rule(0.02, 1.0, "adam", clip_by="norm", weight_decay=0.1, schedule="cosine", warmup=2, end=12, averaging=0.9)


class DecaysBiases(Rule):
    def update(
        self, n: int, parameters: Parameters, M: Parameters, N: Parameters, average: Parameters, gradients: Parameters
    ) -> None:
        decay = {name: self.weight_decay * theta for name, theta in parameters.items() if theta.ndim == 1}
        decayed: Parameters = {name: g + decay.get(name, 0.0) for name, g in gradients.items()}
        super().update(n, parameters, M, N, average, decayed)


class NotCorrected(Rule):
    """Adam without its corrections: (1 - beta^n) is nearly 1."""

    def update(
        self, n: int, parameters: Parameters, M: Parameters, N: Parameters, average: Parameters, gradients: Parameters
    ) -> None:
        super().update(n + 10**6, parameters, M, N, average, gradients)


class ForgetsAverage(Rule):
    def update(
        self, n: int, parameters: Parameters, M: Parameters, N: Parameters, average: Parameters, gradients: Parameters
    ) -> None:
        super().update(n, parameters, M, N, {name: theta.copy() for name, theta in average.items()}, gradients)


class AveragesEvenly(Rule):
    def kept_average(self, n: int) -> float:
        return self.averaging


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda rule: replace(rule, clip_by="value"), id="clips by value"),
        pytest.param(lambda rule: replace(rule, clip=math.inf), id="clips nothing"),
        pytest.param(lambda rule: replace(rule, optimizer="adamw"), id="decays apart"),
        pytest.param(lambda rule: replace(rule, weight_decay=0.0), id="decays nothing"),
        pytest.param(lambda rule: DecaysBiases(**vars(rule)), id="decays biases"),
        pytest.param(lambda rule: NotCorrected(**vars(rule)), id="not corrected"),
        pytest.param(lambda rule: replace(rule, beta1=0.0), id="no momentum"),
        pytest.param(lambda rule: replace(rule, beta2=0.99), id="beta_2 of 0.99"),
        pytest.param(lambda rule: replace(rule, warmup=0), id="no warm-up"),
        pytest.param(lambda rule: replace(rule, schedule="constant"), id="a constant rate"),
        pytest.param(lambda rule: replace(rule, end=13), id="another end"),
    ],
)
def test_the_checker_catches_a_faulty_optimiser(other: Callable[[Rule], Rule]) -> None:
    assert blamed_by_checker(FaultyRule(other), rule=ADAM) == {"trajectory", "end"}


@pytest.mark.parametrize("other", [ForgetsAverage, AveragesEvenly])
def test_the_checker_catches_an_average_that_is_not_kept(other: type[Rule]) -> None:
    assert blamed_by_checker(FaultyRule(lambda rule: other(**vars(rule))), rule=ADAM) == {"end"}


class BetweenCalls(NumpyEngine):
    """Spoils the state at the beginning of a call."""

    def __init__(self, spoil: Callable[[State], None]) -> None:
        self.spoil = spoil

    def advance(
        self, state: State, windows: Windows, updates: int, rule: Rule, look: Look = unwatched
    ) -> NDArray[np.float64]:
        if state.update > 0:
            self.spoil(state)
        return super().advance(state, windows, updates, rule)


def momentum_lost(state: State) -> None:
    for momentum in state.N.values():
        momentum[:] = 0


def squares_lost(state: State) -> None:
    for squares in state.M.values():
        squares[:] = 0


def average_begun_again(state: State) -> None:
    for name, theta in state.parameters.items():
        state.average[name][:] = theta


@pytest.mark.parametrize(
    ("spoil", "spoiled"),
    [
        (momentum_lost, {"trajectory", "end"}),
        (squares_lost, {"trajectory", "end"}),
        (average_begun_again, {"end"}),
    ],
)
def test_the_checker_catches_what_is_lost_between_calls(spoil: Callable[[State], None], spoiled: set[str]) -> None:
    assert blamed_by_checker(BetweenCalls(spoil), rule=ADAM) == spoiled


class CountsFromTheCall(NumpyEngine):
    def advance(
        self, state: State, windows: Windows, updates: int, rule: Rule, look: Look = unwatched
    ) -> NDArray[np.float64]:
        done, state.update = state.update, 0
        losses = super().advance(state, windows, updates, rule)
        state.update += done
        state.epoch = state.update // windows.per_epoch
        return losses


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(replace(RULE, schedule="step", end=10), id="schedule"),
        pytest.param(Rule(0.02, 1.0, "adam"), id="corrections"),
        pytest.param(replace(RULE, dropout=Dropout(0.3, True, 1)), id="masks"),
    ],
)
def test_the_checker_catches_a_count_that_begins_anew(rule: Rule) -> None:
    assert blamed_by_checker(CountsFromTheCall(), rule=rule) == {"trajectory", "end"}


# --- Faults in dropout ---

DROPOUT = replace(RULE, dropout=Dropout(0.3, variational=False, seed=1))


class MasksOfTheUpdateBefore(Dropout):
    def masks(self, update: int, layers: int, T: int, B: int | None, m: int, dtype: np.typing.DTypeLike) -> list[Array]:
        return super().masks(update - 1, layers, T, B, m, dtype)


class MasksOfTheOtherLayer(Dropout):
    def masks(self, update: int, layers: int, T: int, B: int | None, m: int, dtype: np.typing.DTypeLike) -> list[Array]:
        return super().masks(update, layers, T, B, m, dtype)[::-1]


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize(
    "dropout",
    [
        pytest.param(MasksOfTheUpdateBefore(0.3, False, 1), id="masks of another update"),
        pytest.param(MasksOfTheOtherLayer(0.3, False, 1), id="masks of another layer"),
        pytest.param(Dropout(0.3, True, 1), id="one mask for a window"),
        pytest.param(Dropout(0.3, False, 2), id="another seed"),
        pytest.param(Dropout(0.4, False, 1), id="another rate"),
        pytest.param(None, id="no dropout"),
    ],
)
def test_the_checker_catches_wrong_masks(dropout: Dropout | None, batch_size: int) -> None:
    engine = FaultyRule(lambda rule: replace(rule, dropout=dropout))
    assert blamed_by_checker(engine, layers=2, batch_size=batch_size, rule=DROPOUT) == {"trajectory", "end"}


# --- Faults with streams, and with other cells ---


def two_streams_swapped(state: State) -> None:
    state.h[:2] = state.h[1::-1].copy()


class SumsStreams(NumpyEngine):
    """Trains on the sum of the streams' losses, as if the rate were that much higher, or only reports it."""

    def __init__(self, trains: bool) -> None:
        self.trains = trains

    def advance(
        self, state: State, windows: Windows, updates: int, rule: Rule, look: Look = unwatched
    ) -> NDArray[np.float64]:
        B = windows.batch_size
        if self.trains:
            return super().advance(state, windows, updates, replace(rule, learning_rate=B * rule.learning_rate))
        return B * super().advance(state, windows, updates, rule)


class ScoresTheMean(NumpyEngine):
    def loss(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[Any, Array]:
        losses, h = super().loss(parameters, h0, x, y)
        return losses * 0 + np.mean(losses), h


class ReadsTheFirst(NumpyEngine):
    """Scores every stream as if it began in the state of the first."""

    def loss(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[Any, Array]:
        return super().loss(parameters, h0 * 0 + h0[:1] if h0.ndim == 2 else h0, x, y)


@pytest.mark.parametrize(
    ("engine", "spoiled"),
    [
        pytest.param(BetweenCalls(two_streams_swapped), {"trajectory", "end"}, id="two states swapped"),
        pytest.param(SumsStreams(trains=True), {"trajectory", "end"}, id="gradients summed"),
        pytest.param(SumsStreams(trains=False), {"trajectory"}, id="losses summed"),
        pytest.param(ScoresTheMean(), {"score"}, id="the mean for each"),
        pytest.param(ReadsTheFirst(), {"score"}, id="one state for all"),
        pytest.param(CarriesNothing(), {"trajectory", "end"}, id="carries nothing"),
    ],
)
def test_the_checker_catches_confused_streams(engine: Engine, spoiled: set[str]) -> None:
    assert blamed_by_checker(engine, batch_size=3) == spoiled


def test_the_checker_catches_two_states_swapped_at_the_end() -> None:
    """Of neighbouring streams and after the last update, where no loss shows it any more."""

    class SwapsLast(NumpyEngine):
        def advance(
            self, state: State, windows: Windows, updates: int, rule: Rule, look: Look = unwatched
        ) -> NDArray[np.float64]:
            losses = super().advance(state, windows, updates, rule)
            if state.update == 10:
                two_streams_swapped(state)
            return losses

    assert blamed_by_checker(SwapsLast(), batch_size=3) == {"end"}


def memory_lost(state: State) -> None:
    state.h[state.h.shape[-1] // 2 :] = 0


def test_the_checker_catches_a_memory_that_is_not_carried() -> None:
    assert blamed_by_checker(BetweenCalls(memory_lost), cell="lstm") == {"trajectory", "end"}


@pytest.mark.parametrize(("cell", "name"), [("gru", "d"), ("gru", "d2"), ("lstm", "U2"), ("rnn", "b2")])
@pytest.mark.parametrize("factor", [0, 1.001, math.nan])
def test_the_checker_catches_a_faulty_gradient_of_every_cell(cell: str, name: str, factor: float) -> None:
    assert blamed_by_checker(FaultyGradients(scaled(name, factor)), cell=cell, layers=2) == {name}


# --- Faults in what is left behind, and in the text ---


class LeavesBehind(NumpyEngine):
    """Computes the right losses, and then spoils the state."""

    def __init__(self, spoil: Callable[[State], None]) -> None:
        self.spoil = spoil

    def advance(
        self, state: State, windows: Windows, updates: int, rule: Rule, look: Look = unwatched
    ) -> NDArray[np.float64]:
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

    def advance(
        self, state: State, windows: Windows, updates: int, rule: Rule, look: Look = unwatched
    ) -> NDArray[np.float64]:
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


class FirstOnly(NumpyReader):
    """Draws for every stream as the first one asks."""

    def generate(
        self, h: Array, x: NDArray[np.integer], uniforms: NDArray[np.float64], draws: Sequence[Draw]
    ) -> tuple[NDArray[np.intp], Array]:
        return super().generate(h, x, uniforms, [draws[0]] * len(draws))


class Forgets(NumpyReader):
    """Begins every call of `losses` in a state of zero."""

    def losses(self, h: Array, x: Indices, y: Indices) -> tuple[NDArray[np.float64], Array]:
        return super().losses(np.zeros_like(h), x, y)


class ReadsOn(NumpyReader):
    """Reads every passage from the state in which the one before ends."""

    def passages(self, h: Array, text: Indices, begins: NDArray[np.intp], chars: NDArray[np.intp]) -> Passages:
        found = Passages.none(len(begins))
        for n in np.flatnonzero(chars):
            part = text[begins[n] : begins[n] + chars[n] + 1, None]
            losses, states = super().losses(h[None], part[:-1], part[1:])
            h = states[0]
            found.nats[n], found.worst[n], found.worst_nats[n] = losses.sum(), losses.argmax(), losses.max()
        return found


@pytest.mark.parametrize(("fault", "blamed"), [(FirstOnly, {"text"}), (Forgets, {"reading"}), (ReadsOn, {"reading"})])
def test_the_checker_catches_a_reader_that_mixes_streams_up(fault: type[NumpyReader], blamed: set[str]) -> None:
    class Faulty(NumpyEngine):
        def reader(self, parameters: Parameters) -> NumpyReader:
            return fault(parameters)

    assert blamed_by_checker(Faulty()) == blamed


# --- The gradient check ---


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize("points", [5, 13])
def test_a_right_engine_passes_the_gradient_check(engine: str, points: int) -> None:
    """The second number of points is no multiple of T: three characters are left over."""
    (check,) = gradcheck(CORPUS, hidden_size=5, seq_length=5, points=points, engine=engine)
    assert (check.points, check.hidden_size, check.seq_length) == (points, 5, 5)
    assert set(check.relative_error) == ALL
    assert check.passed


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_every_cell_passes_the_gradient_check(engine: str, cell: str) -> None:
    (check,) = gradcheck(CORPUS, hidden_size=4, seq_length=5, cell=cell, layers=2, engine=engine)
    assert set(check.relative_error) == {*shapes(len(CORPUS.alphabet), 4, cell, 2), "h0"}
    assert check.passed


def test_the_characters_left_over_are_not_read() -> None:
    checks = [gradcheck(CORPUS, hidden_size=5, seq_length=5, points=points, engine="numpy")[0] for points in (10, 13)]
    assert checks[0].relative_error == checks[1].relative_error


@pytest.mark.parametrize(("error", "passed"), [(0.0, True), (1e-7, True), (1.1e-7, False), (math.nan, False)])
def test_every_array_has_to_pass(error: float, passed: bool) -> None:
    for name in ALL:
        errors = dict.fromkeys(ALL, 1e-9) | {name: error}
        assert GradientCheck(5, 5, 5, errors).passed == passed
