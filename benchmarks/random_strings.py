"""Recall of random strings at 0.2 % false alarms, by a model of n-gram counts of ordinary identifiers.

    python benchmarks/random_strings.py NOSTRIL

NOSTRIL is a copy of https://github.com/casics/nostril, whose lists are used.
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

import numpy as np

import elman

FALSE_ALARMS, MIN_LETTERS = 0.002, 6


def split_words(identifier: str) -> str:
    """Return the words of an identifier in lower case."""
    words = re.sub(r"[^A-Za-z]+", " ", identifier)
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", words)
    return " ".join(words.lower().split())


def prepare(identifiers: list[str]) -> list[str]:
    """Return the words of the identifiers that have enough of them."""
    return [words for words in map(split_words, identifiers) if len(words) >= MIN_LETTERS]


def main() -> None:
    """Train on half of the identifiers, and print what scores above a threshold from the other half."""
    root = Path(sys.argv[1])
    unlabelled = root / "tests" / "unlabeled-cases"

    def read(path: Path) -> list[str]:
        return path.read_text("utf-8", errors="replace").split()

    identifiers = prepare(read(unlabelled / "select-identifiers-from-osx-frameworks.txt"))
    others = prepare(read(root / "nostril/training/identifier-corpora/random-identifiers-from-github.txt"))
    with (root / "tests/labeled-cases/real-not-real.csv").open(encoding="utf-8") as file:
        labelled = list(csv.reader(file))
    texts = {
        "typed at random": prepare(read(unlabelled / "random-by-hand.txt")),
        "labelled as nonsense": prepare([text for label, text, *_ in labelled if label == "n"]),
        "labelled as real": prepare([text for label, text, *_ in labelled if label != "n"]),
    }
    order = np.random.default_rng(0).permutation(len(identifiers))
    train, held_out = np.array_split(np.array(identifiers, object)[order], 2)
    model = elman.train(elman.Corpus.from_lines([*train, *others]), preset="counts", lines=True).model
    for by in ("mean", "worst5+mean", "worst5"):
        threshold = np.quantile(model.score_lines(held_out, by=by), 1 - FALSE_ALARMS)
        for title, strings in texts.items():
            print(f"{by:12} {title:22} {len(strings):6,} {(model.score_lines(strings, by=by) > threshold).mean():.3f}")


if __name__ == "__main__":
    main()
