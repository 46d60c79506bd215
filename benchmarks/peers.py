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


DRAWN = {
    "Elman": "Elman (network and n-gram counts)",
    "Elman without the n-gram prior": "Elman (network alone)",
    "PyTorch": "PyTorch (LSTM or GRU)",
    "nanoGPT": "nanoGPT's recipe (windows of 64)",
}
"""The lines of the picture: the beginnings of the names of contenders, the best of which is drawn, and labels."""


def draw(results: list[dict[str, Any]]) -> None:
    """Draw the losses in windows against seconds."""
    import matplotlib.pyplot as plt

    from elman.runs import COLOURS
    from pictures import name_lines

    figure, axes = plt.subplots()
    for color, (kind, label) in zip((COLOURS[0], COLOURS[0], *COLOURS[3:5]), DRAWN.items(), strict=True):
        named = [one for one in results if one["name"] == kind or (kind not in ELMAN and one["name"].startswith(kind))]
        best = [min(one["window_loss"] for one in named if one["budget"] == budget) for budget in PRESETS]
        style = "o--" if kind.startswith("Elman ") else "o-"
        width = 2.6 if kind == "Elman" else 1.6
        axes.plot([*PRESETS], best, style, lw=width, color=color, label=label, clip_on=False)
    axes.axhline(GPU_LOSS, color="0.4", ls=":", lw=1.4)
    axes.text(230, GPU_LOSS + 0.012, "nanoGPT, A100, 3 minutes", color="0.4", ha="right", va="bottom", size="small")
    axes.set(
        xscale="log",
        xlim=(4.7, max(PRESETS)),
        ylim=(1.3, 2.7),
        xlabel="seconds of training on two CPU cores (log scale)",
    )
    axes.set(ylabel="nats per character")
    axes.set_title("Validation loss on tiny Shakespeare", loc="left")
    axes.set_xticks([*PRESETS], [f"{seconds}" for seconds in PRESETS])
    axes.minorticks_off()
    name_lines(axes)
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
