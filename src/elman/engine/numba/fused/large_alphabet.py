"""The fused path for a large alphabet: V exceeds the caches, so that memory bandwidth limits the speed.

m, K  hidden units, characters; padded to full vectors: m_row, K_row
T     characters in one window

One update has to read and write V and its squared-gradient sums; all other memory traffic is avoidable. So V is stored
once, by columns, as the logits need it, and its rows, which V' g_t needs, are rebuilt one strip at a time. A strip
is a few characters wide; it is read from memory once, and while it is in the second-level cache its terms of
V' g_t are added and it is updated. Everything else is as in `elman.engine.numba.fused.rnn`.

Everything outside the recurrence is divided into the units of a queue (`elman.engine.numba.fused.queue`), which an
assistant on another thread shares: the logits of one strip; the softmax of one step; V' g_t and the update of V for one
block of hidden units; c; U. Each number is computed in the same way by either thread.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.fused.queue import CLAIMED, DONE, LIMIT, RUNNING, claim_unit, wait_for_units
from elman.engine.numba.fused.rnn import (
    PANEL_ROWS,
    read_indices,
    recur,
    recurrent_backward,
    update_c,
    update_U,
    update_W_and_b,
)
from elman.engine.numba.fused.softmax import softmax_row, sum_losses
from elman.engine.numba.jit import inlined, kernel
from elman.engine.numba.linalg.atomics import add_release, increase_below, load_acquire
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.tile import MAX_VECTORS, multiply, strip_width
from elman.engine.numba.linalg.vector import adagrad, copy, transpose


class Workspace(NamedTuple):
    """Memory for one block of a strip of V, for each of two threads."""

    rows: NDArray[np.floating]  # (2, characters of a strip, m_row), of which a block takes a part
    panel: NDArray[np.floating]  # (2, PANEL_ROWS, characters of a strip)


_BLOCK_VECTORS = (MAX_VECTORS - 1) // 2 * 2
"""Vectors of a block, at most; the last one may have one more, and a product of `MAX_VECTORS` is one strip."""


def count_blocks(vectors: int, threads: int) -> int:
    """Return the number of blocks of a row of hidden units: equally many for each thread."""
    return threads * -(-vectors // (threads * _BLOCK_VECTORS))


def block_start(block: int, blocks: int, vectors: int) -> int:
    """Return the first of so many vectors in a block: an even number, so that registers of two are aligned.

    This is Python; kernels call `_block_start`.
    """
    return vectors if block == blocks else vectors // 2 * block // blocks * 2


_block_start = inlined(block_start)


@inlined
def _compute_logits(weights, scratch, strip, T, m):
    """The logits of one strip of characters."""
    h, m_row, K_row = scratch.h, len(weights.b), len(weights.c)
    vectors = strip_width(K_row * h.itemsize // BYTES)
    k = strip * vectors * (BYTES // h.itemsize)
    multiply(
        scratch.g, k, K_row, weights.c, k, 0, h, m_row, m_row, 1,
        weights.V_columns, k * m_row, vectors * (BYTES // h.itemsize), 0, T, m, vectors,
    )  # fmt: skip


@inlined
def _update_block(weights, squared_grads, scratch, workspace, scalars, block, blocks, T, m, thread):
    """Strip by strip, add to da_t = V' g_t, then update V with the gradient sum_t g_t h_t', for a block of units."""
    h, g, da, V, M = scratch.h, scratch.g, scratch.da, weights.V_columns, squared_grads.V
    m_row, K_row, lanes = len(weights.b), len(weights.c), BYTES // h.itemsize
    first = _block_start(block, blocks, m_row // lanes) * lanes
    end = _block_start(block + 1, blocks, m_row // lanes) * lanes
    units, vectors = end - first, strip_width(K_row // lanes)
    columns = vectors * lanes
    rows, panel = thread * columns * m_row, thread * PANEL_ROWS * columns
    for t in range(T):
        copy(da, (t + 1) * m_row + first, scratch.zeros, 0, units // lanes)
    for k in range(0, K_row, columns):
        for j in range(0, units, lanes):
            for i in range(0, columns, lanes):
                transpose(
                    workspace.rows, rows + i * units + j, units, V, k * m_row + (first + j) * columns + i, columns
                )  # fmt: skip
        multiply(
            da, m_row + first, m_row, da, m_row + first, m_row, g, k, K_row, 1,
            workspace.rows, rows, units, 0, T, columns, units // lanes,
        )  # fmt: skip
        for j in range(first, min(end, m), PANEL_ROWS):
            height, offset = min(PANEL_ROWS, min(end, m) - j), k * m_row + j * columns
            multiply(
                workspace.panel, panel, columns, scratch.zeros, 0, 0, h, m_row + j, 1, m_row, g, k, K_row, 0,
                height, T, vectors,
            )  # fmt: skip
            adagrad(
                V, offset, M, offset, workspace.panel, panel, height * vectors,
                scalars.rate, scalars.clip, scalars.epsilon,
            )  # fmt: skip


@inlined
def _count_units(K_row, itemsize, T, blocks):
    """The units of each phase of a window: logits; softmax; V and c; U."""
    vectors = K_row * itemsize // BYTES
    return vectors // strip_width(vectors), T, blocks + 1, 1


@inlined
def _run_unit(queue, number, weights, squared_grads, scratch, workspace, scalars, T, m, blocks, thread):
    """Do a claimed unit; those of the phases before are done, as none of it could be claimed earlier."""
    K_row = len(weights.c)
    strips, steps, updates, last = _count_units(K_row, scratch.h.itemsize, T, blocks)
    unit = number % (strips + steps + updates + last)
    if unit < strips:
        _compute_logits(weights, scratch, unit, T, m)
    elif unit < strips + steps:
        t = unit - strips
        difference, total = softmax_row(scratch.g, t * K_row, scratch.indices[t + 1], K_row)
        scratch.differences[t] = difference
        scratch.totals[t] = total
    elif unit < strips + steps + blocks:
        _update_block(weights, squared_grads, scratch, workspace, scalars, unit - strips - steps, blocks, T, m, thread)
    elif unit == strips + steps + blocks:
        update_c(weights, squared_grads, scratch, scalars, T)
    else:
        update_U(weights, squared_grads, scratch, scalars, scratch.indices[:T])
    add_release(queue, DONE, 1)


@kernel
def _finish_units(queue, weights, squared_grads, scratch, workspace, scalars, T, m, blocks):
    """Do all units that the assistant has not claimed, and wait for the others."""
    limit = load_acquire(queue, LIMIT)
    number = increase_below(queue, CLAIMED, limit)
    while number >= 0:
        _run_unit(queue, number, weights, squared_grads, scratch, workspace, scalars, T, m, blocks, 0)
        number = increase_below(queue, CLAIMED, limit)
    wait_for_units(queue, limit)


@kernel
def advance(
    queue, weights, squared_grads, scratch, workspace, scalars, text, index_bytes, position, T, m, blocks, losses
):
    """Perform `len(losses)` updates, alone or together with `assist`; return the position of the next window.

    For `text` see `read_indices`.
    """
    m_row = len(weights.b)
    vectors = m_row * scratch.h.itemsize // BYTES
    phases = _count_units(len(weights.c), scratch.h.itemsize, T, blocks)
    for n in range(len(losses)):
        if (position + T) * index_bytes >= len(text):
            position = 0
            copy(scratch.h, 0, scratch.zeros, 0, vectors)
        read_indices(scratch.indices, text, index_bytes, position)
        for t in range(T):
            recur(scratch.h, t * m_row, t % 2, weights, scratch.indices[t], m)
        for phase in range(3):
            add_release(queue, LIMIT, phases[phase])
            _finish_units(queue, weights, squared_grads, scratch, workspace, scalars, T, m, blocks)
        recurrent_backward(weights, scratch, T, m)
        add_release(queue, LIMIT, phases[3])
        update_W_and_b(weights, squared_grads, scratch, scalars, T, m)
        _finish_units(queue, weights, squared_grads, scratch, workspace, scalars, T, m, blocks)
        losses[n] = sum_losses(scratch.differences, scratch.totals, T)
        copy(scratch.h, 0, scratch.h, T * m_row, vectors)
        position += T
    return position


@kernel
def assist(queue, weights, squared_grads, scratch, workspace, scalars, T, m, blocks):
    """Do units until there are none for a while, or until the assistant is stopped."""
    number = claim_unit(queue)
    while number >= 0:
        _run_unit(queue, number, weights, squared_grads, scratch, workspace, scalars, T, m, blocks, 1)
        number = claim_unit(queue)
    add_release(queue, RUNNING, -1)
