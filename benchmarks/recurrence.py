"""Gradients through time and saturated units, in networks before and after training.

    python benchmarks/recurrence.py [--updates 20000] [--seeds 3]

Networks of 100 units are trained on the documentation of Python. Of each, untrained and trained,

- the norm of dL_t/d state_{t-k} for k = 0 … 100, where L_t is the loss of one step and the state is h or, for the LSTM,
  h and the cell state; relative to k = 0, the median and the 90th percentile over positions in the text and seeds;
- the fraction of hidden units with |h| > 0.95, and the mean of 1 - h^2, as training proceeds.

Writes ``benchmarks/results/recurrence.json``, ``docs/images/vanishing_gradients.png`` and
``docs/images/saturation.png``.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.config import Config, make_config
from elman.engine import TrainState, get_engine
from elman.network import Architecture, initial_parameters, output
from elman.network.ops import Array
from elman.network.parameters import Parameters, layer
from elman.runs.plots import COLOURS, TICKS
from elman.text import Windows, read_corpus
from elman.training.initialization import create_optimizer

HERE = Path(__file__).parent
NETWORKS: dict[str, dict[str, Any]] = {
    "rnn, preset reference": {"preset": "reference"},
    "rnn, preset steady": {"preset": "steady"},
    "gru": {"preset": "steady", "options": {"cell": "gru"}},
    "lstm": {"preset": "steady", "options": {"cell": "lstm"}},
}
"""The last two have the optimizer and the initialization of preset steady."""
STEPS, POSITIONS = 100, 100
EDGE = 0.95
COLORS = {"rnn, preset reference": COLOURS[0], "rnn, preset steady": "#58a9e8", "gru": COLOURS[2], "lstm": COLOURS[1]}
"""A vanilla network is blue, that of `reference` as in `elman report`; ``examples/experiments.py`` has the same."""


def train(
    config: Config, indices: NDArray[np.unsignedinteger], K: int, updates: int
) -> Iterator[tuple[TrainState, float]]:
    """Yield the state before the first update, and after 1, 3, 10, 30, … updates and the last.

    With it the mean loss of up to 1,000 updates before, in nats per character; nan before the first.
    """
    generator, net = np.random.RandomState(config.seed), Architecture(K, config.hidden_size, config.cell)
    parameters = initial_parameters(net, config.init_std, generator, np.float64, orthogonal=config.init == "orthogonal")
    state = TrainState.initial(parameters, config.seed, optimizer=create_optimizer(config))
    windows, optimizer = Windows(indices, config.seq_length), replace(create_optimizer(config), last_update=updates)
    marks = sorted({0, updates, *(n for n in (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000) if n < updates)})
    losses = np.empty(0)
    for mark in marks:
        losses = np.append(losses, get_engine("numba").advance(state, windows, mark - state.update, optimizer))[-1000:]
        yield state, float(losses.mean()) / config.seq_length if len(losses) else math.nan


def read_positions(indices: NDArray[np.unsignedinteger]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return inputs and targets (2 STEPS, POSITIONS) at positions spread over the text."""
    starts = np.linspace(0, len(indices) - 2 * STEPS - 2, POSITIONS).astype(int)
    at = starts + np.arange(2 * STEPS)[:, None]
    return indices[at], indices[at + 1]


def read_text(parameters: Parameters, x: NDArray[Any]) -> Array:
    """Return the states (T + 1, B, D) while x (T, B) is read, from zeros."""
    network = parameters.architecture
    return network.spec.functions.forward(layer(parameters, 1), np.zeros((x.shape[1], network.state_size)), x)


def measure_gradients(parameters: Parameters, x: NDArray[Any], y: NDArray[Any]) -> Array:
    """Return the norm of dL_t/d state_{t-k} relative to k = 0, (STEPS + 1, POSITIONS), at the last step t of x.

    The gradient of the last loss only is propagated, through a window of k steps for every k.
    """
    cell, states = parameters.architecture.spec.functions, read_text(parameters, x)
    h = states[-1:, :, : parameters["V"].shape[1]]
    _, dh = output.backward(parameters, h, output.logits(parameters, h), y[-1:], None)
    norms = [np.linalg.norm(dh[0], axis=-1)]
    for k in range(1, STEPS + 1):
        dh_out = np.zeros((k, *dh[0].shape))
        dh_out[-1] = dh[0]
        _, dstate, _ = cell.backward(layer(parameters, 1), x[-k:], states[-k - 1 :], dh_out)
        norms.append(np.linalg.norm(dstate, axis=-1))
    return np.asarray(np.array(norms) / norms[0])


def measure_saturation(parameters: Parameters, x: NDArray[Any]) -> tuple[float, float]:
    """Return the fraction of |h| > EDGE and the mean of 1 - h^2, after a warm-up of STEPS characters."""
    h = read_text(parameters, x)[STEPS + 1 :, :, : parameters["V"].shape[1]]
    return float(np.mean(np.abs(h) > EDGE)), float(np.mean(1 - h**2))


def measure(updates: int, seeds: int) -> dict[str, Any]:
    """Train every network, and measure it on the way."""
    corpus = read_corpus("python-docs")
    x, y = read_positions(corpus.indices)
    results: dict[str, Any] = {}
    for name, options in NETWORKS.items():
        norms: dict[str, list[Array]] = {"untrained": [], "trained": []}
        saturation: dict[int, list[tuple[float, float]]] = {}
        losses = []
        for seed in range(1, seeds + 1):
            config = replace(make_config(**options), seed=seed)
            for state, loss in train(config, corpus.indices, len(corpus.alphabet), updates):
                saturation.setdefault(state.update, []).append(measure_saturation(state.parameters, x))
                if state.update == updates:
                    losses.append(loss)
                    print(name, seed, f"loss {loss:.3f}", flush=True)
                if state.update in (0, updates):
                    stage = "trained" if state.update else "untrained"
                    norms[stage].append(measure_gradients(state.parameters, x, y))
        results[name] = {
            "loss": round(float(np.mean(losses)), 3),
            "gradients": {
                stage: {
                    name: [float(f"{norm:.2g}") for norm in np.percentile(np.hstack(all_norms), percentile, axis=1)]
                    for name, percentile in (("median", 50), ("percentile_90", 90))
                }
                for stage, all_norms in norms.items()
            },
            "saturation": [
                {"update": update, "fraction": round(fraction, 3), "slope": round(slope, 3)}
                for update, (fraction, slope) in ((n, np.mean(each, axis=0)) for n, each in saturation.items())
            ],
        }
    return {"updates": updates, "seeds": seeds, "networks": results}


def label(name: str) -> str:
    """Return the name of a network in a picture."""
    cell, comma, preset = name.partition(", ")
    return cell.upper() + comma + preset


def plot_gradients(networks: dict[str, Any]) -> None:
    """Draw the medians of the norms over k, before and after training."""
    import matplotlib.pyplot as plt

    from pictures import IMAGES

    figure, (left, right) = plt.subplots(1, 2, sharey=True)
    for axes, stage in ((left, "untrained"), (right, "trained")):
        for name, result in networks.items():
            axes.semilogy(result["gradients"][stage]["median"], label=label(name), color=COLORS[name])
        axes.set(title=stage, xlabel="k, steps back", ylim=(1e-10, 3))
    left.set_ylabel("norm of dL$_t$/d state$_{t-k}$, relative to k = 0")
    figure.legend(*left.get_legend_handles_labels(), frameon=False, loc="outside upper center", ncols=len(networks))
    figure.savefig(IMAGES / "vanishing_gradients.png")


def plot_saturation(networks: dict[str, Any]) -> None:
    """Draw the fraction of saturated units of the two vanilla networks over the updates."""
    import matplotlib.pyplot as plt

    from pictures import IMAGES, name_lines

    figure, axes = plt.subplots()
    for name in list(networks)[:2]:
        rows = networks[name]["saturation"]
        updates, fractions = [row["update"] for row in rows], [row["fraction"] for row in rows]
        axes.plot(updates, fractions, "o-", label=label(name), color=COLORS[name], clip_on=False)
    axes.set_xscale("symlog", linthresh=1)
    axes.xaxis.set_major_formatter(TICKS)
    axes.set(xlabel="update", ylabel=f"fraction of |h| > {EDGE}", ylim=(0, 1))
    name_lines(axes)
    figure.savefig(IMAGES / "saturation.png")


def main() -> None:
    """Measure, print, write and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--figures-only", action="store_true", help="draw the figures from the stored results")
    arguments = parser.parse_args()
    path = HERE / "results" / "recurrence.json"
    if not arguments.figures_only:
        results = measure(arguments.updates, arguments.seeds)
        path.write_text(json.dumps(results) + "\n", encoding="utf-8")
    networks = json.loads(path.read_text(encoding="utf-8"))["networks"]
    plot_gradients(networks)
    plot_saturation(networks)


if __name__ == "__main__":
    main()
