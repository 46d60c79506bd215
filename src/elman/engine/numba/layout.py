"""Offsets of a network's arrays in the flat buffers of the batched kernels.

K  size of the alphabet     m  hidden units of a layer     m_row, K_row  the same, padded to full panels

`theta` holds the parameters, first the matrices and then the biases, so that an optimizer processes each kind as one
range. A row of U belongs to a character in the first layer, and to a unit of a gate in the others. Two more buffers are
derived from `theta` after every update: `packed` holds the matrices in panels, also transposed, and `added` the terms
that products are added to, the first layer's rows U + b and the bias of the output.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.cells import CELLS, CompiledCell
from elman.engine.numba.panels import pack_panels, pack_panels_transposed
from elman.engine.numba.simd import BYTES
from elman.engine.numba.tile import AT_ONCE, PAIR_VECTORS
from elman.jit import inlined, kernel
from elman.network.parameters import Architecture, Array, Arrays, suffix

_UNIT_VECTORS = 2
"""All padded rows are a multiple of so many vectors."""

_COPIED = 64
"""Columns of a matrix that are copied at a time, so that the cache holds the rows of both orders."""

# Columns of `Layout.offsets`, which has a row for each layer.
U, W, B, D, W_FORWARD, W_BACKWARD, U_FORWARD, U_BACKWARD = range(8)


class Sizes(NamedTuple):
    """Sizes and offsets that every kernel needs. A block is the m_row elements of one gate."""

    layers: int
    m: int
    m_row: int
    K: int
    K_row: int
    input_blocks: int  # blocks that the input product adds to: the first ones
    recurrent_blocks: int  # blocks that the recurrent product adds to: the last ones
    blocks: int  # blocks of a row of gates
    state_vectors: int  # of a layer: h or, 2, h and s
    has_recurrent_bias: bool  # whether there is a bias d, which belongs to the last block
    gates_row: int
    panel_width: int  # elements of a row of a panel
    V: int  # offsets in theta …
    c: int
    alpha: int
    V_forward: int  # … in packed …
    V_backward: int
    c_padded: int  # … and in added
    context_length: int  # n of the n-gram prior, or 0
    reset_at: int  # the character before which the state is reset, or -1


class Network(NamedTuple):
    """The parameters as the kernels read them."""

    theta: Array
    packed: Array | NDArray[np.uint32]  # see `elman.engine.numba.panels`
    added: Array
    offsets: NDArray[np.intp]  # (layers, 8), see the constants above
    sizes: Sizes


class Layout(NamedTuple):
    """The offsets, for one architecture, dtype and number of rows."""

    cell: CompiledCell
    sizes: Sizes
    offsets: NDArray[np.intp]  # (layers, 8), see the constants above
    matrix_size: int  # elements of theta before the biases
    theta_size: int
    packed_size: int
    added_size: int


def row_multiple(dtype: np.dtype[Any]) -> int:
    """Return the number of elements that the length of all padded rows is a multiple of."""
    return _UNIT_VECTORS * BYTES // dtype.itemsize


def make_layout(network: Architecture, dtype: np.dtype[Any], rows: int, pairs: bool = False) -> Layout:
    """Return the layout for products of `rows` batch rows at a time; with `pairs`, for mixed precision."""
    cell, lanes, unit = CELLS[network.cell], BYTES // dtype.itemsize, row_multiple(dtype)
    m_row, K_row = (-(-n // unit) * unit for n in (network.m, network.K))
    input_blocks, recurrent_blocks = len(cell.input_gates), cell.recurrent_blocks
    offsets = np.zeros((network.layers, 8), np.intp)
    theta = _OffsetAllocator(unit)
    for layer in range(network.layers):
        offsets[layer, U] = theta.allocate((network.K if layer == 0 else m_row) * input_blocks * m_row)
        offsets[layer, W] = theta.allocate(recurrent_blocks * m_row * m_row)
    V = theta.allocate(K_row * m_row)
    matrix_size = theta.size
    for layer in range(network.layers):
        offsets[layer, B] = theta.allocate(input_blocks * m_row)
        offsets[layer, D] = theta.allocate(m_row)
    c = theta.allocate(K_row)
    alpha = theta.allocate(network.context_length + 1 if network.context_length else 0)
    packed, added = _OffsetAllocator(unit), _OffsetAllocator(unit)
    for layer in range(network.layers):
        for column in (W_FORWARD, W_BACKWARD):
            offsets[layer, column] = packed.allocate(recurrent_blocks * m_row * m_row)
        for column in (U_FORWARD, U_BACKWARD) if layer > 0 else ():
            offsets[layer, column] = packed.allocate(m_row * input_blocks * m_row)
    offsets[0, U_FORWARD] = added.allocate(network.K * input_blocks * m_row)
    V_forward, V_backward, c_padded = (*(packed.allocate(K_row * m_row) for _ in range(2)), added.allocate(K_row))
    # As many vectors per panel as there must be independent sums to hide the latency of each.
    vectors = PAIR_VECTORS if pairs else {1: 8, 2: 6, 3: 4}.get(rows, 2) * AT_ONCE
    # One additional cache line, so that successive rows do not map to the same cache sets.
    gates_row = cell.blocks * m_row + unit
    sizes = Sizes(
        network.layers, network.m, m_row, network.K, K_row, input_blocks, recurrent_blocks, cell.blocks,
        cell.state_vectors, cell.has_recurrent_bias, gates_row, vectors * lanes,
        V, c, alpha, V_forward, V_backward, c_padded, network.context_length,
        -1 if network.reset_at is None else network.reset_at,
    )  # fmt: skip
    return Layout(cell, sizes, offsets, matrix_size, theta.size, packed.size, added.size)


class _OffsetAllocator:
    """Allocates consecutive ranges of a flat buffer, each beginning at a multiple of `unit` elements."""

    def __init__(self, unit: int) -> None:
        self.unit, self.size = unit, 0

    def allocate(self, n: int) -> int:
        """Return the offset of the next n elements."""
        start = self.size
        self.size += -(-n // self.unit) * self.unit
        return start


def views(layout: Layout, flat: Array) -> Arrays:
    """Return the parameters as views of `flat`, shaped like the network's own except for the order of axes and gates.

    Each view has an axis for the blocks; the padding behind the m elements of a gate is left out.
    """
    s, arrays = layout.sizes, {}

    def rows(start: int, *shape: int) -> Array:
        return flat[start:][: math.prod(shape) * s.m_row].reshape(*shape, s.m_row)[..., : s.m]

    for number, offset in enumerate(layout.offsets, 1):
        name = suffix(number)
        if number == 1:
            arrays["U"] = rows(offset[U], s.K, s.input_blocks).transpose(1, 2, 0)
        else:
            arrays["U" + name] = rows(offset[U], s.input_blocks, s.m_row)[:, : s.m]
        arrays["W" + name] = rows(offset[W], s.recurrent_blocks, s.m_row)[:, : s.m]
        arrays["b" + name] = rows(offset[B], s.input_blocks)
        if s.has_recurrent_bias:
            arrays["d" + name] = rows(offset[D], 1)
    arrays["V"] = rows(s.V, 1, s.K_row)[:, : s.K]
    arrays["c"] = flat[s.c :][None, : s.K]
    if s.context_length:
        arrays["alpha"] = flat[s.alpha :][None, : s.context_length + 1]
    return arrays


def _pairs(layout: Layout, flat: Array, arrays: Mapping[str, Array]) -> Iterator[tuple[Array, Array]]:
    """Yield the blocks of a flat array, each with the gate of one of `arrays`: for the input of the GRU n, r, z."""
    for name, view in views(layout, flat).items():
        if name in arrays:
            order = layout.cell.input_gates if name[0] in "Ub" else range(len(view))
            gates = arrays[name].reshape(len(view), -1, *arrays[name].shape[1:])
            for block, gate in zip(view, order, strict=True):
                yield block, gates[gate]


def flatten(layout: Layout, parameters: Mapping[str, Array], flat: Array) -> None:
    """Write the parameters, or arrays of the same names and shapes, into a flat array; missing ones are zero."""
    flat[...] = 0
    for block, gate in _pairs(layout, flat, parameters):
        _copy(block, gate)


def unflatten(layout: Layout, flat: Array, into: Mapping[str, Array]) -> None:
    """Write the flat array into the arrays of `into`."""
    for block, gate in _pairs(layout, flat, into):
        _copy(gate, block)


def _copy(target: Array, source: Array) -> None:
    """Copy an array, some columns at a time: the rows of one may be the columns of the other."""
    for first in range(0, target.shape[-1], _COPIED):
        target[..., first : first + _COPIED] = source[..., first : first + _COPIED]


@kernel
def pack_part(net, backward, part, parts):
    """Do every `parts`-th task of packing, from task `part` on."""
    for task in range(part, 2 * net.sizes.layers + 1, parts):
        if task == 2 * net.sizes.layers:
            _pack_output(net, backward)
        elif task % 2 == 0:
            _pack_forward(net, task // 2)
        elif backward:
            _pack_backward(net, task // 2)


@inlined
def _pack_forward(net, layer):
    """Pack the matrices of a layer that the forward pass reads."""
    theta, packed, sizes, offset = net.theta, net.packed, net.sizes, net.offsets[layer]
    m, m_row, width = sizes.m, sizes.m_row, sizes.panel_width
    recurrent, inputs = sizes.recurrent_blocks * m_row, sizes.input_blocks * m_row
    pack_panels_transposed(packed, offset[W_FORWARD], theta, offset[W], m_row, m, recurrent, width)
    if layer == 0:
        for k in range(sizes.K):
            row, source = offset[U_FORWARD] + k * inputs, offset[U] + k * inputs
            for j in range(inputs):
                net.added[row + j] = theta[source + j] + theta[offset[B] + j]
    else:
        pack_panels_transposed(packed, offset[U_FORWARD], theta, offset[U], m_row, m, inputs, width)


@inlined
def _pack_backward(net, layer):
    """Pack the matrices of a layer that the backward pass reads."""
    theta, packed, sizes, offset = net.theta, net.packed, net.sizes, net.offsets[layer]
    m_row, width = sizes.m_row, sizes.panel_width
    recurrent, inputs = sizes.recurrent_blocks * m_row, sizes.input_blocks * m_row
    pack_panels(packed, offset[W_BACKWARD], theta, offset[W], m_row, recurrent, m_row, width)
    if layer > 0:
        pack_panels(packed, offset[U_BACKWARD], theta, offset[U], m_row, inputs, m_row, width)


@inlined
def _pack_output(net, backward):
    """Pack the output layer into panels; the bias of a padded character is -infinity, its probability 0."""
    theta, packed, sizes = net.theta, net.packed, net.sizes
    m, m_row, K, K_row, width = sizes.m, sizes.m_row, sizes.K, sizes.K_row, sizes.panel_width
    pack_panels_transposed(packed, sizes.V_forward, theta, sizes.V, m_row, m, K_row, width)
    if backward:
        pack_panels(packed, sizes.V_backward, theta, sizes.V, m_row, K, m_row, width)
    for k in range(K_row):
        net.added[sizes.c_padded + k] = theta[sizes.c + k] if k < K else -np.inf
