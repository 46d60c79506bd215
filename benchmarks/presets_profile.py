"""Where the time of the presets goes, what share of the processor they use, and PyTorch and JAX beside them.

    python benchmarks/presets_profile.py TEXT [--seconds 2.5]

Measured are trainings like those of `elman train --preset`, without validation and samples: the duration of an update
on one thread and on two, with the n-gram prior and without; its parts, by kernels with timers (`kernel_marks.py`),
which are compiled anew; and the rate of multiply-adds of the engine's own tile of a product. The multiply-adds of an
update are those of its matrix products, a symmetric product of Newton-Schulz counted as one half. Peers train the same
network by the same optimizer, without prior and average of weights, if they are installed (``pip install '.[peers]'``).
Each process is one contender. Results are written to ``benchmarks/results/presets_profile.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "presets_profile.json"
NAMES = ("quick", "minute", "strong")
LARGE_ALPHABET, LARGE_CHARACTERS = 5000, 1_000_000
"""Of the random text that `minute` is trained on, too."""
WARMUP_SECONDS = 0.5
"""In which the engine tries its plans."""
TRIALS = 150
"""Of the product whose rate is that of the tile; together about three seconds, as the speed of a machine varies."""
NETWORK = {"m": "hidden_size", "layers": "layers", "B": "batch_size", "T": "seq_length", "optimizer": "optimizer"}
"""The options of peers, and the settings that they are."""

Result = dict[str, Any]


# --- Elman, in a process of its own ---


def train(text: str, preset: str, threads: int, seconds: float, **options: Any) -> Result:
    """Train in this process for some seconds; return the duration of an update, what is in it, and where it goes."""
    import elman
    from elman.engine.numba import threads as teams
    from elman.engine.numba import training
    from elman.engine.numba.workspace import BatchedNetwork
    from elman.recipe import PRESETS
    from kernel_marks import COUNTERS, K_ROW, KERNEL, M_ROW, count_cycles, shares

    class Clock(elman.TrainingCallback):
        """Measures from the first progress after the warm-up to the last."""

        first = begun = seconds = 0.0
        update = updates = cycle = cycles = 0
        counters: list[int]

        def on_progress(self, run: elman.Run, updates: int) -> None:
            """See the class."""
            now, update = time.perf_counter(), run.state.update
            self.first = self.first or now
            if self.begun:
                self.seconds, self.updates = now - self.begun, update - self.update
                self.counters, self.cycles = COUNTERS.tolist(), count_cycles() - self.cycle
            elif now - self.first > WARMUP_SECONDS:
                self.begun, self.update, self.cycle, COUNTERS[:K_ROW] = now, update, count_cycles(), 0

        def should_stop(self) -> bool:
            """See the class."""
            return self.seconds > seconds

    class Recorded(BatchedNetwork):
        """A network of which the latest one is remembered."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            latest[:] = [self]

    latest = list[BatchedNetwork]()
    setattr(training, "BatchedNetwork", Recorded)  # noqa: B010 (a type checker would not have it)
    setattr(teams, "thread_count", lambda: threads)  # noqa: B010
    teams._timings.clear()
    # All settings are passed, so that the recipe does not fit the network to the number of threads.
    settings = {**PRESETS[preset].settings, "preset": preset, "sample_every": 0, "validation": 0.0, **options}
    run, clock = elman.train(text, max_updates=2, **settings), Clock()  # compiles
    config, K, network = run.config, len(run.corpus.alphabet), latest[0]
    COUNTERS[M_ROW], COUNTERS[K_ROW] = network.sizes.m_row, network.sizes.K_row
    elman.train(text, callback=clock, **settings)
    update_seconds = clock.seconds / clock.updates
    parts = shares(clock.counters, threads, clock.cycles) if clock.counters[KERNEL] else {}
    return {
        "preset": preset,
        "threads": threads,
        "precision": "float32" if network.packed_dtype == network.dtype else "bfloat16",
        "prior": config.ngram_start == 0,
        "update_seconds": update_seconds,
        "chars_per_second": round(config.chars_per_update / update_seconds),
        "multiply_adds": multiply_adds(config, K),
        "parts": {name: share * update_seconds for name, share in parts.items()},
        "network": {name: getattr(config, key) for name, key in NETWORK.items()} | {"K": K},
    }


def multiply_adds(config: Any, K: int) -> dict[str, int]:
    """Return the multiply-adds of an update of a GRU: of its products, and of Newton-Schulz."""
    from elman.network.optimizer import NEWTON_SCHULZ_STEPS

    m, matrices = config.hidden_size, 3 * (2 * config.layers - 1)
    products = 3 * config.chars_per_update * (matrices * m * m + m * K)
    orthogonal = NEWTON_SCHULZ_STEPS * matrices * 2 * m**3 if config.optimizer == "muon" else 0
    return {"products": products, "newton_schulz": orthogonal}


def peak(precision: str, threads: int) -> float:
    """Return the multiply-adds per second of a product of a GRU of 256 units, the best of several trials."""
    from elman.engine.numba.layout import W_FORWARD
    from elman.engine.numba.panels import Panels, entire, multiply_panels
    from elman.engine.numba.tile import Matrix
    from elman.engine.numba.workspace import BatchedNetwork
    from elman.jit import kernel
    from elman.network import Architecture, initial_parameters

    rows, m, times, seconds = 192, 256, 40, []

    @kernel
    def repeat(net, gates, zeros, h, scratch):  # type: ignore[no-untyped-def]
        sizes = net.sizes
        for _ in range(times):
            multiply_panels(
                Matrix(gates, 0, sizes.gates_row), Matrix(zeros, 0, 0), Matrix(h, 0, m),
                Panels(net.packed, net.offsets[0, W_FORWARD], sizes.panel_width), rows, m, 3 * m, entire(3 * m),
                scratch, 0,
            )  # fmt: skip

    def operands() -> tuple[Any, ...]:
        parameters = initial_parameters(Architecture(65, m, "gru"), 0.1, np.random.RandomState(1), np.float32)
        network = BatchedNetwork(parameters, 64, 32, backward=True, mixed_precision=precision == "bfloat16")
        each = network.workspaces
        return network.net, each.gates[0], each.zeros[0], each.h[0], each.scratch

    arrays = [operands() for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(TRIALS):
            began = time.perf_counter()
            list(pool.map(lambda each: repeat(*each), arrays))
            seconds.append(time.perf_counter() - began)
    return threads * times * rows * m * 3 * m / min(seconds)


def answer(request: Result) -> Any:
    """Do what the main process asks this one for."""
    from elman.jit import cache

    if request.get("uncached"):
        cache.find_digest = lambda module: None  # type: ignore[assignment]
    if request.get("marked"):
        import kernel_marks

        kernel_marks.install()
    if "peaks" in request:
        return [peak(*one) for one in request["peaks"]]
    return [train(**one) for one in request["trainings"]]


# --- The main process ---


def run(command: list[str], **environment: str) -> Any:
    """Run a contender and return what it printed last."""
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=os.environ | environment)
    return json.loads(done.stdout.splitlines()[-1])


def ask(request: Result) -> Any:
    """Have a process of its own answer a request."""
    return run([sys.executable, __file__, "--answer", json.dumps(request)])


def show(result: Result) -> None:
    """Print one training."""
    rate = sum(result["multiply_adds"].values()) / result["update_seconds"] / 1e9
    print(
        f"{result['preset']:7} {result['precision']}, {'with' if result['prior'] else 'without'} prior, threads:"
        f" {result['threads']}; {1e3 * result['update_seconds']:.3f} ms, {result['chars_per_second']:,} characters/s,"
        f" {rate:.0f} G multiply-adds/s",
        flush=True,
    )
    for name, seconds in result["parts"].items():
        print(f"    {1e3 * seconds:8.3f} ms  {seconds / result['update_seconds']:4.0%}  {name}", flush=True)


def peers(network: Result, seconds: float, cores: int) -> Result:
    """Return the characters per second of each peer, the fastest of its variants."""
    sizes = [part for name, value in network.items() for part in (f"--{name}", str(value))]
    sizes += ["--seconds", str(seconds)]
    found: Result = {}
    for dtype in ("float32", "bfloat16") if find_spec("torch") else ():
        command = [sys.executable, str(HERE / "peer_torch_batched.py"), *sizes, "--dtype", dtype]
        found[f"torch_{dtype}"] = [run([*command, "--threads", str(n)]) for n in sorted({1, cores})]
    if find_spec("jax") and network["K"] < LARGE_ALPHABET:
        command = [sys.executable, str(HERE / "peer_jax_batched.py"), *sizes]
        flags = [f"--xla_cpu_multi_thread_eigen={value}" for value in ("true", "false")]
        found["jax"] = [run(command, XLA_FLAGS=flag) for flag in flags]
    best = {name: max(each, key=lambda one: float(one["chars_per_second"])) for name, each in found.items()}
    print({name: round(one["chars_per_second"]) for name, one in best.items()}, flush=True)
    return best


def profile(trainings: list[Result]) -> list[Result]:
    """Return trainings with the prior from the first update on, and their parts by kernels with timers."""
    trainings = [one | {"ngram_start": 0.0} for one in trainings]
    results: list[Result] = ask({"trainings": trainings})
    marked: list[Result] = ask({"trainings": trainings, "marked": True, "uncached": True})
    for result, with_timers in zip(results, marked, strict=True):
        result |= {"parts": with_timers["parts"], "update_seconds_with_timers": with_timers["update_seconds"]}
        show(result)
    return results


def compare(trainings: list[Result], cores: int) -> list[Result]:
    """Return trainings without the prior, as they are and in float32, and the peers."""
    precisions: tuple[Result, ...] = ({}, {"mixed_precision": False})
    measured = ask({"trainings": [one | {"ngram_start": 0.999} | each for one in trainings for each in precisions]})
    results = []
    for fastest, in_float32, one in zip(measured[::2], measured[1::2], trainings, strict=True):
        show(fastest)
        show(in_float32)
        found = peers(fastest["network"], one["seconds"], cores)
        results.append({"elman": fastest, "elman_float32": in_float32} | found)
    return results


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="?")
    parser.add_argument("--seconds", type=float, default=2.5, help="of each measurement")
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        print(json.dumps(answer(json.loads(options.answer))))
        return
    from growth import random_text
    from speed import machine

    cores = min(2, os.cpu_count() or 1)
    threads = sorted({1, cores})
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.writelines(random_text(LARGE_ALPHABET, LARGE_CHARACTERS))
        file.flush()
        presets = [(options.text, preset) for preset in NAMES]
        points = [(*one, n) for one in presets for n in threads] + [(file.name, "minute", cores)]
        trainings = [
            {"text": text, "preset": preset, "threads": n, "seconds": options.seconds} for text, preset, n in points
        ]
        result: Result = {"machine": machine(), "profile": profile(trainings)}
        result["compared"] = compare([one for one in trainings if one["threads"] == cores], cores)
    precisions = sorted({"float32", *(one["precision"] for one in result["profile"])})
    kinds = [(precision, n) for precision in precisions for n in threads]
    rates = ask({"peaks": kinds, "uncached": True})
    result["peaks"] = [
        {"precision": precision, "threads": n, "rate": rate} for (precision, n), rate in zip(kinds, rates, strict=True)
    ]
    print(result["peaks"], flush=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
