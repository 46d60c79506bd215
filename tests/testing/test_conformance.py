"""The conformance test is tested too: a fault planted in an engine shows in the measures that it affects.

Every faulty engine is the reference apart from one fault, so nothing else differs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from elman.engine import Engine, TrainState, get_engine
from elman.engine.callbacks import StepCallback, no_callback
from elman.engine.numpy_engine import NumpyEngine, NumpySession
from elman.engine.protocol import Indices, SegmentLosses
from elman.network import Dropout, LossAndGradients, Optimizer, Parameters, SamplingParams, WeightDropout
from elman.network.optimizer import EPSILON
from elman.network.parameters import NAMES, Array, Arrays, shapes
from elman.testing import REFERENCE_OPTIMIZER, check_engine, compare_gradients
from elman.text import Corpus, Windows
from elman.training.gradcheck import MAX_RELATIVE_ERROR, GradientCheck, gradcheck
from support import tolerances as tolerances
from support.cells import COMPILED_CELLS

CORPUS = Corpus.from_text("a tiny text, to be read again")
ALL = {*NAMES, "h0"}


def blamed(errors: dict[str, float], limit: float) -> set[str]:
    """Return the names whose error exceeds the limit or is NaN."""
    return {name for name, error in errors.items() if not error <= limit}


def blamed_by_checker(engine: Engine, **setting: Any) -> set[str]:
    result = check_engine(engine, **setting)
    window = result.gradients | {"loss": result.loss, "final_state": result.final_state}
    run = {name: getattr(result, name) for name in ("trajectory", "end", "text_loss", "session")}
    same = {"text": result.same_text, "counts": result.same_counts}
    differing = {name for name, equal in same.items() if not equal}
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
        gradients: Arrays = {name: array.astype(np.float64) for name, array in result.gradients.items()}
        return LossAndGradients(result.loss, gradients, result.dh0.astype(np.float64), result.h.astype(np.float64))


def narrow(parameters: Parameters) -> Parameters:
    return parameters.map(lambda array: array.astype(np.float32))


FAULTS = [
    pytest.param(scaled("W", -1), {"W"}, id="wrong sign in dW"),
    pytest.param(scaled("V", 2.001), {"V"}, id="dV times 2.001"),
    pytest.param(scaled("V", 1.001), {"V"}, id="dV times 1.001"),
    pytest.param(h0_dropped_from_dW, {"W"}, id="h_0 dropped from dW"),
    pytest.param(dh0_zeroed, {"h0"}, id="dh_0 zeroed"),
    *(pytest.param(scaled(name, 0), {name}, id=f"d{name} zeroed") for name in NAMES),
    *(pytest.param(scaled(name, math.nan), {name}, id=f"d{name} not a number") for name in NAMES),
]


@pytest.mark.parametrize(("fault", "affected"), FAULTS)
def test_the_checker_catches_a_faulty_gradient(fault: Fault, affected: set[str]) -> None:
    assert blamed_by_checker(FaultyGradients(fault)) == affected


def test_the_checker_catches_a_faulty_gradient_of_the_prior() -> None:
    for factor in (-1.0, 0.0, 1.001):
        assert blamed_by_checker(FaultyGradients(scaled("alpha", factor)), ngram_order=2) == {"alpha"}


@pytest.fixture
def check_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Engine], GradientCheck]:
    """The gradient check of an engine that has no name."""

    def check(engine: Engine, points: int = 5) -> GradientCheck:
        monkeypatch.setattr("elman.training.gradcheck.get_engine", lambda name: engine)
        return gradcheck(CORPUS, hidden_size=5, seq_length=5, points=points)[0]

    return check


@pytest.mark.parametrize(("fault", "affected"), FAULTS)
def test_the_gradient_check_catches_a_faulty_gradient(
    check_of: Callable[[Engine], GradientCheck], fault: Fault, affected: set[str]
) -> None:
    check = check_of(FaultyGradients(fault))
    assert blamed(check.relative_error, MAX_RELATIVE_ERROR) == affected
    assert not check.passed


@pytest.mark.parametrize("nonzero", [True, False])
def test_only_a_nonzero_initial_state_shows_that_dW_forgot_it(nonzero: bool) -> None:
    state = TrainState.initial(7, 4, 0.3, 2, np.float64)
    state.h += nonzero * 0.5
    windows = Windows(np.array([3, 1, 3, 6, 0, 4], np.uint8), 5)
    errors = compare_gradients(FaultyGradients(h0_dropped_from_dW), state, windows)
    assert blamed(errors, tolerances.COMPILED) == ({"W"} if nonzero else set())


def test_the_checker_catches_single_precision() -> None:
    assert blamed_by_checker(SinglePrecision()) == ALL | {"loss", "final_state", "text_loss"}


def test_the_gradient_check_catches_single_precision(check_of: Callable[[Engine], GradientCheck]) -> None:
    check = check_of(SinglePrecision())
    assert blamed(check.relative_error, MAX_RELATIVE_ERROR) == ALL
    assert not check.passed


def test_the_gradient_check_catches_a_wrong_loss(check_of: Callable[[Engine], GradientCheck]) -> None:
    class WrongLoss(NumpyEngine):
        def loss(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[Any, Array]:
            loss, h = super().loss(parameters, h0, x, y)
            return loss / len(x), h

    assert not check_of(WrongLoss()).passed


# --- Faults in the loop and in the update ---


class ResetsAlways(NumpyEngine):
    def advance(
        self,
        state: TrainState,
        windows: Windows,
        updates: int,
        optimizer: Optimizer,
        callback: StepCallback = no_callback,
    ) -> NDArray[np.float64]:
        losses = np.empty(updates)
        for n in range(updates):
            losses[n] = super().advance(state, windows, 1, optimizer)[0]
            state.h = np.zeros_like(state.h)
        return losses


class NeverResets(NumpyEngine):
    def advance(
        self,
        state: TrainState,
        windows: Windows,
        updates: int,
        optimizer: Optimizer,
        callback: StepCallback = no_callback,
    ) -> NDArray[np.float64]:
        losses = np.empty(updates)
        for n in range(updates):
            if windows.begins_epoch(state.position):
                state.position = 0
            losses[n] = super().advance(state, windows, 1, optimizer)[0]
        return losses


class FaultyOptimizer(NumpyEngine):
    """Trains with another optimizer than the one it is given."""

    def __init__(self, other: Callable[[Optimizer], Optimizer]) -> None:
        self.other = other

    def advance(
        self,
        state: TrainState,
        windows: Windows,
        updates: int,
        optimizer: Optimizer,
        callback: StepCallback = no_callback,
    ) -> NDArray[np.float64]:
        return super().advance(state, windows, updates, self.other(optimizer))


class ClipsFirst(Optimizer):
    def update(
        self, n: int, parameters: Mapping[str, Array], M: Arrays, N: Arrays, average: Arrays, gradients: Arrays
    ) -> None:
        clipped: Arrays = {name: np.clip(g, -self.grad_clip, self.grad_clip) for name, g in gradients.items()}
        super().update(n, parameters, M, N, average, clipped)


class EpsilonOutside(Optimizer):
    def update(
        self, n: int, parameters: Mapping[str, Array], M: Arrays, N: Arrays, average: Arrays, gradients: Arrays
    ) -> None:
        for name, theta in parameters.items():
            M[name] += gradients[name] ** 2
            clipped = np.clip(gradients[name], -self.grad_clip, self.grad_clip)
            theta -= self.learning_rate * clipped / (np.sqrt(M[name]) + EPSILON)


class WrongSign(Optimizer):
    def update(
        self, n: int, parameters: Mapping[str, Array], M: Arrays, N: Arrays, average: Arrays, gradients: Arrays
    ) -> None:
        super().update(n, parameters, M, N, average, gradients | {"W": -gradients["W"]})


@pytest.mark.parametrize(
    "engine",
    [
        ResetsAlways(),
        NeverResets(),
        FaultyOptimizer(lambda optimizer: ClipsFirst(**vars(optimizer))),
        FaultyOptimizer(lambda optimizer: replace(optimizer, grad_clip=math.inf)),
        FaultyOptimizer(lambda optimizer: EpsilonOutside(**vars(optimizer))),
        FaultyOptimizer(lambda optimizer: WrongSign(**vars(optimizer))),
    ],
    ids=["resets always", "never resets", "clips first", "clips nothing", "epsilon outside", "wrong sign"],
)
def test_the_checker_catches_a_faulty_trajectory(engine: Engine) -> None:
    assert blamed_by_checker(engine) == {"trajectory", "end"}


# --- Faults in an optimizer, its schedule and its arrays ---

ADAM = Optimizer(
    0.02, 1.0, "adam", grad_clip_mode="norm", weight_decay=0.1, schedule="cosine", warmup=2, end=12, ema_decay=0.9
)


class DecaysBiases(Optimizer):
    def update(
        self, n: int, parameters: Mapping[str, Array], M: Arrays, N: Arrays, average: Arrays, gradients: Arrays
    ) -> None:
        decay = {name: self.weight_decay * theta for name, theta in parameters.items() if theta.ndim == 1}
        decayed: Arrays = {name: g + decay.get(name, 0.0) for name, g in gradients.items()}
        super().update(n, parameters, M, N, average, decayed)


class NotCorrected(Optimizer):
    """Adam without its corrections: (1 - beta^n) is nearly 1."""

    def update(
        self, n: int, parameters: Mapping[str, Array], M: Arrays, N: Arrays, average: Arrays, gradients: Arrays
    ) -> None:
        super().update(n + 10**6, parameters, M, N, average, gradients)


class ForgetsAverage(Optimizer):
    def update(
        self, n: int, parameters: Mapping[str, Array], M: Arrays, N: Arrays, average: Arrays, gradients: Arrays
    ) -> None:
        super().update(n, parameters, M, N, {name: theta.copy() for name, theta in average.items()}, gradients)


class AveragesEvenly(Optimizer):
    def ema_decay_at(self, n: int) -> float:
        return self.ema_decay


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda optimizer: replace(optimizer, grad_clip_mode="value"), id="clips by value"),
        pytest.param(lambda optimizer: replace(optimizer, grad_clip=math.inf), id="clips nothing"),
        pytest.param(lambda optimizer: replace(optimizer, name="adamw"), id="decoupled decay"),
        pytest.param(lambda optimizer: replace(optimizer, weight_decay=0.0), id="decays nothing"),
        pytest.param(lambda optimizer: DecaysBiases(**vars(optimizer)), id="decays biases"),
        pytest.param(lambda optimizer: NotCorrected(**vars(optimizer)), id="not corrected"),
        pytest.param(lambda optimizer: replace(optimizer, beta1=0.0), id="no momentum"),
        pytest.param(lambda optimizer: replace(optimizer, beta2=0.99), id="beta_2 of 0.99"),
        pytest.param(lambda optimizer: replace(optimizer, warmup=0), id="no warm-up"),
        pytest.param(lambda optimizer: replace(optimizer, schedule="constant"), id="constant learning rate"),
        pytest.param(lambda optimizer: replace(optimizer, end=13), id="another end"),
    ],
)
def test_the_checker_catches_a_faulty_optimizer(other: Callable[[Optimizer], Optimizer]) -> None:
    assert blamed_by_checker(FaultyOptimizer(other), optimizer=ADAM) == {"trajectory", "end"}


@pytest.mark.parametrize("other", [ForgetsAverage, AveragesEvenly])
def test_the_checker_catches_an_average_that_is_not_updated(other: type[Optimizer]) -> None:
    assert blamed_by_checker(FaultyOptimizer(lambda optimizer: other(**vars(optimizer))), optimizer=ADAM) == {"end"}


class BetweenCalls(NumpyEngine):
    """Corrupts the state at the beginning of a call."""

    def __init__(self, corrupt: Callable[[TrainState], None]) -> None:
        self.corrupt = corrupt

    def advance(
        self,
        state: TrainState,
        windows: Windows,
        updates: int,
        optimizer: Optimizer,
        callback: StepCallback = no_callback,
    ) -> NDArray[np.float64]:
        if state.update > 0:
            self.corrupt(state)
        return super().advance(state, windows, updates, optimizer)


def momentum_lost(state: TrainState) -> None:
    for momentum in state.N.values():
        momentum[:] = 0


def squares_lost(state: TrainState) -> None:
    for squares in state.M.values():
        squares[:] = 0


def average_begun_again(state: TrainState) -> None:
    for name, theta in state.parameters.items():
        state.average[name][:] = theta


@pytest.mark.parametrize(
    ("corrupt", "affected"),
    [
        (momentum_lost, {"trajectory", "end"}),
        (squares_lost, {"trajectory", "end"}),
        (average_begun_again, {"end"}),
    ],
)
def test_the_checker_catches_a_state_lost_between_calls(
    corrupt: Callable[[TrainState], None], affected: set[str]
) -> None:
    assert blamed_by_checker(BetweenCalls(corrupt), optimizer=ADAM) == affected


class CountsFromTheCall(NumpyEngine):
    def advance(
        self,
        state: TrainState,
        windows: Windows,
        updates: int,
        optimizer: Optimizer,
        callback: StepCallback = no_callback,
    ) -> NDArray[np.float64]:
        done, state.update = state.update, 0
        losses = super().advance(state, windows, updates, optimizer)
        state.update += done
        state.epoch = state.update // windows.per_epoch
        return losses


@pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param(replace(REFERENCE_OPTIMIZER, schedule="step", end=10), id="schedule"),
        pytest.param(Optimizer(0.02, 1.0, "adam"), id="corrections"),
        pytest.param(replace(REFERENCE_OPTIMIZER, dropout=Dropout(0.3, True, 1)), id="masks"),
    ],
)
def test_the_checker_catches_a_count_that_begins_anew(optimizer: Optimizer) -> None:
    assert blamed_by_checker(CountsFromTheCall(), optimizer=optimizer) == {"trajectory", "end"}


# --- Faults in dropout ---

DROPOUT = replace(REFERENCE_OPTIMIZER, dropout=Dropout(0.3, variational=False, seed=1))


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
    engine = FaultyOptimizer(lambda optimizer: replace(optimizer, dropout=dropout))
    assert blamed_by_checker(engine, layers=2, batch_size=batch_size, optimizer=DROPOUT) == {"trajectory", "end"}


class WeightMasksOfTheUpdateBefore(WeightDropout):
    def key(self, update: int, layer: int) -> int:
        return super().key(update - 1, layer)


class WeightMasksOfTheOtherLayer(WeightDropout):
    def key(self, update: int, layer: int) -> int:
        return super().key(update, 3 - layer)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize(
    "weight_dropout",
    [
        pytest.param(WeightMasksOfTheUpdateBefore(0.3, 1), id="masks of another update"),
        pytest.param(WeightMasksOfTheOtherLayer(0.3, 1), id="masks of another layer"),
        pytest.param(WeightDropout(0.3, 2), id="another seed"),
        pytest.param(WeightDropout(0.4, 1), id="another rate"),
        pytest.param(None, id="no weight dropout"),
    ],
)
def test_the_checker_catches_wrong_weight_masks(weight_dropout: WeightDropout | None, batch_size: int) -> None:
    engine = FaultyOptimizer(lambda optimizer: replace(optimizer, weight_dropout=weight_dropout))
    optimizer = replace(REFERENCE_OPTIMIZER, weight_dropout=WeightDropout(0.3, 1))
    assert blamed_by_checker(engine, layers=2, batch_size=batch_size, optimizer=optimizer) == {"trajectory", "end"}


# --- Faults in batches, and with other cells ---


def two_rows_swapped(state: TrainState) -> None:
    state.h[:2] = state.h[1::-1].copy()


class SumsBatch(NumpyEngine):
    """Trains on the sum over the batch, as if the learning rate were B times higher, or only reports it."""

    def __init__(self, trains: bool) -> None:
        self.trains = trains

    def advance(
        self,
        state: TrainState,
        windows: Windows,
        updates: int,
        optimizer: Optimizer,
        callback: StepCallback = no_callback,
    ) -> NDArray[np.float64]:
        B = windows.batch_size
        if self.trains:
            return super().advance(
                state, windows, updates, replace(optimizer, learning_rate=B * optimizer.learning_rate)
            )
        return B * super().advance(state, windows, updates, optimizer)


class ReturnsTheMean(NumpyEngine):
    def loss(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[Any, Array]:
        losses, h = super().loss(parameters, h0, x, y)
        return losses * 0 + np.mean(losses), h


class StartsFromTheFirst(NumpyEngine):
    """Evaluates every batch row from the initial state of the first."""

    def loss(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[Any, Array]:
        return super().loss(parameters, h0 * 0 + h0[:1] if h0.ndim == 2 else h0, x, y)


@pytest.mark.parametrize(
    ("engine", "affected"),
    [
        pytest.param(BetweenCalls(two_rows_swapped), {"trajectory", "end"}, id="two states swapped"),
        pytest.param(SumsBatch(trains=True), {"trajectory", "end"}, id="gradients summed"),
        pytest.param(SumsBatch(trains=False), {"trajectory"}, id="losses summed"),
        pytest.param(ReturnsTheMean(), {"text_loss"}, id="the mean for every row"),
        pytest.param(StartsFromTheFirst(), {"text_loss"}, id="one initial state for all"),
        pytest.param(ResetsAlways(), {"trajectory", "end"}, id="resets always"),
    ],
)
def test_the_checker_catches_confused_batch_rows(engine: Engine, affected: set[str]) -> None:
    assert blamed_by_checker(engine, batch_size=3) == affected


def test_the_checker_catches_two_states_swapped_at_the_end() -> None:
    """Of neighbouring batch rows, after the last update, where no loss is affected any more."""

    class SwapsLast(NumpyEngine):
        def advance(
            self,
            state: TrainState,
            windows: Windows,
            updates: int,
            optimizer: Optimizer,
            callback: StepCallback = no_callback,
        ) -> NDArray[np.float64]:
            losses = super().advance(state, windows, updates, optimizer)
            if state.update == 10:
                two_rows_swapped(state)
            return losses

    assert blamed_by_checker(SwapsLast(), batch_size=3) == {"end"}


def cell_state_lost(state: TrainState) -> None:
    state.h[state.h.shape[-1] // 2 :] = 0


def test_the_checker_catches_a_cell_state_that_is_not_passed_on() -> None:
    assert blamed_by_checker(BetweenCalls(cell_state_lost), cell="lstm") == {"trajectory", "end"}


@pytest.mark.parametrize(("cell", "name"), [("gru", "d"), ("gru", "d2"), ("lstm", "U2"), ("rnn", "b2")])
@pytest.mark.parametrize("factor", [0, 1.001, math.nan])
def test_the_checker_catches_a_faulty_gradient_of_every_cell(cell: str, name: str, factor: float) -> None:
    assert blamed_by_checker(FaultyGradients(scaled(name, factor)), cell=cell, layers=2) == {name}


# --- Faults in the state after a call, and in sampling ---


class LeavesBehind(NumpyEngine):
    """Computes the right losses, and then corrupts the state."""

    def __init__(self, corrupt: Callable[[TrainState], None]) -> None:
        self.corrupt = corrupt

    def advance(
        self,
        state: TrainState,
        windows: Windows,
        updates: int,
        optimizer: Optimizer,
        callback: StepCallback = no_callback,
    ) -> NDArray[np.float64]:
        losses = super().advance(state, windows, updates, optimizer)
        self.corrupt(state)
        return losses


def nan_in_one_parameter(state: TrainState) -> None:
    state.parameters["c"][:] = math.nan


def no_squares(state: TrainState) -> None:
    state.M["W"][:] = 0


def no_state(state: TrainState) -> None:
    state.h = np.zeros_like(state.h)


def no_position(state: TrainState) -> None:
    state.position = 0


def no_count(state: TrainState) -> None:
    state.update = state.epoch = 0


@pytest.mark.parametrize("corrupt", [nan_in_one_parameter, no_squares, no_state, no_position, no_count])
def test_the_checker_catches_a_wrong_final_state(corrupt: Callable[[TrainState], None]) -> None:
    assert blamed_by_checker(LeavesBehind(corrupt)) != set()


class OneByte(NumpyEngine):
    """Reads indices as bytes, whatever they are."""

    def advance(
        self,
        state: TrainState,
        windows: Windows,
        updates: int,
        optimizer: Optimizer,
        callback: StepCallback = no_callback,
    ) -> NDArray[np.float64]:
        narrow = Windows(windows.indices.astype(np.uint8), windows.seq_length)
        return super().advance(state, narrow, updates, optimizer)


def test_the_checker_catches_indices_cut_to_a_byte() -> None:
    assert blamed_by_checker(OneByte(), K=300) != set()


class NeverTruncates(NumpyEngine):
    """Samples from all characters, whatever the sampling parameters."""

    def generate(
        self, parameters: Parameters, h: Array, x: int, uniforms: NDArray[np.float64], sampling: SamplingParams
    ) -> tuple[NDArray[np.intp], Array]:
        return super().generate(parameters, h, x, uniforms, SamplingParams(sampling.temperature))


def test_the_checker_catches_another_text() -> None:
    assert blamed_by_checker(NeverTruncates()) == {"text"}


class FirstOnly(NumpySession):
    """Samples every batch row with the parameters of the first."""

    def generate(
        self, h: Array, x: NDArray[np.integer], uniforms: NDArray[np.float64], sampling: Sequence[SamplingParams]
    ) -> tuple[NDArray[np.intp], Array]:
        return super().generate(h, x, uniforms, [sampling[0]] * len(sampling))


class Forgets(NumpySession):
    """Starts every call of `losses` from a state of zero."""

    def losses(self, h: Array, x: Indices, y: Indices) -> tuple[NDArray[np.float64], Array]:
        return super().losses(np.zeros_like(h), x, y)


class CarriesOver(NumpySession):
    """Evaluates every segment from the final state of the one before."""

    def segment_losses(
        self, h: Array, text: Indices, starts: NDArray[np.intp], lengths: NDArray[np.intp]
    ) -> SegmentLosses:
        result = SegmentLosses.zeros(len(starts))
        for n in np.flatnonzero(lengths):
            part = text[starts[n] : starts[n] + lengths[n] + 1, None]
            losses, states = super().losses(h[None], part[:-1], part[1:])
            h = states[0]
            result.nats[n], result.worst[n], result.worst_nats[n] = losses.sum(), losses.argmax(), losses.max()
        return result


@pytest.mark.parametrize(
    ("fault", "blamed"), [(FirstOnly, {"text"}), (Forgets, {"session"}), (CarriesOver, {"session"})]
)
def test_the_checker_catches_a_faulty_session(fault: type[NumpySession], blamed: set[str]) -> None:
    class Faulty(NumpyEngine):
        def session(self, parameters: Parameters) -> NumpySession:
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
@pytest.mark.parametrize("cell", COMPILED_CELLS)
def test_every_cell_passes_the_gradient_check(engine: str, cell: str) -> None:
    (check,) = gradcheck(CORPUS, hidden_size=4, seq_length=5, cell=cell, layers=2, engine=engine)
    assert set(check.relative_error) == {*shapes(len(CORPUS.alphabet), 4, cell, 2), "h0"}
    assert check.passed


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize("cell", COMPILED_CELLS)
def test_a_prior_passes_the_gradient_check(engine: str, cell: str) -> None:
    (check,) = gradcheck(CORPUS, hidden_size=4, seq_length=5, points=10, cell=cell, ngram_order=2, engine=engine)
    assert set(check.relative_error) == {*shapes(len(CORPUS.alphabet), 4, cell, 1, 2), "h0"}
    assert check.passed
    assert min(check.relative_error.values()) > 0


def test_the_gradient_check_catches_a_faulty_gradient_of_the_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elman.training.gradcheck.get_engine", lambda name: FaultyGradients(scaled("alpha", 1.001)))
    (check,) = gradcheck(CORPUS, hidden_size=4, seq_length=5, ngram_order=2)
    assert blamed(check.relative_error, MAX_RELATIVE_ERROR) == {"alpha"}


def test_the_characters_left_over_are_not_read() -> None:
    checks = [gradcheck(CORPUS, hidden_size=5, seq_length=5, points=points, engine="numpy")[0] for points in (10, 13)]
    assert checks[0].relative_error == checks[1].relative_error


@pytest.mark.parametrize(("error", "passed"), [(0.0, True), (1e-7, True), (1.1e-7, False), (math.nan, False)])
def test_every_array_has_to_pass(error: float, passed: bool) -> None:
    for name in ALL:
        errors = dict.fromkeys(ALL, 1e-9) | {name: error}
        assert GradientCheck(5, 5, 5, errors).passed == passed
