"""Time of first commands, for which kernels must be compiled, and of the same commands once they are.

    python benchmarks/cold_start.py shakespeare.txt

Every row is the wall-clock time and the CPU time, of all processes, of a whole command. `sample` and `compress` use a
model that was trained with another cache.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ELMAN = [sys.executable, "-m", "elman"]


def measure(title: str, cache: Path, *arguments: str | Path) -> None:
    """Print the times of a command with a cache."""
    started = time.perf_counter()
    environment = os.environ | {"ELMAN_CACHE": str(cache)}
    process = subprocess.Popen(
        [*ELMAN, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"elman {' '.join(map(str, arguments))} exited with {process.returncode}")
    seconds, cpu = time.perf_counter() - started, usage.ru_utime + usage.ru_stime
    print(f"{title:42} {seconds:6.1f} s {cpu:6.1f} s of CPU", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="a text file")
    parser.add_argument("--presets", nargs="*", default=["quick"], help="presets to train with (default: quick)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for preset in options.presets:
            for run in ("first", "second"):
                out = folder / f"{preset}-{run}"
                train = ("train", options.text, "--preset", preset, "--out", out, "--quiet")
                measure(f"{run} train --preset {preset}", folder / preset, *train)
        part, model = folder / "part.txt", folder / f"{options.presets[0]}-first"
        part.write_bytes(options.text.read_bytes()[:20_000])
        for run in ("first", "second"):
            measure(f"{run} sample", folder / "sample", "sample", model)
            measure(f"{run} compress, 20 kB", folder / "compress", "compress", part, "--out", folder / run)
            measure(f"{run} gradcheck", folder / "gradcheck", "gradcheck", options.text)


if __name__ == "__main__":
    main()
