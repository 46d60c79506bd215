"""Outliers in the sample logs of Loghub: how many are found, next to three baselines.

    git clone --depth 1 https://github.com/logpai/loghub
    pip install scikit-learn
    python benchmarks/log_outliers.py loghub

Of each log of 2,000 lines, one half is trained on and the other scored; for each half of the lines at random, and for
the first and the second half in time. BGL has labels: its alerts are the outliers, and they are removed from what is
trained on. Elsewhere the outliers are the lines whose template occurs once or twice in the log, and nothing is removed.
`P` is the precision among as many lines as there are outliers, `AP` the average precision, both as means over seeds.
"""

from __future__ import annotations

import csv
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from odd_lines import average_precision

import elman
from elman.model.score_lines import AGGREGATIONS, score_lines
from elman.text import Corpus
from elman.text.masks import Masker
from ngram import NGram

LOGS = ["BGL", "Thunderbird", "OpenSSH", "HDFS"]
LABELLED = {"BGL": True, "Thunderbird": False}
"""Logs whose lines begin with a label, and whether any label says that a line is an alert."""
RARE = 2
"""Occurrences of a template up to which its lines are outliers, where there are no labels."""
SEEDS = (1, 2, 3)
UPDATES = 600
"""One to two seconds; a number of updates is reproducible, a time limit is not."""
ORDER = 10

Lines = Sequence[str]
Scores = Sequence[float] | NDArray[np.float64]
Method = Callable[[Lines, Lines, int], Scores]


def read_log(folder: Path, name: str) -> tuple[list[str], NDArray[np.bool_]]:
    """Return the lines of a log without their labels, and which of them are outliers."""
    files = (folder / name / f"{name}_2k.log{suffix}" for suffix in ("", "_structured.csv"))
    return parse_log(name, *(file.read_text("utf-8") for file in files))


def parse_log(name: str, text: str, table: str) -> tuple[list[str], NDArray[np.bool_]]:
    """Return the lines of a log without their labels, and which of them are outliers."""
    lines = [line.rstrip("\r") for line in text.split("\n") if line.strip()]
    rows = list(csv.DictReader(table.splitlines()))
    if name in LABELLED:
        lines = [line.partition(" ")[2] for line in lines]
    if LABELLED.get(name):
        return lines, np.array([row["Label"] != "-" for row in rows])
    counts = Counter(row["EventId"] for row in rows)
    return lines, np.array([counts[row["EventId"]] <= RARE for row in rows])


def score_by_elman(mask: str, by: str) -> Method:
    """Return the method of `elman train --lines` and `elman score`."""

    def score(training: Lines, testing: Lines, seed: int) -> Scores:
        corpus = Corpus.from_lines(training)
        options = {"max_updates": UPDATES, "sample_every": 0, "seed": seed}
        model = elman.train(corpus, preset="quick", lines=True, mask=mask, **options).model  # type: ignore[arg-type]
        lines = chain.from_iterable(score_lines(model, ["\n".join(testing)]))
        return [AGGREGATIONS[by](line) for line in lines]

    return score


def mask_all(lines: Lines) -> list[str]:
    """Return lines with all masks applied."""
    masker = Masker("all")
    return [masked.text for masked in masker.mask_lines(lines)]


def score_by_ngram(training: Lines, testing: Lines, seed: int) -> Scores:
    """Score masked lines by the mean loss of a character n-gram."""
    ngram = NGram(mask_all(training), ORDER)
    return [statistics.mean(ngram.losses(line)) for line in mask_all(testing)]


def score_by_forest(training: Lines, testing: Lines, seed: int) -> Scores:
    """Score masked lines by an isolation forest on their counts of one to three characters.

    These settings found most of seven: samples of all lines instead of 256, 300 trees; words and TF-IDF found less.
    """
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=300, max_samples=1.0, random_state=seed)
    return score_by_detector(forest, training, testing)


def score_by_neighbours(training: Lines, testing: Lines, seed: int) -> Scores:
    """Score masked lines by the local outlier factor of their counts."""
    from sklearn.neighbors import LocalOutlierFactor

    return score_by_detector(LocalOutlierFactor(novelty=True), training, testing)


def score_by_one_class(training: Lines, testing: Lines, seed: int) -> Scores:
    """Score masked lines by a one-class support vector machine on their counts."""
    from sklearn.svm import OneClassSVM

    return score_by_detector(OneClassSVM(), training, testing)


def score_by_detector(detector: Any, training: Lines, testing: Lines) -> Scores:
    """Score masked lines by a detector of scikit-learn on their counts of one to three characters."""
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(analyzer="char", ngram_range=(1, 3), max_features=2000)
    detector.fit(vectorizer.fit_transform(mask_all(training)))
    return np.asarray(-detector.score_samples(vectorizer.transform(mask_all(testing))))


def score_by_template(training: Lines, testing: Lines, seed: int) -> Scores:
    """Score a line by how rarely its template occurs: its words, with those that contain a digit replaced."""

    def find_template(line: str) -> str:
        return " ".join("*" if any(map(str.isdigit, word)) else word for word in line.split())

    counts = Counter(map(find_template, training))
    return [-float(counts[find_template(line)]) for line in testing]


METHODS: dict[str, Method] = {
    "Elman, no mask": score_by_elman("", "worst5+mean"),
    "Elman, --mask all": score_by_elman("all", "worst5+mean"),
    "Elman, --mask all, --by worst5": score_by_elman("all", "worst5"),
    "Elman, --mask all, --by mean": score_by_elman("all", "mean"),
    "Elman, --mask all, --by max": score_by_elman("all", "max"),
    "Elman, --mask all, --by sum": score_by_elman("all", "sum"),
    f"{ORDER}-gram": score_by_ngram,
    "isolation forest": score_by_forest,
    "local outlier factor": score_by_neighbours,
    "one-class SVM": score_by_one_class,
    "template counts": score_by_template,
}


def split(count: int, how: str, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the numbers of the lines that are trained on, and of those that are scored."""
    order = np.random.default_rng(seed).permutation(count) if how == "random" else np.arange(count)
    return order[: count // 2], order[count // 2 :]


def evaluate(method: Method, lines: list[str], is_odd: NDArray[np.bool_], how: str, clean: bool) -> tuple[float, float]:
    """Return the precision among as many lines as there are outliers, and the average precision."""
    precisions, averages = [], []
    for seed in SEEDS if how == "random" else SEEDS[:1]:
        training, testing = split(len(lines), how, seed)
        if clean:
            training = training[~is_odd[training]]
        scores = np.asarray(method([lines[n] for n in training], [lines[n] for n in testing], seed))
        order = np.random.default_rng(0).permutation(len(scores))  # equal scores are in random order
        ranking = is_odd[testing][order[np.argsort(-scores[order], kind="stable")]]
        precisions.append(float(ranking[: int(ranking.sum())].mean()))
        averages.append(average_precision(ranking.tolist()))
    return statistics.mean(precisions), statistics.mean(averages)


def main() -> None:
    """Print a table of all methods and logs."""
    folder = Path(sys.argv[1])
    columns = [(name, how) for name in LOGS for how in ("random", "time") if how == "random" or name == "BGL"]
    logs = {name: read_log(folder, name) for name in LOGS}
    print("| method |", *(f"{name}, {how} |" for name, how in columns))
    print("|---|", *("--: |" for _ in columns))
    print("| outliers |", *(f"{logs[name][1].sum()} of {len(logs[name][0]):,} |" for name, _ in columns))
    for title, method in METHODS.items():
        results = [evaluate(method, *logs[name], how, bool(LABELLED.get(name))) for name, how in columns]
        cells = (f"{precision:.0%}, {average:.3f} |" for precision, average in results)
        print(f"| {title} |", *cells, flush=True)


if __name__ == "__main__":
    main()
