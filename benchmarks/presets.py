"""The validation loss of each preset, and how long the complete command takes, from start to exit.

    python benchmarks/presets.py TEXT… [--presets counts quick minute strong] [--seeds 400 1 2]
                                    [--settings ngram-order=0]

The last tenth of every text is held out. The loss is the mean over all its characters, in nats, of the weights that the
run saved, with the hidden state carried through; the validations of the run read at most a part of it. Kernels are
compiled before the clock starts. Results are added to ``benchmarks/results/presets.json``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from elman import open_run
from elman.runs.texts import training_length
from elman.text import read_corpus

RESULTS = Path(__file__).parent / "results" / "presets.json"


def elman(*arguments: str) -> dict[str, Any]:
    """Run a command; return its results."""
    command = [str(Path(sys.executable).with_name("elman")), *arguments, "--json"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    results: dict[str, Any] = json.loads(output)
    return results


def train(text: str, out: str, *options: str) -> tuple[dict[str, Any], float]:
    """Run ``elman train``; return its results and the seconds it took."""
    started = time.perf_counter()
    results = elman("train", text, "--out", out, *options)
    return results, time.perf_counter() - started


def measure(text: str, preset: str, *options: str) -> dict[str, Any]:
    """Return the results of one preset on one text."""
    settings = ["--preset", preset, "--validation", "0.1", *options]
    with tempfile.TemporaryDirectory() as folder:
        train(text, f"{folder}/compiled", *settings, "--max-updates", "10", "--validate-every", "10")
        results, seconds = train(text, f"{folder}/run", *settings)
        saved, corpus = open_run(f"{folder}/run"), read_corpus(text)
        held_out = corpus.indices[training_length(corpus, saved.config) :]
        score = saved.model.score(corpus.alphabet.decode(held_out))
    return {
        "text": Path(text).name,
        "validation_loss": round(score.nats_per_char, 4),
        "validation_chars": score.chars + 1,
        "whole_seconds": round(seconds, 1),
        "update_seconds": results["seconds"],
        "updates": results["updates"],
        "epochs": results["epochs"],
        "chars_per_second": results["chars_per_second"],
        "advice": results["advice"],
    }


def parse_settings(settings: Sequence[str]) -> list[str]:
    """Return the options of ``elman train`` for settings such as ``layers=4``."""
    return [part for each in settings for part in f"--{each}".split("=", 1)]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--presets", nargs="*", default=["counts", "quick", "minute", "strong"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[400])
    parser.add_argument("--settings", nargs="*", default=[], help="Further options of elman train, without --.")
    options = parser.parse_args()
    settings = parse_settings(options.settings)
    from speed import add_result

    for text in options.texts:
        for preset in options.presets:
            for seed in options.seeds:
                result = {"preset": preset, "seed": seed, **measure(text, preset, "--seed", str(seed), *settings)}
                result |= {"settings": settings} if settings else {}
                print(result, flush=True)
                add_result(RESULTS, result, ("preset", "seed", "text", "settings"))


if __name__ == "__main__":
    main()
