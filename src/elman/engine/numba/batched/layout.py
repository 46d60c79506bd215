"""Where everything of a network stands in the flat arrays that the kernels for many streams work on.

K  size of the alphabet     m  hidden units of a layer     m_row, K_row  the same, padded to whole panels

`theta` holds the parameters, first the matrices and then the biases, so that an update rule goes over them in two
runs. A row of U belongs to a character in the first layer and to a gate's unit in the others. `packs` holds what is
derived from them after every update: the matrices in panels, both ways round, and the first layer's rows U + b.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.fused.packing import zeros
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.tile import ACCUMULATORS, MAX_ROWS
from elman.network.parameters import Architecture, Array, Parameters

RNN, GRU, LSTM = 0, 1, 2
CELLS = {"rnn": RNN, "gru": GRU, "lstm": LSTM}

PANEL = ACCUMULATORS // MAX_ROWS
"""Vectors of a panel for many rows; all padded rows are a multiple of it."""

# Columns of `Layout.table`, a row for every layer.
U, W, B, D, W_FORWARD, W_BACKWARD, U_FORWARD, U_BACKWARD = range(8)


class Sizes(NamedTuple):
    """Numbers that every kernel needs. A block is the m_row numbers of one gate."""

    cell: int
    layers: int
    m: int
    m_row: int
    K: int
    K_row: int
    inputs: int  # blocks that the input adds to: the first ones
    recurrent: int  # blocks that the recurrent product adds to: the last ones
    blocks: int  # blocks of a row of gates
    gates_row: int
    width: int  # numbers in a row of a panel
    V: int  # places in theta …
    c: int
    V_forward: int  # … and in packs
    V_backward: int
    c_padded: int


class Layout(NamedTuple):
    """The places, for one network, width of numbers and number of rows."""

    sizes: Sizes
    table: NDArray[np.intp]
    matrices: int  # numbers in theta before the biases
    theta: int  # numbers in all
    packs: int


def panel_vectors(rows: int) -> int:
    """Vectors of a panel for products with so many rows: enough sums at once to hide the time one takes."""
    return {1: 8, 2: 6, 3: 4}.get(rows, PANEL)


def make_layout(network: Architecture, dtype: np.dtype[Any], rows: int) -> Layout:
    """Return the layout for steps with `rows` streams at a time."""
    lanes = BYTES // dtype.itemsize
    unit = PANEL * lanes
    m_row, K_row = (-(-n // unit) * unit for n in (network.m, network.K))
    cell = CELLS[network.cell]
    inputs, recurrent, blocks = ((1, 1, 1), (3, 3, 4), (4, 4, 4))[cell]
    table = np.zeros((network.layers, 8), np.intp)
    place = _Places(unit)
    for layer in range(network.layers):
        table[layer, U] = place.take((network.K if layer == 0 else m_row) * inputs * m_row)
        table[layer, W] = place.take(recurrent * m_row * m_row)
    V = place.take(K_row * m_row)
    matrices = place.taken
    for layer in range(network.layers):
        table[layer, B] = place.take(inputs * m_row)
        table[layer, D] = place.take(m_row)
    c, theta = place.take(K_row), place.taken
    packs = _Places(unit)
    for layer in range(network.layers):
        for column in (W_FORWARD, W_BACKWARD):
            table[layer, column] = packs.take(recurrent * m_row * m_row)
        for column in (U_FORWARD, U_BACKWARD):
            table[layer, column] = packs.take((network.K if layer == 0 else m_row) * inputs * m_row)
    V_forward, V_backward, c_padded = (packs.take(n) for n in (K_row * m_row, K_row * m_row, K_row))
    # A cache line more, so that successive rows do not fall on the same lines of the cache.
    gates_row = blocks * m_row + unit
    sizes = Sizes(
        cell, network.layers, network.m, m_row, network.K, K_row, inputs, recurrent, blocks, gates_row,
        panel_vectors(rows) * lanes, V, c, V_forward, V_backward, c_padded,
    )  # fmt: skip
    return Layout(sizes, table, matrices, theta, packs.taken)


class _Places:
    """Hands out places one after the other, each on a cache line."""

    def __init__(self, unit: int) -> None:
        self.unit, self.taken = unit, 0

    def take(self, n: int) -> int:
        """The place of the next n numbers."""
        start = self.taken
        self.taken += -(-n // self.unit) * self.unit
        return start


def views(layout: Layout, flat: Array) -> Parameters:
    """Return the parameters, shaped as the network's own but for the order of axes and gates, as views of `flat`.

    Of a gate's block the first m numbers are meant, so a view has an axis for the blocks.
    """
    s, found = layout.sizes, {}
    for layer in range(s.layers):
        name = str(layer + 1) if layer else ""
        place = layout.table[layer]
        if layer == 0:
            rows = flat[place[U] :][: s.K * s.inputs * s.m_row].reshape(s.K, s.inputs, s.m_row)[:, :, : s.m]
            found["U"] = rows.transpose(1, 2, 0)
        else:
            found["U" + name] = _square(flat, place[U], s.inputs, s)
        found["W" + name] = _square(flat, place[W], s.recurrent, s)
        found["b" + name] = flat[place[B] :][: s.inputs * s.m_row].reshape(s.inputs, s.m_row)[:, : s.m]
        if s.cell == GRU:
            found["d" + name] = flat[place[D] :][None, : s.m]
    found["V"] = flat[s.V :][: s.K_row * s.m_row].reshape(1, s.K_row, s.m_row)[:, : s.K, : s.m]
    found["c"] = flat[s.c :][None, : s.K]
    return found


def _square(flat: Array, start: int, blocks: int, s: Sizes) -> Array:
    return flat[start:][: blocks * s.m_row**2].reshape(blocks, s.m_row, s.m_row)[:, : s.m, : s.m]


def _order(layout: Layout, name: str) -> list[int]:
    """The gates of an array in the order that the blocks have: the GRU's input goes n, r, z."""
    if layout.sizes.cell == GRU and name[0] in "Ub":
        return [2, 0, 1]
    s = layout.sizes
    return list(range({"U": s.inputs, "b": s.inputs, "W": s.recurrent}.get(name[0], 1)))


def flatten(layout: Layout, parameters: Parameters, dtype: np.dtype[Any]) -> Array:
    """Return the parameters, or what is shaped like them, in one flat array; what has no value is zero."""
    flat = zeros(layout.theta, dtype)
    for name, view in views(layout, flat).items():
        if name in parameters:
            order = _order(layout, name)
            array = parameters[name]
            view[...] = array.reshape(len(order), -1, *array.shape[1:])[order]
    return flat


def unflatten(layout: Layout, flat: Array, into: Parameters) -> None:
    """Write the arrays back into `into`."""
    for name, view in views(layout, flat).items():
        order, array = _order(layout, name), into[name]
        array.reshape(len(order), -1, *array.shape[1:])[order] = view
