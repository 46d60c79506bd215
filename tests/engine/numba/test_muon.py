"""Muon in the compiled engine, beyond the conformance test: the shares of threads, and the arrays it leaves alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from elman.engine import TrainState, get_engine
from elman.engine.numba.batched import muon
from elman.network import Optimizer
from elman.network.muon import is_hidden_matrix
from elman.text import Windows
from support.state import snapshot

MUON = Optimizer(0.01, 1.0, "muon", "norm", weight_decay=0.1, ema_decay=0.9)
T, B = 6, 9
WINDOWS = Windows(np.random.default_rng(1).integers(0, 7, 500).astype(np.uint8), T, B)


def initial_state(cell: str, layers: int, dtype: type[np.floating] = np.float32) -> TrainState:
    return TrainState.initial(7, 20, 0.3, 400, dtype, cell=cell, layers=layers, batch_size=B, optimizer=MUON)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("layers", [1, 2])
def test_any_number_of_threads_computes_the_same(cell: str, layers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One to four, with blocks left over for all threads together; the first updates try all and one."""
    monkeypatch.setattr(muon, "SHARED_SIZE", 1)
    start, results = initial_state(cell, layers), []
    for threads in (1, 2, 3, 4):
        monkeypatch.setenv("NUMBA_NUM_THREADS", str(threads))
        state = copy.deepcopy(start)
        losses = get_engine("numba").advance(state, WINDOWS, 12, MUON)
        results.append((losses.tobytes(), snapshot(state)))
    assert results.count(results[0]) == 4


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_hidden_matrices_have_no_second_moment(engine: str) -> None:
    state = initial_state("gru", 2)
    get_engine(engine).advance(state, WINDOWS, 5, MUON)
    for name, M in state.M.items():
        assert M.any() != is_hidden_matrix(name), name
        assert state.N[name].any(), name
