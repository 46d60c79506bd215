"""The checker that holds any engine to the reference.

`check_engine` compares an engine with `elman.network` at one state: loss, every gradient, dL/dh_0, the final state;
then, update by update, the first losses of a trajectory, whose hidden state is carried, reset at the end of the
text and not zero at the beginning. It is shipped so that an engine written elsewhere can be held to it.

In float32 only the first part is meaningful: with the experiment's learning rate two roundings of one trajectory
part within a few updates (they are chaotic), so trajectories are compared in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine import Engine, State, get_engine
from elman.network import AdaGrad, Draw, Parameters
from elman.network.parameters import Array
from elman.text import Windows


@dataclass(frozen=True)
class Difference:
    """How far an engine is from the reference; every figure is relative, and 0 is the same.

    Parameters
    ----------
    loss, final_state : float
        |engine - reference| / |reference|, largest component.
    gradients : dict of str to float
        `relative_error` of U, W, V, b, c and h0.
    trajectory : float
        The largest relative difference among the first losses of a trajectory.
    end : float
        The largest `relative_error` at its end among the parameters, AdaGrad's sums and the hidden state.
    same_counts : bool
        Whether position, update and epoch agree there.
    score : float
        |engine - reference| / |reference| of the loss that `Engine.loss` gives for the whole text.
    same_text : bool
        Whether the same numbers draw the same characters and leave nearly the same state.
    """

    loss: float
    final_state: float
    gradients: dict[str, float]
    trajectory: float
    end: float
    same_counts: bool
    score: float
    same_text: bool


def relative_error(a: Array, b: Array) -> float:
    """Return sum |a - b| / sum (|a| + |b|), the measure of the reference experiment; 0 where both are zero."""
    total = float(np.sum(np.abs(a)) + np.sum(np.abs(b)))
    return float(np.sum(np.abs(a - b))) / total if total else 0.0


def compare_gradients(engine: Engine, state: State, windows: Windows) -> dict[str, float]:
    """Return `relative_error` of every gradient, loss and final state included, at one state.

    The reference computes in float64 from the very numbers that the engine is given.
    """
    x, y = windows.at(state.position)
    wide: Parameters = {name: array.astype(np.float64) for name, array in state.parameters.items()}
    reference = get_engine("numpy").loss_and_gradients(wide, state.h.astype(np.float64), x, y)
    found = engine.loss_and_gradients(state.parameters, state.h, x, y)
    pairs = {name: (found.gradients[name], reference.gradients[name]) for name in wide}
    pairs |= {"h0": (found.dh0, reference.dh0), "final_state": (found.h, reference.h)}
    errors = {name: relative_error(a.astype(np.float64), b) for name, (a, b) in pairs.items()}
    return errors | {"loss": abs(found.loss - reference.loss) / abs(reference.loss)}


def check_engine(
    engine: Engine,
    *,
    K: int = 7,
    m: int = 4,
    T: int = 5,
    updates: int = 10,
    dtype: np.typing.DTypeLike = np.float64,
) -> Difference:
    """Compare `engine` with the reference.

    Parameters
    ----------
    engine : Engine
    K, m, T : int
        Characters, hidden units, window. Distinct by default, so that a swapped axis shows.
    updates : int
        Length of the trajectory; the text is short enough that it ends an epoch on the way.
    dtype : dtype
        float64 or float32.
    """
    generator = np.random.RandomState(1)
    length = T * max(2, updates // 2) + 2
    windows = Windows(generator.randint(0, K, length).astype(np.min_scalar_type(K - 1)), T)
    reference = get_engine("numpy")
    errors = compare_gradients(engine, _state(K, m, dtype), windows)
    ours, theirs = (_trajectory(e, _state(K, m, dtype), windows, updates) for e in (engine, reference))
    return Difference(
        loss=errors.pop("loss"),
        final_state=errors.pop("final_state"),
        gradients=errors,
        trajectory=float(np.max(np.abs(ours.losses - theirs.losses) / np.abs(theirs.losses))),
        end=_largest_error(ours.state, theirs.state),
        same_counts=_counts(ours.state) == _counts(theirs.state),
        score=_compare_scores(engine, theirs.state, windows),
        same_text=_same_text(engine, theirs.state, K),
    )


class _Trajectory(NamedTuple):
    losses: NDArray[np.float64]
    state: State


def _trajectory(engine: Engine, state: State, windows: Windows, updates: int) -> _Trajectory:
    """Advance in two calls that part within an epoch, so that what the first leaves behind counts.

    The limit of the gradient is low enough to be reached.
    """
    rule, first = AdaGrad(learning_rate=0.1, clip=1.0), updates // 3
    losses = [engine.advance(state, windows, n, rule) for n in (first, updates - first)]
    return _Trajectory(np.concatenate(losses), state)


def _largest_error(ours: State, theirs: State) -> float:
    pairs = [(ours.h, theirs.h)]
    for arrays, wanted in ((ours.parameters, theirs.parameters), (ours.M, theirs.M)):
        pairs += [(arrays[name], wanted[name]) for name in wanted]
    return float(np.max([relative_error(a, b) for a, b in pairs]))  # unlike max(), it keeps a NaN


def _counts(state: State) -> tuple[int, int, int]:
    return state.position, state.update, state.epoch


def _compare_scores(engine: Engine, state: State, windows: Windows) -> float:
    x, y = windows.indices[:-1], windows.indices[1:]
    ours, theirs = (e.loss(state.parameters, state.h, x, y)[0] for e in (engine, get_engine("numpy")))
    return abs(ours - theirs) / abs(theirs)


def _same_text(engine: Engine, state: State, K: int) -> bool:
    uniforms, draw = np.random.default_rng(1).random(50), Draw(0.9, max(1, K - 1), 0.95)
    (ours, h), (theirs, wanted) = (
        e.generate(state.parameters, state.h, 0, uniforms, draw) for e in (engine, get_engine("numpy"))
    )
    return bool(np.array_equal(ours, theirs) and np.allclose(h, wanted, atol=1e-4))


def _state(K: int, m: int, dtype: np.typing.DTypeLike) -> State:
    """A state with weights large enough to bend tanh, and a hidden state that is not zero."""
    state = State.initial(K, m, std=0.3, random_state=2, dtype=dtype)
    state.h = np.tanh(np.random.RandomState(3).randn(m)).astype(dtype)
    return state
