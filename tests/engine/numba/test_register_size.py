"""Registers of 64 bytes give the bits that those of 32 give."""

import hashlib
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from llvmlite import binding

from elman.engine import get_engine
from elman.engine.numba import simd
from elman.network import Optimizer
from elman.text import Windows
from support.networks import make_state

NETWORKS: list[dict[str, Any]] = [
    {"dtype": np.float32, "cell": "rnn", "m": 100, "K": 76, "B": 1, "optimizer": "adagrad"},
    {"dtype": np.float64, "cell": "rnn", "m": 37, "K": 30, "B": 1, "optimizer": "adagrad"},
    {"dtype": np.float32, "cell": "rnn", "m": 300, "K": 300, "B": 1, "optimizer": "adagrad"},
    {"dtype": np.float32, "cell": "gru", "m": 100, "K": 65, "B": 32, "optimizer": "muon", "layers": 2},
    {"dtype": np.float64, "cell": "gru", "m": 20, "K": 65, "B": 3, "optimizer": "adam"},
    {"dtype": np.float32, "cell": "lstm", "m": 50, "K": 65, "B": 7, "optimizer": "adam"},
]
T, UPDATES = 11, 20


def train(dtype: type[np.floating], cell: str, m: int, K: int, B: int, optimizer: str, layers: int = 1) -> str:
    """Return a digest of the parameters and losses after some updates."""
    adagrad = optimizer == "adagrad"
    steps = Optimizer(0.1, 5.0) if adagrad else Optimizer(0.01, 5.0, optimizer, "norm")
    state = make_state(K, m, 0.1, 1, dtype, cell=cell, batch_size=B, layers=layers, optimizer=steps)
    text = np.random.default_rng(1).integers(0, K, B * T * 10 + 1).astype(np.min_scalar_type(K - 1))
    losses = get_engine("numba").advance(state, Windows(text, T, B), UPDATES, steps)
    arrays = [np.asarray(losses), *(array for _, array in sorted(state.parameters.items()))]
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def digests() -> str:
    """Return those of all networks, a line each, behind the size of a register."""
    return "\n".join([str(simd.REGISTER_BYTES), *(train(**network) for network in NETWORKS)])


@pytest.mark.slow  # compiles everything for another processor
@pytest.mark.skipif(simd.REGISTER_BYTES == simd.BYTES, reason="the processor has no larger registers")
def test_registers_of_64_bytes_give_the_bits_of_32() -> None:
    features = binding.get_host_cpu_features()
    without = {name: present and "avx512" not in name for name, present in features.items()}
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path),  # `support`
        "NUMBA_CPU_NAME": binding.get_host_cpu_name(),
        "NUMBA_CPU_FEATURES": ",".join(f"{'+' if present else '-'}{name}" for name, present in without.items()),
    }
    there = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=True)
    size, *expected = there.stdout.split()
    assert int(size) == simd.BYTES
    assert digests().split() == [str(simd.REGISTER_BYTES), *expected]


if __name__ == "__main__":
    print(digests())
