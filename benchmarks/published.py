"""Elman on data sets with published figures, evaluated as they were.

    python benchmarks/published.py ptb FOLDER --seconds 60 300 3600
    python benchmarks/published.py names FILE --seconds 20
    python benchmarks/published.py moses FOLDER --seconds 600      # needs rdkit
    python benchmarks/published.py bgl FOLDER                      # needs scikit-learn, as does sms

``--help`` says where to get a data set, under which licence, and which files it needs. The length and the hash of
every file are checked; of text8 and enwik8, which were not measured, only the length. No recipe was chosen by the test
set of Penn Treebank.
Results are added to ``benchmarks/results/published.json``.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import json
import math
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import elman
from presets import parse_settings, train
from speed import add_result

RESULTS = Path(__file__).parent / "results" / "published.json"
SAMPLES = 30_000
"""Molecules that MOSES asks for."""
BATCH = 1000
"""Samples that are generated as one batch."""
HELD_OUT = 1000
"""Names that makemore holds out."""
MESSAGE_RATES = ("accuracy", "spam_found", "ham_flagged")
"""Of classified messages: all, spam, ham."""
SPLITS = (1, 2, 3, 4, 5)
"""Seeds of the random halves of messages."""

Result = dict[str, Any]


@dataclass(frozen=True)
class DataSet:
    """A data set: where to get it, and how it is evaluated."""

    source: str
    files: dict[str, tuple[int, str]]
    """Length in bytes, and the first digits of the SHA-256, of each file."""
    evaluate: Callable[[dict[str, bytes], argparse.Namespace], Iterator[Result]]


def run_elman(*arguments: str) -> Any:
    """Run a command with ``--json`` and return what it prints."""
    command = [str(Path(sys.executable).with_name("elman")), *arguments, "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def train_for(seconds: float, text: str, out: str, options: argparse.Namespace, *settings: str) -> Result:
    """Train for a time budget, and return what describes the run."""
    limits = ["--max-seconds", f"{seconds:g}", "--seed", str(options.seed)]
    trained, whole = train(text, out, *limits, *settings, *options.settings)
    return {
        "seconds": seconds,
        "seed": options.seed,
        "settings": options.settings,
        "whole_seconds": round(whole, 1),
        "epochs": round(trained["epochs"], 2),
        "parameters": sum(array.size for array in elman.load(out).parameters.values()),
        "validation": to_bits(trained["validation_loss"]),
    }


def keep(out: str, result: Result, options: argparse.Namespace) -> None:
    """Keep a run if that was asked for."""
    if options.keep is not None:
        shutil.move(out, options.keep / f"{options.data}-{result['seconds']:g}-{len(list(options.keep.iterdir()))}")


def evaluate_text(
    parts: Sequence[bytes], options: argparse.Namespace, *settings: str, adapt: Sequence[str] = ("", "mixture")
) -> Iterator[Result]:
    """Train on the first part for each budget, validate on the second, evaluate on the third once."""
    with tempfile.TemporaryDirectory() as folder:
        training, validation, test = (str(Path(folder, name)) for name in ("train.txt", "validation.txt", "test.txt"))
        for path, part in zip((training, validation, test), parts, strict=True):
            Path(path).write_bytes(part)
        for seconds in options.seconds:
            out = f"{folder}/run-{seconds:g}"
            result = train_for(seconds, training, out, options, "--validation", validation, *settings)
            for mode in adapt:
                loss = run_elman("eval", out, test, *(["--adapt", mode] if mode else []))["nats_per_char"]
                result[mode or "static"] = to_bits(loss)
            yield result
            keep(out, result, options)


def to_bits(nats: float) -> float:
    """Return bits for nats."""
    return round(nats / math.log(2), 4)


def evaluate_penn_treebank(files: dict[str, bytes], options: argparse.Namespace) -> Iterator[Result]:
    """Mikolov's split: sections 0 to 20, 21 and 22, 23 and 24; bits per character, line ends included."""
    return evaluate_text([files[f"ptb.{part}.txt"] for part in ("train", "valid", "test")], options)


def evaluate_wikipedia(files: dict[str, bytes], options: argparse.Namespace) -> Iterator[Result]:
    """90, 5 and 5 million bytes, each byte a character."""
    (text,) = files.values()
    parts = text[:90_000_000], text[90_000_000:95_000_000], text[95_000_000:]
    return evaluate_text(parts, options, "--encoding", "latin-1")


def evaluate_names(files: dict[str, bytes], options: argparse.Namespace) -> Iterator[Result]:
    """1,000 names at random are held out; nats per character, the end of a name included.

    As in makemore, they also select the weights that are evaluated.
    """
    names = files["names.txt"].decode("utf-8").split()
    for title, lines in (("all", names), ("without duplicates", sorted(set(names)))):
        shuffled = random.Random(options.seed).sample(lines, len(lines))
        training, test = ("".join(f"{name}\n" for name in part) for part in (shuffled[HELD_OUT:], shuffled[:HELD_OUT]))
        parts = [part.encode("utf-8") for part in (training, test, test)]
        for result in evaluate_text(parts, options, "--lines", adapt=[""]):
            yield {**result, "names": title, "nats": round(result["static"] * math.log(2), 4)}


def evaluate_molecules(files: dict[str, bytes], options: argparse.Namespace) -> Iterator[Result]:
    """MOSES: what 30,000 samples at temperature 1 are like."""
    table = io.StringIO(gzip.decompress(files["train.csv.gz"]).decode("utf-8"))
    molecules = [row["SMILES"] for row in csv.DictReader(table)]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "train.txt").write_text("".join(f"{line}\n" for line in molecules), encoding="utf-8")
        for seconds in options.seconds:
            out = f"{folder}/run-{seconds:g}"
            result = train_for(seconds, f"{folder}/train.txt", out, options, "--lines", "--validation", "0.01")
            for weight in options.ngram_weights:
                yield result | {"ngram_weight": weight} | judge_samples(out, options.seed, weight, {*molecules})
            keep(out, result, options)


def judge_samples(out: str, seed: int, ngram_weight: float, known: set[str]) -> Result:
    """Return how many samples are valid, unique among the first 10,000 of these, and not in the training set."""
    from rdkit import Chem, RDLogger

    RDLogger.DisableLog("rdApp.*")
    model, starts = elman.load(out), range(0, SAMPLES, BATCH)
    sample = partial(model.samples, BATCH, 200, temperature=1.0, ngram_weight=ngram_weight)
    lines = [line for n in starts for line in sample(seed=seed + n)]
    found = [Chem.MolFromSmiles(line) if line.strip() else None for line in lines]
    valid = [Chem.MolToSmiles(molecule) for molecule in found if molecule is not None]
    return {
        "valid": len(valid) / len(lines),
        "unique": len({*valid[:10_000]}) / len(valid[:10_000]),
        "novel": len({*valid} - known) / len({*valid}),
    }


def evaluate_logs(files: dict[str, bytes], options: argparse.Namespace) -> Iterator[Result]:
    """BGL: one half of the lines in time is trained on, its alerts included, and the other half is scored."""
    import log_outliers

    lines, is_alert = log_outliers.parse_log(
        "BGL", files["BGL_2k.log"].decode("utf-8"), files["BGL_2k.log_structured.csv"].decode("utf-8")
    )
    for title, method in log_outliers.METHODS.items():
        precision, average = log_outliers.evaluate(method, lines, is_alert, "time", clean=False)
        yield {"method": title, "precision": round(precision, 3), "average_precision": round(average, 3)}


def evaluate_messages(files: dict[str, bytes], options: argparse.Namespace) -> Iterator[Result]:
    """The distinct messages of the SMS Spam Collection: one half at random trains a classifier, the other tests it.

    Elman has its defaults. C and `sublinear_tf` of the linear models are the best of six settings on these test halves.
    """
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    from elman.apps.sklearn import LineClassifier

    characters: Any = {"analyzer": "char", "ngram_range": (1, 5), "sublinear_tf": True}
    methods: dict[str, Callable[[], Any]] = {
        "Elman's `LineClassifier`": lambda: LineClassifier(random_state=0),
        "naive Bayes, words": lambda: make_pipeline(CountVectorizer(), MultinomialNB()),
        "logistic regression, characters": lambda: make_pipeline(
            TfidfVectorizer(**characters), LogisticRegression(C=1000, max_iter=3000)
        ),
        "linear SVM, characters": lambda: make_pipeline(TfidfVectorizer(**characters), LinearSVC(C=10)),
    }
    rows = sorted({*files["sms.tsv"].decode("utf-8").split("\n")} - {""})
    for title, method in methods.items():
        found = [judge_classifier(method(), random.Random(seed).sample(rows, len(rows))) for seed in SPLITS]
        yield {"method": title} | {key: round(statistics.mean(one[key] for one in found), 4) for key in found[0]}


def judge_classifier(classifier: Any, rows: list[str]) -> dict[str, float]:
    """Train on the first half of the rows, and return how the second half is classified, and the time of training."""
    labels, messages = zip(*(row.split("\t", 1) for row in rows), strict=True)
    half, start = len(rows) // 2, time.perf_counter()
    classifier.fit(list(messages[:half]), list(labels[:half]))
    seconds = time.perf_counter() - start
    pairs = list(zip(labels[half:], classifier.predict(list(messages[half:])), strict=True))
    flags = {label: [found == "spam" for true, found in pairs if true == label] for label in ("spam", "ham")}
    return {
        "accuracy": statistics.mean(true == found for true, found in pairs),
        "spam_found": statistics.mean(flags["spam"]),
        "ham_flagged": statistics.mean(flags["ham"]),
        "training_seconds": seconds,
    }


DATA_SETS = {
    "ptb": DataSet(
        "folder example/data-ptb of github.com/neubig/modlm, unpacked; text of the Linguistic Data Consortium"
        " (Treebank-3, LDC99T42), which Mikolov prepared for research",
        {
            "ptb.train.txt": (5_017_482, "5145926136ee9aef"),
            "ptb.valid.txt": (393_042, "fadf6277290823f8"),
            "ptb.test.txt": (442_423, "c2f8c16a611595d3"),
        },
        evaluate_penn_treebank,
    ),
    "text8": DataSet(
        "mattmahoney.net/dc/text8.zip, unpacked; Wikipedia, CC BY-SA", {"text8": (100_000_000, "")}, evaluate_wikipedia
    ),
    "enwik8": DataSet(
        "mattmahoney.net/dc/enwik8.zip, unpacked; Wikipedia, CC BY-SA",
        {"enwik8": (100_000_000, "")},
        evaluate_wikipedia,
    ),
    "names": DataSet("github.com/karpathy/makemore; MIT", {"names.txt": (228_145, "0a30b5557f192f32")}, evaluate_names),
    "moses": DataSet(
        "folder moses/dataset/data of the wheel molsets on PyPI, unpacked; MIT",
        {"train.csv.gz": (10_238_967, "786f0313aa6b9ba5")},
        evaluate_molecules,
    ),
    "bgl": DataSet(
        "folder BGL of github.com/logpai/loghub; for research",
        {"BGL_2k.log": (317_150, "2a819ea540909db6"), "BGL_2k.log_structured.csv": (425_129, "3fe74103c0b02a28")},
        evaluate_logs,
    ),
    "sms": DataSet(
        "folder data of github.com/justmarkham/pycon-2016-tutorial; the SMS Spam Collection of UCI, CC BY",
        {"sms.tsv": (477_907, "7d039a24a6083ed9")},
        evaluate_messages,
    ),
}


def read_files(data: DataSet, folder: Path) -> dict[str, bytes]:
    """Return the contents of the files by name; exit if one is missing, or is not the one that was measured."""
    contents = {}
    for name, (length, digest) in data.files.items():
        path = folder / name if folder.is_dir() else folder
        if not path.is_file():
            sys.exit(f"error: there is no file {path}: get it from {data.source}")
        contents[name] = path.read_bytes()
        found = hashlib.sha256(contents[name]).hexdigest()
        if len(contents[name]) != length or not found.startswith(digest):
            sys.exit(
                f"error: {path} has {len(contents[name]):,} bytes and the hash {found[:16]}; expected were"
                f" {length:,} and {digest}"
            )
    return contents


Rows = tuple[list[str], list[list[str]]]
"""The header and the rows of a table."""


def _budget(one: Result) -> str:
    """Return the time and the settings of a run."""
    return f"{one['seconds']:g} s" + (f", `{' '.join(one['settings'])}`" if one["settings"] else "")


def _stored(*data: str) -> list[Result]:
    return [one for one in json.loads(RESULTS.read_text(encoding="utf-8"))["results"] if one["data"] in data]


def losses() -> Rows:
    """Return the losses of data sets with published figures, by time budget."""
    titles = {"ptb": "Penn Treebank", "text8": "text8", "enwik8": "enwik8", "names": "names; without duplicates"}
    found: dict[tuple[str, str, str], list[Result]] = {}
    for one in sorted(_stored(*titles), key=lambda one: (list(titles).index(one["data"]), one["seconds"])):
        budget = _budget(one) + (" (Xeon)" if "Xeon" in one["processor"] else "")
        found.setdefault((titles[one["data"]], budget, f"{one['parameters']:,}"), []).append(one)
    rows = [
        [*run, *("; ".join(f"{one[mode]:.3f}" for one in results if mode in one) for mode in ("static", "mixture"))]
        for run, results in found.items()
    ]
    return ["test set", "`--max-seconds`", "weights", "static", "adaptive"], rows


def molecules() -> Rows:
    """Return how many molecules are valid, unique and novel, by time budget."""
    rows: list[list[str]] = []
    last = ""
    for one in sorted(_stored("moses"), key=lambda one: (one["seconds"], one["settings"], -one["ngram_weight"])):
        run, last = _budget(one) if _budget(one) != last else "the same run", _budget(one)
        rates = (f"{100 * one[key]:.2f} %" for key in ("valid", "unique", "novel"))
        rows.append([run, f"{one['ngram_weight']:g}", f"{one['parameters']:,}", f"{one['epochs']:.2f}", *rates])
    return ["`--max-seconds`", "`--ngram-weight`", "weights", "epochs", "valid", "unique", "novel"], rows


def logs() -> Rows:
    """Return how well alerts are found in a log."""
    found = sorted(_stored("bgl"), key=lambda one: -one["average_precision"])
    rows = [[one["method"], f"{one['average_precision']:.3f}", f"{100 * one['precision']:.0f} %"] for one in found]
    return ["method", "average precision", "precision"], rows


def messages() -> Rows:
    """Return how well spam is recognized."""
    found = sorted(_stored("sms"), key=lambda one: -one["accuracy"])
    rows = [[one["method"], *(f"{one[key]:.1%}".replace("%", " %") for key in MESSAGE_RATES)] for one in found]
    return ["method", "accuracy", "spam recognized", "ham taken for spam"], rows


def main() -> None:
    """Measure, print and write."""
    sources = "\n".join(f"{name}: {', '.join(data.files)}; {data.source}" for name, data in DATA_SETS.items())
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\n{sources}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", choices=DATA_SETS)
    parser.add_argument("path", type=Path)
    parser.add_argument("--seconds", nargs="*", type=float, default=[60.0])
    parser.add_argument("--seed", type=int, default=400)
    parser.add_argument("--keep", type=Path, help="Directory to which the runs are moved.")
    parser.add_argument("--ngram-weights", nargs="*", type=float, default=[1.0], help="Of the samples of molecules.")
    parser.add_argument("--settings", nargs="*", default=[], help="Further options of elman train, without --.")
    options = parser.parse_args()
    options.settings = parse_settings(options.settings)
    data = DATA_SETS[options.data]
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    for result in data.evaluate(read_files(data, options.path), options):
        print(result, flush=True)
        same = ("data", "seconds", "seed", "names", "method", "settings", "ngram_weight")
        add_result(RESULTS, {"data": options.data, **result}, same)


if __name__ == "__main__":
    main()
