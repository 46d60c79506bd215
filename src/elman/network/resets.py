"""A layer whose state is set to zeros before some steps, such as every line feed in a text of independent lines.

r  a step before which the state is reset, h_{r-1} := 0; in a batch every row has its own

A reset divides a window into parts that do not depend on one another: the loss is the sum of their losses, so every
gradient is the sum of their gradients, and none flows from a part to the one before it. Each part is a window of its
own to the cell, which therefore needs to know nothing of resets::

    (1)  h_r … h_{s-1} = forward(0, x_r … x_{s-1})           the part from one reset, r, to the next, s
    (2)  dL/dtheta = sum of its gradients over all parts     likewise over the rows of a batch
    (3)  dL/dh_0 = that of the first part; zero if the first step is a reset

`docs/how_to/independent_lines.md` says what this is for.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from elman.network.cells import Cell
from elman.network.ops import Array, Arrays, Input

Resets = NDArray[np.bool_]
"""Whether the state is reset before each step, (T,) or (T, B)."""


def forward(cell: Cell, parameters: Arrays, state0: Array, x: Input, resets: Resets | None) -> Array:
    """Return the states of a window as `Cell.forward` does; row t + 1 holds the state after step t."""
    if resets is None:
        return cell.forward(parameters, state0, x)
    states = np.empty((len(x) + 1, *state0.shape), state0.dtype)
    states[0] = state0
    for part, start in _parts(state0, resets):
        states[1:][part] = cell.forward(parameters, start, x[part])[1:]  # (1)
    return states


def backward(
    cell: Cell, parameters: Arrays, x: Input, states: Array, dh_out: Array, resets: Resets | None
) -> tuple[Arrays, Array, Array]:
    """Return the gradients of the parameters, that of the initial state, and da, as `Cell.backward` does."""
    if resets is None:
        return cell.backward(parameters, x, states, dh_out)
    gradients = {name: np.zeros_like(array) for name, array in parameters.items()}
    dstate0 = np.zeros_like(states[0])
    da = np.empty((*dh_out.shape[:-1], len(parameters["U"])), dh_out.dtype)
    for part, start in _parts(states[0], resets):
        of_part = np.concatenate([start[None], states[1:][part]])
        of_parameters, dstart, da[part] = cell.backward(parameters, x[part], of_part, dh_out[part])
        for name, gradient in of_parameters.items():
            gradients[name] += gradient  # (2)
        if not resets[part][0]:
            dstate0[part[1:]] = dstart  # (3)
    return gradients, dstate0, da


def _parts(state0: Array, resets: Resets) -> Iterator[tuple[tuple[slice | int, ...], Array]]:
    """Yield the steps of every part, and its row if there is a batch, as an index; and the state in which it begins."""
    for row in np.ndindex(resets.shape[1:]):
        of_row = resets[(slice(None), *row)]
        starts = [0, *(np.flatnonzero(of_row[1:]) + 1).tolist()]
        for first, last in zip(starts, [*starts[1:], len(resets)], strict=True):
            yield (slice(first, last), *row), np.zeros_like(state0[row]) if of_row[first] else state0[row]
