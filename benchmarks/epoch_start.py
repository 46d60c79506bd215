"""The reset of h_0 at the start of an epoch: the same network reads on from zeros, and with the state carried over.

    python benchmarks/epoch_start.py FILE NAME [--dtype float32] [--seeds 400 1 2 3]

The preset `reference` is trained for ten epochs. Where an epoch ends, a copy of the training state is trained on the
first 1,000 windows of the text from h_0 = 0, as in training, and another copy from the last state of the epoch. Adds to
``benchmarks/results/epoch_start.json`` how much the smooth loss rises in both, for the text of that name.
"""

from __future__ import annotations

import argparse
from copy import deepcopy
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import elman
from elman.engine import get_engine
from elman.runs.history import DECAY
from elman.text import Windows
from elman.training.initialization import create_optimizer
from speed import add_result

RESULTS = Path(__file__).parent / "results" / "epoch_start.json"
EPOCHS, READ, SHOWN = 10, 1_000, 4
SATURATED = 0.95


def smooth(S: float, losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the smooth loss before and after each of the losses."""
    return np.array([*accumulate(losses, lambda S, loss: DECAY * S + (1 - DECAY) * loss, initial=S)])


def measure(text: str, dtype: Any, seed: int) -> list[dict[str, Any]]:
    """Return what follows each start of an epoch but the first."""
    run = elman.train(text, preset="reference", dtype=dtype, seed=seed, max_updates=1, sample_every=0, progress=False)
    engine, optimizer, windows = get_engine(run.config.engine), create_optimizer(run.config), run.data.windows_of(0)
    state, S, T, starts = run.state, run.state.smooth_loss, windows.seq_length, list[dict[str, Any]]()
    again = Windows(np.append(windows.indices[:T], windows.indices[: READ * T + 1]), T)
    for epoch in range(2, EPOCHS + 1):
        to_end = (epoch - 1) * windows.per_epoch - state.update
        S = float(smooth(S, engine.advance(state, windows, to_end, optimizer))[-1])
        start: dict[str, Any] = {"update": state.update, "smooth_loss": round(S, 2)}
        start["saturated"] = float(np.mean(np.abs(state.hidden.recurrent) > SATURATED))
        for name, hidden in (("from_zeros", state.hidden.reset()), ("carried_over", state.hidden)):
            # The start of the text in `again`, where no epoch begins.
            copy = deepcopy(replace(state, hidden=hidden, position=T))
            losses = engine.advance(copy, again, READ, optimizer)
            rise = round(float(smooth(S, losses).max()) - S, 2)
            start[name] = {"rise": rise, "first_losses": losses[:SHOWN].round(1).tolist()}
        starts.append(start)
    return starts


def main() -> None:
    """Measure one text with some seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("name")
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--seeds", type=int, nargs="+", default=[400])
    options = parser.parse_args()
    for seed in options.seeds:
        result = {"text": options.name, "dtype": options.dtype, "seed": seed}
        starts = measure(options.file, options.dtype, seed)
        print(result, max(starts, key=lambda start: start["from_zeros"]["rise"]), flush=True)
        add_result(RESULTS, {**result, "epoch_starts": starts}, ("text", "dtype", "seed"))


if __name__ == "__main__":
    main()
