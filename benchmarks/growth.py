"""How the cost of `elman train --preset minute` grows with the text and with its alphabet.

    python benchmarks/growth.py TEXT [--seconds 60] [--megabytes 0.1 1 10 100 1000] [--alphabets 30 100 1000 5000]

The texts are generated, and the same on every machine: those of different sizes from a text, by jumps
between places with the same six characters before; those of different alphabets from a random source, ten million
characters each. The command runs in a process of its own, after its kernels are compiled. Needs 3 GB of disk for a text
of 1 GB. Writes ``benchmarks/results/growth.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "growth.json"
ORDER, RUN = 6, 4
"""Characters that are the same before a jump and before its target, and characters from one jump to the next."""
CHUNK = 8_000_000
"""Characters that are generated at a time."""
SUCCESSORS = 16
"""Characters that may follow two others in a text of a random source; each is half as probable as the one before."""
ALPHABET_CHARACTERS = 10_000_000
FIRST_CHARACTER = 0x4E00

Codes = NDArray[np.uint32]
Result = dict[str, Any]


@njit
def random_number(state):  # type: ignore[no-untyped-def]
    """Return 31 random bits, and the next state of a linear congruential generator."""
    state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
    return np.int64(state >> np.uint64(33)), state


@njit
def fill_from_text(out, text, order, starts, groups, at, state):  # type: ignore[no-untyped-def]
    """Fill `out` from a text, with jumps between positions of the same group: that have the same context."""
    for i in range(len(out)):
        if i % RUN == 0:
            bits, state = random_number(state)
            first, last = starts[groups[at]], starts[groups[at] + 1]
            at = order[first + bits % (last - first)]
        out[i] = text[at]
        at += 1
        if at == len(text):
            at = 0
    return at, state


@njit
def fill_from_source(out, marginal, state):  # type: ignore[no-untyped-def]
    """Fill `out` with characters of a Markov source of order two, whose successors are drawn from `marginal`."""
    before, last = 0, 0
    for i in range(len(out)):
        bits, state = random_number(state)
        j = 0
        while j < SUCCESSORS - 1 and bits >> j & 1:
            j += 1
        key, _ = random_number(np.uint64((before * 131071 + last) * SUCCESSORS + j))
        before, last = last, marginal[key % len(marginal)]
        if bits >> 20 & 7 == 0:  # so that every character occurs
            last = marginal[(bits * 7919) % len(marginal)]
        out[i] = last
    return state


def resample(text: str, characters: int) -> Iterator[str]:
    """Yield a text of so many characters, in which any few of them follow one another as in the given text."""
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    keys = np.zeros(len(codes), np.uint64)
    for back in range(1, ORDER + 1):
        keys = keys * np.uint64(1_000_003) + np.roll(codes, back).astype(np.uint64)
    _, groups = np.unique(keys, return_inverse=True)
    starts = np.concatenate([[0], np.cumsum(np.bincount(groups))])
    grouping = [array.astype(np.int32) for array in (np.argsort(groups, kind="stable"), starts, groups)]
    at, state = 0, np.uint64(1)
    for first in range(0, characters, CHUNK):
        out = np.empty(min(CHUNK, characters - first), np.uint32)
        at, state = fill_from_text(out, codes, *grouping, at, np.uint64(state))
        yield as_text(out)


def random_text(alphabet: int, characters: int) -> Iterator[str]:
    """Yield a text of Chinese characters, the most frequent one r times as frequent as the one of rank r."""
    counts = 1 / np.arange(1, alphabet + 1)
    ranks = np.searchsorted(np.cumsum(counts / counts.sum()), (np.arange(1 << 20) + 0.5) / (1 << 20))
    out = np.empty(characters, np.uint32)
    fill_from_source(out, np.minimum(ranks, alphabet - 1), np.uint64(1))
    yield as_text(out + np.uint32(FIRST_CHARACTER))


def as_text(codes: Codes) -> str:
    """Return the characters of code points."""
    return codes.tobytes().decode("utf-32-le")


def write(path: Path, chunks: Iterator[str]) -> int:
    """Write a text; return its number of characters."""
    with path.open("w", encoding="utf-8", newline="") as file:
        return sum(file.write(chunk) for chunk in chunks)


def train(path: Path, out: Path, *options: str) -> Result:
    """Run the command; return what it took, and what it reached."""
    elman = str(Path(sys.executable).with_name("elman"))
    command = [elman, "train", str(path), "--preset", "minute", "--out", str(out), "--json", *options]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    assert process.stdout is not None
    assert process.stderr is not None
    messages, printed = process.stderr.read(), process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        sys.exit(messages)
    results, megabyte = json.loads(printed), 1024 if sys.platform == "linux" else 1024**2
    return {
        "first_update_seconds": round(results["preparation_seconds"], 2),
        "whole_seconds": round(seconds, 1),
        "peak_megabytes": round(usage.ru_maxrss / megabyte),
        "chars_per_second": results["chars_per_second"],
        "epochs": results["epochs"],
        "validation_loss": results["validation_loss"],
    }


def measure(name: str, chunks: Iterator[str], folder: Path, seconds: float) -> Result:
    """Generate a text, train on it and describe both."""
    path, out = folder / "text.txt", folder / "run"
    characters = write(path, chunks)
    result: Result = {"text": name} | train(path, out, "--max-seconds", str(seconds), "--overwrite")
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    result |= {"characters": characters, "read": run["corpus"]["chars"], "alphabet": run["corpus"]["alphabet_size"]}
    print(result, flush=True)
    return result


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--megabytes", nargs="*", type=float, default=[0.1, 1, 10, 100, 1000])
    parser.add_argument("--alphabets", nargs="*", type=int, default=[30, 100, 1000, 5000])
    options = parser.parse_args()
    text, result = options.text.read_text(encoding="utf-8"), dict[str, Any]()
    from speed import machine

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "short.txt", resample(text, 100_000))
        train(folder / "short.txt", folder / "compiled", "--max-updates", "20")
        sizes = {f"{size:g} MB": round(1e6 * size) for size in options.megabytes}
        result["sizes"] = [measure(name, resample(text, n), folder, options.seconds) for name, n in sizes.items()]
        result["alphabets"] = [
            measure(f"{K:,} characters", random_text(K, ALPHABET_CHARACTERS), folder, options.seconds)
            for K in options.alphabets
        ]
    result = {"machine": machine(), "seconds": options.seconds} | result
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
