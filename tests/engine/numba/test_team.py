"""A team of threads computes what one thread does, bit for bit, however the operating system schedules them."""

import os
import threading
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from elman.engine import TrainState
from elman.engine.numba import thread_pool
from elman.engine.numba.batched import network, team, updates
from elman.engine.numba.batched.engine import advance
from elman.engine.numba.thread_pool import Mode, Timings
from elman.network import Dropout, Optimizer
from elman.text import Windows
from support.cores import busy_cores, one_core

K, T = 20, 7
TEXT = np.random.default_rng(1).integers(0, K, 400).astype(np.uint8)


def train(
    monkeypatch: pytest.MonkeyPatch, mode: Mode, cell: str = "gru", B: int = 2, layers: int = 1, threads: int = 2,
    dropout: Dropout | None = None, reset_at: int | None = None,
) -> bytes:  # fmt: skip
    """Return the losses and parameters after 20 updates in one mode; an epoch has fewer."""
    for module in (thread_pool, network):
        monkeypatch.setattr(module, "thread_count", lambda: threads)
    monkeypatch.setattr(Timings, "choose", lambda self, modes: modes[list(Mode).index(mode)])
    optimizer = Optimizer(0.01, 1.0, "adam", "norm", dropout=dropout, ema_decay=0.9)
    state = TrainState.initial(
        K, 100, 0.3, 400, np.float32, cell=cell, batch_size=B, layers=layers, optimizer=optimizer
    )
    state.parameters = replace(state.parameters, reset_at=reset_at)
    losses = advance(state, Windows(TEXT, T, B), 20, optimizer)
    arrays = (losses, state.h, *state.parameters.values(), *state.M.values(), *state.average.values())
    return b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)


@pytest.mark.parametrize("mode", [Mode.TASKS, Mode.TEAM])
@pytest.mark.parametrize(
    "options",
    [
        {"cell": "lstm", "B": 1},
        {"cell": "rnn", "B": 3, "layers": 2},
        {"B": 9, "layers": 2, "dropout": Dropout(0.2, False, 7)},
        {"cell": "lstm", "B": 2, "layers": 2, "dropout": Dropout(0.2, True, 7), "reset_at": 3},
        {"B": 1, "reset_at": 3},
        {"cell": "lstm", "B": 8, "threads": 3},
    ],
)
def test_the_bits_are_those_of_one_thread(mode: Mode, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = train(monkeypatch, Mode.SERIAL, **options)
    assert train(monkeypatch, mode, **options) == expected


@pytest.mark.parametrize("machine", [one_core, busy_cores])
def test_busy_cores_change_no_bit(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if machine is one_core and not hasattr(os, "sched_setaffinity"):
        pytest.skip("the cores of a process cannot be set")
    expected = train(monkeypatch, Mode.SERIAL)
    with machine():
        assert all(train(monkeypatch, Mode.TEAM) == expected for _ in range(3))


def test_the_units_of_a_layer_are_divided() -> None:
    threads = team.make_team(3, 112, 16)
    assert [(thread.first, thread.last) for thread in threads] == [(0, 32), (32, 64), (64, 112)]


def test_an_interrupt_ends_the_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    run = updates._run_updates

    def interrupt(*arguments: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        run(*arguments)

    train(monkeypatch, Mode.TEAM)
    monkeypatch.setattr(updates, "_run_updates", interrupt)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        train(monkeypatch, Mode.TEAM)
    assert threading.active_count() == before


@pytest.mark.slow
@pytest.mark.parametrize("machine", [nullcontext, one_core, busy_cores])
def test_hundreds_of_runs_on_a_busy_machine(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = train(monkeypatch, Mode.SERIAL, B=8)
    with machine():
        assert all(train(monkeypatch, Mode.TEAM, B=8) == expected for _ in range(200))
