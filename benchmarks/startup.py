"""Start-up and end-to-end times, peak memory and code that runs: help, compilation, a training, a sample, a check.

    python benchmarks/startup.py shakespeare.txt

Every time is that of a whole process. Results are written to ``benchmarks/results/startup.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from speed import machine

ELMAN = [sys.executable, "-m", "elman"]
TRAIN = ["train", "--preset", "reference"]


COUNT = """
import os, sys
import elman
from elman.cli.frame import main
called = set()
folder = os.path.dirname(elman.__file__)
def count(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_flags & 1 and code.co_name[0] != "<" and code.co_filename.startswith(folder):
        called.add((code.co_filename, code.co_qualname))
sys.setprofile(count)
try:
    main(sys.argv[1:])
except SystemExit:
    pass
sys.setprofile(None)
modules = sum(name.partition(".")[0] == "elman" for name in sys.modules)
print(len(called), modules, file=sys.stderr)
"""
"""Runs a command, and prints the functions of Elman that it calls, imports included, and the modules that it imports.

Comprehensions, lambdas, bodies of classes and of modules are no functions.
"""


def count_code(arguments: list[str]) -> dict[str, int]:
    """Return how many functions and modules of Elman a command runs."""
    process = subprocess.run([sys.executable, "-c", COUNT, *arguments], check=True, capture_output=True, text=True)
    functions, modules = map(int, process.stderr.split()[-2:])
    return {"functions": functions, "modules": modules}


def seconds(arguments: list[str], environment: dict[str, str] | None = None) -> float:
    """Return the time that a process of the command takes from start to exit."""
    start = time.perf_counter()
    subprocess.run([*ELMAN, *arguments], check=True, capture_output=True, env=environment)
    return time.perf_counter() - start


def median_seconds(arguments: list[str], times: int = 7) -> float:
    """Return the median over several processes, without the first."""
    seconds(arguments)
    return statistics.median(seconds(arguments) for _ in range(times))


def peak_megabytes(arguments: list[str]) -> float:
    """Return the peak resident set size of a process of the command."""
    child = subprocess.Popen([*ELMAN, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return usage.ru_maxrss / 1024


def train(text: str, out: Path, *options: str) -> dict[str, Any]:
    """Train and return what the command prints."""
    command = [*ELMAN, *TRAIN, text, "--out", str(out), "--json", *options]
    result: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def measure(text: str, folder: Path) -> dict[str, Any]:
    """Return all results, in seconds and megabytes."""
    cold = os.environ | {"ELMAN_CACHE": str(folder / "cache")}
    one = [*TRAIN, text, "--max-updates", "1", "--sample-every", "0"]
    figures: dict[str, Any] = {
        "help": median_seconds(["--help"]),
        "train_one_update_compiling": seconds([*one, "--out", str(folder / "cold")], cold),
        "train_one_update_compiled": statistics.median(
            seconds([*one, "--out", str(folder / f"warm{n}")], cold) for n in range(7)
        ),
    }
    run = folder / "run"
    figures["ten_epochs"] = train(text, run, "--epochs", "10")
    figures["peak_megabytes"] = peak_megabytes([*TRAIN, text, "--epochs", "1", "--out", str(folder / "memory")])
    figures["sample_1000"] = median_seconds(["sample", str(run), "--length", "1000", "--seed", "1"])
    figures["gradcheck_third"] = seconds(
        ["gradcheck", text, "--points", "100", "--hidden-size", "100", "--seq-length", "100"]
    )
    one = ["train", text, "--preset", "quick", "--max-updates", "1", "--out", str(folder / "quick")]
    figures["code_of_train"] = count_code([*one, "--quiet"])
    figures["code_of_sample"] = count_code(["sample", str(run), "--prompt", "The", "--length", "100"])
    losses = [figures["ten_epochs"]["minimum_smooth_loss"]]
    for seed in ("1", "2", "3", "4"):
        losses.append(train(text, folder / seed, "--seed", seed)["minimum_smooth_loss"])
    return figures | {"minimum_smooth_losses": dict(zip(("400", "1", "2", "3", "4"), losses, strict=True))}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", help="a text file")
    text = parser.parse_args().text
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(text, Path(folder))
    print(json.dumps(figures, indent=1))
    path = Path(__file__).parent / "results" / "startup.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
