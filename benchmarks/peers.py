"""Validation loss against seconds of training: the presets, and PyTorch's LSTM, GRU and a GPT on the same two cores.

    python benchmarks/peers.py TEXT… [--seconds 5 15 60 240] [--only NAME…]

The first nine tenths of the text are trained on, and the loss is that of the whole last tenth. A peer is trained anew
for every budget, with a learning rate that falls over the budget, those of 256 units for at most a minute; its seconds
are those of the updates alone, those of Elman the whole command, start-up and evaluation included. Results are added
to ``benchmarks/results/peers.json``, and ``docs/images/peers.png`` is drawn from those on Shakespeare.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS, FIGURE = HERE / "results" / "peers.json", HERE.parent / "docs" / "images" / "peers.png"
ELMAN = {
    5: ["--preset", "quick", "--max-seconds", "5"],
    15: ["--preset", "minute", "--max-seconds", "15"],
    60: ["--preset", "minute"],
    240: ["--preset", "strong"],
}
"""The options for so many seconds."""

AT_MOST_A_MINUTE = ("PyTorch LSTM 256", "PyTorch GRU 256")

DRAWN = "shakespeare.txt"
"""The text of the figure."""

GPU_LOSS = 1.4697
"""Of nanoGPT's GPU recipe on Shakespeare, after about three minutes on an A100, by its README."""


def train_elman(text: str, seconds: int) -> dict[str, Any]:
    """Train by the preset of a budget and return its validation loss and the seconds of the whole command."""
    from presets import measure

    options = ELMAN[seconds]
    result = measure(text, options[1], *options[2:])
    return {"loss": result["validation_loss"], "seconds": result["whole_seconds"], "updates": result["updates"]}


def train_in_process(text: str, name: str, seconds: int) -> dict[str, Any]:
    """Train a peer in a process of its own."""
    command = [sys.executable, __file__, text, "--peer", name, "--seconds", str(seconds)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, Any] = json.loads(output)
    return result


def draw(results: list[dict[str, Any]]) -> None:
    """Draw loss against seconds on Shakespeare, a line per contender."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    figure = Figure(figsize=(8.6, 4.0), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    drawn = [result for result in results if result["text"] == DRAWN]
    for name in dict.fromkeys(result["name"] for result in drawn):
        points = sorted((result["seconds"], result["loss"]) for result in drawn if result["name"] == name)
        elman = name == "Elman"
        axes.plot(*zip(*points, strict=True), "o-", label=name, lw=2.6 if elman else 1.4, zorder=3 if elman else 2)
    axes.axhline(GPU_LOSS, color="0.45", ls="--", lw=1, label=f"nanoGPT on an A100,\nabout 180 s: {GPU_LOSS}")
    axes.set(xscale="log", xlabel="seconds", ylabel="validation loss, nats per character", ylim=(1.35, 2.6))
    axes.set_title("Tiny Shakespeare, two CPU cores")
    axes.set_xticks(list(ELMAN), [str(seconds) for seconds in ELMAN])
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(FIGURE)


def main() -> None:
    """Measure, print, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--seconds", nargs="*", type=int, default=list(ELMAN))
    parser.add_argument("--only", nargs="*", help="measure these contenders; the others keep their results")
    parser.add_argument("--peer", help="train this peer alone, for the first number of seconds, and print its result")
    arguments = parser.parse_args()
    from peer_models import RECIPES, train

    if arguments.peer:
        print(json.dumps(train(arguments.texts[0], RECIPES[arguments.peer], arguments.seconds[0])))
        return
    from speed import machine

    results = json.loads(RESULTS.read_text(encoding="utf-8"))["results"] if RESULTS.exists() else []
    contenders = ["Elman", *RECIPES]
    names = arguments.only or contenders
    for text, name, seconds in itertools.product(arguments.texts, names, arguments.seconds):
        if seconds > 60 and name in AT_MOST_A_MINUTE:
            continue
        measured = train_elman(text, seconds) if name == "Elman" else train_in_process(text, name, seconds)
        result = {"text": Path(text).name, "name": name, "budget": seconds} | measured
        print(result, flush=True)
        same = ("text", "name", "budget")
        results = [old for old in results if any(old[key] != result[key] for key in same)] + [result]
        results.sort(key=lambda one: contenders.index(one["name"]))
        RESULTS.write_text(json.dumps({"machine": machine(), "results": results}, indent=1) + "\n", encoding="utf-8")
    draw(results)


if __name__ == "__main__":
    main()
