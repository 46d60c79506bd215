"""How well a model of n-gram counts of ordinary strings tells random ones: identifiers, or domain names.

    python benchmarks/random_strings.py NOSTRIL              recall at 0.2 % false alarms
    python benchmarks/random_strings.py DGA OPENDNS          AUC of the domains of 25 families of malware

The lists are those of https://github.com/casics/nostril, https://github.com/chrmor/DGA_domains_dataset (the sample) and
https://github.com/opendns/public-domain-lists.
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


def measure_auc(ordinary: np.ndarray, others: np.ndarray) -> float:
    """Return the probability that another string scores above an ordinary one, ties counting half."""
    below, up_to = (np.searchsorted(np.sort(ordinary), others, side) for side in ("left", "right"))
    return float((below + up_to).mean() / 2 / len(ordinary))


def compare_domains(dga: Path, opendns: Path) -> None:
    """Train on ordinary domains only, without their top-level domains, and print the AUC of each family, and of all."""
    with (dga / "dga_domains_sample.csv").open(encoding="utf-8") as file:
        rows = [(family, domain.rpartition(".")[0]) for _, family, domain in csv.reader(file)]
    names = np.array([name for family, name in rows if family == "alexa"], object)
    train, held_out = np.array_split(np.random.default_rng(0).permutation(names), 2)
    lists = [(opendns / f"opendns-{kind}-domains.txt").read_text("utf-8").split() for kind in ("top", "random")]
    ordinary = sorted({*train, *(domain.rpartition(".")[0] for domains in lists for domain in domains)})
    model = elman.train(elman.Corpus.from_lines(ordinary), preset="counts", lines=True).model
    families = np.array([family for family, _ in rows if family != "alexa"])
    for by in ("mean", "worst5+mean"):
        expected = model.score_lines(held_out, by=by)
        scores = model.score_lines([name for family, name in rows if family != "alexa"], by=by)
        aucs = {family: measure_auc(expected, scores[families == family]) for family in np.unique(families)}
        print(f"{by:12} all: {measure_auc(expected, scores):.3f};", ", ".join(f"{f} {a:.3f}" for f, a in aucs.items()))


def main() -> None:
    """Train on half of the identifiers, and print what scores above a threshold from the other half."""
    if len(sys.argv) > 2:
        compare_domains(*map(Path, sys.argv[1:]))
        return
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
