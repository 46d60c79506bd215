"""Memory grows neither with the number of updates nor with the number of generated characters."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TRACED = 200_000
"""Bytes by which Python's memory may grow: a few rows more or less, and output buffers."""
RESIDENT = 8_000_000
"""Bytes by which the resident set may grow: the allocator keeps pages as it likes. A copy of the weights per call would
be 300 times as much."""

PROGRAM = """
import gc, json, sys, tracemalloc
from pathlib import Path
import elman
from elman.runs import history
from elman.training import limits, checkpoints
from elman.training.callbacks import TrainingCallback

history.NEWEST, limits.TICK_SECONDS = 50, 0.01
checkpoints.CHECKPOINT_SECONDS, checkpoints.CHECKPOINT_SHARE = 0.2, 1e9

def held():
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if Path("/proc/self/statm").exists() else 0
    return tracemalloc.get_traced_memory()[0], 4096 * pages

class Notes(TrainingCallback):
    at = {}
    def on_progress(self, run, updates):
        if run.state.update in (20_000, 40_000):
            self.at[run.state.update] = held()

tracemalloc.start()
options = dict(preset="reference", metrics_every=20, sample_every=500, max_updates=40_000)
run = elman.train("python-docs", **options, out=sys.argv[1], callback=Notes())
points, written = [], 0
for piece in run.model.stream(300_000, seed=1):
    written += len(piece)
    if written >= 100_000 * (len(points) + 1):
        points.append(held())
print(json.dumps([[Notes.at[20_000], Notes.at[40_000]], [points[0], points[2]]]))
"""


@pytest.mark.slow  # .ci/run has it
def test_memory_does_not_grow(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, tmp_path / "run"], stdout=subprocess.PIPE, check=True)
    for what, (before, after) in zip(("training", "sampling"), json.loads(done.stdout), strict=True):
        assert after[0] < before[0] + TRACED, what
        assert after[1] < before[1] + RESIDENT, what
