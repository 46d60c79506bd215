"""The reference experiment as `elman report` carries it out: ten epochs with several seeds, continued to a hundred.

    python benchmarks/reference_experiment.py shakespeare.txt goblet_book.txt

Writes what docs/explanation/reference_experiment.md shows to ``benchmarks/results/reference_experiment.json``, and the
curve of the first ten epochs to ``docs/images/reference_experiment.png``. The second text is that of the course report
(Harry Potter and the Goblet of Fire, under copyright; two public student repositories contain it): of it, only figures
are stored.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import elman
from elman.apps.report.plots import draw_losses
from elman.runs.plots import save_figure
from speed import machine

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "reference_experiment.json"
Rows = tuple[list[str], list[list[str]]]
"""The header and the rows of a table."""
SEEDS = 5
LOSSES = (37, 60)  # the smooth losses of the picture, without the steep start
KEYS = ("gradient_check", "short", "long", "seeds", "statistics", "words", "names")
TEXTS = ("samples", "final", "best")
"""Keys with text, stored of the text in the public domain only."""


def load(path: Path = RESULTS) -> dict[str, Any]:
    """Return stored results."""
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def checks() -> Rows:
    """Return the gradient checks of the course report and of Elman, from h_0 = 0, on the course report's text."""
    results, arrays, rows = load(), ("V", "U", "W", "b", "c"), []

    def add(name: str, check: dict[str, Any]) -> None:
        errors = check["relative_error"]
        shown = (f"{errors[array]:.2e}" for array in arrays)
        sizes = f"m = {check['hidden_size']}, T = {check['seq_length']}"
        rows.append([f"{sizes}, {name}", *(error.replace("-", "−") for error in shown)])  # no line ends after a minus

    published, found = results["reference"]["gradient_check"], results["its_text"]["gradient_check"]
    for of_report, zero in zip(published, found["zero_state"], strict=True):
        add("course report", of_report)
        add("Elman", zero)
        if of_report is published[0]:
            add("Elman", results["its_text"]["ten_units"])
    return ["relative error", *arrays], rows


def losses() -> Rows:
    """Return the losses of the course report and of Elman."""
    results = load()
    published, columns = results["reference"], (results["its_text"], results)
    ranges = {
        key: [_range([seed[key] for seed in each["seeds"]]) for each in columns]
        for key in ("minimum_smooth_loss", "plotted_minimum")
    }
    rows = [
        ["characters; alphabet", "", *(f"{one['chars']:,}; {one['alphabet_size']}" for one in _corpora(columns))],
        [f"10 epochs, {SEEDS} seeds: minimum over all updates", "", *ranges["minimum_smooth_loss"]],
        [f"10 epochs, {SEEDS} seeds: minimum of every 10,000th update", str(published["short"]["minimum_smooth_loss"]),
         *ranges["plotted_minimum"]],
        ["100 epochs, one seed: minimum over all updates", "",
         *(f"{each['long']['minimum_smooth_loss']:.2f}" for each in columns)],
        ["100 epochs, one seed: at the end", str(published["long"]["smooth_loss"]),
         *(f"{each['long']['smooth_loss']:.2f}" for each in columns)],
    ]  # fmt: skip
    return ["", "course report (one seed)", "Elman, the same text", "Elman, tiny Shakespeare"], rows


def _range(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


def _corpora(columns: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    return [each["corpus"] for each in columns]


def draw(results: dict[str, Any], path: Path) -> None:
    """Write the plot of the report, zoomed to where one sees the seeds and the epochs."""
    figure = draw_losses(results)["smooth_loss"]
    figure.axes[0].set_ylim(*LOSSES)
    save_figure(figure, path)


def measure(text: str, picture: Path | None = None) -> dict[str, Any]:
    """Write the report of a text, and return what is stored of it."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--out", folder, "--seeds", str(SEEDS), "--quiet"]
        subprocess.run([sys.executable, "-m", "elman", "report", text, *options], check=True)
        results: dict[str, Any] = json.loads((Path(folder) / "results.json").read_text(encoding="utf-8"))
        if picture is not None:
            draw(results, picture)
    for seed in results["seeds"]:
        del seed["curve"]
    for name in results["names"]:
        del name["context"]
    corpus = {key: results["corpus"][key] for key in ("name", "chars", "alphabet_size", "sha256")}
    return {"corpus": corpus, **{key: results[key] for key in (*KEYS, *TEXTS, "reference")}}


def main() -> None:
    """Write the reports, and keep their results and a curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", help="tiny Shakespeare")
    parser.add_argument("its_text", help="the text of the course report")
    arguments = parser.parse_args()
    results = measure(arguments.text, HERE.parent / "docs" / "images" / "reference_experiment.png")
    its_text = measure(arguments.its_text)
    for key in (*TEXTS, "reference"):
        del its_text[key]
    # The first row of the course report's table fits ten hidden units, not the five that it names.
    (check,) = elman.gradcheck(arguments.its_text, hidden_size=10, seq_length=5, full=True, zero_state=True)
    its_text["ten_units"] = asdict(check)
    stored = {"machine": machine(), **results, "its_text": its_text}
    RESULTS.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
