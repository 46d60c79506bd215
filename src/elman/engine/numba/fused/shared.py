"""The fused path on two threads, which share the work of every update of one vanilla RNN.

The recurrence of a window is sequential; everything else of an update is not. So one thread computes the recurrence,
forward and backward, and its assistant what depends on it: a few steps behind, the logits and losses; a few steps
ahead of the backward recurrence, V' g_t; then the updates of V and U, while the first thread updates W. So V stays
in the caches of one core and W in those of the other: what both cores write costs more time than it saves. Of U, only
the rows of a window's characters are written and read.

The assistant's work is divided into the units of a queue (`elman.engine.numba.fused.queue`). If it is late, because its
core is busy, the first thread claims units as well. Each number is computed as it is by `elman.engine.numba.fused.rnn`,
whoever computes it, so that no bit depends on the number of threads.
"""

from elman.engine.numba.fused.queue import CLAIMED, DONE, LIMIT, RUNNING, claim_unit, wait_for_units
from elman.engine.numba.fused.rnn import (
    compute_logits,
    compute_output_backward,
    count_panels,
    read_indices,
    recur,
    recurrent_step_backward,
    update_c,
    update_panel,
    update_U,
    update_W_and_b,
)
from elman.engine.numba.fused.softmax import softmax_row, sum_losses
from elman.engine.numba.jit import inlined, kernel
from elman.engine.numba.linalg.atomics import PATIENCE, add_release, increase_below, load_acquire, yield_thread
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.vector import copy, prefetch_row

CHUNK = 5
"""Steps of one unit: as many as a tile has rows."""


@inlined
def count_units(T, K, m_row, itemsize):
    """The chunks of a window, and the panels of V."""
    return (T + CHUNK - 1) // CHUNK, count_panels(K, m_row, itemsize)


@inlined
def _compute_output(weights, scratch, first, rows, m):
    """Logits, terms of the loss and p - y of `rows` steps."""
    compute_logits(weights, scratch, first, rows, m)
    K_row = len(weights.c)
    for t in range(first, first + rows):
        difference, total = softmax_row(scratch.g, t * K_row, scratch.indices[t + 1], K_row)
        scratch.differences[t] = difference
        scratch.totals[t] = total


@inlined
def _run_unit(queue, number, weights, squared_grads, scratch, scalars, T, m, K, thread):
    """Do a claimed unit, once those are done that it depends on."""
    m_row, K_row = len(weights.b), len(weights.c)
    chunks, panels = count_units(T, K, m_row, scratch.h.itemsize)
    unit = number % (2 * chunks + panels + 1)
    window = number - unit
    if unit < 2 * chunks:
        first = (unit if unit < chunks else 2 * chunks - 1 - unit) * CHUNK
        rows = min(CHUNK, T - first)
        if unit < chunks:
            _compute_output(weights, scratch, first, rows, m)
        else:
            wait_for_units(queue, window + chunks)
            compute_output_backward(weights, scratch, first, rows, K)
    elif unit == 2 * chunks + panels:
        update_U(weights, squared_grads, scratch, scalars, scratch.indices[:T])
    else:
        wait_for_units(queue, window + 2 * chunks)
        update_panel(
            weights.V, weights.V_columns, squared_grads.V, scratch.g, 0, K_row, scratch.h, m_row,
            scratch.panel, scratch.zeros, scalars, unit - 2 * chunks, K, T, m_row, thread,
        )  # fmt: skip
        if unit == 2 * chunks:
            update_c(weights, squared_grads, scratch, scalars, T)
    add_release(queue, DONE, 1)


@kernel
def _finish_units(queue, done, patience, weights, squared_grads, scratch, scalars, T, m, K):
    """Wait until `done` units are done; return how many of them had to be done by this thread."""
    looks, helped = 0, 0
    while load_acquire(queue, DONE) < done:
        looks += 1
        if looks > patience:
            number = increase_below(queue, CLAIMED, done)
            if number >= 0:
                _run_unit(queue, number, weights, squared_grads, scratch, scalars, T, m, K, 0)
                helped += 1
            elif looks > PATIENCE:
                yield_thread()
    return helped


@kernel
def advance(queue, weights, squared_grads, scratch, scalars, text, index_bytes, position, T, m, K, losses):
    """Perform `len(losses)` updates, together with `assist` on another thread; return the next window's position.

    All units are done afterwards, also those that `assist` has not begun.
    """
    m_row, itemsize = len(weights.b), scratch.h.itemsize
    vectors = m_row * itemsize // BYTES
    chunks, panels = count_units(T, K, m_row, itemsize)
    units, patience = 2 * chunks + panels + 1, PATIENCE
    finished = load_acquire(queue, DONE)
    for n in range(len(losses)):
        if (position + T) * index_bytes >= len(text):
            position = 0
            copy(scratch.h, 0, scratch.zeros, 0, vectors)
        read_indices(scratch.indices, text, index_bytes, position)
        for t in range(T):
            prefetch_row(weights.U, scratch.indices[min(t + 2, T - 1)] * m_row, vectors)  # the other core has it
            recur(scratch.h, t * m_row, t % 2, weights, scratch.indices[t], m)
            if t == T - 1:
                add_release(queue, LIMIT, 1 + chunks + panels)
            elif t % CHUNK == CHUNK - 1:
                add_release(queue, LIMIT, 1)
        done, helped = finished + chunks, 0
        for t in range(T, 0, -1):
            if t == T or t % CHUNK == 0:
                done += 1
                if load_acquire(queue, DONE) < done:
                    helped += _finish_units(
                        queue, done, patience, weights, squared_grads, scratch, scalars, T, m, K
                    )  # fmt: skip
            recurrent_step_backward(weights, scratch, t, T, m)
        add_release(queue, LIMIT, 1)
        update_W_and_b(weights, squared_grads, scratch, scalars, T, m)
        helped += _finish_units(
            queue, finished + units, patience, weights, squared_grads, scratch, scalars, T, m, K
        )  # fmt: skip
        patience = 0 if helped == units else PATIENCE  # without an assistant there is nobody to wait for
        losses[n] = sum_losses(scratch.differences, scratch.totals, T)
        copy(scratch.h, 0, scratch.h, T * m_row, vectors)
        position += T
        finished += units
    return position


@kernel
def assist(queue, weights, squared_grads, scratch, scalars, T, m, K):
    """Do units until there are none for a while, or until `stop_assistant` is called."""
    number = claim_unit(queue)
    while number >= 0:
        _run_unit(queue, number, weights, squared_grads, scratch, scalars, T, m, K, 1)
        number = claim_unit(queue)
    add_release(queue, RUNNING, -1)
