"""The checker that holds any engine to the reference.

`check_engine` compares an engine with `elman.network` at one state: loss, every gradient, dL/dh_0, the final state;
then, update by update, the first losses of a trajectory, whose hidden state is carried, reset at the end of the
text and not zero at the beginning. It is shipped so that an engine written elsewhere can be held to it.

In float32 only the first part is meaningful: with the experiment's learning rate two roundings of one trajectory
part within a few updates (they are chaotic), so trajectories are compared in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
    parameters : float
        The largest `relative_error` among the parameters at its end.
    same_text : bool
        Whether the same numbers draw the same characters.
    """

    loss: float
    final_state: float
    gradients: dict[str, float]
    trajectory: float
    parameters: float
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
    indices = generator.randint(0, K, T * max(2, updates // 2) + 2).astype(np.uint8)
    windows, rule = Windows(indices, T), AdaGrad(learning_rate=0.1, clip=5.0)
    states = [_state(K, m, dtype) for _ in range(2)]
    errors = compare_gradients(engine, states[0], windows)
    losses = [
        e.advance(state, windows, updates, rule) for e, state in zip((engine, get_engine("numpy")), states, strict=True)
    ]
    ours, reference = (state.parameters for state in states)
    uniforms = np.random.default_rng(1).random(50)
    texts = [
        e.generate(reference, states[1].h, 0, uniforms, Draw(0.9, K - 1, 0.95))[0]
        for e in (engine, get_engine("numpy"))
    ]
    return Difference(
        loss=errors.pop("loss"),
        final_state=errors.pop("final_state"),
        gradients=errors,
        trajectory=float(np.max(np.abs(losses[0] - losses[1]) / np.abs(losses[1]))),
        parameters=max(relative_error(ours[name], reference[name]) for name in reference),
        same_text=bool(np.array_equal(texts[0], texts[1])),
    )


def _state(K: int, m: int, dtype: np.typing.DTypeLike) -> State:
    """A state with weights large enough to bend tanh, and a hidden state that is not zero."""
    state = State.initial(K, m, std=0.3, random_state=2, dtype=dtype)
    state.h = np.tanh(np.random.RandomState(3).randn(m)).astype(dtype)
    return state
