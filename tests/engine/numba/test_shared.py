"""Two threads compute what one does, bit for bit, however the operating system schedules them."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from elman.engine import TrainState
from elman.engine.numba.engine import NumbaEngine
from elman.engine.numba.fused import engine as fused
from elman.engine.numba.fused.large_alphabet import block_start, count_blocks
from elman.engine.numba.fused.queue import stop_assistant
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.tile import MAX_VECTORS
from elman.engine.numba.thread_pool import AutotunedThreadPool, Timings
from elman.network import Optimizer
from elman.processes import thread_count
from elman.text import Windows
from support.cores import busy_cores, one_core

M, T, K, UPDATES = 40, 12, 30, 40
LARGE_K = 700
TEXT = np.random.default_rng(1).integers(0, K, 300).astype(np.uint8)


@pytest.fixture(params=["small", "large"])
def alphabet(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The size of an alphabet, of which the large one counts as such."""
    if request.param == "small":
        return K
    monkeypatch.setattr(fused, "MIN_LARGE_V_BYTES", 0)
    return LARGE_K


def make_state(K: int, dtype: Any = np.float32) -> TrainState:
    """Return a network before its training."""
    generator, state = np.random.default_rng(2), TrainState.initial(K, M, 0.3, 400, dtype)
    for array in state.parameters.values():
        array[:] = generator.normal(0, 0.3, array.shape)
    return state


def train(kind: str, alphabet: int) -> bytes:
    """Return the losses and weights after some updates by one thread, or by one or two that share the units."""
    network, losses = fused.PackedNetwork(make_state(alphabet), T, Optimizer(0.1, 5.0)), np.empty(UPDATES)
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(network.assist) if kind == "two threads" else None
        network.advance(TEXT.view(np.uint8), 1, 0, losses, share=kind != "one thread")
        stop_assistant(network.queue)
        if future:
            future.result()
    return b"".join(array.tobytes() for array in (losses, *network.weights, *network.squared_grads))


@pytest.mark.parametrize("kind", ["alone", "two threads"])
@pytest.mark.parametrize("machine", [nullcontext, one_core, busy_cores])
def test_the_bits_are_those_of_one_thread(kind: str, machine: Any, alphabet: int) -> None:
    if machine is one_core and not hasattr(os, "sched_setaffinity"):
        pytest.skip("the cores of a process cannot be set")
    expected = train("one thread", alphabet)
    with machine():
        assert all(train(kind, alphabet) == expected for _ in range(5))


def test_a_large_alphabet_is_trained_as_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    losses, windows = [], Windows(TEXT, T)
    for minimum in (0, 1 << 40):
        monkeypatch.setattr(fused, "MIN_LARGE_V_BYTES", minimum)
        losses.append(fused.advance(make_state(LARGE_K), windows, UPDATES, Optimizer(0.1, 5.0)).tobytes())
    assert losses[0] == losses[1]


def test_blocks_of_hidden_units_are_complete_and_fit_a_strip() -> None:
    for threads in (1, 2):
        for vectors in range(1, 20 * MAX_VECTORS):
            blocks = count_blocks(vectors, threads)
            starts = [block_start(block, blocks, vectors) for block in range(blocks + 1)]
            assert (starts[0], starts[-1], blocks % threads) == (0, vectors, 0)
            assert all(0 <= last - first <= MAX_VECTORS for first, last in pairwise(starts))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("strips", [1, 3])
@pytest.mark.parametrize("odd", [-3, -1, 0, 1])
def test_a_large_alphabet_and_many_units(strips: int, odd: int, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    m = (strips * MAX_VECTORS + odd) * BYTES // np.dtype(dtype).itemsize
    trained = []
    for minimum, share in ((0, False), (0, True), (1 << 40, False)):
        monkeypatch.setattr(fused, "MIN_LARGE_V_BYTES", minimum)
        state = TrainState.initial(K, m, 0.1, 400, dtype)
        network, losses = fused.PackedNetwork(state, T, Optimizer(0.1, 5.0)), np.empty(3)
        network.advance(TEXT.view(np.uint8), 1, 0, losses, share=share)
        network.unpack(state)
        trained.append(b"".join(array.tobytes() for array in (losses, *state.parameters.values())))
    assert trained[0] == trained[1] == trained[2]


def test_the_engine_shares_the_work_of_long_trainings(alphabet: int, monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer, windows, results = Optimizer(learning_rate=0.1, grad_clip=5.0), Windows(TEXT, T), []
    assist, calls = fused.PackedNetwork.assist, []

    def count_calls(network: fused.PackedNetwork) -> None:
        calls.append(1)
        assist(network)

    monkeypatch.setattr(fused.PackedNetwork, "assist", count_calls)
    monkeypatch.setattr(fused, "_shared_kinds", set())
    for updates in (100, 100_000):
        state = TrainState.initial(alphabet, M, 0.3, 400, np.float32, optimizer=optimizer)
        NumbaEngine().compile_ahead(state, windows, updates, optimizer)
        losses = NumbaEngine().advance(state, windows, 600, optimizer)
        results.append((losses.tobytes(), *(array.tobytes() for array in state.parameters.values())))
    assert len(calls) > 1  # the first one compiles
    assert results[0] == results[1]


@pytest.mark.slow
@pytest.mark.parametrize("machine", [one_core, busy_cores])
def test_hundreds_of_runs_on_a_busy_machine(machine: Any, alphabet: int) -> None:
    expected = train("one thread", alphabet)
    with machine():
        assert all(train("two threads", alphabet) == expected for _ in range(200))


def test_an_assistant_without_work_ends_and_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "MIN_SHARED_UPDATES", 0)
    monkeypatch.setattr(Timings, "choose", lambda self, modes: modes[-1])
    optimizer, windows, results, started = Optimizer(0.1, 5.0), Windows(TEXT, T), [], []
    start = AutotunedThreadPool.start

    def count_starts(pool: AutotunedThreadPool, task: Any) -> None:
        started.append(1)
        start(pool, task)

    monkeypatch.setattr(AutotunedThreadPool, "start", count_starts)
    for pause in (0.0, 0.5):
        state = TrainState.initial(K, M, 0.3, 400, np.float32, optimizer=optimizer)
        NumbaEngine().compile_ahead(state, windows, 400, optimizer)

        def wait(h: Any, losses: Any, pause: float = pause) -> bool:
            time.sleep(pause)
            return False

        NumbaEngine().advance(state, windows, 400, optimizer, wait)
        results.append(b"".join(array.tobytes() for array in state.parameters.values()))
    assert results[0] == results[1]
    assert len(started) >= 1 + 4 if thread_count() > 1 else not started
