"""Trainings on a machine that is busy, paused or slow: updates, validation loss and time of the whole command.

    python benchmarks/busy.py TEXT [--long TEXT] [--cases idle busy-4 …] [--presets quick minute] [--runs 1]

Every case runs ``elman train TEXT --preset PRESET --validation 0.1`` at normal priority while something is in its way:

=========  ==============================================================================================
idle       nothing
busy-N     N processes that compute without end
pause-P    the process is stopped (SIGSTOP) for 10 s after P % of its time budget
fsync      the first fsync after the start takes 10 s
one        one thread instead of one per core
blas       OpenBLAS with as many threads as it starts by default, beside four busy processes
cold       the text is not in the page cache (needs the right to write to /proc/sys/vm/drop_caches)
long-N     20 s on the text of ``--long``, beside N busy processes
=========  ==============================================================================================

``counts`` is the loss of the n-gram counts alone. Kernels are compiled before. Results are added to
``benchmarks/results/busy.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "busy.json"
CASES = (
    "idle", "busy-2", "busy-4", "busy-8", "pause-10", "pause-50", "pause-75", "pause-95", "fsync", "one", "blas",
    "cold", "long-0", "long-8",
)  # fmt: skip
SECONDS = {"quick": 6.0, "minute": 60.0}
PAUSE_SECONDS = 10.0
STALL = """
import os, time
fsync, calls = os.fsync, []
def stall(descriptor):
    calls.append(descriptor)
    time.sleep(10.0 * (len(calls) == 3))  # after those with which the run directory is created
    return fsync(descriptor)
os.fsync = stall
"""
"""What ``sitecustomize`` does in the case ``fsync``."""


@contextmanager
def load(processes: int) -> Iterator[None]:
    """Keep so many processes busy."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def find_processor() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())


def environment(case: str, folder: str) -> dict[str, str]:
    """Return the environment of a case."""
    added: dict[str, str] = {}
    if case == "one":
        added["NUMBA_NUM_THREADS"] = "1"
    if case == "fsync":
        Path(folder, "sitecustomize.py").write_text(STALL, "utf-8")
        added["PYTHONPATH"] = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])
    inherited = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    return inherited | added


def train(case: str, text: Path, options: list[str], seconds: float) -> dict[str, Any]:
    """Run the command in a case; return its results and the seconds it took."""
    kind, _, number = case.partition("-")
    busy = {"busy": int(number or 0), "long": int(number or 0), "blas": 4}.get(kind, 0)
    if kind == "cold":
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("1", "utf-8")
    with tempfile.TemporaryDirectory() as folder, load(busy):
        command = [sys.executable, "-m", "elman", "train", str(text), "--out", f"{folder}/run", "--json", *options]
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(case, folder)
        )
        if kind == "pause":
            time.sleep(seconds * int(number) / 100)
            process.send_signal(signal.SIGSTOP)
            time.sleep(PAUSE_SECONDS)
            process.send_signal(signal.SIGCONT)
        output, messages = process.communicate()
        whole = time.perf_counter() - started
        if process.returncode:
            raise SystemExit(messages)
        model = json.loads(Path(folder, "run", "run.json").read_text("utf-8"))["config"]
    results = json.loads(output)
    names = ("updates", "validation_loss", "counts_loss", "seconds", "preparation_seconds", "validation_seconds")
    return {
        "whole_seconds": round(whole, 1),
        "network": f"{model['layers']} x {model['hidden_size']}",
        **{name: results[name] for name in names},
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--long", type=Path)
    parser.add_argument("--cases", nargs="+", default=CASES, choices=CASES)
    parser.add_argument("--presets", nargs="+", default=["quick", "minute"], choices=SECONDS)
    parser.add_argument("--runs", type=int, default=1)
    arguments = parser.parse_args()
    rows = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else []
    machine = f"{os.cpu_count()} cores of {find_processor()}"
    for case in arguments.cases:
        is_long = case.startswith("long")
        if is_long and arguments.long is None:
            continue
        for preset in ["minute"] if is_long else arguments.presets:
            seconds, text = (20.0, arguments.long) if is_long else (SECONDS[preset], arguments.text)
            options = ["--preset", preset, "--validation", "0.1", "--max-seconds", str(seconds)]
            for _ in range(arguments.runs):
                result = train(case, text, options, seconds)
                row = {"case": case, "preset": preset, "text": text.name, "machine": machine, **result}
                print(json.dumps(row), flush=True)
                rows = [*rows, row]
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
