"""Characters a second that `elman score` reads, and what learning from the text while it is scored brings and takes.

python benchmarks/scoring.py                   the speed, on Python's documentation and on a made-up log
python benchmarks/scoring.py --adapt RUN TEXT  the last tenth of a text with and without --adapt
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import elman
from elman.cli.commands.score import tsv_row
from elman.engine import TrainState, get_engine
from elman.inference import Model
from elman.inference.score_lines import scored_lines
from elman.text import Alphabet, read_corpus
from speed import machine

RESULTS = Path(__file__).parent / "results" / "scoring.json"
SIZE, PIECE, REPEATS = 2_000_000, 1 << 20, 5
NETWORKS = (("rnn", 100), ("gru", 128), ("gru", 256))


def log() -> str:
    """Return the log of ``examples/odd_lines.py``."""
    sys.path.append(str(Path(__file__).parent.parent / "examples"))
    from odd_lines import log as lines

    return "\n".join(lines(random.Random(1), SIZE // 70))


def texts() -> dict[str, str]:
    """Return some megabytes of each kind, repeated where there is less: no line depends on another."""
    docs = read_corpus("python-docs").text
    return {"python-docs": (docs * (SIZE // len(docs) + 1))[:SIZE], "log": log()[:SIZE]}


def network(text: str, cell: str, m: int) -> Model:
    """Return an untrained network: it takes as long as a trained one."""
    alphabet = Alphabet.from_text(text)
    state = TrainState.initial(len(alphabet), m, 0.1, 1, np.float32, cell=cell)
    return Model(alphabet, state.parameters, state.h, get_engine("numba"))


def speed(text: str, cell: str, m: int) -> dict[str, Any]:
    """Return the rates of scoring and of writing the rows as well, the medians of several."""
    model = network(text, cell, m)
    pieces = [text[start : start + PIECE] for start in range(0, len(text), PIECE)]
    seconds, processor = [], []
    for n in range(REPEATS + 1):
        began, used = time.perf_counter(), time.process_time()
        for lines in scored_lines(model, pieces):
            "".join(map(tsv_row, lines))
        if n:  # the first time kernels are compiled, and it is found out how many cores pay
            seconds.append(time.perf_counter() - began)
            processor.append(time.process_time() - used)
    mb = len(text.encode()) / 1e6
    return {
        "cell": cell,
        "m": m,
        "K": len(model.alphabet),
        "chars_per_line": round(len(text) / (text.count("\n") + 1)),
        "mb_per_second": round(mb / statistics.median(seconds), 2),
        "best_mb_per_second": round(mb / min(seconds), 2),
        "processor_seconds_per_mb": round(statistics.median(processor) / mb, 3),
    }


def adapting(run: str, path: str) -> dict[str, Any]:
    """Return what `--adapt` brings on the last tenth of a text, and how long it takes."""
    text, model = Path(path).read_text(encoding="utf-8"), elman.load(run)
    last = text[len(text) - round(len(text) * 0.1) :]
    figures: dict[str, Any] = {"run": Path(run).name, "text": Path(path).name, "chars": len(last) - 1}
    for name, adapt in (("static", False), ("adapt", True)):
        model.score(last[:5_000], adapt=adapt)
        began = time.perf_counter()
        figures[name] = round(model.score(last, adapt=adapt).nats_per_char, 4)
        figures[f"{name}_seconds"] = round(time.perf_counter() - began, 1)
    return figures


def kept() -> dict[str, Any]:
    """Return the results there are."""
    return dict(json.loads(RESULTS.read_text(encoding="utf-8"))) if RESULTS.exists() else {"speed": [], "adapt": []}


def main(arguments: list[str]) -> None:
    """Measure and keep, one part at a time."""
    results = kept() | {"machine": machine()}
    if arguments[:1] == ["--adapt"]:
        found = adapting(*arguments[1:])
        others = [row for row in results["adapt"] if (row["run"], row["text"]) != (found["run"], found["text"])]
        results["adapt"] = [*others, found]
        print(found)
    else:
        results["speed"] = []
        for name, text in texts().items():
            for cell, m in NETWORKS:
                results["speed"].append({"text": name} | speed(text, cell, m))
                print(results["speed"][-1], flush=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
