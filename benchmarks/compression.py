"""Compression ratio and speed of models on held-out text, beside other compressors.

    python benchmarks/compression.py RUN… TEXT             # writes results/compression.json
    python benchmarks/compression.py RUN… TEXT --split 2   # the last half of TEXT is held out; only prints

The last tenth of TEXT is compressed, with ``--split N`` the last N-th; each RUN was trained on the rest as a separate
file (``elman train REST --preset strong --validation 0 --out RUN``), and compresses in every mode. Peers are the
compressors of Python's standard library, zpaq, zstd and brotli if their commands are installed, and PPMd if the package
pyppmd is. "Primed" is a compressor that has read the rest first: the size of both together minus that of the rest. For
comparison also: the model's cross-entropy, and the first thousand lines each as a separate file. Speeds are the best of
up to three rounds. Everything compressed by Elman is decompressed and compared.
"""

from __future__ import annotations

import argparse
import bz2
import json
import lzma
import math
import shutil
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elman import compress, decompress
from elman.apps.compress.container import MODES, ModeName
from elman.model import Model
from elman.model.loading import load
from speed import machine

RESULTS = Path(__file__).parent / "results" / "compression.json"
LINES = 1000
ROUNDS, MAX_SECONDS = 3, 20

OTHERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip -9": lambda data: zlib.compress(data, 9, 31),
    "xz -9e": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
    "bzip2 -9": lambda data: bz2.compress(data, 9),
}
COMMANDS = {
    "zstd -19": ["zstd", "-19", "-q", "-c"],
    "brotli -11": ["brotli", "-q", "11", "-c"],
}
"""Commands that write what they compress to standard output."""


def command_size(command: list[str], data: bytes) -> int:
    """Return the size of what a command makes of its standard input."""
    return len(subprocess.run(command, input=data, capture_output=True, check=True).stdout)


def zpaq_size(data: bytes) -> int:
    """Return the size of a zpaq archive, method 5."""
    with tempfile.TemporaryDirectory() as folder:
        source, archive = Path(folder) / "text", Path(folder) / "a.zpaq"
        source.write_bytes(data)
        subprocess.run(["zpaq", "add", archive, source, "-m5"], capture_output=True, check=True)
        return archive.stat().st_size


def zpaq_primed_size(rest: bytes, data: bytes) -> int:
    """Return how much larger the archive is with `data` after `rest`.

    The parameters of zpaq's model depend on the next power of two of the size, a little smaller than that; so both are
    preceded by as many zeros as it takes for both to have the same.
    """
    boundary = (1 << (len(rest) + len(data)).bit_length() - 1) - (1 << 12)
    before = bytes(max(0, boundary - len(rest)) if len(rest) + len(data) > boundary else 0)
    return zpaq_size(before + rest + data) - zpaq_size(before + rest)


def ppmd_size(data: bytes, order: int) -> int:
    """Return the size of a stream of PPMd, variant H, with 256 MB."""
    import pyppmd

    encoder = pyppmd.Ppmd7Encoder(order, 256 << 20)
    return len(encoder.encode(data)) + len(encoder.flush())


def peer_sizes(rest: bytes, data: bytes) -> dict[str, int]:
    """Return the sizes of all peers that are installed."""
    sizes = {name: len(other(data)) for name, other in OTHERS.items()}
    sizes |= {name: command_size(command, data) for name, command in COMMANDS.items() if shutil.which(command[0])}
    if shutil.which("zpaq"):
        sizes["zpaq -m5"] = zpaq_size(data)
        sizes["zpaq -m5, primed"] = zpaq_primed_size(rest, data)
    try:
        sizes["PPMd, order 6"] = ppmd_size(data, 6)
        sizes["PPMd, order 6, primed"] = ppmd_size(rest + data, 6) - ppmd_size(rest, 6)
    except ImportError:
        print("without PPMd: pip install pyppmd")
    return sizes


def measure(model: Model, data: bytes, mode: ModeName) -> dict[str, Any]:
    """Compress and decompress; return the size and the speed of both."""
    seconds, end = [math.inf, math.inf], time.perf_counter() + MAX_SECONDS
    for round_number in range(ROUNDS):
        if round_number and time.perf_counter() > end:
            break
        start = time.perf_counter()
        file = compress(data, model, mode=mode)
        middle = time.perf_counter()
        assert decompress(file, model) == data
        seconds = [min(seconds[0], middle - start), min(seconds[1], time.perf_counter() - middle)]
    return {
        "bytes": len(file),
        "compress_per_second": round(len(data) / seconds[0]),
        "decompress_per_second": round(len(data) / seconds[1]),
    }


def compress_lines(model: Model, data: bytes, mode: ModeName) -> int:
    """Return the total size of the first lines, each compressed as a separate file."""
    total = 0
    for line in data.splitlines(keepends=True)[:LINES]:
        file = compress(line, model, mode=mode)
        assert decompress(file, model) == line
        total += len(file)
    return total


def describe_network(model: Model) -> str:
    """Return layers, cell and hidden size."""
    net = model.parameters.architecture
    return f"{net.layers} x {net.cell} {net.m}"


def measure_run(run: Path, data: bytes) -> dict[str, Any]:
    """Return all results of one run."""
    model = load(run)
    for mode in MODES:  # kernels are compiled or loaded
        compress(data[:2000], model, mode=mode)
    found = {
        "name": run.name,
        "network": describe_network(model),
        "cross_entropy_bytes": round(model.score(data.decode()).nats / math.log(2) / 8),
        "modes": {mode: measure(model, data, mode) for mode in MODES},
        "lines": {mode: compress_lines(model, data, mode) for mode in MODES},
    }
    print(json.dumps(found, indent=1), flush=True)
    return found


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="run")
    parser.add_argument("text", type=Path)
    parser.add_argument("--split", type=int)
    options = parser.parse_args()
    text = options.text.read_bytes()
    split = options.split or 10
    start = len(text) * (split - 1) // split
    rest, data = text[:start], text[start:]
    lines = data.splitlines(keepends=True)[:LINES]
    results = {
        "machine": machine(),
        "text": options.text.name,
        "original": len(data),
        "runs": [measure_run(run, data) for run in options.runs],
        "peers": peer_sizes(rest, data),
        "lines": {"original": len(b"".join(lines)), "xz -9e": sum(len(OTHERS["xz -9e"](line)) for line in lines)},
    }
    print(json.dumps(results["peers"] | results["lines"], indent=1))
    if options.split is None:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
