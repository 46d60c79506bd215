"""What a person waits for, and how much memory it takes: start-up, compilation, one training, one sample.

    python benchmarks/experience.py shakespeare.txt

Every figure is of a whole process, started here. Results are written to ``benchmarks/results/experience.json``.
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


def seconds(arguments: list[str], environment: dict[str, str] | None = None) -> float:
    """Return the time that a whole process of the command takes."""
    start = time.perf_counter()
    subprocess.run([*ELMAN, *arguments], check=True, capture_output=True, env=environment)
    return time.perf_counter() - start


def median_seconds(arguments: list[str], times: int = 7) -> float:
    """Return the median over several processes, the first of which does not count."""
    seconds(arguments)
    return statistics.median(seconds(arguments) for _ in range(times))


def peak_megabytes(arguments: list[str]) -> float:
    """Return the largest resident size of a process of the command."""
    child = subprocess.Popen([*ELMAN, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return usage.ru_maxrss / 1024


def train(text: str, out: Path, *options: str) -> dict[str, Any]:
    """Train and return what the command prints."""
    command = [*ELMAN, "train", text, "--out", str(out), "--json", *options]
    result: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def measure(text: str, folder: Path) -> dict[str, Any]:
    """Return all figures, in seconds and megabytes."""
    cold = os.environ | {"ELMAN_CACHE": str(folder / "cache")}
    one = ["train", text, "--max-updates", "1", "--sample-every", "0"]
    figures: dict[str, Any] = {
        "help": median_seconds(["--help"]),
        "train_one_update_compiling": seconds([*one, "--out", str(folder / "cold")], cold),
        "train_one_update_compiled": seconds([*one, "--out", str(folder / "warm")], cold),
    }
    run = folder / "run"
    figures["ten_epochs"] = train(text, run, "--epochs", "10")
    figures["peak_megabytes"] = peak_megabytes(["train", text, "--epochs", "1", "--out", str(folder / "memory")])
    figures["sample_1000"] = median_seconds(["sample", str(run), "--length", "1000", "--random-state", "1"])
    figures["gradcheck_third"] = seconds(
        ["gradcheck", text, "--points", "100", "--hidden-size", "100", "--seq-length", "100"]
    )
    losses = [figures["ten_epochs"]["minimum_smooth_loss"]]
    for state in ("1", "2", "3", "4"):
        losses.append(train(text, folder / state, "--random-state", state)["minimum_smooth_loss"])
    return figures | {"minimum_smooth_losses": dict(zip(("400", "1", "2", "3", "4"), losses, strict=True))}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", help="a text file")
    text = parser.parse_args().text
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(text, Path(folder))
    print(json.dumps(figures, indent=1))
    path = Path(__file__).parent / "results" / "experience.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
