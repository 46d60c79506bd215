"""Compression without a model of one's own, which the built-in model makes possible, beside other compressors.

    python scripts/builtin_texts.py CACHE TEXTS
    python benchmarks/builtin_model.py TEXTS

Every file of ``TEXTS/held_out`` is compressed as ``elman compress FILE`` does, decompressed and compared. No other
compressor is primed. Requires ``pip install 'elman[peers]'``. Results are written to
``benchmarks/results/builtin_model.json``.
"""

from __future__ import annotations

import argparse
import json
import lzma
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brotli
import pyppmd
import zstandard

from elman import compress, decompress
from elman.apps.compress.container import DEFAULT_MODE
from elman.model import Model
from elman.model.loading import MODELS, load_builtin
from speed import machine

RESULTS = Path(__file__).parent / "results" / "builtin_model.json"

OTHERS: dict[str, Callable[[bytes], bytes]] = {
    "xz -9e": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
    "PPMd, order 6": lambda data: pyppmd.compress(data, max_order=6, mem_size=64 << 20),
    "zstd -19": lambda data: zstandard.ZstdCompressor(19).compress(data),
    "brotli -11": lambda data: brotli.compress(data, quality=11),
}


def measure(model: Model, data: bytes) -> dict[str, Any]:
    """Compress and decompress; return the sizes, and the seconds of both."""
    start = time.perf_counter()
    file = compress(data, model)
    middle = time.perf_counter()
    assert decompress(file, model) == data
    end = time.perf_counter()
    return {
        "bytes": len(data),
        "elman": len(file),
        "others": {name: len(other(data)) for name, other in OTHERS.items()},
        "seconds": [round(middle - start, 1), round(end - middle, 1)],
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    options = parser.parse_args()
    model = load_builtin()
    compress(b"kernels are compiled or loaded", model)
    files = {}
    for path in sorted((options.texts / "held_out").iterdir()):
        files[path.name] = measure(model, path.read_bytes())
        print(path.name, files[path.name], flush=True)
    results = {"machine": machine(), "model": MODELS[-1].file, "mode": DEFAULT_MODE, "files": files}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
