"""Compression ratio and speed of a model on held-out text.

    python benchmarks/compression.py RUN TEXT [--speed RUN…]

The last 10 % of TEXT is compressed; RUN was trained on the rest as a separate file
(``elman train REST --preset strong --validation 0 --out RUN``). For comparison: the model's cross-entropy, the
compressors of Python's standard library, and the first thousand lines each as a separate file. ``--speed`` measures the
speed of other runs on all of TEXT, the best of three rounds. Everything compressed is decompressed and compared.
Results are written to ``benchmarks/results/compression.json``.
"""

from __future__ import annotations

import argparse
import bz2
import json
import lzma
import math
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elman.compression import compress, decompress
from elman.inference import Model
from elman.network.parameters import architecture
from elman.runs.run import load
from speed import machine

RESULTS = Path(__file__).parent / "results" / "compression.json"
LINES = 1000

OTHERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip -9": lambda data: zlib.compress(data, 9, 31),
    "xz -9e": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
    "bzip2 -9": lambda data: bz2.compress(data, 9),
}


def measure(model: Model, data: bytes, adapt: bool) -> dict[str, Any]:
    """Compress and decompress; return the size and the speed of both."""
    start = time.perf_counter()
    file = compress(model, data, adapt=adapt)
    middle = time.perf_counter()
    assert decompress(model, file) == data
    end = time.perf_counter()
    return {
        "bytes": len(file),
        "bits_per_char": round(8 * len(file) / len(data), 4),
        "compress_per_second": round(len(data) / (middle - start)),
        "decompress_per_second": round(len(data) / (end - middle)),
    }


def compress_lines(model: Model, data: bytes, adapt: bool) -> int:
    """Return the total size of the first lines, each compressed as a separate file."""
    total = 0
    for line in data.splitlines(keepends=True)[:LINES]:
        file = compress(model, line, adapt=adapt)
        assert decompress(model, file) == line
        total += len(file)
    return total


def describe_network(model: Model) -> str:
    """Return layers, cell and hidden size."""
    net = architecture(model.parameters)
    return f"{net.layers} x {net.cell} {net.m}"


def measure_run(run: Path, text: bytes) -> dict[str, Any]:
    """Return all results of one run."""
    model, last = load(run), text[len(text) * 9 // 10 :]
    expected = model.score(last.decode()).nats / math.log(2) / 8
    compress(model, last[:2000], adapt=True)  # kernels are compiled or loaded
    return {
        "network": describe_network(model),
        "original": len(last),
        "cross_entropy_bytes": round(expected),
        "fixed": measure(model, last, adapt=False),
        "adapting": measure(model, last, adapt=True),
        "others": {name: len(other(last)) for name, other in OTHERS.items()},
        "lines": {
            "original": len(b"".join(last.splitlines(keepends=True)[:LINES])),
            "fixed": compress_lines(model, last, adapt=False),
            "xz -9e": sum(len(OTHERS["xz -9e"](line)) for line in last.splitlines(keepends=True)[:LINES]),
        },
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--speed", nargs="*", type=Path, default=[])
    options = parser.parse_args()
    text = options.text.read_bytes()
    speeds = []
    for run in options.speed:
        model = load(run)
        compress(model, text[:200])
        rounds = [measure(model, text, adapt=False) for _ in range(3)]
        best = {name: max(result[name] for result in rounds) for name in rounds[0]}
        speeds.append({"network": describe_network(model), "original": len(text)} | best)
        print(speeds[-1], flush=True)
    results = {
        "machine": machine(),
        "text": options.text.name,
        "results": measure_run(options.run, text),
        "speed": speeds,
    }
    print(json.dumps(results, indent=1))
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
