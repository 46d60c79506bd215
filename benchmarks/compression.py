"""Compression ratio and speed of a model on held-out text, beside other compressors.

    python benchmarks/compression.py RUN TEXT [--speed RUN…]      # everything; writes results/compression.json
    python benchmarks/compression.py RUN TEXT --table [--split 2] # one table: every way to adapt, and all peers
    python benchmarks/compression.py RUN TEXT --ablation          # the mixture without each of its experts

The last 10 % of TEXT is compressed, with ``--split N`` the last N-th; RUN was trained on the rest as a separate file
(``elman train REST --preset strong --validation 0 --out RUN``). Peers are the compressors of Python's standard library,
zpaq, zstd and brotli if their commands are installed, and PPMd if the package pyppmd is. "Primed" is a compressor that
has read the rest first: the size of both together minus that of the rest. For comparison also: the model's
cross-entropy, and the first thousand lines each as a separate file. ``--speed`` measures the speed of other runs on
all of TEXT, the best of three rounds. Everything compressed by Elman is decompressed and compared.
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
from typing import Any, get_args
from unittest.mock import patch

from elman.compression import compress, decompress
from elman.compression.exact_prior import ExactPrior
from elman.compression.experts import predictor
from elman.compression.experts.match import MatchModel
from elman.compression.experts.mixing import Mixture
from elman.compression.experts.words import WordModel
from elman.config import CodecAdapt
from elman.inference import Model
from elman.network.parameters import architecture
from elman.runs.run import load
from speed import machine

RESULTS = Path(__file__).parent / "results" / "compression.json"
LINES = 1000
ADAPTATIONS: tuple[bool | CodecAdapt, ...] = (False, *get_args(CodecAdapt))

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
        sizes["zpaq -m5, primed"] = zpaq_size(rest + data) - zpaq_size(rest)
    try:
        sizes["PPMd, order 6"] = ppmd_size(data, 6)
        sizes["PPMd, order 6, primed"] = ppmd_size(rest + data, 6) - ppmd_size(rest, 6)
    except ImportError:
        print("without PPMd: pip install pyppmd")
    return sizes


def print_sizes(sizes: dict[str, int], original: int, notes: dict[str, str]) -> None:
    """Print a table of sizes, the smallest first."""
    for name, size in sorted(sizes.items(), key=lambda item: item[1]):
        print(f"{name:32s} {size:9,d} bytes {8 * size / original:6.3f} bits/byte  {notes.get(name, '')}")


def print_table(model: Model, rest: bytes, data: bytes) -> None:
    """Measure every way to adapt, and print it beside the peers."""
    compress(model, data[:2000], adapt="all")  # kernels are compiled or loaded
    results = {adapt: measure(model, data, adapt) for adapt in ADAPTATIONS}
    names = {adapt: f"elman, adapt {adapt or 'nothing'}" for adapt in ADAPTATIONS}
    ways = ("compress_per_second", "decompress_per_second")
    speeds = {adapt: [result[way] / 1000 for way in ways] for adapt, result in results.items()}
    notes = {names[adapt]: f"{there:.1f} kB/s, back {back:.1f} kB/s" for adapt, (there, back) in speeds.items()}
    sizes = {names[adapt]: result["bytes"] for adapt, result in results.items()}
    print_sizes(sizes | peer_sizes(rest, data) | {"the original": len(data)}, len(data), notes)
    lines = data.splitlines(keepends=True)[:LINES]
    print(
        f"{len(lines)} lines, a file each: {compress_lines(model, data, 'mixture'):,} of {len(b''.join(lines)):,} bytes"
    )


def learn_without_biases(mixture: Mixture, *arguments: Any) -> Any:
    """Learn as always, but forget the biases by context."""
    g = LEARN(mixture, *arguments)
    mixture.weights.first[:] = 0
    mixture.weights.second[:] = 0
    return g


LEARN = Mixture.learn
WITHOUT: dict[str, tuple[object, str, Any]] = {
    "match model": (MatchModel, "read", lambda *_: None),
    "word model": (WordModel, "predict", lambda *_: None),
    "biases by context": (Mixture, "learn", learn_without_biases),
    "learning of the mixture": (Mixture, "learn", lambda mixture, *_: 0 * mixture.mixed),
    "counts that go on": (predictor, "ExactPrior", lambda ngrams, start, R, **_: ExactPrior(ngrams, start, R)),
}
"""Parts of the mixture, and what to replace to leave each out."""


def print_ablation(model: Model, data: bytes) -> None:
    """Print the size of the mixture, and without each of its parts."""
    sizes = {"the mixture": len(compress(model, data, adapt="mixture"))}
    for part, (owner, name, replacement) in WITHOUT.items():
        with patch.object(owner, name, replacement):
            sizes[f"without {part}"] = len(compress(model, data, adapt="mixture"))
    print_sizes(sizes, len(data), {name: f"{size - sizes['the mixture']:+,d}" for name, size in sizes.items()})


def measure(model: Model, data: bytes, adapt: bool | CodecAdapt) -> dict[str, Any]:
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


def compress_lines(model: Model, data: bytes, adapt: bool | CodecAdapt) -> int:
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
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--split", type=int, default=10)
    options = parser.parse_args()
    text = options.text.read_bytes()
    if options.table or options.ablation:
        start = len(text) * (options.split - 1) // options.split
        model = load(options.run)
        if options.table:
            print_table(model, text[:start], text[start:])
        if options.ablation:
            print_ablation(model, text[start:])
        return
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
