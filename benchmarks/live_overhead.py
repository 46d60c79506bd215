"""The cost of an open dashboard: the same training with and without it, alternately.

    python benchmarks/live_overhead.py TEXT

The dashboard is open in Chromium on the same cores and visible in full, so that everything on it is fetched and drawn.
It is loaded before the first update, and the first third of the training, in which everything is drawn for the first
time, is not measured. Next to the wall-clock time, which depends on other programs on the machine, the CPU time per
second of training is measured: of the training thread, of the server's threads, and of all of the browser's processes.
Linux only, as it reads /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from elman.apps.dashboard.server import serve_dashboard
from elman.text import Corpus, read_corpus
from elman.training.api import train
from elman.training.callbacks import TrainingCallback
from elman.training.run import Run

SETTINGS: dict[str, dict[str, Any]] = {
    "reference": {"preset": "reference", "max_updates": 240_000, "epochs": 1000},
    "quick": {"preset": "quick", "max_updates": 3_600},
    "minute": {"preset": "minute", "max_updates": 510},
}
"""About nine seconds each: one network with a batch size of 1, and two whose batches use both cores."""
LOADING = 4.0
"""Seconds for the browser to finish loading."""


class Stopwatch(TrainingCallback):
    """Measures a training from a third of it to its end, and the time spent in another callback.

    Parameters
    ----------
    watched : TrainingCallback
    taken : callable
        Returns the CPU seconds of other threads and processes so far.
    """

    def __init__(self, watched: TrainingCallback, taken: Callable[[], list[float]]) -> None:
        self.watched, self.taken = watched, taken
        self.began = self.ended = self.inside = 0.0
        self.before: list[float] = []

    def on_progress(self, run: Run, updates: int) -> None:
        now = time.perf_counter()
        if not self.began and run.state.update >= updates // 3:
            self.began, self.before = now, self.taken()
        self.watched.on_progress(run, updates)
        self.ended = time.perf_counter()
        self.inside += self.ended - now if self.began else 0.0

    @property
    def seconds(self) -> float:
        """The measured time."""
        return self.ended - self.began


def trained(
    corpus: Corpus,
    settings: dict[str, Any],
    folder: Path,
    callback: TrainingCallback,
    taken: Callable[[], list[float]] = list,
) -> Stopwatch:
    """Train, and return the measurements."""
    watch = Stopwatch(callback, taken)
    train(corpus, out=folder / str(time.monotonic_ns()), callback=watch, **settings)
    return watch


@contextmanager
def open_in_chromium(address: str) -> Iterator[int]:
    """Open an address in Chromium for the duration of the block; yields the browser's process group."""
    path = os.environ.get("ELMAN_CHROMIUM") or shutil.which("chromium")
    if path is None:
        sys.exit("Chromium not found on PATH; install it or set ELMAN_CHROMIUM")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1200,1600"]
        quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        command = [path, *options, *quiet, f"--user-data-dir={profile}", "--remote-debugging-port=0", address]
        silent = subprocess.DEVNULL
        browser = subprocess.Popen(command, stdout=silent, stderr=silent, process_group=0)
        try:
            yield browser.pid
        finally:
            browser.terminate()
            browser.wait()


def cpu_seconds(stat: Path) -> tuple[int, float]:
    """Return the process group and the CPU seconds of a process or thread."""
    fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(fields[2]), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_seconds_of_group(group: int) -> float:
    """Return the CPU seconds of the processes of a group."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            which, seconds = cpu_seconds(stat)
        except OSError:  # the process has just ended
            continue
        total += seconds * (which == group)
    return total


def cpu_seconds_of_server() -> float:
    """Return the CPU seconds of the server's threads in this process."""
    threads = [t for t in threading.enumerate() if t.name == "elman-server" or "AnyIO" in t.name]
    return sum(cpu_seconds(Path(f"/proc/self/task/{thread.native_id}/stat"))[1] for thread in threads)


def train_with_dashboard(corpus: Corpus, settings: dict[str, Any], folder: Path) -> dict[str, float]:
    """Return the times of a training whose dashboard is open."""
    with serve_dashboard("run", 0, []) as (live, address), open_in_chromium(address) as group:
        while not live.subscribers:
            time.sleep(0.1)
        time.sleep(LOADING)
        watch = trained(corpus, settings, folder, live, lambda: [cpu_seconds_of_server(), cpu_seconds_of_group(group)])
        server, browser = (after - before for after, before in zip(watch.taken(), watch.before, strict=True))
    share = {"trainings_thread": watch.inside, "server": server, "browser": browser}
    return {"seconds": watch.seconds} | {name: taken / watch.seconds for name, taken in share.items()}


def measure(corpus: Corpus, settings: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Return the results of one setting."""
    alone: list[float] = []
    seen: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def without() -> None:
            alone.append(trained(corpus, settings, folder, TrainingCallback()).seconds)

        trained(corpus, settings | {"max_updates": 10}, folder, TrainingCallback())  # compiles
        for number in range(rounds):
            # Each is first in every other round, as the machine's speed may change meanwhile.
            if number % 2:
                without()
            seen.append(train_with_dashboard(corpus, settings, folder))
            if not number % 2:
                without()
    slower = [with_page["seconds"] / took - 1 for with_page, took in zip(seen, alone, strict=True)]
    taken = {name: round(statistics.median(each[name] for each in seen), 4) for name in seen[0] if name != "seconds"}
    return {
        "settings": settings,
        "seconds": [round(took, 3) for took in alone],
        "seconds_with_page": [round(each["seconds"], 3) for each in seen],
        "slower": round(statistics.median(slower), 4),
        "processor_seconds_a_second": taken,
    }


def main() -> None:
    """Measure, print, and update the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", help="training text")
    parser.add_argument("--presets", nargs="+", choices=SETTINGS, default=[*SETTINGS])
    parser.add_argument("--rounds", type=int, default=6)
    arguments = parser.parse_args()
    corpus, path = read_corpus(arguments.text), Path(__file__).parent / "results" / "live.json"
    results = json.loads(path.read_text(encoding="utf-8"))["results"] if path.exists() else {}
    for name in arguments.presets:
        results[name] = measure(corpus, SETTINGS[name], arguments.rounds)
        print(name, json.dumps(results[name]), flush=True)
    text = json.dumps({"machine": machine(), "results": results}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    from speed import machine

    main()
