"""Ablations of the n-gram prior: every variant is trained for the same number of updates, with the settings of quick.

python benchmarks/ngram_prior.py TEXT [--max-updates 2000] [--seeds 3] [--only order min_count …] [--out results.json]
                                 [--fractions 0.001 0.01 0.1 1]

Prints a Markdown table, and writes the same numbers as JSON. A loss is the mean over the text held out, in nats per
character, of the last network; with several seeds, the median and, in parentheses, the smallest and the largest. That
of the counts alone is the loss of q, without a network. The seconds are those of updates, without compilation.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import elman
from elman.config import Config
from elman.ngram.language_model import compute_losses
from elman.runs.texts import TrainingData
from elman.text import Corpus, read_corpus
from elman.training.initialization import create_optimizer, initial_state

PRESET = "quick"
BASE: dict[str, Any] = {
    "ngram_order": 9,
    "ngram_folds": 10,
    "ngram_start": 0.5,
    "validation": 0.1,
    "epochs": 1_000_000,
    "sample_every": 0,
}
"""What every variant has unless it says otherwise."""

VARIANTS: dict[str, tuple[Any, ...]] = {
    "ngram_order": (0, 4, 6, 9, 11),
    "ngram_min_count": (1, 2, 3),
    "ngram_folds": (0, 10),
    "ngram_start": (0.0, 0.5, 0.8),
    "cell": ("rnn", "gru", "lstm"),
}
"""The values of each setting; the others are those of `BASE`."""

FRACTIONS = (0.125, 0.25, 0.5, 1.0)
"""Parts of the text, from its beginning, each with and without a prior, unless others are passed."""


class Variant(NamedTuple):
    """A group of the table, the settings that differ from `BASE`, and the fraction of the text that is used."""

    group: str
    settings: dict[str, Any]
    fraction: float = 1.0


def list_variants(groups: list[str], fractions: Sequence[float]) -> Iterator[Variant]:
    """Yield the variants of these groups."""
    for name, values in VARIANTS.items():
        if name.removeprefix("ngram_") in groups:
            for value in values:
                yield Variant(name.removeprefix("ngram_"), {name: value})
                if name == "cell":
                    yield Variant("cell", {name: value, "ngram_order": 0})
    if "size" in groups:
        for fraction in fractions:
            for order in (0, BASE["ngram_order"]):
                yield Variant("size", {"ngram_order": order}, fraction)


def truncate(corpus: Corpus, fraction: float) -> Corpus:
    """Return the beginning of a text."""
    return corpus if fraction == 1 else Corpus.from_text(corpus.text[: round(fraction * len(corpus.indices))])


def counts_alone(corpus: Corpus, config: Config) -> float | None:
    """Return the validation loss of q."""
    data = TrainingData(config, corpus)
    ngrams = initial_state(data, create_optimizer(config)).parameters.ngrams
    x = data.validation_set
    if ngrams is None or x is None:
        return None
    return float(compute_losses(ngrams, x).mean())


def measure(corpus: Corpus, variant: Variant, updates: int, seeds: int) -> dict[str, Any]:
    """Return what a variant reaches with each seed."""
    text, settings, losses, seconds = truncate(corpus, variant.fraction), BASE | variant.settings, [], []
    limits = {"max_updates": updates, "validate_every": updates}
    for seed in range(1, seeds + 1):
        run = elman.train(text, preset=PRESET, **settings | limits, seed=seed)
        losses.append(float(run.metrics[-1].validation_loss or "nan"))
        seconds.append(run.state.seconds)
    return {
        "group": variant.group,
        "settings": variant.settings,
        "characters": len(text.indices),
        "updates": updates,
        "validation_loss": [round(loss, 4) for loss in losses],
        "counts_alone": _rounded(counts_alone(text, run.config)),
        "seconds": round(statistics.median(seconds), 2),
    }


def _rounded(loss: float | None) -> float | None:
    return None if loss is None else round(loss, 4)


def row(result: dict[str, Any]) -> str:
    """Return a row of the table."""
    settings = ", ".join(f"{name.removeprefix('ngram_')} {value}" for name, value in result["settings"].items())
    losses, alone = result["validation_loss"], result["counts_alone"]
    spread = f" ({min(losses):.4f}–{max(losses):.4f})" if len(losses) > 1 else ""
    counts = "" if alone is None else f"{alone:.4f}"
    loss = f"{statistics.median(losses):.4f}{spread}"
    return f"| {settings} | {result['characters']:,} | {loss} | {counts} | {result['seconds']} |"


def main() -> None:
    """Train the variants and print the table."""
    groups = [*(name.removeprefix("ngram_") for name in VARIANTS), "size"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text")
    parser.add_argument("--max-updates", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=groups, default=groups)
    parser.add_argument("--fractions", nargs="+", type=float, default=FRACTIONS, help="of the text, with --only size")
    parser.add_argument("--out", type=Path, help="file for the results as JSON")
    arguments = parser.parse_args()
    corpus, results = read_corpus(arguments.text), []
    print("| variant | characters | validation loss, nats/char | counts alone | seconds |\n|---|--:|--:|--:|--:|")
    for variant in list_variants(arguments.only, arguments.fractions):
        results.append(measure(corpus, variant, arguments.max_updates, arguments.seeds))
        print(row(results[-1]), flush=True)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
