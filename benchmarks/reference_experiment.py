"""The reference experiment as `elman report` carries it out on one text: ten epochs, continued to a hundred.

    python benchmarks/reference_experiment.py shakespeare.txt

Writes what docs/explanation/reference_experiment.md shows to ``benchmarks/results/reference_experiment.json``, and the
curve of the first ten epochs to ``docs/images/reference_experiment.png``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from speed import machine

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "reference_experiment.json"
Rows = tuple[list[str], list[list[str]]]
"""The header and the rows of a table."""
KEYS = ("gradient_check", "short", "long", "samples", "best", "names", "reference")
NOVEL = {"minimum_smooth_losses": {"400": [37.84, 34.94], "1": [41.35, 38.77]}, "numpy_seconds_per_epoch": 42}
"""The course report's text, under copyright: the minima in 10 and 100 epochs by seed, in float32, and the seconds that the
report's way of working, in NumPy, takes for one epoch on two cores of an AMD EPYC."""


def load(path: Path = RESULTS) -> dict[str, Any]:
    """Return stored results."""
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def checks() -> Rows:
    """Return the gradient checks of the course report and of Elman."""
    results, arrays, rows = load(), ("V", "U", "W", "b", "c", "h0"), []
    for pair in zip(results["reference"]["gradient_check"], results["gradient_check"]["experiments"], strict=True):
        for who, check in zip(("published", "Elman"), pair, strict=True):
            name = f"m = {check['hidden_size']}, T = {check['seq_length']}, {who}"
            errors = check["relative_error"]
            shown = (f"{errors[array]:.2e}" if array in errors else "" for array in arrays)
            rows.append([name, *(error.replace("-", "−") for error in shown)])  # no line ends after a minus sign
    return ["relative error", *arrays], rows


def losses() -> Rows:
    """Return the losses and times of the course report and of Elman."""
    results, ten = load(), load(RESULTS.parent / "startup.json")["figures"]["ten_epochs"]
    published, novel, corpus = results["reference"], results["novel"], results["corpus"]
    minima = [", ".join(f"{each[n]:.2f}" for each in novel["minimum_smooth_losses"].values()) for n in (0, 1)]
    short, long = (f"{results[phase]['minimum_smooth_loss']:.2f}" for phase in ("short", "long"))
    found = sum(name["first_update"] is not None for name in results["names"])
    rows = [
        ["minimum smooth loss, 10 epochs", str(published["short"]["minimum_smooth_loss"]), minima[0], short],
        ["minimum smooth loss, 100 epochs", str(published["long"]["smooth_loss"]), minima[1], long],
        ["time of 10 epochs", "", "", f"{ten['seconds']:.1f} s"],
        ["names in samples", "", "", f"{found} of the {len(results['names'])} most frequent"],
    ]
    same = "Elman, the same text, two seeds, float32"
    sizes = f"{corpus['chars']:,} characters, {corpus['alphabet_size']} distinct"
    return ["", "course report", same, f"Elman, tiny Shakespeare: {sizes}"], rows


def samples() -> Rows:
    """Return the beginnings of some samples of Elman."""
    results = load()
    shown = [*(one for one in results["samples"] if one["update"] in (0, 10_000, 100_000)), results["best"]]
    rows = []
    for one in shown:
        loss = "" if one["smooth_loss"] is None else f"{one['smooth_loss']:.2f}"
        rows.append([f"{one['update']:,}", loss, f"`{' '.join(one['text'][:70].split())}`"])
    return ["update", "smooth loss", "sample"], rows


def main() -> None:
    """Write the report, and keep its results and its curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text")
    text = parser.parse_args().text
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "elman", "report", text, "--out", folder, "--quiet"], check=True)
        report = json.loads((Path(folder) / "results.json").read_text(encoding="utf-8"))
        shutil.copy(Path(folder) / "smooth_loss.png", HERE.parent / "docs" / "images" / "reference_experiment.png")
    corpus = {key: report["corpus"][key] for key in ("name", "chars", "alphabet_size")}
    results = {"machine": machine(), "corpus": corpus, "novel": NOVEL, **{key: report[key] for key in KEYS}}
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
