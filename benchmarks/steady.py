"""The reference network trained as in the reference experiment, and by preset `steady`: ten epochs, several seeds.

    python benchmarks/steady.py TEXT…

Prints the minimum smooth loss of each, in nats per window, and writes ``benchmarks/results/steady.json`` and
``docs/images/steady.png``, the curves of the first text and the first seed. With
``--figure-only`` it trains the two runs of the figure, and writes nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import elman
from elman.runs.plots import create_figure, save_figure
from recurrence import COLORS

HERE = Path(__file__).parent
SEEDS = (400, 1, 2, 3, 4)

Curve = list[tuple[int, float]]


def train(text: str, preset: str, seed: int) -> tuple[dict[str, Any], Curve]:
    """Return the results of one run, and its smooth loss in nats per window."""
    run = elman.train(text, preset=preset, seed=seed, sample_every=0)
    result = {
        "text": Path(text).name,
        "preset": preset,
        "seed": seed,
        "minimum_smooth_loss": round(run.state.minimum_smooth_loss, 3),
        "seconds": round(run.state.seconds, 1),
    }
    return result, [(row.update, run.config.seq_length * row.smooth_loss) for row in run.metrics]


def plot(curves: dict[str, Curve], title: str) -> None:
    """Write ``docs/images/steady.png``."""
    figure, (axes,) = create_figure("smooth loss, nats per window")
    for name, curve in curves.items():
        axes.plot(*zip(*curve, strict=True), label=name, color=COLORS[f"rnn, preset {name}"], linewidth=1.2)
    axes.set_ylim(34, 60)  # without the steep start
    axes.set_title(title)
    axes.legend(frameon=False)
    save_figure(figure, HERE.parent / "docs" / "images" / "steady.png")


def main() -> None:
    """Measure, print, plot and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--figure-only", action="store_true", help="train the two runs of the figure only")
    arguments = parser.parse_args()
    jobs = [(text, preset, seed) for text in arguments.texts for seed in SEEDS for preset in ("steady", "reference")]
    if arguments.figure_only:
        jobs = jobs[:2]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(train, *zip(*jobs, strict=True)))
    for result, _ in results:
        print(result, flush=True)
    first = {preset: curve for (_, preset, _), (_, curve) in zip(jobs[:2], results[:2], strict=True)}
    plot(first, f"{results[0][0]['text']}, ten epochs of m = 100, T = 25")
    if arguments.figure_only:
        return
    from speed import machine

    text = json.dumps({"machine": machine(), "results": [result for result, _ in results]}, indent=1)
    (HERE / "results" / "steady.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
