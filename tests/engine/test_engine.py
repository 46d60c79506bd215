"""The compiled engine against the reference and the naive code, and what every engine promises.

The sizes fill no vector, or fill several, and no two of them are equal.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from elman.engine import ENGINES, State, get_engine
from elman.engine.numba.engine import _LOSS_WINDOW
from elman.errors import ElmanError
from elman.network import Draw, Dropout, Rule
from elman.network.parameters import NAMES, Array, shapes
from elman.testing import Difference, check_engine, compare_gradients
from elman.text import Windows
from support import reference_impl
from support import tolerances as tolerances
from support.state import ROOT, everything
from support.tolerances import largest_relative_error

T, K, M = 6, 9, 11
RULE = Rule(learning_rate=0.1, clip=5.0)
Dtype = type[np.floating]

HELD = [name for name in ENGINES if name != "numpy"]
"""The engines that are held to the reference."""

engines = pytest.mark.parametrize("name", ENGINES)
held_engines = pytest.mark.parametrize("name", HELD)
both_widths = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def text(length: int, characters: int = K, dtype: type[np.unsignedinteger] = np.uint8) -> NDArray[np.unsignedinteger]:
    """Return a text in which every character is likely to be near to the one before it."""
    steps = np.random.default_rng(1).integers(-1, 3, length)
    return (np.cumsum(steps) % characters).astype(dtype)


WINDOWS = Windows(text(5 * T + 4), T)
"""Five windows in an epoch, and three characters left over."""

Network = dict[str, Any]
NETWORKS: list[Network] = [
    {},
    {"cell": "rnn", "layers": 2, "batch_size": 3},
    {"cell": "gru"},
    {"cell": "gru", "layers": 2, "batch_size": 9},
    {"cell": "lstm"},
    {"cell": "lstm", "layers": 2, "batch_size": 3},
]
networks = pytest.mark.parametrize(
    "network", NETWORKS, ids=lambda network: "-".join(map(str, network.values())) or "vanilla"
)

ALL_KEPT = Rule(0.01, 1.0, "adam", "norm", 0.9, 0.99, 0.1, "cosine", 3, 60, 0.9, Dropout(0.2, False, 1))
"""A rule of which everything depends on the number of the update, and that keeps M, N and an average."""


def windows_for(batch_size: int = 1, **_: Any) -> Windows:
    """Return five windows in an epoch of every stream, and three characters left over."""
    return Windows(text(batch_size * (5 * T + 4)), T, batch_size)


def state_at_hand(
    dtype: Dtype = np.float64, std: float = 0.3, characters: int = K, m: int = M, rule: Rule = RULE, **network: Any
) -> State:
    """Return a state with weights that bend tanh, biases and an h that are not zero."""
    state = State.initial(characters, m, std, 400, dtype, rule=rule, **network)
    generator = np.random.default_rng(1)
    for theta in state.parameters.values():
        if theta.ndim == 1:
            theta[:] = generator.normal(size=theta.shape) * std
    state.h[:] = np.tanh(generator.normal(size=state.h.shape))
    return state


def trained(
    name: str, dtype: Dtype, updates: int, windows: Windows = WINDOWS, rule: Rule = RULE, **network: Any
) -> tuple[State, Array]:
    state = state_at_hand(dtype, rule=rule, **network)
    return state, get_engine(name).advance(state, windows, updates, rule)


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ElmanError, match=r"^there is no engine 'torch': choose one of numba, numpy$"):
        get_engine("torch")


@engines
def test_an_engine_knows_its_name(name: str) -> None:
    assert get_engine(name).name == name


# --- The compiled engine against the reference ---


def assert_held(found: Difference, dtype: Dtype = np.float64) -> None:
    """Everything that a checker finds is within its tolerance.

    A character is drawn otherwise where a number of the text lies nearer to a border than float32 is wide.
    """
    window, run = tolerances.COMPILED, tolerances.COMPILED_TRAJECTORY
    if dtype is np.float32:
        window, run = tolerances.COMPILED_FLOAT32, tolerances.COMPILED_TRAJECTORY_FLOAT32
    # Unlike max(), it keeps a NaN.
    at_once = [found.loss, found.final_state, found.score, found.reading, *found.gradients.values()]
    assert np.max(at_once) <= window, found
    assert np.max([found.trajectory, found.end]) <= run, found
    assert found.same_counts
    assert found.same_text or dtype is np.float32


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
    (300, 12, 7),
    (6000, 70, 3),  # V is too large to be kept twice
]
sizes = pytest.mark.parametrize(("characters", "m", "length"), SIZES)


@held_engines
@sizes
def test_an_engine_is_the_reference(name: str, characters: int, m: int, length: int) -> None:
    assert_held(check_engine(get_engine(name), K=characters, m=m, T=length))


@held_engines
def test_a_window_of_the_experiments_size(name: str) -> None:
    """Beyond its first update a network of this size and these weights is chaotic."""
    found = check_engine(get_engine(name), K=65, m=100, T=25, updates=1)
    assert np.max([found.loss, found.final_state, *found.gradients.values()]) <= tolerances.COMPILED
    assert found.trajectory <= tolerances.COMPILED


# The rates are low enough that ten updates of float32 still agree.
RULES = {
    "adagrad": Rule(0.03, 1.0),
    "rmsprop": Rule(0.01, 1.0, "rmsprop", beta2=0.99, weight_decay=0.1, schedule="step", end=8),
    "adam": Rule(0.003, 1.0, "adam", "norm", weight_decay=0.1, averaging=0.9),
    "adamw": Rule(0.003, 1.0, "adamw", "norm", 0.8, 0.99, 0.1, "cosine", 3, 12, 0.9),
    "sgd": Rule(0.02, 1.0, "sgd", weight_decay=0.1, averaging=0.9),
}
DROPOUTS = {"whole": None, "plain": Dropout(0.3, False, 5), "variational": Dropout(0.3, True, 5)}

cells = pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])


@held_engines
@both_widths
@cells
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("batch_size", [1, 3, 8, 9])
@pytest.mark.parametrize("optimizer", RULES)
@pytest.mark.parametrize("dropout", DROPOUTS)
def test_every_network_with_every_rule(
    name: str, dtype: Dtype, cell: str, layers: int, batch_size: int, optimizer: str, dropout: str
) -> None:
    rule = replace(RULES[optimizer], dropout=DROPOUTS[dropout])
    engine = get_engine(name)
    assert_held(check_engine(engine, cell=cell, layers=layers, batch_size=batch_size, rule=rule, dtype=dtype), dtype)


@held_engines
@both_widths
@cells
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("optimizer", RULES)
def test_every_optimiser_with_the_other_way_of_clipping(
    name: str, dtype: Dtype, cell: str, batch_size: int, optimizer: str
) -> None:
    rule = RULES[optimizer]
    rule = replace(
        rule,
        clip_by="norm" if rule.clip_by == "value" else "value",
        clip=0.1 if rule.clip_by == "norm" else 1.0,
        weight_decay=0.1 - rule.weight_decay,
        averaging=0.9 - rule.averaging,
        schedule="cosine",
        warmup=2,
        end=14,
    )
    assert_held(check_engine(get_engine(name), cell=cell, batch_size=batch_size, rule=rule, dtype=dtype), dtype)


@held_engines
@both_widths
@sizes
@cells
@pytest.mark.parametrize("batch_size", [1, 5])
def test_every_network_of_every_size(
    name: str, dtype: Dtype, characters: int, m: int, length: int, cell: str, batch_size: int
) -> None:
    rule = replace(RULES["adamw"], dropout=DROPOUTS["plain"])
    size: dict[str, Any] = {"K": characters, "m": m, "T": length, "batch_size": batch_size}
    assert_held(check_engine(get_engine(name), cell=cell, rule=rule, updates=6, dtype=dtype, **size), dtype)


@held_engines
@both_widths
@cells
@pytest.mark.parametrize("batch_size", [1, 33])
def test_a_network_that_fills_caches(name: str, dtype: Dtype, cell: str, batch_size: int) -> None:
    """Its products are large enough for other ways of computing them."""
    rule, size = replace(RULES["adam"], dropout=DROPOUTS["variational"]), {"K": 67, "m": 129, "T": 10}
    found = check_engine(
        get_engine(name), cell=cell, layers=2, batch_size=batch_size, rule=rule, updates=3, dtype=dtype, **size
    )
    assert_held(found, dtype)


@held_engines
@networks
@pytest.mark.parametrize("length", [1, T])
def test_indices_of_two_bytes(name: str, network: Network, length: int) -> None:
    B = network.get("batch_size", 1)
    windows = Windows(299 - text(B * (5 * length + 1), dtype=np.uint16), length, B)
    assert windows.indices.min() > 255
    states = [state_at_hand(characters=300, **network) for _ in range(2)]
    errors = compare_gradients(get_engine(name), states[0], windows)
    assert np.max(list(errors.values())) <= tolerances.COMPILED
    ours, theirs = (
        get_engine(engine).advance(state, windows, 7, RULE)
        for engine, state in zip((name, "numpy"), states, strict=True)
    )
    np.testing.assert_allclose(ours, theirs, tolerances.COMPILED_TRAJECTORY)


@held_engines
@pytest.mark.parametrize("random_state", [400, 1])
def test_gradients_in_single_precision_stay_near_while_training(name: str, random_state: int) -> None:
    state = State.initial(65, 100, 0.1, random_state, np.float32)
    windows = Windows(text(5000, 65), 25)
    for _ in range(4):
        get_engine(name).advance(state, windows, 100, RULE)
        errors = compare_gradients(get_engine(name), state, windows)
        assert np.max(list(errors.values())) <= tolerances.COMPILED_FLOAT32


@held_engines
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_gradients_of_gates_in_single_precision_stay_near_while_training(name: str, cell: str) -> None:
    rule = Rule(3e-3, 1.0, "adam", "norm")
    state = State.initial(65, 64, 0.1, 1, np.float32, cell=cell, batch_size=8, rule=rule)
    windows = Windows(text(8 * 2000, 65), 25, 8)
    for _ in range(4):
        get_engine(name).advance(state, windows, 50, rule)
        errors = compare_gradients(get_engine(name), state, windows)
        assert np.max(list(errors.values())) <= tolerances.COMPILED_FLOAT32


# --- A trajectory ---


@engines
@pytest.mark.parametrize("clip", [5.0, 0.2])
@pytest.mark.parametrize("updates", [1, 5, 6, 10])
def test_successive_losses_are_those_of_the_naive_code(name: str, clip: float, updates: int) -> None:
    state = State.initial(K, M, 0.3, 400, np.float64)
    h0 = state_at_hand().h
    state.h = h0.copy()
    losses = get_engine(name).advance(state, WINDOWS, updates, Rule(0.1, clip))
    expected = reference_impl.trajectory(WINDOWS.indices, K, M, T, 0.1, clip, 0.3, 400, updates, h0)
    np.testing.assert_allclose(losses, expected.losses, tolerances.COMPILED_TRAJECTORY)
    assert largest_relative_error(state.h, expected.h) <= tolerances.COMPILED_TRAJECTORY
    for array in NAMES:
        for found, right in [(state.parameters, expected.parameters), (state.M, expected.M)]:
            assert largest_relative_error(found[array], right[array]) <= tolerances.COMPILED_TRAJECTORY, array


@engines
@pytest.mark.parametrize(("updates", "epoch", "windows"), [(0, 0, 0), (4, 0, 4), (5, 1, 5), (6, 1, 1), (10, 2, 5)])
def test_an_epoch_ends_with_the_last_whole_window(name: str, updates: int, epoch: int, windows: int) -> None:
    state, losses = trained(name, np.float64, updates)
    assert losses.shape == (updates,)
    assert (state.update, state.epoch, state.position) == (updates, epoch, windows * T)


@engines
@networks
@pytest.mark.parametrize(("updates", "epoch", "windows"), [(4, 0, 4), (5, 1, 5), (6, 1, 1), (10, 2, 5)])
def test_every_network_counts_windows(name: str, network: Network, updates: int, epoch: int, windows: int) -> None:
    state, _ = trained(name, np.float64, updates, windows_for(**network), **network)
    assert (state.update, state.epoch, state.position) == (updates, epoch, windows * T)


@engines
@both_widths
@networks
def test_no_update_changes_nothing(name: str, dtype: Dtype, network: Network) -> None:
    windows = windows_for(**network)
    state, _ = trained(name, dtype, 7, windows, ALL_KEPT, **network)
    before = everything(state)
    get_engine(name).advance(state, windows, 0, ALL_KEPT)
    assert everything(state) == before


WIDTHS = [("numpy", np.float64), *((name, dtype) for name in HELD for dtype in (np.float64, np.float32))]


@pytest.mark.parametrize(("name", "dtype"), WIDTHS)
@settings(deadline=None, max_examples=20)
@given(calls=st.lists(st.integers(0, 9), max_size=6))
def test_a_trajectory_in_pieces_is_the_whole_to_the_bit(name: str, dtype: Dtype, calls: list[int]) -> None:
    whole, expected = trained(name, dtype, sum(calls))
    parts, losses = trained(name, dtype, 0)
    for updates in calls:
        losses = np.append(losses, get_engine(name).advance(parts, WINDOWS, updates, RULE))
    np.testing.assert_array_equal(losses, expected)
    assert everything(parts) == everything(whole)


@pytest.mark.parametrize(("name", "dtype"), WIDTHS)
@networks
@settings(deadline=None, max_examples=5)
@given(calls=st.lists(st.integers(0, 9), min_size=2, max_size=5))
def test_every_network_in_pieces_is_the_whole_to_the_bit(
    name: str, dtype: Dtype, network: Network, calls: list[int]
) -> None:
    windows = windows_for(**network)
    whole, expected = trained(name, dtype, sum(calls), windows, ALL_KEPT, **network)
    parts, losses = trained(name, dtype, 0, windows, ALL_KEPT, **network)
    for updates in calls:
        losses = np.append(losses, get_engine(name).advance(parts, windows, updates, ALL_KEPT))
    np.testing.assert_array_equal(losses, expected)
    assert everything(parts) == everything(whole)


def arrays_of(state: State) -> list[Array]:
    return [array for kind in (state.parameters, state.M, state.N, state.average) for array in kind.values()]


@engines
@both_widths
@networks
def test_arrays_come_back_as_they_went_in(name: str, dtype: Dtype, network: Network) -> None:
    state = state_at_hand(dtype, rule=ALL_KEPT, **network)
    arrays, before = arrays_of(state), [array.shape for array in arrays_of(state)]
    size = state.h.shape
    get_engine(name).advance(state, windows_for(**network), 7, ALL_KEPT)
    after = arrays_of(state)
    assert all(one is other for one, other in zip(arrays, after, strict=True))
    assert {array.dtype for array in [*after, state.h]} == {np.dtype(dtype)}
    assert [array.shape for array in after] == before
    assert state.h.shape == size


@engines
@both_widths
@networks
def test_what_a_call_returns_has_the_width_of_what_it_was_given(name: str, dtype: Dtype, network: Network) -> None:
    engine, state, (x, y) = get_engine(name), state_at_hand(dtype, **network), windows_for(**network).at(0)
    result = engine.loss_and_gradients(state.parameters, state.h, x, y)
    expected = shapes(K, M, network.get("cell", "rnn"), network.get("layers", 1))
    assert {array: result.gradients[array].shape for array in result.gradients} == expected
    losses, h = engine.loss(state.parameters, state.h, x, y)
    states = [result.h, result.dh0, h]
    assert {array.shape for array in states} == {state.h.shape}
    assert np.shape(losses) == state.h.shape[:-1]
    assert np.shape(result.loss) == ()
    states.append(engine.generate(state.parameters, state.carried, 0, np.zeros(3), Draw())[1])
    assert states[-1].shape == state.carried.shape
    assert {array.dtype for array in [*result.gradients.values(), *states]} == {np.dtype(dtype)}


@engines
@both_widths
@networks
def test_only_advance_changes_what_it_is_given(name: str, dtype: Dtype, network: Network) -> None:
    engine, state, (x, y) = get_engine(name), state_at_hand(dtype, **network), windows_for(**network).at(0)
    before = everything(state)
    engine.loss(state.parameters, state.h, x, y)
    engine.loss_and_gradients(state.parameters, state.h, x, y)
    engine.generate(state.parameters, state.carried, 0, np.zeros(3), Draw())
    assert everything(state) == before


@engines
@both_widths
@networks
def test_a_parameter_that_is_no_number_makes_the_loss_nan(name: str, dtype: Dtype, network: Network) -> None:
    engine, windows = get_engine(name), windows_for(**network)
    x, y = windows.at(0)
    for spoiled in state_at_hand(dtype, **network).parameters:
        state = state_at_hand(dtype, **network)
        state.parameters[spoiled].T[x.flat[0] if spoiled == "U" else 0] = np.nan
        assert np.isnan(np.sum(engine.loss(state.parameters, state.h, x, y)[0])), spoiled
        assert math.isnan(engine.loss_and_gradients(state.parameters, state.h, x, y).loss), spoiled
        assert np.isnan(engine.advance(state, windows, 2, RULE)).all(), spoiled


# --- Streams ---


@engines
@networks
def test_a_stream_is_a_text_of_its_own(name: str, network: Network) -> None:
    """Its loss, its last state and, weighted by B, its gradients are those of the stream read alone."""
    engine, windows, state = get_engine(name), windows_for(**network), state_at_hand(**network)
    if windows.batch_size == 1:
        return
    x, y = windows.at(T)
    losses, last = engine.loss(state.parameters, state.h, x, y)
    together = engine.loss_and_gradients(state.parameters, state.h, x, y)
    alone = [
        engine.loss_and_gradients(state.parameters, state.h[b], x[:, b], y[:, b]) for b in range(windows.batch_size)
    ]
    assert together.loss == pytest.approx(np.mean(losses), rel=tolerances.COMPILED)
    assert largest_relative_error(losses, [one.loss for one in alone]) <= tolerances.COMPILED
    for h in (last, together.h):
        assert largest_relative_error(h, [one.h for one in alone]) <= tolerances.COMPILED
    assert largest_relative_error(together.dh0 * windows.batch_size, [one.dh0 for one in alone]) <= tolerances.COMPILED
    for array, gradient in together.gradients.items():
        mean = np.mean([one.gradients[array] for one in alone], axis=0)
        assert largest_relative_error(gradient, mean) <= tolerances.COMPILED, array


# --- The same bits again ---


@engines
@both_widths
@networks
def test_the_same_run_gives_the_same_bits(name: str, dtype: Dtype, network: Network) -> None:
    windows = windows_for(**network)
    (first, losses), (second, again) = (trained(name, dtype, 50, windows, ALL_KEPT, **network) for _ in range(2))
    np.testing.assert_array_equal(losses, again)
    assert everything(first) == everything(second)


@both_widths
@networks
def test_two_threads_do_what_one_does(dtype: Dtype, network: Network) -> None:
    """Kernels run without the interpreter's lock, so the two are at work at once."""
    B, updates = network.get("batch_size", 1), 1000 if network else 20_000
    texts = [Windows(text(2000)[start:], T, B) for start in (0, 500, 1000)]
    one_by_one = [trained("numba", dtype, updates, windows, **network) for windows in texts]
    with ThreadPoolExecutor(2) as pool:
        at_once = list(pool.map(lambda windows: trained("numba", dtype, updates, windows, **network), texts))
    for (state, losses), (other, others) in zip(one_by_one, at_once, strict=True):
        np.testing.assert_array_equal(losses, others)
        assert everything(state) == everything(other)


IN_A_PROCESS = """
import numpy as np
from test_engine import everything, trained
state, losses = trained("numba", np.float32, 300)
print(losses.tobytes().hex(), everything(state))
"""


def test_loaded_kernels_give_the_bits_of_compiled_ones(tmp_path: Path) -> None:
    """The first process compiles, the second loads what the first left."""
    environment = os.environ | {
        "ELMAN_CACHE": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "tests", Path(__file__).parent))),
    }
    environment.pop("NUMBA_CACHE_DIR", None)
    outputs, kernels = [], []
    for _ in range(2):
        process = subprocess.run(
            [sys.executable, "-c", IN_A_PROCESS], env=environment, capture_output=True, text=True, check=True
        )
        outputs.append(process.stdout)
        kernels.append({file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.nbc")})
    assert kernels[0]
    assert kernels[0] == kernels[1]
    assert outputs[0] == outputs[1]
    state, losses = trained("numba", np.float32, 300)
    assert outputs[0] == f"{losses.tobytes().hex()} {everything(state)}\n"


# --- The loss of a text ---


@networks
@pytest.mark.parametrize("length", [1, 127, 128, 129, 256, 300])
def test_the_loss_of_a_text_longer_than_the_engines_window(length: int, network: Network) -> None:
    assert _LOSS_WINDOW == 128
    state, B = state_at_hand(**network), network.get("batch_size", 1)
    x, y = Windows(text(B * length + 1), length, B).at(0)
    (loss, h), (expected, last) = (get_engine(name).loss(state.parameters, state.h, x, y) for name in ENGINES)
    np.testing.assert_allclose(loss, expected, tolerances.COMPILED)
    assert largest_relative_error(h, last) <= tolerances.COMPILED


# --- Text ---

DRAWS = [
    Draw(),
    Draw(temperature=0.0),
    Draw(temperature=0.7),
    Draw(temperature=3.0),
    Draw(top_k=1),
    Draw(top_k=3),
    Draw(top_k=K + 1),
    Draw(top_p=0.0),
    Draw(top_p=0.6),
    Draw(min_p=0.2),
    Draw(temperature=0.7, top_k=4, top_p=0.9),
    Draw(temperature=1.2, top_p=0.95, min_p=0.05),
]


@pytest.mark.parametrize("draw", DRAWS)
def test_the_engines_write_the_same_text(draw: Draw) -> None:
    state, _ = trained("numpy", np.float64, 100)
    uniforms = np.random.default_rng(1).random(300)
    (characters, h), (expected, last) = (
        get_engine(name).generate(state.parameters, state.h, 2, uniforms, draw) for name in ENGINES
    )
    np.testing.assert_array_equal(characters, expected)
    assert largest_relative_error(h, last) <= tolerances.COMPILED


@networks
def test_the_engines_write_the_same_text_with_every_network(network: Network) -> None:
    state, _ = trained("numpy", np.float64, 100, windows_for(**network), **network)
    uniforms = np.random.default_rng(1).random(300)
    (characters, h), (expected, last) = (
        get_engine(name).generate(state.parameters, state.carried, 2, uniforms, Draw(0.9, 5, 0.95)) for name in ENGINES
    )
    np.testing.assert_array_equal(characters, expected)
    assert largest_relative_error(h, last) <= tolerances.COMPILED


@engines
@both_widths
@networks
def test_a_text_in_pieces_is_the_whole(name: str, dtype: Dtype, network: Network) -> None:
    engine, draw, uniforms = get_engine(name), Draw(0.9, K - 1, 0.95), np.random.default_rng(1).random(60)
    state, _ = trained(name, dtype, 20, windows_for(**network), **network)
    expected, last = engine.generate(state.parameters, state.carried, 2, uniforms, draw)
    characters, h, x = np.empty(0, np.intp), state.carried, 2
    for piece in np.split(uniforms, [0, 1, 17, 18, 60]):
        more, h = engine.generate(state.parameters, h, x, piece, draw)
        characters = np.append(characters, more)
        x = int(characters[-1]) if len(characters) else x
    np.testing.assert_array_equal(characters, expected)
    np.testing.assert_array_equal(h, last)


@engines
@both_widths
@networks
def test_the_state_returned_is_that_before_the_last_character_is_read(
    name: str, dtype: Dtype, network: Network
) -> None:
    engine, state = get_engine(name), state_at_hand(dtype, **network)
    characters, h = engine.generate(state.parameters, state.carried, 2, np.full(4, 0.5), Draw())
    x = np.array([2, *characters[:-1]], np.uint8)
    expected = engine.loss(state.parameters, state.carried, x, x)[1]
    assert largest_relative_error(h, expected) <= tolerances.ROUNDINGS * np.finfo(dtype).eps


@engines
@both_widths
def test_a_temperature_without_end_draws_evenly(name: str, dtype: Dtype) -> None:
    uniforms = (np.arange(700) + 0.5) / 700
    for cell in ("rnn", "gru"):
        state = State.initial(K, M, 0.5, 400, dtype, cell=cell)
        draw = Draw(temperature=1e300)
        characters, _ = get_engine(name).generate(state.parameters, state.carried, 2, uniforms, draw)
        np.testing.assert_allclose(np.bincount(characters, minlength=K), 700 / K, atol=1)


@engines
@both_widths
@pytest.mark.parametrize("temperature", [1e-300, 5e-324])
def test_a_temperature_of_nearly_zero_takes_the_likeliest(name: str, dtype: Dtype, temperature: float) -> None:
    engine, state, uniforms = get_engine(name), state_at_hand(dtype), np.random.default_rng(1).random(50)
    characters, expected = (
        engine.generate(state.parameters, state.h, 2, uniforms, Draw(temperature=t))[0] for t in (temperature, 0.0)
    )
    np.testing.assert_array_equal(characters, expected)


@engines
@both_widths
@pytest.mark.parametrize("draw", DRAWS)
def test_frequencies_follow_probabilities(name: str, dtype: Dtype, draw: Draw) -> None:
    """Of a network without memory, and of numbers spread evenly: each count may be off by the one at either border."""
    logits: Array = np.random.default_rng(2).normal(size=K).astype(dtype)
    state = State.initial(K, M, 0.0, 400, dtype)
    state.parameters["c"][:] = logits
    n = 1000
    characters, _ = get_engine(name).generate(state.parameters, state.h, 0, (np.arange(n) + 0.5) / n, draw)
    counts = np.bincount(characters, minlength=K)
    np.testing.assert_allclose(counts, n * draw.probabilities(logits), rtol=0, atol=1)


# --- Reading many streams ---


@engines
@networks
def test_a_stream_gives_the_same_bits_whatever_is_read_beside_it(name: str, network: Network) -> None:
    state = state_at_hand(**network | {"batch_size": 1})
    B, n = 9, 70  # more steps than the compiled reader takes at a time
    generator = np.random.default_rng(1)
    h = np.tanh(generator.normal(size=(B, len(state.carried))))
    x, y = (generator.integers(0, K, (n, B)).astype(np.uint8) for _ in range(2))
    uniforms, draws = generator.random((n, B)), [Draw(0.5 + 0.1 * b, top_k=b, min_p=0.01 * b) for b in range(B)]
    reader = get_engine(name).reader(state.parameters)

    def read(streams: slice) -> list[NDArray[Any]]:
        return [
            *reader.losses(h[streams], x[:, streams], y[:, streams]),
            *reader.logits(h[streams], x[:, streams]),
            *reader.generate(h[streams], x[0, streams], uniforms[:, streams], draws[streams]),
        ]

    whole = read(slice(B))
    for streams in (slice(0, 1), slice(8, 9), slice(2, 4), slice(0, 8)):
        for axis, found, wanted in zip((1, 0, 1, 1, 1, 0), read(streams), whole, strict=True):
            among = np.moveaxis(wanted, axis, 0)[streams]
            if name == "numpy":  # where BLAS chooses another way for another number of rows
                np.testing.assert_allclose(np.moveaxis(found, axis, 0), among, rtol=tolerances.COMPILED)
            else:
                np.testing.assert_array_equal(np.moveaxis(found, axis, 0), among)


@engines
@networks
def test_a_passage_costs_the_same_bits_whatever_is_read_beside_it(name: str, network: Network) -> None:
    state, generator = state_at_hand(**network | {"batch_size": 1}), np.random.default_rng(2)
    text = generator.integers(0, K, 400).astype(np.uint8)
    begins, chars = generator.integers(0, 300, 70), generator.integers(0, 99, 70)  # more than are read side by side
    reader = get_engine(name).reader(state.parameters)
    whole = reader.passages(state.carried, text, begins, chars)
    for n in (slice(0, 1), slice(3, 9), slice(5, 70)):
        found = reader.passages(state.carried, text, begins[n], chars[n])
        for array, wanted in zip(found, whole, strict=True):
            np.testing.assert_array_equal(array, wanted[n])
    assert not any(reader.passages(state.carried, text, begins[:0], chars[:0])[0])
