"""Any cell, layers and streams, compiled: one window of a few streams, forward and backward.

m  hidden units of a layer, padded m_row        T  characters in one window
K  size of the alphabet, padded K_row           R  streams at hand, rows of every product

What a stream reads does not depend on the others, so a batch is cut into groups of streams that may be worked on at
the same time; each adds up gradients of its own. Row t R + r of an array with a time axis belongs to stream r at
step t. The places of everything stand in `elman.engine.numba.batched.layout`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.batched.layout import (
    GRU,
    LSTM,
    U_BACKWARD,
    U_FORWARD,
    W_BACKWARD,
    W_FORWARD,
    B,
    D,
    U,
    W,
)  # fmt: skip
from elman.engine.numba.cells import gru, lstm, rnn
from elman.engine.numba.jit import inlined, kernel
from elman.engine.numba.linalg.panels import outer_sum, pack, pack_transposed, product
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.vector import add_to, copy, exponentials, scale

Array = NDArray[np.floating]


class Room(NamedTuple):
    """What the windows of one group of streams need."""

    h: Array  # (layers, T + 1, R, m_row): step 0 comes in
    s: Array  # the same for the LSTM's memory, which no other cell has
    squashed: Array  # (layers, T, R, m_row): its tanh
    gates: Array  # (layers, T, R, gates_row): gates, then gradients
    y: Array  # (layers, T, R, m_row): what dropout lets through, where there is any
    inputs: Array  # (T, R, blocks of m_row): U x + b of a layer behind the first
    dy: Array  # (T + 1, R, m_row): dL/dh of the layer at hand; step 0 receives dL/dh_0
    ds: Array  # (R, m_row)
    g: Array  # (T, R, K_row): logits, then probabilities, then dL/do
    losses: NDArray[np.float64]  # (T, R)
    dh0: Array  # (layers, parts, R, m_row)
    gradient: Array  # as theta
    panels: Array  # for `outer_sum`
    zeros: Array  # as long as the longest row


class Dropping(NamedTuple):
    """The masks of one update; see `elman.network.dropout`."""

    keys: NDArray[np.uint32]  # (layers,)
    least: np.uint32
    scale: float
    plain: bool
    first: int  # the first stream of the group
    streams: int


@inlined
def _mixed(x):
    """The hash lowbias32 of a 32-bit number."""
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x = np.uint32(x ^ (x >> np.uint32(15)))
    x = np.uint32(x * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@inlined
def _drop(to, to_start, of, of_start, dropping, layer, T, R, sizes):
    """Multiply what a layer hands on, or its gradient, by the mask."""
    key, factor = dropping.keys[layer], to.dtype.type(dropping.scale)
    for t in range(T):
        for r in range(R):
            step = t if dropping.plain else 0
            e = np.uint32((step * dropping.streams + dropping.first + r) * sizes.m)
            row = (t * R + r) * sizes.m_row
            for j in range(sizes.m):
                u = _mixed(np.uint32(key + np.uint32(np.uint32(e + np.uint32(j)) * np.uint32(0x9E3779B9))))
                keep = factor if u >= dropping.least else to.dtype.type(0)
                to[to_start + row + j] = of[of_start + row + j] * keep


@inlined
def forward_step(layer, t, T, R, theta, packs, table, sizes, room, codes):
    """One step of one layer for all rows; U x + b stands ready."""
    h, m_row, row = room.h, sizes.m_row, sizes.gates_row
    vectors = m_row * h.itemsize // BYTES
    before = (layer * (T + 1) + t) * R * m_row
    after, gates = before + R * m_row, (layer * T + t) * R * row
    product(
        room.gates, gates + (sizes.blocks - sizes.recurrent) * m_row, row, room.zeros, 0, 0, h, before, m_row,
        packs, table[layer, W_FORWARD], sizes.width, R, sizes.m, sizes.recurrent * m_row,
    )  # fmt: skip
    inputs = packs if layer == 0 else room.inputs
    for r in range(R):
        begin, x_row = gates + r * row, codes[t * R + r] if layer == 0 else t * R + r
        x = (table[0, U_FORWARD] if layer == 0 else 0) + x_row * sizes.inputs * m_row
        b, a = before + r * m_row, after + r * m_row
        if sizes.cell == LSTM:
            squashed = ((layer * T + t) * R + r) * m_row
            lstm.forward(
                (room.gates, inputs, room.s, room.s, room.squashed, h), (begin, x, b, a, squashed, a), m_row, vectors
            )
        elif sizes.cell == GRU:
            gru.forward((room.gates, inputs, theta, h, h), (begin, x, table[layer, D], b, a), m_row, vectors)
        else:
            rnn.forward((room.gates, inputs, h), (begin, x, a), m_row, vectors)


@inlined
def input_products(layer, T, R, y, y_start, theta, packs, table, sizes, room):
    """U x + b of a layer behind the first, for the whole window."""
    row = sizes.inputs * sizes.m_row
    product(
        room.inputs, 0, row, theta, table[layer, B], 0, y, y_start, sizes.m_row,
        packs, table[layer, U_FORWARD], sizes.width, T * R, sizes.m, row,
    )  # fmt: skip


@inlined
def _softmax_losses(room, targets, rows, K_row, backward):
    """Keep the loss of every row of logits, and where `backward` is set turn it into p - y."""
    g, one = room.g, room.g.dtype.type(1)
    vectors = K_row * g.itemsize // BYTES
    for row in range(rows):
        start = row * K_row
        target = start + targets[row]
        logit = g[target]
        total, largest = exponentials(g, start, vectors, one)
        if backward:
            scale(g, start, vectors, one / total)
            g[target] -= one
        room.losses[row] = np.log(np.float64(total)) + (np.float64(largest) - np.float64(logit))


@inlined
def _backward_steps(layer, T, R, packs, table, sizes, room):
    """dL/da for every step of a layer, in place of its gates, and dL/dh_0."""
    h, dy, m_row, row = room.h, room.dy, sizes.m_row, sizes.gates_row
    vectors = m_row * h.itemsize // BYTES
    for r in range(R):
        copy(dy, r * m_row, room.zeros, 0, vectors)
        copy(room.ds, r * m_row, room.zeros, 0, vectors)
    for t in range(T - 1, -1, -1):
        before, gates = (layer * (T + 1) + t) * R * m_row, (layer * T + t) * R * row
        into = t * R * m_row
        for r in range(R):
            begin, b, d = gates + r * row, before + r * m_row, into + (R + r) * m_row
            if sizes.cell == LSTM:
                squashed = ((layer * T + t) * R + r) * m_row
                lstm.backward(
                    (room.gates, room.s, room.squashed, dy, room.ds), (begin, b, squashed, d, r * m_row), m_row, vectors
                )
            elif sizes.cell == GRU:
                gru.backward((room.gates, h, dy, dy), (begin, b, d, into + r * m_row), m_row, vectors)
            else:
                rnn.backward((room.gates, h, dy), (begin, b + R * m_row, d), m_row, vectors)
        product(
            dy, into, m_row, dy, into, m_row, room.gates, gates + (sizes.blocks - sizes.recurrent) * m_row, row,
            packs, table[layer, W_BACKWARD], sizes.width, R, sizes.recurrent * m_row, m_row,
        )  # fmt: skip
    parts = 2 if sizes.cell == LSTM else 1
    for r in range(R):
        copy(room.dh0, (layer * parts * R + r) * m_row, dy, r * m_row, vectors)
        if sizes.cell == LSTM:
            copy(room.dh0, ((layer * parts + 1) * R + r) * m_row, room.ds, r * m_row, vectors)


@inlined
def _column_sums(to, to_start, of, of_start, row, rows, columns, zeros):
    vectors = columns * to.itemsize // BYTES
    copy(to, to_start, zeros, 0, vectors)
    for k in range(rows):
        add_to(to, to_start, of, of_start + k * row, vectors)


@inlined
def _layer_gradients(layer, T, R, y, y_start, table, sizes, room, codes):
    """dW, dU and the biases' of one layer; `y` is what it read where it is not the first."""
    gradient, gates, m_row, row = room.gradient, room.gates, sizes.m_row, sizes.gates_row
    start = layer * T * R * row
    outer_sum(
        gradient, table[layer, W], m_row, gates, start + (sizes.blocks - sizes.recurrent) * m_row, row,
        room.h, layer * (T + 1) * R * m_row, m_row, room.panels, room.zeros, sizes.recurrent * m_row, T * R, m_row,
    )  # fmt: skip
    columns = sizes.inputs * m_row
    if layer == 0:
        vectors, U_row = columns * gates.itemsize // BYTES, table[0, U]
        for k in range(sizes.K):
            copy(gradient, U_row + k * columns, room.zeros, 0, vectors)
        for k in range(T * R):
            add_to(gradient, U_row + codes[k] * columns, gates, start + k * row, vectors)
        _column_sums(gradient, table[0, B], gradient, U_row, columns, sizes.K, columns, room.zeros)
    else:
        outer_sum(
            gradient, table[layer, U], m_row, gates, start, row, y, y_start, m_row, room.panels, room.zeros,
            columns, T * R, m_row,
        )  # fmt: skip
        _column_sums(gradient, table[layer, B], gates, start, row, T * R, columns, room.zeros)
    if sizes.cell == GRU:
        _column_sums(gradient, table[layer, D], gates, start + 3 * m_row, row, T * R, m_row, room.zeros)


@inlined
def carry(T, R, sizes, room):
    """The last state of the window becomes the first of the next."""
    m_row, vectors = sizes.m_row, sizes.m_row * room.h.itemsize // BYTES
    for layer in range(sizes.layers):
        block = layer * (T + 1) * R * m_row
        for r in range(R):
            copy(room.h, block + r * m_row, room.h, block + (T * R + r) * m_row, vectors)
            if sizes.cell == LSTM:
                copy(room.s, block + r * m_row, room.s, block + (T * R + r) * m_row, vectors)


@inlined
def _read(theta, packs, table, sizes, room, codes, T, R, dropping, dropped):
    """The states of every layer and the logits of a window.

    Returns what the layers hand on, how far apart its layers lie, and where the first of them begins.
    """
    m_row, K_row = sizes.m_row, sizes.K_row
    y = room.y if dropped else room.h
    # With dropout it has no step 0.
    stride = (T if dropped else T + 1) * R * m_row
    first = 0 if dropped else R * m_row
    for layer in range(sizes.layers):
        if layer > 0:
            input_products(layer, T, R, y, (layer - 1) * stride + first, theta, packs, table, sizes, room)
        for t in range(T):
            forward_step(layer, t, T, R, theta, packs, table, sizes, room, codes)
        if dropped:
            _drop(y, layer * stride, room.h, (layer * (T + 1) + 1) * R * m_row, dropping, layer, T, R, sizes)
    product(
        room.g, 0, K_row, packs, sizes.c_padded, 0, y, (sizes.layers - 1) * stride + first, m_row,
        packs, sizes.V_forward, sizes.width, T * R, sizes.m, K_row,
    )  # fmt: skip
    return y, stride, first


@kernel
def logits(theta, packs, table, sizes, room, codes, T, R, dropping):
    """Read a window of R streams: logits stay in `room.g`, and all states where they are. Nothing is dropped."""
    _read(theta, packs, table, sizes, room, codes, T, R, dropping, False)


@kernel
def window(theta, packs, table, sizes, room, codes, targets, T, R, dropping, dropped, backward):
    """One window of R streams: losses, and where `backward` is set gradients; the last state becomes the first."""
    m_row, K_row, rows = sizes.m_row, sizes.K_row, T * R
    y, stride, first = _read(theta, packs, table, sizes, room, codes, T, R, dropping, dropped)
    top = (sizes.layers - 1) * stride + first
    _softmax_losses(room, targets, rows, K_row, backward)
    if backward:
        outer_sum(
            room.gradient, sizes.V, m_row, room.g, 0, K_row, y, top, m_row, room.panels, room.zeros, K_row, rows, m_row
        )
        _column_sums(room.gradient, sizes.c, room.g, 0, K_row, rows, K_row, room.zeros)
        product(
            room.dy, R * m_row, m_row, room.zeros, 0, 0, room.g, 0, K_row,
            packs, sizes.V_backward, sizes.width, rows, sizes.K, m_row,
        )  # fmt: skip
        for layer in range(sizes.layers - 1, -1, -1):
            if dropped:
                _drop(room.dy, R * m_row, room.dy, R * m_row, dropping, layer, T, R, sizes)
            _backward_steps(layer, T, R, packs, table, sizes, room)
            _layer_gradients(layer, T, R, y, (layer - 1) * stride + first, table, sizes, room, codes)
            if layer > 0:
                product(
                    room.dy, R * m_row, m_row, room.zeros, 0, 0, room.gates, layer * rows * sizes.gates_row,
                    sizes.gates_row, packs, table[layer, U_BACKWARD], sizes.width, rows, sizes.inputs * m_row, m_row,
                )  # fmt: skip
    carry(T, R, sizes, room)


@kernel
def pack_layer(theta, packs, table, sizes, layer, backward):
    """Fill the panels of one layer from its parameters."""
    m, m_row, width, place = sizes.m, sizes.m_row, sizes.width, table[layer]
    recurrent, inputs = sizes.recurrent * m_row, sizes.inputs * m_row
    pack_transposed(packs, place[W_FORWARD], theta, place[W], m_row, m, recurrent, width)
    if backward:
        pack(packs, place[W_BACKWARD], theta, place[W], m_row, recurrent, m_row, width)
    if layer == 0:
        for k in range(sizes.K):
            row, of = place[U_FORWARD] + k * inputs, place[U] + k * inputs
            for j in range(inputs):
                packs[row + j] = theta[of + j] + theta[place[B] + j]
    else:
        pack_transposed(packs, place[U_FORWARD], theta, place[U], m_row, m, inputs, width)
        if backward:
            pack(packs, place[U_BACKWARD], theta, place[U], m_row, inputs, m_row, width)


@kernel
def pack_output(theta, packs, sizes, backward):
    """Fill the panels of the output layer; a padded character's bias is -infinity, its probability 0."""
    pack_transposed(packs, sizes.V_forward, theta, sizes.V, sizes.m_row, sizes.m, sizes.K_row, sizes.width)
    if backward:
        pack(packs, sizes.V_backward, theta, sizes.V, sizes.m_row, sizes.K, sizes.m_row, sizes.width)
    for k in range(sizes.K_row):
        packs[sizes.c_padded + k] = theta[sizes.c + k] if k < sizes.K else -np.inf
