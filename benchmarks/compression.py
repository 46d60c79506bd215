"""How small a model makes a text that it has not seen, and how fast, both ways.

    python benchmarks/compression.py RUN TEXT [--speed RUN…]

The last tenth of TEXT is compressed; RUN was trained on the rest, cut off beforehand
(``elman train REST --preset strong --validation 0 --out RUN``). Beside it stand what the model expects it to take, the
compressors that Python has, and the first thousand lines each as a file of its own. ``--speed`` measures the speed of
other runs, the best of three rounds, on all of TEXT. Every text that is compressed is decompressed and compared.
Results go to ``benchmarks/results/compression.json``.
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


def timed(model: Model, data: bytes, adapt: bool) -> dict[str, Any]:
    """Compress and decompress, and return the size and the speed each way."""
    began = time.perf_counter()
    file = compress(model, data, adapt=adapt)
    between = time.perf_counter()
    assert decompress(model, file) == data
    ended = time.perf_counter()
    return {
        "bytes": len(file),
        "bits_per_char": round(8 * len(file) / len(data), 4),
        "compress_per_second": round(len(data) / (between - began)),
        "decompress_per_second": round(len(data) / (ended - between)),
    }


def by_lines(model: Model, data: bytes, adapt: bool) -> int:
    """Return the bytes of the first lines, each compressed as a file of its own."""
    total = 0
    for line in data.splitlines(keepends=True)[:LINES]:
        file = compress(model, line, adapt=adapt)
        assert decompress(model, file) == line
        total += len(file)
    return total


def network(model: Model) -> str:
    """Say which network it is."""
    found = architecture(model.parameters)
    return f"{found.layers} x {found.cell} {found.m}"


def measured(run: Path, text: bytes) -> dict[str, Any]:
    """Return all figures of one run."""
    model, last = load(run), text[len(text) * 9 // 10 :]
    expected = model.score(last.decode()).nats / math.log(2) / 8
    compress(model, last[:2000], adapt=True)  # kernels are compiled or loaded
    return {
        "network": network(model),
        "original": len(last),
        "cross_entropy_bytes": round(expected),
        "fixed": timed(model, last, adapt=False),
        "adapting": timed(model, last, adapt=True),
        "others": {name: len(other(last)) for name, other in OTHERS.items()},
        "lines": {
            "original": len(b"".join(last.splitlines(keepends=True)[:LINES])),
            "fixed": by_lines(model, last, adapt=False),
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
        rounds = [timed(model, text, adapt=False) for _ in range(3)]
        best = {name: max(one[name] for one in rounds) for name in rounds[0]}
        speeds.append({"network": network(model), "original": len(text)} | best)
        print(speeds[-1], flush=True)
    results = {"machine": machine(), "text": options.text.name, "results": measured(options.run, text), "speed": speeds}
    print(json.dumps(results, indent=1))
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
