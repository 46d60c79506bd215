"""Two threads compute what one does, bit for bit, however the operating system schedules them."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import pytest

from elman.engine import TrainState
from elman.engine.numba import thread_pool
from elman.engine.numba.engine import NumbaEngine
from elman.engine.numba.fused import engine as fused
from elman.engine.numba.fused import rnn, shared
from elman.engine.numba.fused.rnn import AdagradScalars
from elman.engine.numba.thread_pool import AutotunedThreadPool, Timings
from elman.network import Optimizer
from elman.network.parameters import Parameters
from elman.text import Windows
from support.cores import busy_cores, one_core

M, T, K, UPDATES = 20, 12, 30, 40
TEXT = np.random.default_rng(1).integers(0, K, 300).astype(np.uint8)


def make_network(dtype: Any = np.float32) -> tuple[Any, ...]:
    """Return the packed weights, accumulators and workspace of a network, and the scalars of AdaGrad."""
    generator = np.random.default_rng(2)
    shapes = {"U": (M, K), "W": (M, M), "V": (K, M), "b": (M,), "c": (K,)}
    arrays = {name: generator.normal(0, 0.3, shape).astype(dtype) for name, shape in shapes.items()}
    weights = fused.pack_weights(Parameters("rnn", arrays))
    squared_grads = fused.pack_accumulators({name: np.zeros_like(array) for name, array in arrays.items()})
    scalars = AdagradScalars(*(np.dtype(dtype).type(x) for x in (0.1, 5.0, 1e-8)))
    return weights, squared_grads, fused.make_scratch(weights, np.zeros(M, dtype), T), scalars


def train(kind: str) -> bytes:
    """Return the losses and weights after some updates by one thread, or by one or two of the kernels for two."""
    network, losses = make_network(), np.empty(UPDATES)
    arguments = (*network, TEXT.view(np.uint8), 1, 0, T, M, K, losses)
    if kind == "one thread":
        rnn.advance(*arguments)
    else:
        queue = shared.make_queue()
        with ThreadPoolExecutor(1) as executor:
            assistant = partial(shared.assist, queue, *network, T, M, K)
            future = executor.submit(assistant) if kind == "two threads" else None
            shared.advance(queue, *arguments)
            shared.stop_assistant(queue)
            if future:
                future.result()
    return b"".join(array.tobytes() for array in (losses, *network[0], *network[1]))


@pytest.mark.parametrize("kind", ["alone", "two threads"])
@pytest.mark.parametrize("machine", [nullcontext, one_core, busy_cores])
def test_the_bits_are_those_of_one_thread(kind: str, machine: Any) -> None:
    if machine is one_core and not hasattr(os, "sched_setaffinity"):
        pytest.skip("the cores of a process cannot be set")
    expected = train("one thread")
    with machine():
        assert all(train(kind) == expected for _ in range(5))


def test_the_engine_shares_the_work_of_long_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer, windows, results = Optimizer(learning_rate=0.1, grad_clip=5.0), Windows(TEXT, T), []
    assist, calls = shared.assist, []

    def count_calls(*arguments: Any) -> None:
        calls.append(1)
        assist(*arguments)

    monkeypatch.setattr(shared, "assist", count_calls)
    monkeypatch.setattr(fused, "_shared_kinds", set())
    for updates in (100, 100_000):
        state = TrainState.initial(K, M, 0.3, 400, np.float32, optimizer=optimizer)
        NumbaEngine().compile_ahead(state, windows, updates, optimizer)
        losses = NumbaEngine().advance(state, windows, 600, optimizer)
        results.append((losses.tobytes(), *(array.tobytes() for array in state.parameters.values())))
    assert len(calls) > 1  # the first one compiles
    assert results[0] == results[1]


@pytest.mark.slow
@pytest.mark.parametrize("machine", [one_core, busy_cores])
def test_hundreds_of_runs_on_a_busy_machine(machine: Any) -> None:
    expected = train("one thread")
    with machine():
        assert all(train("two threads") == expected for _ in range(200))


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
    assert len(started) >= 1 + 4 if thread_pool.thread_count() > 1 else not started
