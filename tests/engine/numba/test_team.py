"""A team of threads computes what one thread does, bit for bit, however the operating system schedules them."""

import os
import subprocess
import sys
import threading
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
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

K = 20
TEXT = np.random.default_rng(1).integers(0, K, 400).astype(np.uint8)


def train(
    monkeypatch: pytest.MonkeyPatch, mode: Mode, cell: str = "gru", B: int = 2, layers: int = 1, threads: int = 2,
    dropout: Dropout | None = None, reset_at: int | None = None, name: str = "adam", clip: str = "norm",
    weight_decay: float = 0.0, dtype: type = np.float32, T: int = 7, pieces: tuple[int, ...] = (20,),
) -> bytes:  # fmt: skip
    """Return the losses and parameters after 20 updates in one mode; an epoch has fewer."""
    for module in (thread_pool, network):
        monkeypatch.setattr(module, "thread_count", lambda: threads)
    monkeypatch.setattr(Timings, "choose", lambda self, modes: modes[list(Mode).index(mode)])
    optimizer = Optimizer(0.01, 1.0, name, clip, dropout=dropout, ema_decay=0.9, weight_decay=weight_decay)
    state = TrainState.initial(K, 100, 0.3, 400, dtype, cell=cell, batch_size=B, layers=layers, optimizer=optimizer)
    state.parameters = replace(state.parameters, reset_at=reset_at)
    losses = np.concatenate([advance(state, Windows(TEXT, T, B), n, optimizer) for n in pieces])
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
        {"name": "adagrad", "weight_decay": 0.01, "clip": "value", "dtype": np.float64},
        {"name": "sgd", "weight_decay": 0.01, "pieces": (3, 1, 16)},
        {"name": "rmsprop", "clip": "value", "T": 1},
        {"name": "adamw", "weight_decay": 0.01, "B": 9, "pieces": (1, 19)},
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


@pytest.mark.parametrize("in_main_thread", [True, False])
def test_an_exception_in_one_thread_ends_the_others(in_main_thread: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    run = updates._run_updates

    def interrupt(*arguments: Any) -> None:
        if (threading.current_thread() is threading.main_thread()) == in_main_thread:
            raise KeyboardInterrupt
        run(*arguments)

    train(monkeypatch, Mode.TEAM)
    monkeypatch.setattr(updates, "_run_updates", interrupt)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        train(monkeypatch, Mode.TEAM)
    assert threading.active_count() == before


TRAIN = """
import hashlib, sys
import numpy as np
from elman.engine import TrainState, get_engine
from elman.network import Optimizer
from elman.text import Windows

text = np.random.default_rng(1).integers(0, 20, 400).astype(np.uint8)
for name in sys.argv[1:]:
    optimizer = Optimizer(0.01, 1.0, name, "norm", weight_decay=0.01)
    state = TrainState.initial(20, 40, 0.3, 400, np.float32, cell="gru", batch_size=2, optimizer=optimizer)
    get_engine("numba").advance(state, Windows(text, 7, 2), 12, optimizer)
    digest = hashlib.sha256(b"".join(array.tobytes() for array in state.parameters.values())).hexdigest()
print(digest)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adagrad", "adamw"])
def test_the_bits_are_those_of_kernels_that_another_process_or_training_has_compiled(name: str, tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "ELMAN_CACHE": str(tmp_path)}
    digests = {
        subprocess.run(
            [sys.executable, "-c", TRAIN, *names], env=environment, check=True, capture_output=True, text=True
        ).stdout
        for names in ([name], [name], ["muon", name], ["sgd", name])
    }
    assert len(digests) == 1


@pytest.mark.slow
@pytest.mark.parametrize("machine", [nullcontext, one_core, busy_cores])
def test_hundreds_of_runs_on_a_busy_machine(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = train(monkeypatch, Mode.SERIAL, B=8)
    with machine():
        assert all(train(monkeypatch, Mode.TEAM, B=8) == expected for _ in range(200))
