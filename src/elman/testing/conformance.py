"""Conformance test for engines.

`check_engine` compares an engine with the reference, `elman.network`, for one network, batch size and optimizer: at one
state, the loss, every gradient, dL/dh_0 and the final state; then the losses and the final state of a trajectory of
several updates, whose hidden state starts non-zero, is passed from window to window and is reset at the end of the
text; then evaluation and sampling. To test an engine completely, call it for many networks.

In float32 trajectories at the learning rate of the reference experiment are chaotic: two with different rounding
diverge within a few updates, and only trajectories with lower rates can be compared.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.config import Config
from elman.engine import Engine, TrainState, get_engine
from elman.errors import ElmanError, check_range, checks_types, quote
from elman.network import Optimizer, SamplingParams
from elman.network.parameters import Architecture, Array, initial_parameters
from elman.network.sampling import list_sampling_options
from elman.network.state import State
from elman.ngram.counting import count_ngrams
from elman.ngram.model import NgramModel
from elman.text import Windows

MAX_SIZE = 10_000  # upper bound of the sizes of a network and a batch that are compared
REFERENCE_OPTIMIZER = Optimizer(learning_rate=0.1, grad_clip=1.0)
"""The optimizer of the reference experiment, with a clipping threshold low enough to matter."""


@dataclass(frozen=True)
class EngineComparison:
    """How far an engine is from the reference. Differences are relative unless stated otherwise; 0 means equal.

    Examples
    --------
    >>> from elman.engine import get_engine
    >>> from elman.testing import check_engine
    >>> comparison = check_engine(get_engine("numpy"), K=5, m=4, T=6, batch_size=1)
    >>> comparison.loss, comparison.same_text
    (0.0, True)
    """

    loss: float
    """The loss of one window."""
    final_state: float
    """The `relative_error` of the final state of that window."""
    gradients: dict[str, float]
    """`relative_error` of every parameter's gradient and, under ``h0``, of the initial state's."""
    trajectory: float
    """Largest difference among the losses of a trajectory."""
    end: float
    """Largest `relative_error` after the trajectory among the parameters, M, N, the average and the hidden state."""
    same_counts: bool
    """Whether position, update and epoch agree after the trajectory."""
    session: float
    """Largest absolute difference among the losses, logits, states, segment losses and, with an n-gram prior, its log q
    and matched lengths, of an inference session."""
    same_text: bool
    """Whether sampling with the same random numbers generates the same characters and nearly the same final state, for
    one sequence and for several, with every sampling option."""


def relative_error(a: Array, b: Array) -> float:
    """Return ``sum |a - b| / sum (|a| + |b|)``, the measure of the reference experiment; 0 if both are zero.

    Examples
    --------
    >>> import numpy as np
    >>> from elman.testing import relative_error
    >>> relative_error(np.array([1.0, 3.0]), np.array([2.0, 2.0]))
    0.25
    """
    total = float(np.sum(np.abs(a)) + np.sum(np.abs(b)))
    return float(np.sum(np.abs(a - b))) / total if total else 0.0


def compare_gradients(engine: Engine, state: TrainState, windows: Windows) -> dict[str, float]:
    """Return `relative_error` of every gradient, of the final state and of the loss, at one state.

    The reference computes in float64, from the same numbers as the engine.

    Examples
    --------
    >>> import numpy as np
    >>> from elman.engine import TrainState, get_engine
    >>> from elman.network import Architecture, initial_parameters
    >>> from elman.testing import compare_gradients
    >>> from elman.text import Windows
    >>> parameters = initial_parameters(Architecture(K=3, m=5), 0.1, np.random.RandomState(400), np.float64)
    >>> state, windows = TrainState.initial(parameters, 400), Windows(np.array([0, 1, 2, 1, 0], np.uint8), 4)
    >>> max(compare_gradients(get_engine("numpy"), state, windows).values())
    0.0
    """
    x, y = windows.at(state.position)
    parameters = state.parameters.map(lambda array: array.astype(np.float64))
    exact = state.hidden.with_recurrent(state.hidden.recurrent.astype(np.float64))
    expected = get_engine("numpy").loss_and_gradients(parameters, exact, x, y)
    result = engine.loss_and_gradients(state.parameters, state.hidden, x, y)
    pairs = {name: (result.gradients[name], expected.gradients[name]) for name in parameters}
    pairs |= {"h0": (result.dh0, expected.dh0), "final_state": (_numbers(result.state), _numbers(expected.state))}
    errors = {name: relative_error(a.astype(np.float64), b) for name, (a, b) in pairs.items()}
    return errors | {"loss": abs(result.loss - expected.loss) / abs(expected.loss)}


@checks_types
def check_engine(
    engine: Engine, *, K: int = 7, m: int = 4, T: int = 5, updates: int = 10, dtype: np.typing.DTypeLike = np.float64,
    cell: str = "rnn", layers: int = 1, batch_size: int = 1, optimizer: Optimizer = REFERENCE_OPTIMIZER,
    ngram_order: int = 0, lines: bool = False,
) -> EngineComparison:  # fmt: skip
    """Compare `engine` with the reference.

    Parameters
    ----------
    engine : Engine
    K, m, T : int
        Alphabet size, hidden units per layer, sequence length. Distinct by default, so that a swapped axis is noticed.
    updates : int
        Length of the trajectory. The text is short enough that an epoch ends on the way.
    dtype : dtype
        float64 or float32.
    cell, layers, batch_size, ngram_order, lines
        As in `elman.Config`. The trajectory is cross-fitted; lines end at one of the characters.
    optimizer : Optimizer
        Optimizer of the trajectory. Its dropout applies there only.

    Examples
    --------
    >>> from elman.engine import get_engine
    >>> from elman.testing import check_engine
    >>> comparison = check_engine(get_engine("numpy"), cell="gru", layers=2)
    >>> comparison.trajectory, comparison.same_text
    (0.0, True)
    """
    for name, value, minimum in (("K", K, 2), ("m", m, 1), ("T", T, 1), ("updates", updates, 1), ("layers", layers, 1)):
        check_range(name, value, minimum, MAX_SIZE)
    Config(cell=cell, layers=layers, batch_size=batch_size, ngram_order=ngram_order)  # checks their values
    for name, object_, kind in (("engine", engine, Engine), ("optimizer", optimizer, Optimizer)):
        if not isinstance(object_, kind):
            raise ElmanError(f"{name} must be an {kind.__name__} (got {quote(object_)})")
    if not (isinstance(dtype, str | type | np.dtype) and dtype in (np.float64, np.float32, "float64", "float32")):
        raise ElmanError(f"dtype must be float64 or float32 (got {quote(dtype)})")
    length = batch_size * (T * max(2, updates // 2) + 2)  # every batch row and every epoch leave a remainder
    text = np.random.RandomState(1).randint(0, K, length).astype(np.min_scalar_type(K - 1))
    windows = Windows(text, T, batch_size, cross_fit=True)
    net = Architecture(K, m, cell, layers, max(0, ngram_order - 1), 0 if lines else None)
    ngrams = count_ngrams(text, net.ngram_spec, folds=3, min_count=1)
    start = _initial_state(net, dtype, optimizer, batch_size, ngrams)
    errors = compare_gradients(engine, start, windows)
    state, expected_state = copy.deepcopy(start), copy.deepcopy(start)
    losses = _advance(engine, state, windows, updates, optimizer)
    expected_losses = _advance(get_engine("numpy"), expected_state, windows, updates, optimizer)
    # NumPy's maximum propagates NaN, unlike Python's.
    sessions = zip(*(_run_session(e, expected_state, windows) for e in (engine, get_engine("numpy"))), strict=True)
    return EngineComparison(
        loss=errors.pop("loss"),
        final_state=errors.pop("final_state"),
        gradients=errors,
        trajectory=float(np.max(np.abs(losses - expected_losses) / np.abs(expected_losses))),
        end=_largest_error(state, expected_state),
        same_counts=all(getattr(state, n) == getattr(expected_state, n) for n in ("position", "update", "epoch")),
        session=float(np.max([np.max(np.abs(a - b)) for a, b in sessions])),
        same_text=_generates_the_same(engine, expected_state, K),
    )


def _advance(
    engine: Engine, state: TrainState, windows: Windows, updates: int, optimizer: Optimizer
) -> NDArray[np.float64]:
    """Advance in two calls, divided within an epoch, so that the state between calls matters; return the losses."""
    first = updates // 3
    return np.concatenate([engine.advance(state, windows, n, optimizer) for n in (first, updates - first)])


def _largest_error(state: TrainState, expected: TrainState) -> float:
    pairs = [(_numbers(state.hidden), _numbers(expected.hidden))]
    for kind in ("parameters", "M", "N", "average"):
        arrays, expected_arrays = getattr(state, kind), getattr(expected, kind)
        pairs += [(arrays[name], expected_arrays[name]) for name in expected_arrays]
    return float(np.max([relative_error(a, b) for a, b in pairs]))


def _numbers(state: State) -> Array:
    return np.concatenate([state.recurrent, state.history], axis=-1)


def _run_session(engine: Engine, state: TrainState, windows: Windows) -> list[Array]:
    """Return the losses, logits and states of the batch, and the losses of segments of the text."""
    session, hidden = engine.session(state.parameters), state.hidden.reshape(windows.batch_size)
    x, y = Windows(windows.indices, windows.row_length, windows.batch_size).at(0)
    x, y = (array.reshape(len(array), -1) for array in (x, y))
    text, starts, lengths = np.resize(windows.indices, 50), np.array([5, 0, 7, 48, 3]), np.array([33, 40, 0, 1, 2])
    (losses, final), (logits, states) = session.losses(hidden, x, y), session.logits(hidden, x)
    # `worst` is left out: in float32 it may differ where two characters have nearly the same loss.
    segments = session.segment_losses(state.final_hidden, text, starts, lengths)[::2]
    prior = session.prior(hidden, x) if state.parameters.prior.model else ()
    return [losses, _numbers(final), logits, _numbers(states), *segments, *prior]


def _generates_the_same(engine: Engine, state: TrainState, K: int) -> bool:
    """Return whether sampling gives the same characters as the reference, and nearly the same states.

    Each option is used for a sequence of its own: every option by itself, all together, and greedily. All sequences are
    then sampled in a batch.
    """
    examples: dict[str, Any] = {option.name: option.example for option in list_sampling_options()}
    sampling = [SamplingParams(**{name: example}) for name, example in examples.items()]
    sampling += [SamplingParams(**examples), SamplingParams(temperature=0.0)]
    B = len(sampling)
    alone, together = np.random.default_rng(1).random((50, 1)), np.random.default_rng(2).random((20, B))
    first = np.arange(B) % K
    results, expected = (
        [
            *(session.generate(state.final_hidden.tile(1), first[:1], alone, [params]) for params in sampling),
            session.generate(state.final_hidden.tile(B), first, together, sampling),
        ]
        for session in (each.session(state.parameters) for each in (engine, get_engine("numpy")))
    )
    return all(
        np.array_equal(characters, expected_characters)
        and np.allclose(_numbers(last), _numbers(expected_last), atol=1e-4)
        for (characters, last), (expected_characters, expected_last) in zip(results, expected, strict=True)
    )


def _initial_state(
    net: Architecture, dtype: np.typing.DTypeLike, optimizer: Optimizer, batch_size: int, ngrams: NgramModel | None
) -> TrainState:
    """Return a state with non-zero biases and h, and weights large enough for tanh to matter but not for chaos."""
    std = min(0.3, 1 / math.sqrt(net.m))
    parameters = initial_parameters(net, std, np.random.RandomState(2), dtype, ngrams=ngrams)
    state, generator = TrainState.initial(parameters, 2, batch_size, optimizer), np.random.RandomState(3)
    h, history = state.hidden.recurrent, state.hidden.history
    first = 1 + net.is_of_lines  # nothing precedes a reset in a state
    read = generator.randint(first, net.K + 1, history.shape).astype(np.int32)
    state.hidden = State(np.tanh(generator.randn(*h.shape)).astype(dtype), read)
    for theta in state.parameters.values():
        if theta.ndim == 1:
            theta += 0.3 * generator.randn(*theta.shape)
    return state
