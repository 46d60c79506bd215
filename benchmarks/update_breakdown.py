"""Breakdown of the time of one update: each part alone, its multiply-adds, and the bytes it reads and writes.

    python benchmarks/update_breakdown.py --m 100 --T 25 --K 76

Each part is compared with the time its multiply-adds would take at the rate of a large matrix product on one core.
A part that runs alone finds its arrays in a warmer cache than within an update, so the parts add up to a little less
than a complete update.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from elman.engine import TrainState, get_engine
from elman.engine.numba.fused import rnn
from elman.engine.numba.fused.engine import make_scratch, pack_accumulators, pack_weights
from elman.engine.numba.fused.softmax import softmax_loss
from elman.engine.numba.jit import kernel
from elman.engine.numba.linalg import tile, vector
from elman.engine.numba.linalg.simd import BYTES
from elman.network import Optimizer
from elman.text import Windows
from elman_update import multiply_adds, product_rate
from speed import machine
from textbook import CLIP, DEVIATION, EPSILON, ETA, SEED, arguments, text

REPEATS, BLOCKS = 300, 15


@kernel
def recurrence_forward(weights, squared_grads, scratch, scalars, x, y, m, K, n):  # type: ignore[no-untyped-def]
    """h_t for every t."""
    m_row = len(weights.b)
    for _ in range(n):
        for t in range(len(x)):
            rnn.recur(scratch.h, t * m_row, t % 2, weights, np.intp(x[t]), m)


@kernel
def forward(weights, squared_grads, scratch, scalars, x, y, m, K, n):  # type: ignore[no-untyped-def]
    """h_t and o_t for every t."""
    for _ in range(n):
        rnn.forward(weights, scratch, x, m)


@kernel
def softmax(weights, squared_grads, scratch, scalars, x, y, m, K, n):  # type: ignore[no-untyped-def]
    """p_t - y_t and the loss."""
    for _ in range(n):
        softmax_loss(scratch.g, y, len(weights.c))


@kernel
def output_backward(weights, squared_grads, scratch, scalars, x, y, m, K, n):  # type: ignore[no-untyped-def]
    """V' g_t for every t."""
    h, m_row, K_row = scratch.h, len(weights.b), len(weights.c)
    vectors = m_row * h.itemsize // BYTES
    columns = tile.strip_width(vectors) * BYTES // h.itemsize
    for _ in range(n):
        tile.multiply(
            scratch.da, m_row, m_row, scratch.zeros, 0, 0, scratch.g, 0, K_row, 1,
            weights.V, 0, columns, K_row * columns, len(x), K, vectors,
        )  # fmt: skip


@kernel
def backward(weights, squared_grads, scratch, scalars, x, y, m, K, n):  # type: ignore[no-untyped-def]
    """V' g_t and da_t for every t."""
    for _ in range(n):
        rnn.backward(weights, scratch, x, m, K)


@kernel
def update_V(weights, squared_grads, scratch, scalars, x, y, m, K, n):  # type: ignore[no-untyped-def]
    """dV, AdaGrad and the transpose."""
    for _ in range(n):
        rnn.update_matrix(
            weights.V, weights.V_columns, squared_grads.V, scratch.g, 0, len(weights.c), scratch.h, len(weights.b),
            scratch.panel, scratch.zeros, scalars, K, len(x), len(weights.b),
        )  # fmt: skip


@kernel
def update_W(weights, squared_grads, scratch, scalars, x, y, m, K, n):  # type: ignore[no-untyped-def]
    """dW, AdaGrad and the transpose."""
    m_row = len(weights.b)
    for _ in range(n):
        rnn.update_matrix(
            weights.W, weights.W_columns, squared_grads.W, scratch.da, m_row, m_row, scratch.h, 0,
            scratch.panel, scratch.zeros, scalars, m, len(x), m_row,
        )  # fmt: skip


@kernel
def update(weights, squared_grads, scratch, scalars, x, y, m, K, n):  # type: ignore[no-untyped-def]
    """The complete AdaGrad step."""
    for _ in range(n):
        rnn.update(weights, squared_grads, scratch, scalars, x, m, K)


@kernel
def adagrad_W(weights, squared_grads, scratch, scalars, x, y, m, K, n):  # type: ignore[no-untyped-def]
    """AdaGrad over m x m weights, for a given gradient."""
    vectors = len(weights.W) * scratch.h.itemsize // BYTES
    for _ in range(n):
        vector.adagrad(
            weights.W, 0, squared_grads.W, 0, weights.W_columns, 0, vectors, scalars.rate, scalars.clip, scalars.epsilon
        )  # fmt: skip


class _Bench:
    """The inputs of all parts, and the clock."""

    def __init__(self, m: int, T: int, K: int) -> None:
        state = TrainState.initial(K, m, DEVIATION, SEED, "float32")
        self.weights, self.squared_grads = pack_weights(state.parameters), pack_accumulators(state.M)
        self.scratch = make_scratch(self.weights, state.h, T)
        self.scalars = rnn.AdagradScalars(np.float32(ETA), np.float32(CLIP), np.float32(EPSILON))
        indices = text(K, T + 1).astype(np.min_scalar_type(K - 1))
        self.x, self.y, self.m, self.K = indices[:-1], indices[1:], m, K
        self.generator = np.random.default_rng(1)

    def microseconds(self, part: Callable[..., Any]) -> float:
        """Return the median time of one part, with new random inputs for every block."""
        arguments = (self.weights, self.squared_grads, self.scratch, self.scalars, self.x, self.y, self.m, self.K)
        part(*arguments, 1)
        times = []
        for _ in range(BLOCKS):
            for array, size in ((self.scratch.da, 0.01), (self.scratch.g, 0.01), (self.scratch.h, 0.1)):
                array[:] = self.generator.normal(size=len(array)) * size
            start = time.perf_counter()
            part(*arguments, REPEATS)
            times.append((time.perf_counter() - start) / REPEATS)
        return 1e6 * statistics.median(times)


def time_update(m: int, T: int, K: int) -> float:
    """Return the median time of one update among many, in microseconds."""
    updates = 2000
    windows = Windows(text(K, (BLOCKS + 1) * updates * T + 1).astype(np.min_scalar_type(K - 1)), T)
    state, engine, rule = (
        TrainState.initial(K, m, DEVIATION, SEED, "float32"),
        get_engine("numba"),
        Optimizer(ETA, CLIP),
    )
    engine.advance(state, windows, updates, rule)
    times = []
    for _ in range(BLOCKS):
        start = time.perf_counter()
        engine.advance(state, windows, updates, rule)
        times.append((time.perf_counter() - start) / updates)
    return 1e6 * statistics.median(times)


def measure(m: int, T: int, K: int) -> dict[str, Any]:
    """Return the times of the parts and of a complete update, and the rate of a large product."""
    bench = _Bench(m, T, K)
    rate = statistics.median(product_rate("float32") for _ in range(9))
    t = {
        part.__name__: bench.microseconds(part)
        for part in (
            recurrence_forward,
            forward,
            softmax,
            output_backward,
            backward,
            update_V,
            update_W,
            update,
            adagrad_W,
        )
    }
    float32, product_V, product_W = 4, T * m * K, T * m * m
    rows = [
        # name, microseconds, multiply-adds, bytes read and written
        ("recurrence forward", t["recurrence_forward"], product_W, float32 * T * m * m),
        ("logits", t["forward"] - t["recurrence_forward"], product_V, float32 * m * K),
        ("softmax and loss", t["softmax"], 0, 3 * 4 * T * K),
        ("V' g", t["output_backward"], product_V, float32 * m * K),
        ("recurrence backward", t["backward"] - t["output_backward"], product_W, float32 * T * m * m),
        ("dV, AdaGrad, transpose", t["update_V"], product_V, 5 * 4 * m * K),
        ("dW, AdaGrad, transpose", t["update_W"], product_W, 5 * 4 * m * m),
        ("dU, biases", t["update"] - t["update_V"] - t["update_W"], 0, 5 * 4 * T * m),
    ]
    parts = [
        {
            "part": name,
            "microseconds": time_,
            "multiply_adds": operations,
            "bytes": moved,
            "at_product_rate": 1e6 * operations / rate,
        }
        for name, time_, operations, moved in rows
    ]
    return {
        "sizes": {"m": m, "T": T, "K": K},
        "product_rate": rate,
        "floor_microseconds": 1e6 * multiply_adds(m, T, K) / rate,
        "whole_microseconds": time_update(m, T, K),
        "adagrad_W_microseconds": t["adagrad_W"],
        "parts": parts,
    }


def main() -> None:
    """Measure, print and write."""
    options = arguments()
    result = measure(options["m"], options["T"], options["K"])
    print(f"floor {result['floor_microseconds']:.1f} µs, complete update {result['whole_microseconds']:.1f} µs")
    for part in result["parts"]:
        print(f"  {part['part']:24} {part['microseconds']:6.2f} µs   at product rate {part['at_product_rate']:6.2f} µs")
    path = Path(__file__).parent / "results" / "update_breakdown.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), **result}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
