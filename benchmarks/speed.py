"""Time of one update: Elman against textbook NumPy, PyTorch and JAX, and against the machine's lower bound.

    python benchmarks/speed.py

Every contender runs in a process of its own, in alternating rounds, so that all run under the same conditions; ratios
are of medians over the rounds. PyTorch and JAX are included if installed (``pip install '.[peers]'``). Results are
written to ``benchmarks/results/``; ``benchmarks/tables.py`` writes the tables of README and docs from them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
REFERENCE = {"m": 100, "T": 25, "K": 76}

Result = dict[str, Any]


def contenders(sizes: dict[str, int], cores: int) -> dict[str, list[str]]:
    """Return the command of every installed contender, by its name in the table."""
    work = 3 * sizes["T"] * sizes["m"] * (sizes["m"] + sizes["K"])
    # A call of a fast contender takes 0.1 s or more, as in a training of Elman.
    fast, slow = max(20, 7_000_000_000 // work), max(10, 100_000_000 // work)

    def command(script: str, updates: int, threads: int, *more: str) -> list[str]:
        size = [part for name, value in sizes.items() for part in (f"--{name}", str(value))]
        rest = ["--updates", str(updates), "--repeats", "5", "--threads", str(threads)]
        return [sys.executable, str(HERE / script), *size, *rest, *more]

    commands = {"Elman float32": command("elman_update.py", fast, 1)}
    commands["Elman float64"] = command("elman_update.py", fast, 1, "--dtype", "float64")
    if cores > 1:
        commands["Elman float32, 2 threads"] = command("elman_update.py", fast, 2)
        commands["Elman float64, 2 threads"] = command("elman_update.py", fast, 2, "--dtype", "float64")
    commands["textbook NumPy"] = command("textbook.py", slow, 1)
    if find_spec("jax"):
        for threads in sorted({1, cores}):
            commands[f"JAX, {threads} thread{'s'[: threads - 1]}"] = command("peer_jax.py", fast, threads)
    if find_spec("torch"):
        # PyTorch is fastest with one thread here; two wait for each other and take twice to thousands of times as long.
        for cell in ("nn.RNN", "written-out"):
            commands[f"PyTorch {cell}, 1 thread"] = command("peer_torch.py", slow, 1, "--cell", cell)
    return commands


def run(command: list[str]) -> Result:
    """Run one contender and return what it printed."""
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
    result: Result = json.loads(output.splitlines()[-1])
    return result


def compare(commands: dict[str, list[str]], rounds: int) -> dict[str, Result]:
    """Run all in alternating rounds; return the summary of each."""
    reports: dict[str, list[Result]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            reports[name].append(run(command))
    return {name: summary(results) for name, results in reports.items()}


def summary(results: list[Result]) -> Result:
    """Return the measurements of one contender over all rounds."""
    seconds = [value for result in results for value in result["seconds_per_update"]]
    floors = [value for result in results for value in result.get("floor_seconds", [])]
    return {
        "microseconds": 1e6 * statistics.median(seconds),
        "quickest_microseconds": 1e6 * min(seconds),
        "floor_microseconds": 1e6 * statistics.median(floors) if floors else None,
        "first_call_seconds": results[0]["first_call_seconds"],
        "versions": results[0]["versions"],
    }


def machine() -> dict[str, Any]:
    """Return the processor, core count, system and Python version of this machine."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": sys.version.split()[0],
    }


def add_result(path: Path, result: Mapping[str, Any], same: Sequence[str]) -> None:
    """Add a result and the processor it was measured on, in place of one that has the same values under some keys."""
    result = {**result, "processor": machine()["processor"]}
    results = json.loads(path.read_text(encoding="utf-8"))["results"] if path.exists() else []
    results = [old for old in results if any(old.get(key) != result.get(key) for key in same)] + [result]
    path.write_text(json.dumps({"machine": machine(), "results": results}, indent=1) + "\n", encoding="utf-8")


def show(title: str, figures: dict[str, Result]) -> None:
    """Print one comparison, relative to Elman in float32."""
    elman = figures["Elman float32"]
    print(f"\n{title}: floor {elman['floor_microseconds']:.1f} µs")
    for name, figure in figures.items():
        ratio = figure["microseconds"] / elman["microseconds"]
        floor = figure["microseconds"] / elman["floor_microseconds"]
        print(f"  {name:32} {figure['microseconds']:9.1f} µs   {ratio:6.2f} x Elman   {floor:6.2f} x floor")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    figures = compare(contenders(REFERENCE, os.cpu_count() or 1), options.rounds)
    show(", ".join(f"{name} = {value}" for name, value in REFERENCE.items()), figures)
    path = HERE / "results" / "speed.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps({"machine": machine(), "results": [{"sizes": REFERENCE, "figures": figures}]}, indent=1) + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
