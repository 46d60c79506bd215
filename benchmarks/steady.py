"""The reference network trained as the reference does it, and by preset `steady`: ten epochs, several random states.

    python benchmarks/steady.py TEXT…

Prints the least smooth loss of each, and writes ``benchmarks/results/steady.json`` and ``docs/steady.png``, the curves
of the first text and the first random state.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import elman

HERE = Path(__file__).parent
STATES = (400, 1, 2, 3, 4)

Curve = list[tuple[int, float]]


def trained(text: str, preset: str, state: int) -> tuple[dict[str, Any], Curve]:
    """Return what one run reached, and its smooth loss."""
    run = elman.train(text, preset=preset, random_state=state, sample_every=0)
    result = {
        "text": Path(text).name,
        "preset": preset,
        "random_state": state,
        "minimum_smooth_loss": round(run.state.minimum_smooth_loss, 3),
        "seconds": round(run.state.seconds, 1),
    }
    return result, [(row.update, row.smooth_loss) for row in run.metrics]


def draw(curves: dict[str, Curve], title: str) -> None:
    """Write the figure."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        axes.plot(*zip(*curve, strict=True), label=name, linewidth=1.2)
    axes.set(xlabel="update", ylabel="smooth loss, nats a window", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(HERE.parent / "docs" / "steady.png", dpi=150)


def main() -> None:
    """Measure, print, draw and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="+")
    texts = parser.parse_args().texts
    jobs = [(text, preset, state) for text in texts for state in STATES for preset in ("steady", "paper")]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(trained, *zip(*jobs, strict=True)))
    for result, _ in found:
        print(result, flush=True)
    first = {preset: curve for (_, preset, _), (_, curve) in zip(jobs[:2], found[:2], strict=True)}
    draw(first, f"{found[0][0]['text']}, ten epochs of m = 100, T = 25")
    from speed import machine

    text = json.dumps({"machine": machine(), "results": [result for result, _ in found]}, indent=1)
    (HERE / "results" / "steady.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
