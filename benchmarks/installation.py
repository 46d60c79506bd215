"""Size of an installation, and the CPU time that Elman takes to start there, for every extra.

    python benchmarks/installation.py               # without extras, and with each of those in EXTRAS
    python benchmarks/installation.py serve plot    # without extras, and with these

Every row is an environment of its own, which needs a package index. Results are written to
``benchmarks/results/installation.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from speed import machine

ROOT = Path(__file__).parents[1]
EXTRAS = ("plot", "export", "serve", "sweep", "tensorboard", "all")
TEXT = "The quick brown fox jumps over the lazy dog. " * 200
ONE_UPDATE = ("train", "text.txt", "--preset", "reference", "--max-updates", "1", "--sample-every", "0")


def environment_size(folder: Path) -> float:
    """Return the size of all files of an environment, pip and bytecode included, in megabytes of 10^6 bytes."""
    return sum(path.lstat().st_size for path in folder.rglob("*")) / 1e6


def install(folder: Path, extra: str) -> Path:
    """Create an environment with Elman and an extra, and return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    project = f"{ROOT}[{extra}]" if extra else str(ROOT)
    subprocess.run([python, "-m", "pip", "install", "--quiet", project], check=True)
    return python


def cpu_seconds(python: Path, *arguments: str, cache: Path) -> float:
    """Return the CPU time of a process in a folder with a text, with this kernel cache.

    Other processes disturb it less than the wall-clock time; on an idle machine, the two agree for a single thread.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(
        [python, *arguments],
        stdout=subprocess.DEVNULL,
        cwd=cache.parent,
        env=environment | {"ELMAN_CACHE": str(cache), "NUMBA_NUM_THREADS": "1"},
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} exited with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def measure(extra: str, folder: Path) -> dict[str, float]:
    """Return the size of an installation in megabytes, and CPU times in seconds."""
    python = install(folder / "env", extra)
    size = environment_size(folder / "env")
    cache = folder / "cache"
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")

    def minimum(*arguments: str) -> float:
        return min(cpu_seconds(python, *arguments, cache=cache) for _ in range(7))

    train = ("-m", "elman", *ONE_UPDATE)
    return {
        "megabytes": size,
        "import": minimum("-c", "import elman"),
        "help": minimum("-m", "elman", "--help"),
        "train_one_update_compiling": cpu_seconds(python, *train, "--out", "cold", cache=cache),
        "train_one_update_compiled": minimum(*train, "--out", "warm", "--overwrite"),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extras", nargs="*", default=EXTRAS, help="extras to measure (default: all in EXTRAS)")
    figures: dict[str, Any] = {}
    for extra in ("", *parser.parse_args().extras):
        with tempfile.TemporaryDirectory() as folder:
            figures[extra or "none"] = measure(extra, Path(folder))
        print(extra or "none", json.dumps(figures[extra or "none"]), flush=True)
    path = Path(__file__).parent / "results" / "installation.json"
    path.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
