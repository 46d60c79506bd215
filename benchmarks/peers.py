"""Validation loss against seconds of training: the presets, and PyTorch's LSTM, GRU and a GPT on the same two cores.

    python benchmarks/peers.py TEXT [--seconds 5 15 60 240] [--only NAME…]

The first nine tenths of the text are trained on. There are two losses of the last tenth: of the whole, with the state
carried through it, and of windows of 256 characters, each read from a zero state, as in nanoGPT. A peer is trained
anew for every budget, with a learning rate that falls over the budget, those of 256 units for at most a minute; its
seconds are those of the updates alone, those of Elman the whole command, start-up and evaluation included. Results are
added to ``benchmarks/results/peers.json``, from which ``docs/images/peers.png`` is drawn. As the speed of a shared
machine varies, the better of two runs is kept.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS, FIGURE = HERE / "results" / "peers.json", HERE.parent / "docs" / "images" / "peers.png"
PRESETS = {5: "quick", 15: "minute", 60: "minute", 240: "strong"}
"""The preset for so many seconds."""

ELMAN = {"Elman": [], "Elman without the n-gram prior": ["--ngram-order", "0"]}
"""Further options."""

AT_MOST_A_MINUTE = ("PyTorch LSTM 256", "PyTorch GRU 256")

GPU_LOSS = 1.4697
"""Of nanoGPT's GPU recipe after about three minutes on an A100, by its README; of windows of 256 characters."""


def train_elman(text: str, name: str, seconds: int) -> dict[str, Any]:
    """Train by the preset of a budget and return its validation losses and the seconds of the whole command."""
    from presets import elman, train

    options = ["--preset", PRESETS[seconds], "--max-seconds", str(seconds), "--validation", "0.1", *ELMAN[name]]
    characters = Path(text).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        train(text, f"{folder}/compiled", *options, "--max-updates", "10", "--validate-every", "10")
        results, took = train(text, f"{folder}/run", *options)
        last = Path(folder, "last.txt")
        last.write_text(characters[-(len(characters) // 10) - 1 :], encoding="utf-8")
        windows = elman("eval", f"{folder}/run", str(last), "--window", "256")
    return {
        "loss": round(results["validation_loss"], 4),
        "window_loss": round(windows["nats_per_char"], 4),
        "seconds": round(took, 1),
        "updates": results["updates"],
    }


def train_in_process(text: str, name: str, seconds: int) -> dict[str, Any]:
    """Train a peer in a process of its own."""
    command = [sys.executable, __file__, text, "--peer", name, "--seconds", str(seconds)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, Any] = json.loads(output)
    return result


def draw(results: list[dict[str, Any]]) -> None:
    """Draw loss against seconds, a line per contender."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    figure = Figure(figsize=(8.6, 4.0), layout="constrained", dpi=150)
    axes = figure.add_subplot()

    def plot(name: str, label: str, line: str = "o-", key: str = "loss", **style: Any) -> None:
        points = sorted((result["seconds"], result[key]) for result in results if result["name"] == name)
        axes.plot(*zip(*points, strict=True), line, label=label, **style)

    plot("Elman", "Elman", lw=2.6, color="C0", zorder=3)
    plot("Elman", "Elman, windows of 256", "o:", "window_loss", lw=1.8, color="C0", zorder=3)
    plot("Elman without the n-gram prior", "Elman without\nthe n-gram prior", "o--", lw=1.8, color="C0", zorder=3)
    for i, name in enumerate(dict.fromkeys(result["name"] for result in results if result["name"] not in ELMAN)):
        color, line = "C1" if "LSTM" in name else f"C{i + 1}", "o--" if "512" in name else "o-"
        plot(name, name, line, lw=1.4, color=color)
    axes.axhline(GPU_LOSS, color="0.45", ls=":", lw=1.4, label="nanoGPT on an A100,\n180 s, windows of 256")
    axes.set(xscale="log", xlabel="seconds", ylabel="validation loss, nats per character", ylim=(1.3, 2.6))
    axes.set_title("Tiny Shakespeare, two CPU cores")
    axes.set_xticks(list(PRESETS), [str(seconds) for seconds in PRESETS])
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(FIGURE)


def main() -> None:
    """Measure, print, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text")
    parser.add_argument("--seconds", nargs="*", type=int, default=list(PRESETS))
    parser.add_argument("--only", nargs="*", help="measure these contenders; the others keep their results")
    parser.add_argument("--peer", help="train this peer alone, for the first number of seconds, and print its result")
    arguments = parser.parse_args()
    from peer_models import RECIPES, train

    if arguments.peer:
        print(json.dumps(train(arguments.text, RECIPES[arguments.peer], arguments.seconds[0])))
        return
    from speed import machine

    results = json.loads(RESULTS.read_text(encoding="utf-8"))["results"] if RESULTS.exists() else []
    contenders = [*ELMAN, *RECIPES]
    for name, seconds in itertools.product(arguments.only or contenders, arguments.seconds):
        if seconds > 60 and name in AT_MOST_A_MINUTE:
            continue
        measured = (train_elman if name in ELMAN else train_in_process)(arguments.text, name, seconds)
        result = {"name": name, "budget": seconds} | measured
        print(result, flush=True)
        before = [old for old in results if (old["name"], old["budget"]) == (name, seconds)]
        results = [old for old in results if old not in before]
        results.append(min([*before, result], key=lambda one: one["loss"]))
        results.sort(key=lambda one: contenders.index(one["name"]))
        RESULTS.write_text(json.dumps({"machine": machine(), "results": results}, indent=1) + "\n", encoding="utf-8")
    draw(results)


if __name__ == "__main__":
    main()
