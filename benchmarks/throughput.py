"""Training throughput in characters per second: Elman's LSTM and GRU against PyTorch's, JAX and the machine's sgemm.

    python benchmarks/throughput.py             LSTM and GRU of 256 units, batch size 32, T = 64
    python benchmarks/throughput.py --curve     hidden sizes 64 to 1024 and batch sizes 1 to 128

An update is the forward and backward pass, clipping of the gradient norm, and Adam, in float32 on all cores; JAX
(`peer_jax_batched.py`) also runs with one thread, and the faster counts. Contenders that are installed run in
processes of their own, in alternating rounds; ratios are of medians over the rounds. The fraction of
sgemm counts 3 T B (G m^2 + m K) multiply-adds per update (recurrent and output products, forward and twice backward)
at the rate of a 2048 x 2048 product on all cores, measured in the same process, before and after. Results are written
to ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
K, T = 65, 64
GATES = {"lstm": 4, "gru": 3}


def sgemm_rate() -> float:
    """Return the multiply-adds per second of a large product on all cores, the median of several."""
    n = 2048
    a, b, c = (np.ones((n, n), np.float32) for _ in range(3))
    rates = []
    for _ in range(5):
        began = time.perf_counter()
        np.matmul(a, b, out=c)
        rates.append(n**3 / (time.perf_counter() - began))
    return statistics.median(rates)


def elman_rate(cell: str, m: int, B: int, seconds: float) -> dict[str, float]:
    """Return Elman's characters per second and the rate of sgemm in the same process."""
    from elman.engine import TrainState, get_engine
    from elman.network import Optimizer
    from elman.text import Windows
    from elman.training.loop import TICK_SECONDS

    optimizer = Optimizer(1e-3, 64.0, "adam", "norm")
    state = TrainState.initial(K, m, 0.1, 1, np.float32, cell=cell, batch_size=B, optimizer=optimizer)
    text = np.random.default_rng(1).integers(0, K, B * T * 50 + 1, dtype=np.uint8)
    engine, windows = get_engine("numba"), Windows(text, T, B)
    engine.advance(state, windows, 8, optimizer)
    began = time.perf_counter()
    engine.advance(state, windows, 8, optimizer)
    per_call = max(8, round(8 * TICK_SECONDS / (time.perf_counter() - began)))  # as in a training
    updates, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        engine.advance(state, windows, per_call, optimizer)
        updates += per_call
    took = time.perf_counter() - began
    # The threads of NumPy's BLAS go on spinning for 0.1 s after a product, so it is measured behind the training.
    return {"chars_per_second": updates * B * T / took, "sgemm": sgemm_rate()}


def torch_rate(cell: str, m: int, B: int, seconds: float) -> dict[str, float]:
    """Return PyTorch's characters per second, with an embedding before `nn.LSTM` or `nn.GRU`."""
    import torch
    from torch import nn

    torch.set_num_threads(os.cpu_count() or 1)
    embedding, output = nn.Embedding(K, m), nn.Linear(m, K)
    recurrent = nn.LSTM(m, m) if cell == "lstm" else nn.GRU(m, m)
    theta = [p for module in (embedding, recurrent, output) for p in module.parameters()]
    adam = torch.optim.Adam(theta, lr=1e-3)
    state: Any = None
    updates, began = -3, time.perf_counter()
    while updates <= 0 or time.perf_counter() - began < seconds:
        if updates == 0:
            began = time.perf_counter()
        x, y = torch.randint(0, K, (2, T, B))
        h, state = recurrent(embedding(x), state)
        state = tuple(part.detach() for part in state) if cell == "lstm" else state.detach()
        loss = nn.functional.cross_entropy(output(h).reshape(T * B, K), y.reshape(-1))
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(theta, 1.0)
        adam.step()
        updates += 1
    return {"chars_per_second": updates * B * T / (time.perf_counter() - began)}


def run_contender(who: str, cell: str, m: int, B: int, seconds: float) -> dict[str, float]:
    """Run one contender in a process of its own."""
    command = [sys.executable, __file__, "--one", who, cell, str(m), str(B), "--seconds", str(seconds)]
    environment = dict(os.environ)
    if who.startswith("jax"):
        options = ["--m", str(m), "--B", str(B), "--T", str(T), "--K", str(K), "--seconds", str(seconds)]
        command = [sys.executable, str(HERE / "peer_jax_batched.py"), cell, *options]
    if who == "jax, one thread":
        environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300, env=environment).stdout
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    return figures


def compare(cell: str, m: int, B: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Compare the contenders at one size."""
    peers = {"torch": ["torch"], "jax": ["jax", "jax, one thread"]}
    installed = {name: variants for name, variants in peers.items() if find_spec(name)}
    names = ["elman", *(variant for variants in installed.values() for variant in variants)]
    trials = [{who: run_contender(who, cell, m, B, seconds) for who in names} for _ in range(rounds)]
    rates = {who: statistics.median(trial[who]["chars_per_second"] for trial in trials) for who in names}
    ours = rates["elman"]
    work = 3 * (GATES[cell] * m * m + m * K)
    result: dict[str, Any] = {
        "cell": cell,
        "m": m,
        "B": B,
        "T": T,
        "chars_per_second": round(ours),
        "share_of_sgemm": round(
            statistics.median(trial["elman"]["chars_per_second"] * work / trial["elman"]["sgemm"] for trial in trials),
            3,
        ),
    }
    for peer, variants in installed.items():
        theirs = max(rates[variant] for variant in variants)
        result |= {f"{peer}_chars_per_second": round(theirs), f"times_{peer}": round(ours / theirs, 2)}
    return result


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curve", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--one", nargs=4, metavar=("WHO", "CELL", "M", "B"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        who, cell, m, B = options.one
        rate = elman_rate if who == "elman" else torch_rate
        print(json.dumps(rate(cell, int(m), int(B), options.seconds)))
        return
    sizes = [(cell, 256, 32) for cell in GATES]
    if options.curve:
        sizes = [(cell, m, 32) for cell in GATES for m in (64, 128, 256, 512, 1024)]
        sizes += [(cell, 256, B) for cell in GATES for B in (1, 4, 8, 16, 64, 128)]
    results = []
    for cell, m, B in sizes:
        results.append(compare(cell, m, B, options.rounds, options.seconds))
        print(results[-1], flush=True)
    from speed import machine

    path = HERE / "results" / ("throughput_curve.json" if options.curve else "throughput.json")
    path.write_text(json.dumps({"machine": machine(), "results": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
