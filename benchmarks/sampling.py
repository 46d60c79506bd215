"""Characters per second of generating a single sample: the engine alone, and `Model.sample`.

python benchmarks/sampling.py
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from elman.engine import get_engine
from elman.model import Model
from elman.network import Architecture, SamplingParams, initial_parameters
from elman.text import Alphabet

K, LENGTH, REPEATS = 76, 200_000, 7


def measure_rate(generate: Callable[[], object]) -> float:
    """Return characters per second, the median of several runs."""
    generate()
    rates = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        generate()
        rates.append(LENGTH / (time.perf_counter() - began))
    return statistics.median(rates)


def measure_network(cell: str, m: int) -> dict[str, object]:
    """Return the rates of one network."""
    net, engine = Architecture(K, m, cell), get_engine("numba")
    parameters = initial_parameters(net, 0.1, np.random.RandomState(1), np.float32)
    session, h = engine.session(parameters), net.zero_state(np.float32, 1)
    uniforms, x = np.random.default_rng(1).random((LENGTH, 1)), np.zeros(1, np.intp)
    alphabet = Alphabet("".join(chr(0x4E00 + k) for k in range(K)))
    model = Model(alphabet, parameters, net.zero_state(np.float32), engine)
    return {
        "cell": cell,
        "m": m,
        "engine": round(measure_rate(lambda: session.generate(h, x, uniforms, [SamplingParams()]))),
        "stream": round(measure_rate(lambda: model.sample(LENGTH, seed=1))),
    }


if __name__ == "__main__":
    from speed import machine

    results = [measure_network(cell, m) for cell, m in (("rnn", 100), ("gru", 128), ("lstm", 256), ("gru", 512))]
    for result in results:
        print(result)
    path = Path(__file__).parent / "results" / "sampling.json"
    path.write_text(json.dumps({"machine": machine(), "results": results}, indent=1) + "\n", encoding="utf-8")
