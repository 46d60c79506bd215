"""The checker that holds any engine to the reference.

`check_engine` compares an engine with `elman.network` at one state: loss, every gradient, dL/dh_0, the final state;
then, update by update, the first losses of a trajectory, whose hidden state is carried, reset at the end of the
text and not zero at the beginning, and all that it leaves behind. Of which network, how many streams and which
update rule, one call says; an engine is held to all of them by many. It is shipped so that an engine written
elsewhere can be held to it.

In float32 the first part is what counts: with the experiment's learning rate two roundings of one trajectory part
within a few updates (they are chaotic), so that only slower ones can be compared.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine import Engine, State, get_engine
from elman.network import Draw, Parameters, Rule
from elman.network.parameters import Array
from elman.text import Windows

RULE = Rule(learning_rate=0.1, clip=1.0)
"""That of the reference experiment, with a limit of the gradient low enough to be reached."""


@dataclass(frozen=True)
class Difference:
    """How far an engine is from the reference; every figure is relative, and 0 is the same.

    Parameters
    ----------
    loss, final_state : float
        |engine - reference| / |reference|, largest component.
    gradients : dict of str to float
        `relative_error` of every parameter's gradient and, under ``h0``, of that of the state carried in.
    trajectory : float
        The largest relative difference among the first losses of a trajectory.
    end : float
        The largest `relative_error` at its end among the parameters, M, N, the average and the hidden state.
    same_counts : bool
        Whether position, update and epoch agree there.
    score : float
        |engine - reference| / |reference| of the loss that `Engine.loss` gives for the whole text; where there are
        streams, the largest of it and of each of theirs.
    reading : float
        The largest |engine - reference| among the losses, logits and states that `Engine.reader` gives for streams,
        and what it gives for passages.
    same_text : bool
        Whether the same numbers draw the same characters and leave nearly the same state, of one stream and of several.
    """

    loss: float
    final_state: float
    gradients: dict[str, float]
    trajectory: float
    end: float
    same_counts: bool
    score: float
    reading: float
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
    cell: str = "rnn",
    layers: int = 1,
    batch_size: int = 1,
    rule: Rule = RULE,
) -> Difference:
    """Compare `engine` with the reference.

    Parameters
    ----------
    engine : Engine
    K, m, T : int
        Characters, hidden units of a layer, window. Distinct by default, so that a swapped axis shows.
    updates : int
        Length of the trajectory; the text is short enough that it ends an epoch on the way.
    dtype : dtype
        float64 or float32.
    cell, layers
        Of the network, as in `elman.Config`.
    batch_size : int
        B, streams read side by side.
    rule : Rule
        How the updates of the trajectory are made. Its dropout shows there only.
    """
    length = batch_size * (T * max(2, updates // 2) + 2)  # every stream and every epoch leave a rest
    text = np.random.RandomState(1).randint(0, K, length).astype(np.min_scalar_type(K - 1))
    windows, start = Windows(text, T, batch_size), _state(K, m, dtype, cell, layers, batch_size, rule)
    errors = compare_gradients(engine, start, windows)
    ours, theirs = (_trajectory(e, copy.deepcopy(start), windows, updates, rule) for e in (engine, get_engine("numpy")))
    return Difference(
        loss=errors.pop("loss"),
        final_state=errors.pop("final_state"),
        gradients=errors,
        trajectory=_largest_difference(ours.losses, theirs.losses),
        end=_largest_error(ours.state, theirs.state),
        same_counts=_counts(ours.state) == _counts(theirs.state),
        score=_compare_scores(engine, theirs.state, windows),
        reading=_compare_reading(engine, theirs.state, windows),
        same_text=_same_text(engine, theirs.state, K) and _same_texts(engine, theirs.state, K),
    )


class _Trajectory(NamedTuple):
    losses: NDArray[np.float64]
    state: State


def _trajectory(engine: Engine, state: State, windows: Windows, updates: int, rule: Rule) -> _Trajectory:
    """Advance in two calls that part within an epoch, so that what the first leaves behind counts."""
    first = updates // 3
    losses = [engine.advance(state, windows, n, rule) for n in (first, updates - first)]
    return _Trajectory(np.concatenate(losses), state)


def _largest_difference(losses: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    return float(np.max(np.abs(losses - wanted) / np.abs(wanted)))  # unlike max(), it keeps a NaN


def _largest_error(ours: State, theirs: State) -> float:
    pairs = [(ours.h, theirs.h)]
    for kind in ("parameters", "M", "N", "average"):
        arrays, wanted = getattr(ours, kind), getattr(theirs, kind)
        pairs += [(arrays[name], wanted[name]) for name in wanted]
    return float(np.max([relative_error(a, b) for a, b in pairs]))


def _counts(state: State) -> tuple[int, int, int]:
    return state.position, state.update, state.epoch


def _compare_scores(engine: Engine, state: State, windows: Windows) -> float:
    """Score the text as one stream and, where there are several, as these."""
    whole = Windows(windows.indices, windows.stream_length, windows.batch_size).at(0)
    texts = [(state.carried, windows.indices[:-1], windows.indices[1:]), (state.h, *whole)]
    ours, theirs = (
        np.hstack([e.loss(state.parameters, *text)[0] for text in texts]) for e in (engine, get_engine("numpy"))
    )
    return _largest_difference(ours, theirs)


def _compare_reading(engine: Engine, state: State, windows: Windows) -> float:
    """Read the text as the streams it is cut into, and passages of it from one state, with a `Reader`."""
    h, (x, y) = np.atleast_2d(state.h), Windows(windows.indices, windows.stream_length, windows.batch_size).at(0)
    x, y = (array.reshape(len(array), -1) for array in (x, y))
    readers = [e.reader(state.parameters) for e in (engine, get_engine("numpy"))]
    text, begins, chars = np.resize(windows.indices, 50), np.array([5, 0, 7, 48, 3]), np.array([33, 40, 0, 1, 2])
    # Which place of a passage is the worst would tell of float32 where two cost nearly the same.
    ours, theirs = (
        [*reader.losses(h, x, y), *reader.logits(h, x), *reader.passages(state.carried, text, begins, chars)[::2]]
        for reader in readers
    )
    return float(np.max([np.max(np.abs(a - b)) for a, b in zip(ours, theirs, strict=True)]))


def _same_texts(engine: Engine, state: State, K: int) -> bool:
    """Whether three streams, each restricted in its own way, get the characters that they would get alone."""
    draws = [Draw(0.9, min_p=0.1), Draw(0.0), Draw(top_k=max(1, K // 2), top_p=0.9)]
    uniforms, h = np.random.default_rng(2).random((20, len(draws))), np.tile(state.carried, (len(draws), 1))
    x = np.arange(len(draws)) % K
    (ours, last), (theirs, wanted) = (
        e.reader(state.parameters).generate(h, x, uniforms, draws) for e in (engine, get_engine("numpy"))
    )
    return bool(np.array_equal(ours, theirs) and np.allclose(last, wanted, atol=1e-4))


def _same_text(engine: Engine, state: State, K: int) -> bool:
    uniforms, draw = np.random.default_rng(1).random(50), Draw(0.9, max(1, K - 1), 0.95)
    (ours, h), (theirs, wanted) = (
        e.generate(state.parameters, state.carried, 0, uniforms, draw) for e in (engine, get_engine("numpy"))
    )
    return bool(np.array_equal(ours, theirs) and np.allclose(h, wanted, atol=1e-4))


def _state(K: int, m: int, dtype: np.typing.DTypeLike, cell: str, layers: int, batch_size: int, rule: Rule) -> State:
    """A state with weights that bend tanh and are not chaotic, and with biases and an h that are not zero."""
    std = min(0.3, 1 / math.sqrt(m))
    state = State.initial(K, m, std, 2, dtype, cell=cell, layers=layers, batch_size=batch_size, rule=rule)
    generator = np.random.RandomState(3)
    state.h = np.tanh(generator.randn(*state.h.shape)).astype(dtype)
    for theta in state.parameters.values():
        if theta.ndim == 1:
            theta += 0.3 * generator.randn(*theta.shape)
    return state
