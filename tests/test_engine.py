"""The compiled engine against the reference and the naive code, and what every engine promises.

The sizes fill no vector, or fill several, and no two of them are equal.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import naive
import tolerances
from conftest import everything
from elman.engine import ENGINES, State, get_engine
from elman.engine.numba.engine import _LOSS_WINDOW
from elman.errors import ElmanError
from elman.network import AdaGrad, Draw
from elman.network.parameters import NAMES, Array, shapes
from elman.testing import check_engine, compare_gradients
from elman.text import Windows
from tolerances import largest_relative_error

T, K, M = 6, 9, 11
RULE = AdaGrad(learning_rate=0.1, clip=5.0)
Dtype = type[np.floating]

engines = pytest.mark.parametrize("name", ENGINES)
both_widths = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def text(length: int, characters: int = K, dtype: type[np.unsignedinteger] = np.uint8) -> NDArray[np.unsignedinteger]:
    """Return a text in which every character is likely to be near to the one before it."""
    steps = np.random.default_rng(1).integers(-1, 3, length)
    return (np.cumsum(steps) % characters).astype(dtype)


WINDOWS = Windows(text(5 * T + 4), T)
"""Five windows in an epoch, and three characters left over."""


def state_at_hand(dtype: Dtype = np.float64, std: float = 0.3, characters: int = K, m: int = M) -> State:
    """Return a state with weights that bend tanh, biases and an h that are not zero."""
    state = State.initial(characters, m, std, 400, dtype)
    generator = np.random.default_rng(1)
    for name in "bc":
        state.parameters[name][:] = generator.normal(size=state.parameters[name].shape) * std
    state.h[:] = np.tanh(generator.normal(size=m))
    return state


def trained(name: str, dtype: Dtype, updates: int, windows: Windows = WINDOWS) -> tuple[State, Array]:
    state = state_at_hand(dtype)
    return state, get_engine(name).advance(state, windows, updates, RULE)


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ElmanError, match=r"^there is no engine 'torch': choose one of numba, numpy$"):
        get_engine("torch")


@engines
def test_an_engine_knows_its_name(name: str) -> None:
    assert get_engine(name).name == name


# --- The compiled engine against the reference ---


@pytest.mark.parametrize(
    ("characters", "m", "length"),
    [
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
    ],
)
def test_the_compiled_engine_is_the_reference(characters: int, m: int, length: int) -> None:
    found = check_engine(get_engine("numba"), K=characters, m=m, T=length)
    assert max(found.loss, found.final_state, *found.gradients.values()) <= tolerances.COMPILED
    assert max(found.trajectory, found.end, found.score) <= tolerances.COMPILED_TRAJECTORY
    assert found.same_text
    assert found.same_counts


def test_a_window_of_the_experiments_size() -> None:
    """Beyond its first update a network of this size and these weights is chaotic."""
    found = check_engine(get_engine("numba"), K=65, m=100, T=25, updates=1)
    assert max(found.loss, found.final_state, *found.gradients.values()) <= tolerances.COMPILED
    assert found.trajectory <= tolerances.COMPILED


@pytest.mark.parametrize("length", [1, T])
def test_indices_of_two_bytes(length: int) -> None:
    windows = Windows(299 - text(5 * length + 1, dtype=np.uint16), length)
    assert windows.indices.min() > 255
    states = [state_at_hand(characters=300) for _ in ENGINES]
    assert max(compare_gradients(get_engine("numba"), states[0], windows).values()) <= tolerances.COMPILED
    losses = [get_engine(name).advance(state, windows, 7, RULE) for name, state in zip(ENGINES, states, strict=True)]
    np.testing.assert_allclose(losses[0], losses[1], tolerances.COMPILED_TRAJECTORY)


@pytest.mark.parametrize("random_state", [400, 1])
def test_gradients_in_single_precision_stay_near_while_training(random_state: int) -> None:
    state = State.initial(65, 100, 0.1, random_state, np.float32)
    windows = Windows(text(5000, 65), 25)
    for _ in range(4):
        get_engine("numba").advance(state, windows, 100, RULE)
        assert max(compare_gradients(get_engine("numba"), state, windows).values()) <= tolerances.COMPILED_FLOAT32


# --- A trajectory ---


@engines
@pytest.mark.parametrize("clip", [5.0, 0.2])
@pytest.mark.parametrize("updates", [1, 5, 6, 10])
def test_successive_losses_are_those_of_the_naive_code(name: str, clip: float, updates: int) -> None:
    state = State.initial(K, M, 0.3, 400, np.float64)
    h0 = state_at_hand().h
    state.h = h0.copy()
    losses = get_engine(name).advance(state, WINDOWS, updates, AdaGrad(0.1, clip))
    expected = naive.trajectory(WINDOWS.indices, K, M, T, 0.1, clip, 0.3, 400, updates, h0)
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
@both_widths
def test_no_update_changes_nothing(name: str, dtype: Dtype) -> None:
    state, _ = trained(name, dtype, 7)
    before = everything(state)
    get_engine(name).advance(state, WINDOWS, 0, RULE)
    assert everything(state) == before


@pytest.mark.parametrize(("name", "dtype"), [("numpy", np.float64), ("numba", np.float64), ("numba", np.float32)])
@settings(deadline=None, max_examples=20)
@given(calls=st.lists(st.integers(0, 9), max_size=6))
def test_a_trajectory_in_pieces_is_the_whole_to_the_bit(name: str, dtype: Dtype, calls: list[int]) -> None:
    whole, expected = trained(name, dtype, sum(calls))
    parts, losses = trained(name, dtype, 0)
    for updates in calls:
        losses = np.append(losses, get_engine(name).advance(parts, WINDOWS, updates, RULE))
    np.testing.assert_array_equal(losses, expected)
    assert everything(parts) == everything(whole)


@engines
@both_widths
def test_arrays_come_back_as_they_went_in(name: str, dtype: Dtype) -> None:
    state = state_at_hand(dtype)
    arrays = [*state.parameters.values(), *state.M.values()]
    get_engine(name).advance(state, WINDOWS, 7, RULE)
    after = [*state.parameters.values(), *state.M.values()]
    assert all(one is other for one, other in zip(arrays, after, strict=True))
    assert {array.dtype for array in [*after, state.h]} == {np.dtype(dtype)}
    expected = shapes(K, M)
    assert {array: state.parameters[array].shape for array in NAMES} == expected
    assert {array: state.M[array].shape for array in NAMES} == expected
    assert state.h.shape == (M,)


@engines
@both_widths
def test_what_a_call_returns_has_the_width_of_what_it_was_given(name: str, dtype: Dtype) -> None:
    engine, state, (x, y) = get_engine(name), state_at_hand(dtype), WINDOWS.at(0)
    result = engine.loss_and_gradients(state.parameters, state.h, x, y)
    assert {array: result.gradients[array].shape for array in NAMES} == shapes(K, M)
    states = [
        result.h,
        result.dh0,
        engine.loss(state.parameters, state.h, x, y)[1],
        engine.generate(state.parameters, state.h, 0, np.zeros(3), Draw())[1],
    ]
    assert {array.shape for array in states} == {(M,)}
    assert {array.dtype for array in [*result.gradients.values(), *states]} == {np.dtype(dtype)}


@engines
@both_widths
def test_only_advance_changes_what_it_is_given(name: str, dtype: Dtype) -> None:
    engine, state, (x, y) = get_engine(name), state_at_hand(dtype), WINDOWS.at(0)
    before = everything(state)
    engine.loss(state.parameters, state.h, x, y)
    engine.loss_and_gradients(state.parameters, state.h, x, y)
    engine.generate(state.parameters, state.h, 0, np.zeros(3), Draw())
    assert everything(state) == before


@engines
@both_widths
@pytest.mark.parametrize("spoiled", NAMES)
def test_a_parameter_that_is_no_number_makes_the_loss_nan(name: str, dtype: Dtype, spoiled: str) -> None:
    engine, state, (x, y) = get_engine(name), state_at_hand(dtype), WINDOWS.at(0)
    state.parameters[spoiled].T[x[0] if spoiled == "U" else 0] = np.nan
    assert math.isnan(engine.loss(state.parameters, state.h, x, y)[0])
    assert math.isnan(engine.loss_and_gradients(state.parameters, state.h, x, y).loss)
    assert np.isnan(engine.advance(state, WINDOWS, 2, RULE)).all()


# --- The same bits again ---


@engines
@both_widths
def test_the_same_run_gives_the_same_bits(name: str, dtype: Dtype) -> None:
    (first, losses), (second, again) = (trained(name, dtype, 50) for _ in range(2))
    np.testing.assert_array_equal(losses, again)
    assert everything(first) == everything(second)


@both_widths
def test_two_threads_do_what_one_does(dtype: Dtype) -> None:
    """Kernels run without the interpreter's lock, so the two are at work at once."""
    texts = [Windows(text(2000)[start:], T) for start in (0, 500, 1000)]
    one_by_one = [trained("numba", dtype, 20_000, windows) for windows in texts]
    with ThreadPoolExecutor(2) as pool:
        at_once = list(pool.map(lambda windows: trained("numba", dtype, 20_000, windows), texts))
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
    environment = os.environ | {"ELMAN_CACHE": str(tmp_path), "PYTHONPATH": str(Path(__file__).parent)}
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


@pytest.mark.parametrize("length", [1, 127, 128, 129, 256, 300])
def test_the_loss_of_a_text_longer_than_the_engines_window(length: int) -> None:
    assert _LOSS_WINDOW == 128
    state, characters = state_at_hand(), text(length + 1)
    x, y = characters[:-1], characters[1:]
    (loss, h), (expected, last) = (get_engine(name).loss(state.parameters, state.h, x, y) for name in ENGINES)
    assert loss == pytest.approx(expected, rel=tolerances.COMPILED)
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
    Draw(temperature=0.7, top_k=4, top_p=0.9),
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


@engines
@both_widths
def test_a_text_in_pieces_is_the_whole(name: str, dtype: Dtype) -> None:
    engine, draw, uniforms = get_engine(name), Draw(0.9, K - 1, 0.95), np.random.default_rng(1).random(60)
    state, _ = trained(name, dtype, 20)
    expected, last = engine.generate(state.parameters, state.h, 2, uniforms, draw)
    characters, h, x = np.empty(0, np.intp), state.h, 2
    for piece in np.split(uniforms, [0, 1, 17, 18, 60]):
        more, h = engine.generate(state.parameters, h, x, piece, draw)
        characters = np.append(characters, more)
        x = int(characters[-1]) if len(characters) else x
    np.testing.assert_array_equal(characters, expected)
    np.testing.assert_array_equal(h, last)


@engines
@both_widths
def test_the_state_returned_is_that_before_the_last_character_is_read(name: str, dtype: Dtype) -> None:
    engine, state = get_engine(name), state_at_hand(dtype)
    characters, h = engine.generate(state.parameters, state.h, 2, np.full(4, 0.5), Draw())
    x = np.array([2, *characters[:-1]], np.uint8)
    expected = engine.loss(state.parameters, state.h, x, x)[1]
    assert largest_relative_error(h, expected) <= tolerances.ROUNDINGS * np.finfo(dtype).eps


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
