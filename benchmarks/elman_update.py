"""Time of one update of the reference experiment by Elman's compiled engine, and the machine's lower bound.

The lower bound ("floor") is the time that 3 T m (m + K) multiply-adds take at the rate of a large matrix product with
NumPy's BLAS on one core, measured between the blocks: no arrangement of the same sums can be much faster.

    python elman_update.py --m 100 --T 25 --K 76 --updates 2000 --repeats 5 --threads 1
"""

from __future__ import annotations

import json
import time
from typing import Any

import numba
import numpy as np

from elman.engine import TrainState
from elman.engine.numba.engine import NumbaEngine
from elman.network import Architecture, Optimizer, initial_parameters
from elman.text import Windows
from textbook import CLIP, DEVIATION, ETA, SEED, arguments, stopwatch, text, versions

_SIDE = 1024


def multiply_adds(m: int, T: int, K: int) -> int:
    """Multiply-adds of one update: every product with W and with V, forward, backward and for the gradient."""
    return 3 * T * m * (m + K)


def product_rate(dtype: str) -> float:
    """Return the multiply-adds per second of one large product."""
    a, b, c = (np.full((_SIDE, _SIDE), 0.5, dtype) for _ in range(3))
    start = time.perf_counter()
    np.dot(a, b, out=c)
    return _SIDE**3 / (time.perf_counter() - start)


def time_update(m: int, T: int, K: int, updates: int, repeats: int, dtype: str = "float32") -> dict[str, Any]:
    """Time one update; see `textbook.time_update`. Adds "floor_seconds", one per repeat."""
    windows = Windows(text(K, (repeats + 1) * updates * T + 1).astype(np.min_scalar_type(K - 1)), T)
    parameters = initial_parameters(Architecture(K, m), DEVIATION, np.random.RandomState(SEED), dtype)
    state, engine = TrainState.initial(parameters, SEED), NumbaEngine()
    product_rate(dtype)  # warms up the BLAS
    floors: list[float] = []

    def train(first: int) -> list[float]:
        return [float(loss) for loss in engine.advance(state, windows, updates, Optimizer(ETA, CLIP))]

    def measure_floor() -> None:
        floors.append(multiply_adds(m, T, K) / product_rate(dtype))

    result = stopwatch(train, updates, repeats, between=measure_floor)
    result |= {"floor_seconds": floors[1:], "versions": versions(numpy=np.__version__, numba=numba.__version__)}
    return result


if __name__ == "__main__":
    print(json.dumps(time_update(**arguments())))
