"""The compiled engine against the reference and the naive code, and the guarantees of every engine.

Sizes are below or above one vector register, and no two of them are equal.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from elman.engine import TrainState, get_engine
from elman.engine.numba.inference import _MAX_STEPS
from elman.errors import ElmanError
from elman.network import Dropout, Optimizer, SamplingParams, WeightDropout
from elman.network.parameters import NAMES, Array
from elman.network.state import State
from elman.ngram.counting import count_ngrams
from elman.ngram.language_model import INITIAL_CAPACITY, reader
from elman.ngram.table import NgramSpec
from elman.testing import check_engine, compare_gradients
from elman.text import Windows
from support import reference_impl
from support import tolerances as tolerances
from support.cells import COMPILED_CELLS, COMPILED_OPTIMIZERS
from support.networks import make_state, numbers, sum_losses
from support.processes import run_in_a_process
from support.state import generate, snapshot
from support.tolerances import largest_relative_error

T, K, M = 6, 9, 11
OPTIMIZER = Optimizer(learning_rate=0.1, grad_clip=5.0)
Dtype = type[np.floating]

ENGINES = ["numba", "numpy"]
"""The engines of every installation; the others have tests of their own."""

engines = pytest.mark.parametrize("name", ENGINES)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def text(length: int, characters: int = K, dtype: type[np.unsignedinteger] = np.uint8) -> NDArray[np.unsignedinteger]:
    """Return a text in which every character is likely to be near to the one before it."""
    steps = np.random.default_rng(1).integers(-1, 3, length)
    return (np.cumsum(steps) % characters).astype(dtype)


WINDOWS = Windows(text(5 * T + 4), T)
"""Five windows per epoch, and three characters left over."""

Network = dict[str, Any]
NETWORKS: list[Network] = [
    {"cell": cell, **sizes}
    for n, cell in enumerate(COMPILED_CELLS)
    for sizes in ({}, {"layers": 2, "batch_size": (9, 3)[n % 2]})
] + [
    {"cell": "rnn", "batch_size": 1, "ngram_order": 3},
    {"cell": "lstm", "layers": 2, "batch_size": 9, "ngram_order": 4},
]
networks = pytest.mark.parametrize("network", NETWORKS, ids=lambda network: "-".join(map(str, network.values())))

ADAM = Optimizer(0.01, 1.0, "adam", "norm", 0.9, 0.99, 0.1, "cosine", 3, 60, 0.9, Dropout(0.2, False, 1))
"""An optimizer in which everything depends on the number of the update, with M, N and an average."""


def windows_for(batch_size: int = 1, **_: Any) -> Windows:
    """Return windows with five per epoch, and three characters left over in every batch row."""
    return Windows(text(batch_size * (5 * T + 4)), T, batch_size, cross_fit=True)


def example_state(
    dtype: Dtype = np.float64,
    std: float = 0.3,
    characters: int = K,
    m: int = M,
    optimizer: Optimizer = OPTIMIZER,
    ngram_order: int = 0,
    **network: Any,
) -> TrainState:
    """Return a state with weights large enough for tanh to matter, and non-zero biases and h.

    An n-gram prior counts a text of its own, so that its contexts are found at some characters and not at others.
    """
    ngrams = count_ngrams(text(50, characters), NgramSpec(characters, max(0, ngram_order - 1)), 3)
    state = make_state(characters, m, std, 400, dtype, optimizer=optimizer, ngrams=ngrams, **network)
    generator = np.random.default_rng(1)
    for theta in state.parameters.values():
        if theta.ndim == 1:
            theta[:] = generator.normal(size=theta.shape) * std
    h, history = state.hidden.recurrent, state.hidden.history
    read = generator.integers(1, characters + 1, history.shape).astype(np.int32)
    read[..., :1] = 0  # there is no character before these
    state.hidden = State(np.tanh(generator.normal(size=h.shape)).astype(dtype), read)
    return state


def trained(
    name: str, dtype: Dtype, updates: int, windows: Windows = WINDOWS, optimizer: Optimizer = OPTIMIZER, **network: Any
) -> tuple[TrainState, Array]:
    state = example_state(dtype, optimizer=optimizer, **network)
    return state, get_engine(name).advance(state, windows, updates, optimizer)


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ElmanError, match=r"^unknown engine 'jax' \(choose from numba, numpy, torch\)$"):
        get_engine("jax")


def test_an_engine_whose_extra_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("elman.engine.torch")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ElmanError, match=r"^this requires torch, .*: pip install 'elman\[torch\]'$"):
        get_engine("torch")


# --- The compiled engine against the reference ---


def assert_conforms(dtype: Dtype = np.float64, **network: Any) -> None:
    """Assert that every difference of the compiled engine, for a network, is within its tolerance.

    In float32 a sampled character may differ: a random number may lie within rounding of the border between two.
    """
    comparison = check_engine(get_engine("numba"), dtype=dtype, **network)
    window, run = tolerances.COMPILED, tolerances.COMPILED_TRAJECTORY
    if dtype is np.float32:
        window, run = tolerances.COMPILED_FLOAT32, tolerances.COMPILED_TRAJECTORY_FLOAT32
    at_once = comparison.loss, comparison.final_state, comparison.session, *comparison.gradients.values()
    assert np.max(at_once) <= window, comparison  # unlike max(), np.max propagates NaN
    assert np.max([comparison.trajectory, comparison.end]) <= run, comparison
    assert comparison.same_counts
    assert comparison.same_text or dtype is np.float32


SIZES = [
    (7, 4, 5),
    (2, 1, 1),
    (5, 1, 6),
    (7, 8, 1),
    (2, 5, 3),
    (11, 31, 9),
    (11, 32, 9),
    (11, 33, 9),
    (13, 16, 33),
    (65, 100, 3),
    (300, 12, 7),  # indices of two bytes
    (1000, 70, 3),
]


@pytest.mark.parametrize(("characters", "m", "length"), [*SIZES, (6000, 70, 3)])
def test_an_engine_is_the_reference(characters: int, m: int, length: int) -> None:
    assert_conforms(K=characters, m=m, T=length)


# The rates are low enough that ten updates of float32 still agree.
OPTIMIZERS = {
    name: Optimizer(0.003, 1.0, name, "norm", 0.8, 0.99, 0.1, "cosine", 3, 12, 0.9) for name in COMPILED_OPTIMIZERS
} | {
    "adagrad": Optimizer(0.03, 1.0),
    "rmsprop": Optimizer(0.01, 1.0, "rmsprop", beta2=0.99, weight_decay=0.1, schedule="step", last_update=8),
    "adam": Optimizer(0.003, 1.0, "adam", "norm", weight_decay=0.1, ema_decay=0.9),
    "sgd": Optimizer(0.02, 1.0, "sgd", weight_decay=0.1, ema_decay=0.9),
}
DROPOUTS = {"none": None, "plain": Dropout(0.3, False, 5), "variational": Dropout(0.3, True, 5)}
WEIGHT_DROPOUT = WeightDropout(0.3, 5)


def one_in(n: int, *choices: Iterable[object]) -> list[Any]:
    """Return every combination of choices, all but one in n of them marked slow.

    The default run has every combination of all parameters but the one that has n values, each with one of these.
    """
    values = list(map(tuple, choices))
    return [
        pytest.param(
            *combination, marks=() if sum(map(tuple.index, values, combination)) % n == 0 else pytest.mark.slow
        )
        for combination in product(*values)
    ]


@pytest.fixture
def without_sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out sampling, which takes most of the time and which no optimizer changes: other tests compare it."""
    monkeypatch.setattr("elman.testing.conformance._generates_the_same", lambda *_: True)


@pytest.mark.usefixtures("without_sampling")
@pytest.mark.parametrize(
    ("dtype", "cell", "layers", "batch_size", "algorithm", "dropout"),
    one_in(6, (np.float32, np.float64), COMPILED_CELLS, (1, 2), (1, 3, 8, 9), OPTIMIZERS, DROPOUTS),
)
def test_every_network_with_every_optimizer(
    dtype: Dtype, cell: str, layers: int, batch_size: int, algorithm: str, dropout: str
) -> None:
    optimizer = replace(OPTIMIZERS[algorithm], dropout=DROPOUTS[dropout])
    assert_conforms(dtype, cell=cell, layers=layers, batch_size=batch_size, optimizer=optimizer)


@pytest.mark.parametrize("cell", COMPILED_CELLS)
def test_one_character_per_update(monkeypatch: pytest.MonkeyPatch, cell: str) -> None:
    """A network large enough for two threads, one of which has no row of the output layer."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert_conforms(K=103, m=100, T=1, cell=cell, optimizer=OPTIMIZERS["adam"])


@pytest.mark.parametrize(
    ("dtype", "batch_size", "size", "cell"), one_in(3, (np.float32, np.float64), (1, 5), SIZES, COMPILED_CELLS)
)
def test_every_network_of_every_size(dtype: Dtype, batch_size: int, size: tuple[int, int, int], cell: str) -> None:
    optimizer = replace(OPTIMIZERS["adamw"], dropout=DROPOUTS["plain"], weight_dropout=WEIGHT_DROPOUT)
    K, m, T = size
    assert_conforms(dtype, cell=cell, optimizer=optimizer, updates=6, K=K, m=m, T=T, batch_size=batch_size)


@pytest.mark.parametrize(
    ("dtype", "cell", "layers", "batch"),
    one_in(3, (np.float32, np.float64), COMPILED_CELLS, (1, 2), [(1, "adagrad"), (3, "muon"), (9, "adam")]),
)
def test_weight_dropout(dtype: Dtype, cell: str, layers: int, batch: tuple[int, str]) -> None:
    batch_size, algorithm = batch
    optimizer = replace(OPTIMIZERS[algorithm], weight_dropout=WEIGHT_DROPOUT)
    assert_conforms(dtype, cell=cell, layers=layers, batch_size=batch_size, optimizer=optimizer)


@pytest.mark.parametrize(("dtype", "batch_size", "cell"), one_in(3, (np.float32, np.float64), (1, 33), COMPILED_CELLS))
def test_a_network_that_fills_caches(dtype: Dtype, batch_size: int, cell: str) -> None:
    """Its products are large enough to be computed in other ways."""
    optimizer = replace(OPTIMIZERS["adam"], dropout=DROPOUTS["variational"], weight_dropout=WEIGHT_DROPOUT)
    network: Network = {"cell": cell, "layers": 2, "batch_size": batch_size}
    assert_conforms(dtype, **network, optimizer=optimizer, updates=2, K=67, m=129, T=6)


@pytest.mark.parametrize(
    ("dtype", "cell", "layers", "order", "batch_size"),
    one_in(3, (np.float32, np.float64), COMPILED_CELLS, (1, 2), (2, 4), (1, 3, 9)),
)
def test_every_network_with_a_prior(dtype: Dtype, cell: str, layers: int, order: int, batch_size: int) -> None:
    """The trajectory is cross-fitted, evaluation is not."""
    optimizer = replace(OPTIMIZERS["adamw"], dropout=DROPOUTS["plain"])
    network: Network = {"cell": cell, "layers": layers, "batch_size": batch_size}
    assert_conforms(dtype, **network, optimizer=optimizer, ngram_order=order)


@pytest.mark.parametrize(
    ("dtype", "cell", "sizes"), one_in(3, (np.float32, np.float64), COMPILED_CELLS, [(1, 1, 0), (1, 3, 3), (2, 9, 4)])
)
def test_the_state_is_reset_between_lines(dtype: Dtype, cell: str, sizes: tuple[int, int, int]) -> None:
    layers, batch_size, order = sizes
    optimizer = replace(OPTIMIZERS["adamw"], dropout=DROPOUTS["plain"])
    network: Network = {"cell": cell, "layers": layers, "batch_size": batch_size}
    assert_conforms(dtype, **network, optimizer=optimizer, ngram_order=order, lines=True)


@pytest.mark.parametrize("characters", [2, 300, 1000])
@pytest.mark.parametrize("order", [3, 16])
def test_a_prior_of_any_size(characters: int, order: int) -> None:
    assert_conforms(K=characters, cell="gru", ngram_order=order, updates=6)


@both_dtypes
@pytest.mark.parametrize("batch_size", [1, 3, 9])
def test_counts_grow_as_in_the_reference(dtype: Dtype, batch_size: int) -> None:
    """All rows of a batch count in one model, step by step."""
    state = example_state(dtype, cell="gru", batch_size=batch_size, ngram_order=4)
    x = text(60 * batch_size).reshape(60, batch_size)
    uniforms, sampling = np.random.default_rng(1).random((20, batch_size)), [SamplingParams()] * batch_size
    results = []
    for engine in ENGINES:
        session = get_engine(engine).session(state.parameters)
        hidden = state.hidden.reshape(batch_size).count(state.parameters.ngrams)
        losses, last = session.losses(hidden, x[:-1], x[1:])
        o, states = session.logits(last, x[:40])
        characters, end = session.generate(last, x[-1].astype(np.intp), uniforms, sampling)
        after, _ = session.losses(hidden, x[:-1], x[1:])
        results.append([losses, numbers(last), o, numbers(states), characters, numbers(end), after])
    tolerance = tolerances.COMPILED if dtype is np.float64 else tolerances.COMPILED_TRAJECTORY_FLOAT32
    for array, expected in zip(*(result if dtype is np.float64 else result[:4] for result in results), strict=True):
        assert largest_relative_error(array, expected) <= tolerance
    assert not np.array_equal(results[0][0], results[0][-1])


@engines
def test_segments_are_not_counted(name: str) -> None:
    """They do not depend on one another, and shorter ones are padded in a batch."""
    state = example_state(cell="gru", ngram_order=4)
    starts, lengths = np.array([5, 0, 7, 48, 3]), np.array([33, 40, 0, 1, 2])
    session, hidden = get_engine(name).session(state.parameters), state.hidden.count(state.parameters.ngrams)
    expected = session.segment_losses(state.hidden, text(60), starts, lengths)
    for _ in range(2):
        for array, other in zip(session.segment_losses(hidden, text(60), starts, lengths), expected, strict=True):
            np.testing.assert_array_equal(array, other)
    session.losses(hidden.reshape(1), text(60)[:, None], text(60)[:, None])
    grown = session.segment_losses(hidden, text(60), starts, lengths)
    assert grown.nats[0] < expected.nats[0]


@pytest.mark.parametrize("cell", COMPILED_CELLS)
def test_gradients_in_single_precision_stay_near_while_training(cell: str) -> None:
    B, optimizer = (1, OPTIMIZER) if cell == "rnn" else (8, Optimizer(3e-3, 1.0, "adam", "norm"))
    state = make_state(65, 64, 0.1, 400, np.float32, cell=cell, batch_size=B, optimizer=optimizer)
    windows = Windows(text(B * 2000, 65), 25, B)
    for _ in range(4):
        get_engine("numba").advance(state, windows, 50, optimizer)
        errors = compare_gradients(get_engine("numba"), state, windows)
        assert np.max(list(errors.values())) <= tolerances.COMPILED_FLOAT32


# --- Trajectories ---


@engines
@pytest.mark.parametrize("clip", [5.0, 0.2])
@pytest.mark.parametrize(("start", "updates"), [(0, 1), (0, 5), (0, 6), (0, 10), (2, 3)])
def test_successive_losses_are_those_of_the_naive_code(name: str, clip: float, start: int, updates: int) -> None:
    """From the beginning or the middle of an epoch."""
    state = make_state(K, M, 0.3, 400, np.float64)
    h0 = example_state().hidden.recurrent
    state.update, state.position, state.hidden = start, start * T, state.hidden.with_recurrent(h0.copy())
    losses = get_engine(name).advance(state, WINDOWS, updates, Optimizer(0.1, clip))
    rest = WINDOWS.indices[start * T :]
    expected = reference_impl.trajectory(rest, K, M, T, 0.1, clip, 0.3, 400, updates, h0)
    np.testing.assert_allclose(losses, expected.losses, tolerances.COMPILED_TRAJECTORY)
    assert largest_relative_error(state.hidden.recurrent, expected.h) <= tolerances.COMPILED_TRAJECTORY
    for array in NAMES:
        for actual, right in [(state.parameters, expected.parameters), (state.M, expected.M)]:
            assert largest_relative_error(actual[array], right[array]) <= tolerances.COMPILED_TRAJECTORY, array


ENGINE_DTYPES = [("numpy", np.float64), ("numba", np.float64), ("numba", np.float32)]


@pytest.mark.parametrize(("name", "dtype"), ENGINE_DTYPES)
@networks
@settings(deadline=None, max_examples=5)
@given(calls=st.lists(st.integers(0, 9), min_size=2, max_size=5))
def test_a_trajectory_in_chunks_is_bit_identical(name: str, dtype: Dtype, network: Network, calls: list[int]) -> None:
    windows, optimizer = windows_for(**network), ADAM if network else OPTIMIZER
    single_call, expected = trained(name, dtype, sum(calls), windows, optimizer, **network)
    parts, losses = trained(name, dtype, 0, windows, optimizer, **network)
    for updates in calls:
        losses = np.append(losses, get_engine(name).advance(parts, windows, updates, optimizer))
    np.testing.assert_array_equal(losses, expected)
    assert snapshot(parts) == snapshot(single_call)


def arrays_of(state: TrainState) -> list[Array]:
    return [array for kind in (state.parameters, state.M, state.N, state.average) for array in kind.values()]


@engines
@both_dtypes
@networks
def test_arrays_come_back_as_they_went_in(name: str, dtype: Dtype, network: Network) -> None:
    state = example_state(dtype, optimizer=ADAM, **network)
    arrays, before = arrays_of(state), [array.shape for array in arrays_of(state)]
    size, engine, windows = state.hidden.recurrent.shape, get_engine(name), windows_for(**network)
    engine.advance(state, windows, 7, ADAM)
    after, contents = arrays_of(state), snapshot(state)
    engine.advance(state, windows, 0, ADAM)
    assert snapshot(state) == contents
    assert all(one is other for one, other in zip(arrays, after, strict=True))
    assert {array.dtype for array in [*after, state.hidden.recurrent]} == {np.dtype(dtype)}
    assert [array.shape for array in after] == before
    assert state.hidden.recurrent.shape == size


@engines
@both_dtypes
@networks
def test_results_have_the_dtype_and_shape_of_the_arguments(name: str, dtype: Dtype, network: Network) -> None:
    engine, state, (x, y) = get_engine(name), example_state(dtype, **network), windows_for(**network).at(0)
    before = snapshot(state)
    result = engine.loss_and_gradients(state.parameters, state.hidden, x, y)
    expected = state.parameters.architecture.shapes()
    assert {array: result.gradients[array].shape for array in result.gradients} == expected
    losses, final = sum_losses(engine, state.parameters, state.hidden, x, y)
    states, shape = [result.state.recurrent, result.dh0, final.recurrent], state.hidden.recurrent.shape
    assert {array.shape for array in states} == {shape}
    assert np.shape(losses) == shape[:-1]
    assert np.shape(result.loss) == ()
    end = generate(engine, state.parameters, state.final_hidden, 0, np.zeros(3), SamplingParams())[1].recurrent
    states.append(end)
    assert end.shape == shape[-1:]
    assert {array.dtype for array in [*result.gradients.values(), *states]} == {np.dtype(dtype)}
    assert snapshot(state) == before  # only `advance` changes its arguments


@engines
@both_dtypes
@networks
def test_a_parameter_that_is_no_number_makes_the_loss_nan(name: str, dtype: Dtype, network: Network) -> None:
    engine, windows = get_engine(name), windows_for(**network)
    x, y = windows.at(0)
    for corrupted in example_state(dtype, **network).parameters:
        state = example_state(dtype, **network)
        state.parameters[corrupted].T[x.flat[0] if corrupted == "U" else ... if corrupted == "alpha" else 0] = np.nan
        assert np.isnan(np.sum(sum_losses(engine, state.parameters, state.hidden, x, y)[0])), corrupted
        assert math.isnan(engine.loss_and_gradients(state.parameters, state.hidden, x, y).loss), corrupted
        assert np.isnan(engine.advance(state, windows, 2, OPTIMIZER)).all(), corrupted


# --- Reproducibility ---


@both_dtypes
@pytest.mark.parametrize("network", [NETWORKS[0], NETWORKS[-1]], ids=["vanilla", "lstm"])
def test_two_threads_compute_what_one_does(dtype: Dtype, network: Network) -> None:
    """Kernels release the GIL, so the two run in parallel."""
    B, updates = network.get("batch_size", 1), 500 if network else 1500
    texts = [Windows(text(2000)[start:], T, B) for start in (0, 500, 1000)]
    one_by_one = [trained("numba", dtype, updates, windows, **network) for windows in texts]
    with ThreadPoolExecutor(2) as pool:
        at_once = list(pool.map(lambda windows: trained("numba", dtype, updates, windows, **network), texts))
    for (state, losses), (other, others) in zip(one_by_one, at_once, strict=True):
        np.testing.assert_array_equal(losses, others)
        assert snapshot(state) == snapshot(other)


IN_A_PROCESS = """
import numpy as np
from test_engine import snapshot, trained
state, losses = trained("numba", np.float32, 300)
print(losses.tobytes().hex(), snapshot(state))
"""


def test_loaded_kernels_give_the_bits_of_compiled_ones(tmp_path: Path) -> None:
    """The first process compiles the kernels, the second loads them from the cache."""
    outputs, kernels = [], []
    for _ in range(2):
        outputs.append(run_in_a_process(IN_A_PROCESS, tmp_path))
        kernels.append({file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.kernel")})
    assert kernels[0]
    assert kernels[0] == kernels[1]
    assert outputs[0] == outputs[1]
    state, losses = trained("numba", np.float32, 300)
    assert outputs[0] == f"{losses.tobytes().hex()} {snapshot(state)}\n"


# --- Loss of a text ---


@networks
@pytest.mark.parametrize("length", [1, 31, 32, 33, 64, 75])
def test_the_loss_of_a_text_longer_than_the_engines_window(length: int, network: Network) -> None:
    assert _MAX_STEPS == 32
    state, B = example_state(**network), network.get("batch_size", 1)
    x, y = Windows(text(B * length + 1), length, B).at(0)
    (loss, h), (expected, last) = (
        sum_losses(get_engine(name), state.parameters, state.hidden, x, y) for name in ENGINES
    )
    np.testing.assert_allclose(loss, expected, tolerances.COMPILED)
    assert largest_relative_error(numbers(h), numbers(last)) <= tolerances.COMPILED


# --- Sampling ---

SAMPLING_PARAMS = [
    SamplingParams(),
    SamplingParams(temperature=0.0),
    SamplingParams(temperature=0.7),
    SamplingParams(temperature=3.0),
    SamplingParams(temperature=1e300),
    SamplingParams(temperature=1e-300),
    SamplingParams(temperature=5e-324),
    SamplingParams(top_k=1),
    SamplingParams(top_k=3),
    SamplingParams(top_k=K + 1),
    SamplingParams(top_p=0.0),
    SamplingParams(top_p=0.6),
    SamplingParams(min_p=0.2),
    SamplingParams(temperature=0.7, top_k=4, top_p=0.9),
    SamplingParams(temperature=1.2, top_p=0.95, min_p=0.05),
]


@pytest.mark.parametrize(
    ("network", "sampling"),
    [*(({}, params) for params in SAMPLING_PARAMS), *((network, SamplingParams(0.9, 5, 0.95)) for network in NETWORKS)],
)
def test_the_engines_write_the_same_text(network: Network, sampling: SamplingParams) -> None:
    state, _ = trained("numpy", np.float64, 100, windows_for(**network), **network)
    uniforms = np.random.default_rng(1).random(300)
    (characters, h), (expected, last) = (
        generate(get_engine(name), state.parameters, state.final_hidden, 2, uniforms, sampling) for name in ENGINES
    )
    np.testing.assert_array_equal(characters, expected)
    assert largest_relative_error(numbers(h), numbers(last)) <= tolerances.COMPILED


@engines
@both_dtypes
@networks
def test_a_text_in_chunks_equals_the_text_at_once(name: str, dtype: Dtype, network: Network) -> None:
    engine, sampling, uniforms = get_engine(name), SamplingParams(0.9, K - 1, 0.95), np.random.default_rng(1).random(60)
    state, _ = trained(name, dtype, 20, windows_for(**network), **network)
    expected, last = generate(engine, state.parameters, state.final_hidden, 2, uniforms, sampling)
    characters, h, x = np.empty(0, np.intp), state.final_hidden, 2
    for piece in np.split(uniforms, [0, 1, 17, 18, 60]):
        more, h = generate(engine, state.parameters, h, x, piece, sampling)
        characters = np.append(characters, more)
        x = int(characters[-1]) if len(characters) else x
    np.testing.assert_array_equal(characters, expected)
    np.testing.assert_array_equal(numbers(h), numbers(last))


@engines
@both_dtypes
@networks
def test_the_state_is_that_before_the_last_character_is_read(name: str, dtype: Dtype, network: Network) -> None:
    engine, state = get_engine(name), example_state(dtype, **network)
    characters, h = generate(engine, state.parameters, state.final_hidden, 2, np.full(4, 0.5), SamplingParams())
    x = np.array([2, *characters[:-1]], np.uint8)
    expected = sum_losses(engine, state.parameters, state.final_hidden, x, x)[1]
    assert largest_relative_error(numbers(h), numbers(expected)) <= tolerances.ROUNDINGS * np.finfo(dtype).eps


@engines
@both_dtypes
@pytest.mark.parametrize("sampling", SAMPLING_PARAMS)
def test_frequencies_follow_probabilities(name: str, dtype: Dtype, sampling: SamplingParams) -> None:
    """With evenly spaced numbers and constant logits, each count may be off by one, at either border."""
    logits: Array = np.random.default_rng(2).normal(size=K).astype(dtype)
    state = make_state(K, M, 0.0, 400, dtype)
    state.parameters["c"][:] = logits
    n = 1000
    characters, _ = generate(get_engine(name), state.parameters, state.hidden, 0, (np.arange(n) + 0.5) / n, sampling)
    counts = np.bincount(characters, minlength=K)
    np.testing.assert_allclose(counts, n * sampling.probabilities(logits), rtol=0, atol=1)


def test_training_makes_room_for_the_counts_that_grow() -> None:
    windows, losses, models = Windows(text(1281), 128), [], []
    for engine in ENGINES:
        state = example_state(optimizer=ADAM, cell="gru", ngram_order=6)
        state.hidden = state.hidden.count(state.parameters.ngrams)
        losses.append(get_engine(engine).advance(state, windows, 10, ADAM))
        assert state.hidden.counts is not None
        models.append(state.hidden.counts)
    np.testing.assert_allclose(losses[0], losses[1], rtol=tolerances.COMPILED_TRAJECTORY)
    counts = reader(models[0]).added
    assert INITIAL_CAPACITY < counts.sizes[0] <= len(counts.nodes)


# --- Inference sessions ---


@engines
@networks
def test_a_batch_row_gives_the_same_bits_whatever_else_is_in_the_batch(name: str, network: Network) -> None:
    state = example_state(**network | {"batch_size": 1})
    B, n = 9, 70  # more steps than the compiled session takes at a time
    generator = np.random.default_rng(1)
    h = np.tanh(generator.normal(size=(B, state.final_hidden.recurrent.size)))
    hidden = state.final_hidden.tile(B).with_recurrent(h)
    x, y = (generator.integers(0, K, (n, B)).astype(np.uint8) for _ in range(2))
    uniforms = generator.random((n, B))
    sampling = [SamplingParams(0.5 + 0.1 * b, top_k=b, min_p=0.01 * b) for b in range(B)]
    session = get_engine(name).session(state.parameters)

    def run(rows: slice) -> list[NDArray[Any]]:
        (losses, final), (o, states), (characters, end) = (
            session.losses(hidden.select(rows), x[:, rows], y[:, rows]),
            session.logits(hidden.select(rows), x[:, rows]),
            session.generate(hidden.select(rows), x[0, rows], uniforms[:, rows], sampling[rows]),
        )
        return [losses, numbers(final), o, numbers(states), characters, numbers(end)]

    expected = run(slice(B))
    for rows in (slice(0, 1), slice(8, 9), slice(2, 4), slice(0, 8)):
        for axis, actual, array in zip((1, 0, 1, 1, 1, 0), run(rows), expected, strict=True):
            part = np.moveaxis(array, axis, 0)[rows]
            if name == "numpy":  # BLAS uses other kernels for another number of rows
                np.testing.assert_allclose(np.moveaxis(actual, axis, 0), part, rtol=tolerances.COMPILED)
            else:
                np.testing.assert_array_equal(np.moveaxis(actual, axis, 0), part)


@engines
@networks
def test_a_segment_has_the_same_loss_whatever_else_is_in_the_batch(name: str, network: Network) -> None:
    state, generator = example_state(**network | {"batch_size": 1}), np.random.default_rng(2)
    text = generator.integers(0, K, 400).astype(np.uint8)
    starts, lengths = generator.integers(0, 300, 70), generator.integers(0, 99, 70)  # more than one batch
    session = get_engine(name).session(state.parameters)
    expected = session.segment_losses(state.final_hidden, text, starts, lengths)
    for n in (slice(0, 1), slice(3, 9), slice(5, 70)):
        result = session.segment_losses(state.final_hidden, text, starts[n], lengths[n])
        for array, expected_array in zip(result, expected, strict=True):
            np.testing.assert_array_equal(array, expected_array[n])
    assert not any(session.segment_losses(state.final_hidden, text, starts[:0], lengths[:0])[0])
