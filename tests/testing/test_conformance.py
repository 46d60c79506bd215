"""The conformance test is tested too: a fault planted in an engine shows in the measures that it affects.

Every faulty engine is the reference apart from one fault, so nothing else differs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from elman.engine import Engine, TrainState
from elman.engine.numpy_engine import NumpyEngine, NumpySession
from elman.engine.protocol import Callback, Indices, SegmentLosses
from elman.network import Dropout, LossAndGradients, Optimizer, Parameters, SamplingParams, WeightDropout
from elman.network.parameters import NAMES, Array, Arrays
from elman.network.state import State
from elman.testing import REFERENCE_OPTIMIZER, check_engine
from elman.text import Windows
from support import tolerances as tolerances


def blamed(errors: dict[str, float], limit: float) -> set[str]:
    return {name for name, error in errors.items() if not error <= limit}


def blamed_by_checker(engine: Engine, **setting: Any) -> set[str]:
    result = check_engine(engine, **setting)
    window = result.gradients | {"loss": result.loss, "final_state": result.final_state}
    run = {name: getattr(result, name) for name in ("trajectory", "end", "session")}
    same = {"text": result.same_text, "counts": result.same_counts}
    differing = {name for name, equal in same.items() if not equal}
    return blamed(window, tolerances.COMPILED) | blamed(run, tolerances.COMPILED_TRAJECTORY) | differing


Fault = Callable[[LossAndGradients, Parameters, Array], LossAndGradients]


def scaled(name: str, factor: float) -> Fault:
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

    def loss_and_gradients(self, parameters: Parameters, state: State, x: Indices, y: Indices) -> LossAndGradients:
        return self.fault(super().loss_and_gradients(parameters, state, x, y), parameters, state.recurrent)


@pytest.mark.parametrize(
    ("fault", "affected"),
    [
        pytest.param(scaled("W", -1), {"W"}, id="wrong sign in dW"),
        pytest.param(scaled("V", 1.001), {"V"}, id="dV times 1.001"),
        pytest.param(h0_dropped_from_dW, {"W"}, id="h_0 dropped from dW"),
        pytest.param(dh0_zeroed, {"h0"}, id="dh_0 zeroed"),
        *(pytest.param(scaled(name, 0), {name}, id=f"d{name} zeroed") for name in NAMES),
        *(pytest.param(scaled(name, math.nan), {name}, id=f"d{name} not a number") for name in NAMES),
    ],
)
def test_a_faulty_gradient_is_caught(fault: Fault, affected: set[str]) -> None:
    assert blamed_by_checker(FaultyGradients(fault), updates=3) == affected


@pytest.mark.parametrize(
    ("cell", "name"), [("gru", "d"), ("gru", "d2"), ("lstm", "U2"), ("rnn", "b2"), ("rnn", "alpha")]
)
def test_a_faulty_gradient_of_every_network_is_caught(cell: str, name: str) -> None:
    setting: dict[str, Any] = {"cell": cell, "layers": 2, "ngram_order": 3, "updates": 3}
    assert blamed_by_checker(FaultyGradients(scaled(name, 1.001)), **setting) == {name}


class Call(NamedTuple):
    right: Callable[..., NDArray[np.float64]]
    state: TrainState
    windows: Windows
    updates: int
    optimizer: Optimizer

    def run(self, **changes: Any) -> NDArray[np.float64]:
        """Advance as the reference does, with other arguments."""
        call = self._replace(**changes)
        return self.right(call.state, call.windows, call.updates, call.optimizer)


class FaultyAdvance(NumpyEngine):
    def __init__(self, fault: Callable[[Call], NDArray[np.float64]]) -> None:
        self.fault = fault

    def advance(
        self, state: TrainState, windows: Windows, updates: int, optimizer: Optimizer, callback: Callback | None = None
    ) -> NDArray[np.float64]:
        return self.fault(Call(super().advance, state, windows, updates, optimizer))


def resets_always(call: Call) -> NDArray[np.float64]:
    losses = np.empty(call.updates)
    for n in range(call.updates):
        losses[n] = call.run(updates=1)[0]
        call.state.hidden = call.state.hidden.reset()
    return losses


def never_resets(call: Call) -> NDArray[np.float64]:
    losses = np.empty(call.updates)
    for n in range(call.updates):
        if call.windows.begins_epoch(call.state.position):
            call.state.position = 0
        losses[n] = call.run(updates=1)[0]
    return losses


def with_optimizer(other: Callable[[Optimizer], Optimizer]) -> Engine:
    """Return an engine that trains with another optimizer than the one it is given."""
    return FaultyAdvance(lambda call: call.run(optimizer=other(call.optimizer)))


def with_update(change: Callable[..., dict[str, Any]]) -> Callable[[Optimizer], Optimizer]:
    """Return what makes an optimizer update with other arguments: those that `change` returns."""

    class Faulty(Optimizer):
        def update(
            self, n: int, parameters: Mapping[str, Array], M: Arrays, N: Arrays, average: Arrays, gradients: Arrays
        ) -> None:
            arguments: dict[str, Any] = {"n": n, "parameters": parameters, "average": average, "gradients": gradients}
            super().update(M=M, N=N, **arguments | change(self, **arguments))

    return lambda optimizer: Faulty(**vars(optimizer))


def negate_one(optimizer: Optimizer, gradients: Arrays, **_: Any) -> dict[str, Any]:
    return {"gradients": gradients | {"W": -gradients["W"]}}


# --- Faults in an optimizer, its schedule and its arrays ---

ADAM = Optimizer(
    0.02, 1.0, "adam", "norm", weight_decay=0.1, schedule="cosine", warmup=2, last_update=12, ema_decay=0.9
)


def forget_average(optimizer: Optimizer, average: Arrays, **_: Any) -> dict[str, Any]:
    return {"average": {name: theta.copy() for name, theta in average.items()}}


def corrupted(corrupt: Callable[[TrainState], object], *, before: bool = False) -> Engine:
    """Return an engine that corrupts the state after a call, or before every call but the first."""

    def fault(call: Call) -> NDArray[np.float64]:
        if before and call.state.update > 0:
            corrupt(call.state)
        losses = call.run()
        if not before:
            corrupt(call.state)
        return losses

    return FaultyAdvance(fault)


def clear(arrays: Arrays) -> None:
    for array in arrays.values():
        array[:] = 0


def counts_from_the_call(call: Call) -> NDArray[np.float64]:
    done, call.state.update = call.state.update, 0
    losses = call.run()
    call.state.update += done
    call.state.epoch = call.state.update // call.windows.per_epoch
    return losses


class MasksOfTheUpdateBefore(Dropout):
    def masks(self, update: int, layers: int, T: int, B: int | None, m: int, dtype: np.typing.DTypeLike) -> list[Array]:
        return super().masks(update - 1, layers, T, B, m, dtype)


class WeightMasksOfTheUpdateBefore(WeightDropout):
    def key(self, update: int, layer: int) -> int:
        return super().key(update - 1, layer)


def two_rows_swapped(state: TrainState) -> None:
    state.hidden = state.hidden.select([1, 0, *range(2, len(state.hidden))])


def reports_the_sum(call: Call) -> NDArray[np.float64]:
    return call.windows.batch_size * call.run()


# --- Faults in the state after a call, and in sampling ---


def with_session(method: str, change: Callable[..., tuple[Any, ...]]) -> Engine:
    """Return an engine whose sessions call a method with other arguments: those that `change` returns."""

    class FaultySession(NumpySession):
        def __getattribute__(self, name: str) -> Any:
            found = super().__getattribute__(name)
            return found if name != method else lambda *arguments: found(*change(*arguments))

    class FaultyEngine(NumpyEngine):
        def session(self, parameters: Parameters) -> NumpySession:
            return FaultySession(parameters)

    return FaultyEngine()


def start_as_the_first(state: State, x: Any, y: Any) -> tuple[Any, ...]:
    return state.select(np.zeros(len(state), np.intp)), x, y


def never_truncate(state: State, x: Any, uniforms: Any, sampling: Sequence[SamplingParams]) -> tuple[Any, ...]:
    return state, x, uniforms, [SamplingParams(params.temperature) for params in sampling]


def sample_as_the_first(state: State, x: Any, uniforms: Any, sampling: Sequence[SamplingParams]) -> tuple[Any, ...]:
    return state, x, uniforms, [sampling[0]] * len(sampling)


class CarriesOver(NumpySession):
    """Evaluates every segment from the final state of the one before."""

    def segment_losses(
        self, state: State, text: Indices, starts: NDArray[np.intp], lengths: NDArray[np.intp]
    ) -> SegmentLosses:
        result = SegmentLosses.zeros(len(starts))
        for n in np.flatnonzero(lengths):
            part = text[starts[n] : starts[n] + lengths[n] + 1, None]
            losses, states = super().losses(state.reshape(1), part[:-1], part[1:])
            state = states.select(0)
            result.nats[n], result.worst[n], result.worst_nats[n, 0] = losses.sum(), losses.argmax(), losses.max()
        return result


class CarriesOverEngine(NumpyEngine):
    def session(self, parameters: Parameters) -> NumpySession:
        return CarriesOver(parameters)


BOTH = {"trajectory", "end"}
BATCH: dict[str, Any] = {"batch_size": 3}

LOOP = {
    "resets always": FaultyAdvance(resets_always),
    "never resets": FaultyAdvance(never_resets),
    "wrong sign": with_optimizer(with_update(negate_one)),
}
OPTIMIZERS = {
    "clips by value": lambda optimizer: replace(optimizer, grad_clip_mode="value"),
    "clips nothing": lambda optimizer: replace(optimizer, grad_clip=math.inf),
    "decoupled decay": lambda optimizer: replace(optimizer, name="adamw"),
    "decays nothing": lambda optimizer: replace(optimizer, weight_decay=0.0),
    "no momentum": lambda optimizer: replace(optimizer, beta1=0.0),
    "beta_2 of 0.99": lambda optimizer: replace(optimizer, beta2=0.99),
    "no warm-up": lambda optimizer: replace(optimizer, warmup=0),
    "constant learning rate": lambda optimizer: replace(optimizer, schedule="constant"),
    "another end": lambda optimizer: replace(optimizer, last_update=13),
}
WRONG_DROPOUT: dict[str, dict[str, Any]] = {
    "masks of another update": {"dropout": MasksOfTheUpdateBefore(0.3, False, 1)},
    "one mask for a window": {"dropout": Dropout(0.3, True, 1)},
    "no dropout": {"dropout": None},
    "weight masks of another update": {"weight_dropout": WeightMasksOfTheUpdateBefore(0.3, 1)},
    "no weight dropout": {"weight_dropout": None},
}
DROPOUT = replace(
    REFERENCE_OPTIMIZER, dropout=Dropout(0.3, variational=False, seed=1), weight_dropout=WeightDropout(0.3, 1)
)


def case(name: str, engine: Engine, affected: set[str], **setting: Any) -> Any:
    return pytest.param(engine, setting, affected, id=name)


@pytest.mark.parametrize(
    ("engine", "setting", "affected"),
    [
        *(case(name, engine, BOTH) for name, engine in LOOP.items()),
        *(case(name, with_optimizer(other), BOTH, optimizer=ADAM) for name, other in OPTIMIZERS.items()),
        case("average lost", with_optimizer(with_update(forget_average)), {"end"}, optimizer=ADAM),
        case("momentum lost", corrupted(lambda state: clear(state.N), before=True), BOTH, optimizer=ADAM),
        case("squares lost", corrupted(lambda state: clear(state.M), before=True), BOTH, optimizer=ADAM),
        case("count begins anew", FaultyAdvance(counts_from_the_call), BOTH, optimizer=ADAM),
        *(
            case(f"{name}, {B}", with_optimizer(partial(replace, **change)), BOTH,
                 layers=2, batch_size=B, optimizer=DROPOUT)
            for name, change in WRONG_DROPOUT.items()
            for B in (1, 3)
        ),
        case("two states swapped", corrupted(two_rows_swapped, before=True), BOTH, **BATCH),
        case("losses summed", FaultyAdvance(reports_the_sum), {"trajectory"}, **BATCH),
        case("one initial state for all", with_session("losses", start_as_the_first), {"session"}, **BATCH),
        case("cell state lost", corrupted(lambda state: state.hidden.recurrent[4:].fill(0), before=True), BOTH,
             cell="lstm"),
        case("NaN in a parameter", corrupted(lambda state: state.parameters["c"].fill(math.nan)), BOTH),
        case("no squares", corrupted(lambda state: state.M["W"].fill(0)), BOTH),
        case("no state", corrupted(lambda state: state.hidden.recurrent.fill(0)), BOTH),
        case("no position", corrupted(lambda state: vars(state).update(position=0)), {*BOTH, "counts"}),
        case("no count", corrupted(lambda state: vars(state).update(update=0, epoch=0)), {"counts"}),
        case("never truncates", with_session("generate", never_truncate), {"text"}),
        case("samples as the first row", with_session("generate", sample_as_the_first), {"text"}),
        case("forgets the state", with_session("losses", lambda state, x, y: (state.reset(), x, y)), {"session"}),
        case("carries states over", CarriesOverEngine(), {"session"}),
    ],
)  # fmt: skip
def test_a_faulty_engine_is_caught(engine: Engine, setting: dict[str, Any], affected: set[str]) -> None:
    assert blamed_by_checker(engine, **setting) == affected
