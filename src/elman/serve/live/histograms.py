"""How the numbers of an array are spread: the weights of a network, and the states of its hidden units."""

from __future__ import annotations

from typing import Any

import numpy as np

from elman.network.parameters import Architecture, Array, Parameters, architecture

BINS = 40


def histograms(parameters: Parameters, states: Array) -> list[dict[str, Any]]:
    """Return the histogram of every array of parameters, and of every layer's part of the state.

    D  numbers in the state of a stream

    Parameters
    ----------
    parameters : Parameters
    states : ndarray, shape (…, D)
        Of several streams or moments.

    Returns
    -------
    list of dict
        `name`; `low` and `high`, the borders of the bins at either end; and `counts`, the numbers in each.
    """
    return [_histogram(name, array) for name, array in (*parameters.items(), *_parts(architecture(parameters), states))]


def _parts(network: Architecture, states: Array) -> list[tuple[str, Array]]:
    m, names = network.m, ("h", "s")[: network.state_vectors]
    found: list[tuple[str, Array]] = []
    for layer in range(network.layers):
        for name in names:
            start = len(found) * m
            found.append((f"{name}{layer + 1 if layer else ''}", states[..., start : start + m]))
    return found


def _histogram(name: str, array: Array) -> dict[str, Any]:
    finite = array[np.isfinite(array)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if low == high:  # such as biases that are still 0
        low, high = low - 0.5, high + 0.5
    counts, _ = np.histogram(finite, BINS, (low, high))
    return {"name": name, "low": low, "high": high, "counts": counts.tolist()}
