"""Try recipes: train each for the updates that fit a budget of seconds, and note the validation loss.

The seconds an update takes are measured first, as the least of several, so that a busy machine slows the search down
but does not change what it finds. Results are appended to a file, a JSON line each::

    python benchmarks/recipes/search.py TEXT --seconds 4 --out results.jsonl '{"cell": "gru", "hidden_size": 128}' …
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import elman
from elman.config import Config, make_config
from elman.engine import get_engine
from elman.runs.data import TrainingData
from elman.text import Corpus, read_corpus
from elman.training.start import create_optimizer, initial_state

BASE: dict[str, Any] = {
    "optimizer": "adam",
    "schedule": "cosine",
    "grad_clip_mode": "norm",
    "init": "orthogonal",
    "validation": 0.1,
    "epochs": 100_000,
    "sample_every": 0,
}
"""What all recipes share unless they say otherwise."""


def seconds_an_update(config: Config, corpus: Corpus) -> float:
    """Return the least time that one of several calls took, an update."""
    optimizer, data = create_optimizer(config), TrainingData(config, corpus)
    state, windows, engine = initial_state(data, optimizer), data.windows, get_engine("numba")
    engine.advance(state, windows, 7, optimizer)  # compiles, and learns how many cores pay
    times = []
    for _ in range(12):
        began = time.perf_counter()
        engine.advance(state, windows, 4, optimizer)
        times.append((time.perf_counter() - began) / 4)
    return min(times)


def tried(recipe: dict[str, Any], corpus: Corpus, seconds: float) -> dict[str, Any]:
    """Return what a recipe reaches; where it says max_updates, the budget does not count."""
    settings = BASE | recipe
    config = make_config(options=settings)
    an_update = seconds_an_update(config, corpus)
    updates = config.max_updates or int(seconds / an_update)
    every = recipe.get("validate_every", max(1, updates // 8))
    limits = {"max_updates": updates, "validate_every": every}
    run = elman.train(corpus, preset="reference", **settings | limits)
    return {
        "text": corpus.name,
        "recipe": recipe,
        "budget_seconds": seconds,
        "update_milliseconds": round(1000 * an_update, 3),
        "updates": updates,
        "epochs": round(updates / run_epoch(run), 2),
        "validation_loss": round(float(run.validation_loss or "nan"), 4),
        "curve": [round(row.validation_loss, 4) for row in run.metrics if row.validation_loss is not None],
        "train_loss_per_char": round(run.state.smooth_loss / config.seq_length, 4),
    }


def run_epoch(run: elman.Run) -> int:
    """Return the updates of one pass over the text."""
    return run.data.windows.per_epoch


def main() -> None:
    """Try the recipes that the command line gives."""
    parser = argparse.ArgumentParser(description="Try recipes for the same budget.")
    parser.add_argument("text")
    parser.add_argument("recipes", nargs="+", help="Settings as JSON.")
    parser.add_argument("--seconds", type=float, required=True, help="Budget of each.")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    corpus = read_corpus(arguments.text)
    for recipe in map(json.loads, arguments.recipes):
        result = json.dumps(tried(recipe, corpus, arguments.seconds))
        print(result, flush=True)
        with arguments.out.open("a", encoding="utf-8") as file:
            file.write(result + "\n")


if __name__ == "__main__":
    main()
