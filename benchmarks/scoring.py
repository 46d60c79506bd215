"""Megabytes per second of `elman score`, and gain and cost of dynamic evaluation.

python benchmarks/scoring.py                   speed, on Python's documentation and on a generated log
python benchmarks/scoring.py --adapt RUN TEXT  the last tenth of a text with and without --adapt
python benchmarks/scoring.py --processes RUN   `elman.LineScorer` in one process and in two, of one thread each
python benchmarks/scoring.py --pipe RUN LOG    how soon each of 10,000 lines per second is scored
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Thread
from typing import IO, Any

import numpy as np

import elman
from elman.cli.commands.score import describe_line, format_tsv
from elman.engine import get_engine
from elman.model import Model
from elman.model.score_lines import AGGREGATIONS, DEFAULT_AGGREGATION, score_lines
from elman.network import Architecture, initial_parameters
from elman.text import Alphabet, read_corpus
from speed import machine

RESULTS = Path(__file__).parent / "results" / "scoring.json"
SIZE, CHUNK, REPEATS, BATCH_LINES = 2_000_000, 1 << 20, 5, 2_000
PIPE_SECONDS, PIPE_RATE = 10, 10_000
NETWORKS = (("rnn", 100), ("gru", 128), ("gru", 256))


def make_log() -> str:
    """Return the log of ``examples/odd_lines.py``."""
    sys.path.append(str(Path(__file__).parent.parent / "examples"))
    from odd_lines import make_log as make_lines

    return "\n".join(make_lines(random.Random(1), SIZE // 70))


def load_texts() -> dict[str, str]:
    """Return two megabytes of each kind, or what there is of lines that differ; one that repeats is not read again."""
    docs = "\n".join(dict.fromkeys(read_corpus("python-docs").text.split("\n")))
    return {"python-docs": docs[:SIZE], "log": make_log()[:SIZE]}


def make_model(text: str, cell: str, m: int) -> Model:
    """Return an untrained model, which is as fast as a trained one."""
    alphabet = Alphabet.from_text(text)
    net = Architecture(len(alphabet), m, cell)
    parameters = initial_parameters(net, 0.1, np.random.RandomState(1), np.float32)
    return Model(alphabet, parameters, net.zero_state(np.float32), get_engine("numba"))


def measure_speed(text: str, cell: str, m: int) -> dict[str, Any]:
    """Return the rates of scoring, output included, medians of several runs."""
    model = make_model(text, cell, m)
    chunks = [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)]
    seconds, processor = [], []
    for n in range(REPEATS + 1):
        began, used = time.perf_counter(), time.process_time()
        for lines in score_lines(model, chunks):
            "".join(format_tsv(describe_line(line, AGGREGATIONS[DEFAULT_AGGREGATION], None)) for line in lines)
        if n:  # the first run compiles kernels and tunes the thread pool
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


def measure_adapt(run: str, path: str) -> dict[str, Any]:
    """Return loss and time with and without `--adapt` on the last tenth of a text."""
    text, model = Path(path).read_text(encoding="utf-8"), elman.load(run)
    last = text[len(text) - round(len(text) * 0.1) :]
    result: dict[str, Any] = {"run": Path(run).name, "text": Path(path).name, "chars": len(last) - 1}
    kinds: dict[str, str | None] = {"static": None, "adapt": "weights"}
    for name, adapt in kinds.items():
        model.score(last[:5_000], adapt=adapt)
        began = time.perf_counter()
        result[name] = round(model.score(last, adapt=adapt).nats_per_char, 4)
        result[f"{name}_seconds"] = round(time.perf_counter() - began, 1)
    return result


def measure_processes(run: str) -> dict[str, Any]:
    """Return the seconds in which one and two processes score a log, medians of alternating runs."""
    os.environ["NUMBA_NUM_THREADS"] = "1"  # of the processes, which are started afterwards
    lines = make_log().split("\n")
    batches = [lines[n : n + BATCH_LINES] for n in range(0, len(lines), BATCH_LINES)]
    scorer, seconds = elman.LineScorer(run), dict[int, list[float]]({1: [], 2: []})
    with ProcessPoolExecutor(1, get_context("spawn")) as one, ProcessPoolExecutor(2, get_context("spawn")) as two:
        for n in range(REPEATS + 1):
            for count, processes in ((1, one), (2, two)):
                began = time.perf_counter()
                list(processes.map(scorer, batches))
                if n:  # the first run loads the model
                    seconds[count].append(time.perf_counter() - began)
    medians = {f"{count}_seconds": round(statistics.median(each), 2) for count, each in seconds.items()}
    ratio = statistics.median(a / b for a, b in zip(seconds[1], seconds[2], strict=True))
    return {"run": Path(run).name, "lines": len(lines), **medians, "ratio": round(ratio, 2)}


def measure_pipe(run: str, log: str) -> dict[str, Any]:
    """Return how long after it is written a line is scored, where the lines of a log are written at a fixed rate."""
    texts = Path(log).read_text("utf-8").splitlines()
    command = [sys.executable, "-m", "elman", "score", run, "-"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    assert process.stdin is not None
    assert process.stdout is not None
    written, done = list[float](), list[float]()

    def read(stream: IO[str]) -> None:
        done.extend(time.perf_counter() for _ in stream)

    reader = Thread(target=read, args=(process.stdout,))
    reader.start()
    with process.stdin as pipe:
        pipe.write(texts[0] + "\n")
        pipe.flush()
        while len(done) < 2:  # the header and the first line: the model is loaded
            time.sleep(0.01)
        began = time.perf_counter()
        while len(written) < PIPE_SECONDS * PIPE_RATE:
            while len(written) < (time.perf_counter() - began) * PIPE_RATE:
                pipe.write(texts[len(written) % len(texts)] + "\n")
                written.append(time.perf_counter())
            pipe.flush()
            time.sleep(0.005)
    reader.join()
    delays = np.subtract(done[2:], written)
    median, highest = float(np.median(delays)), float(delays.max())
    return {
        "run": Path(run).name,
        "lines": len(written),
        "median_delay": round(median, 3),
        "highest": round(highest, 3),
    }


def load_results() -> dict[str, Any]:
    """Return the stored results."""
    return dict(json.loads(RESULTS.read_text(encoding="utf-8"))) if RESULTS.exists() else {"speed": [], "adapt": []}


def main(arguments: list[str]) -> None:
    """Measure one part, and store the results."""
    results = load_results() | {"machine": machine()}
    if arguments[:1] == ["--adapt"]:
        result = measure_adapt(*arguments[1:])
        others = [row for row in results["adapt"] if (row["run"], row["text"]) != (result["run"], result["text"])]
        results["adapt"] = [*others, result]
        print(result)
    elif arguments[:1] == ["--pipe"]:
        results["pipe"] = measure_pipe(*arguments[1:])
        print(results["pipe"])
    elif arguments[:1] == ["--processes"]:
        results["processes"] = measure_processes(*arguments[1:])
        print(results["processes"])
    else:
        results["speed"] = []
        for name, text in load_texts().items():
            for cell, m in NETWORKS:
                results["speed"].append({"text": name} | measure_speed(text, cell, m))
                print(results["speed"][-1], flush=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
