"""The losses of the tutorials: their commands that train, score and explain, in the order of the pages.

    python benchmarks/tutorials.py TEXT

The text is tiny Shakespeare, a file. Needs about two minutes of one core. Results are written to
``benchmarks/results/tutorials.json``.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from speed import machine

RESULTS = Path(__file__).parent / "results" / "tutorials.json"
TUTORIALS = Path(__file__).parents[1] / "docs" / "tutorials"
PAGES = ("first_model", "your_own_text", "looking_inside")
TIMED = "-o runs/notes"
"""A command whose results depend on the speed of the machine."""


def read_commands(page: str) -> list[str]:
    """Return the commands of a page, each a line."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (TUTORIALS / f"{page}.md").read_text(encoding="utf-8"), re.M | re.S)
    return [line for block in blocks for line in block.splitlines()]


def run_command(words: list[str], folder: Path) -> dict[str, Any]:
    """Return the results of a command of Elman and, if it trains, the losses of the updates that were validated."""
    command = [sys.executable, "-m", "elman", *words, "--json"]
    output = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    results: dict[str, Any] = json.loads(output)
    if words[0] != "train":
        return results
    path = folder / words[words.index("-o") + 1] / "metrics.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["validation_loss"]]
    losses = {row["update"]: [float(row["train_loss"]), float(row["validation_loss"])] for row in rows}
    kept = ("train_loss", "validation_loss", "counts_loss", "kept_update", "advice")
    return {key: results[key] for key in kept} | {"losses": losses}


def measure(page: str, text: Path) -> dict[str, Any]:
    """Return the results of a page's commands, by command."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(text, Path(folder, "shakespeare.txt"))
        for line in read_commands(page):
            words = shlex.split(line)
            if words[0] in ("head", "tail"):
                subprocess.run(line, shell=True, cwd=folder, check=True)
            elif words[:2] in (["elman", "train"], ["elman", "eval"], ["elman", "explain"]) and TIMED not in line:
                arguments = ["shakespeare.txt" if word == "shakespeare" else word for word in words[1:]]
                found[line] = run_command(arguments, Path(folder))
                print(line, flush=True)
    return found


def main() -> None:
    """Run the commands and write their results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    text = parser.parse_args().text
    results = {"machine": machine(), "pages": {page: measure(page, text) for page in PAGES}}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
