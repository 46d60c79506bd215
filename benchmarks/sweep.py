"""How many more trials two workers of one core finish than one, and what a sweep costs beside its trainings.

Run it on an idle machine with Linux: ``python benchmarks/sweep.py TEXT``. The trials have a budget in updates, so that
their work is the same in every case, and are not pruned. The start of the workers and the report are not counted: the
duration of a short sweep is subtracted from that of a long one.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import elman

SHORT = 2
OPTIONS: dict[str, Any] = {"preset": "quick", "sampler": "random", "pruner": "none"}
SPACE = {"learning_rate": {"low": 0.003, "high": 0.03, "log": True}}


def main() -> None:
    """Print both measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--updates", type=int, default=1000, help="per trial; about 5 seconds of training")
    arguments = parser.parse_args()
    options = OPTIONS | {"max_updates": arguments.updates}
    with tempfile.TemporaryDirectory() as folder:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
        two = measure_sweep(arguments.text, Path(folder), 2, arguments.trials, options)
        for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = "1"  # a single worker, or this process, would use both cores
        one = measure_sweep(arguments.text, Path(folder), 1, arguments.trials, options)
        alone = measure_trainings(arguments.text, Path(folder), arguments.trials, options)
    print(f"1 worker of one core:  {one:.2f} s per trial")
    print(f"2 workers of one core: {two:.2f} s per trial, {one / two:.2f} x as many trials in the same time")
    print(f"elman.train: {alone:.2f} s per training; the sweep costs {100 * (one / alone - 1):.1f} % more")


def measure_sweep(text: Path, folder: Path, workers: int, trials: int, options: dict[str, Any]) -> float:
    """Return the seconds per trial of a sweep once it has started."""
    durations = []
    for number in (SHORT, SHORT + trials):
        started = time.perf_counter()
        out = folder / f"sweep{workers}-{number}"
        elman.sweep(text, out=out, trials=number, workers=workers, space=SPACE, **options)
        durations.append(time.perf_counter() - started)
    return (durations[1] - durations[0]) / trials


def measure_trainings(text: Path, folder: Path, trials: int, options: dict[str, Any]) -> float:
    """Return the seconds per training of the last trials of the long sweep, in this process."""
    result = elman.sweep(text, out=folder / f"sweep1-{SHORT + trials}", trials=SHORT + trials, space=SPACE, **options)
    corpus = elman.Corpus.from_text(text.read_text("utf-8"))
    duration = 0.0
    for trial in result.trials[SHORT - 1 :]:  # the first one also loads the kernels
        settings: Any = result.settings.options | trial.values
        started = time.perf_counter()
        out = folder / f"training{trial.number}"
        elman.train(corpus, out=out, preset=options["preset"], progress=False, **settings)
        duration += time.perf_counter() - started if trial.number >= SHORT else 0.0
    return duration / trials


if __name__ == "__main__":
    main()
