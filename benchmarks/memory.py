"""Memory growth: while models train for half an hour, and while one generates a million characters.

    python benchmarks/memory.py [--minutes 30] [--characters 1000000] [TEXT]

Training and sampling are processes of their own, whose resident sets are read from /proc, so it runs on Linux only.
Prints the growth of each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
ELMAN = (sys.executable, "-m", "elman")
TRAININGS: dict[str, tuple[object, ...]] = {
    "rnn, 100 units": ("--preset", "reference", "--epochs", 10**9),
    "gru, 256 units, batch size 32": ("--preset", "minute", "--layers", "1", "--epochs", "1000000"),
}
EVERY = 5.0
"""Seconds between two measurements."""
WARMUP = 1 / 15
"""Fraction at the start that the slope leaves out: two minutes of thirty."""
PLOT_MINUTES = 1.0
"""Minutes at the end that the slope leaves out: the process reads all its metrics and plots them."""

Points = list[tuple[float, float]]


def measure_memory(points: Points, at: float, process: int) -> None:
    """Add the resident set of a process, in MB; one that has just ended has none."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line.startswith("VmRSS:"):
            points.append((at, round(int(line.split()[1]) * 1024 / 1e6, 2)))


def measure_training(options: tuple[object, ...], seconds: float, text: str, out: Path) -> dict[str, Any]:
    """Train in a process of its own; return the number of updates, and its memory over the minutes."""
    limits = ("--max-seconds", seconds, "--out", out, "--json")
    command = [*ELMAN, "train", text, *map(str, (*options, *limits))]
    points: Points = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        began = time.monotonic()
        while process.poll() is None:
            measure_memory(points, (time.monotonic() - began) / 60, process.pid)
            time.sleep(EVERY)
        printed = process.stdout.read() if process.stdout else ""
    return {"updates": json.loads(printed)["updates"], **summarize(points, "minutes", 60, "mb_per_hour", PLOT_MINUTES)}


def measure_sampling(run: Path, characters: int) -> dict[str, Any]:
    """Generate text in a process of its own; return its memory over the characters."""
    command = [*ELMAN, "sample", str(run), "--length", str(characters), "--seed", "1"]
    points: Points = []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        read = 0
        while chunk := process.stdout.read(10_000):
            read += len(chunk.decode(errors="ignore"))
            measure_memory(points, read, process.pid)
    return summarize(points, "characters", 1e6, "mb_per_million")


def summarize(points: Points, unit: str, per: float, slope: str, end: float = 0.0) -> dict[str, Any]:
    """Return measurements with their slope, by least squares, and their peak."""
    at, memory = np.array(points).T
    late = (at >= WARMUP * at[-1]) & (at <= at[-1] - end)
    return {
        slope: round(float(np.polyfit(at[late], memory[late], 1)[0]) * per, 2) + 0.0,  # and no -0.0
        "peak_mb": float(memory.max()),
        "first_mb": float(memory[late][0]),
        "last_mb": float(memory[late][-1]),
        unit: at.round(2).tolist(),
        "mb": memory.tolist(),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--characters", type=int, default=1_000_000)
    parser.add_argument("text", nargs="?", default="python-docs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        outs = [Path(folder) / str(n) for n in range(len(TRAININGS))]
        train = partial(measure_training, seconds=60 * options.minutes, text=options.text)
        results = pool.map(lambda pair: train(pair[0], out=pair[1]), zip(TRAININGS.values(), outs, strict=True))
        trainings = dict(zip(TRAININGS, results, strict=True))
        sampling = measure_sampling(outs[0], options.characters)
    for name, result in (*trainings.items(), ("sampling", sampling)):
        print(name, {key: value for key, value in result.items() if not isinstance(value, list)})


if __name__ == "__main__":
    main()
