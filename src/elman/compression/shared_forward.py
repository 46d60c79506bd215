"""The forward step of a GRU that reads one row, on two threads: the thread that codes, and an assistant.

L  layers               m  hidden units per layer
K  alphabet size        S  matrices that are shared: U of every layer above the first, then W of every layer, 2 L - 1

W h_{t-1} does not depend on the character x_t. So the assistant computes these products of all layers while the first
thread codes that character. U h_t of the layers above the first is computed by both threads.

A unit of work is a block of `WIDTH` outputs of one product. The first thread publishes a product when its input is
known. The assistant then claims its units from the first one on, and the first thread from the last one on as soon as
it needs the result, so that each core reads mostly the same weights at every step. Each thread writes to an array of
its own, and a unit counts when it is finished before its thread has lost it: if the assistant does not run, because its
core is busy, the first thread takes its unit over. So an assistant that is late, or does not come, stops nothing.

Each output is summed by the rules of `elman.compression.exact_kernels` in the order of its `add_matmul`, whoever does
it. Only Numba has the atomic operations. Where it does not compile, these kernels are not called.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elman.compression.exact_kernels import Floats, Ints, add_matmul, axpy, copy, exact, exact_inline, gru_step
from elman.engines import NUMBA_INSTALLED

if NUMBA_INSTALLED:
    from elman.engine.numba.linalg.atomics import (
        LINE,
        PATIENCE,
        add_release,
        increase_below,
        load_acquire,
        yield_thread,
    )

WIDTH = 192
"""Outputs of a unit: with 384 hidden units, 0.3 MB of weights, which take some 3 µs."""

_MAX_IDLE_LOOKS = 30_000
"""Times that the assistant looks for units before it ends. The looks after `PATIENCE` let other threads have the core.
"""
_UNIT_PATIENCE = 16
"""Times that the first thread looks whether the assistant has finished a unit, per hidden unit: several times as long
as a unit takes.
"""

_ONE = np.float32(1)

STOP = 0
"""The element of the queue that is 1 when the assistant shall end."""
FREE, CLAIMED, FINISHED = range(3)
"""States of a unit of a product. It is published for the nth time in the state 2 (n - 1) + FREE, and 2 (n - 1) +
FINISHED is 2 n + FREE.
"""


class SharedForward(NamedTuple):
    """A network and what the two threads share; empty if there is no assistant."""

    weights: Floats  # of the matrices, in panels (m, WIDTH), the last of each matrix narrower
    biases: Floats  # (S, 3 m): what the sums begin with
    U: Floats  # (K, 3 m), of the first layer
    b: Floats  # (3 m,)
    V: Floats  # (m, K)
    c: Floats  # (K,)
    h: Floats  # (L, m): of the last step
    sums: Floats  # (2, 3 m): of a layer, U x + b and W h + (0, 0, d)
    results: Floats  # (S, 3 m): of the assistant
    cursors: Ints  # (S, 2): of the assistant, how often it saw each product published, and its next unit
    queue: Ints  # whether the assistant shall stop, how often each product was published, and the states of all units


@exact_inline
def published_at(matrix):
    """Return where the queue counts how often a product was published."""
    return (1 + matrix) * LINE


@exact_inline
def unit_at(shared, matrix, unit):
    """Return where the queue has the state of a unit."""
    S, outputs = shared.biases.shape
    return (1 + S + matrix * count_units(outputs) + unit) * LINE


@exact_inline
def count_units(outputs):
    """Return the number of units of a product."""
    return (outputs + WIDTH - 1) // WIDTH


@exact
def multiply_panel(y, a, panel):
    """Add a B to y, for vectors a (k,) and y (n,) and a flat panel B (k, n), in the order of `add_matmul`.

    Eight products at a time, since y is loaded and stored once for them.
    """
    k, n = len(a), len(y)
    B, unrolled = panel.reshape(k, n), k - k % 8
    for j in range(0, unrolled, 8):
        a0, a1, a2, a3, a4, a5, a6, a7 = a[j], a[j + 1], a[j + 2], a[j + 3], a[j + 4], a[j + 5], a[j + 6], a[j + 7]
        for i in range(n):
            s = (((y[i] + a0 * B[j, i]) + a1 * B[j + 1, i]) + a2 * B[j + 2, i]) + a3 * B[j + 3, i]
            y[i] = (((s + a4 * B[j + 4, i]) + a5 * B[j + 5, i]) + a6 * B[j + 6, i]) + a7 * B[j + 7, i]
    for j in range(unrolled, k):
        axpy(y, a[j], B[j])


@exact
def compute_unit(shared, matrix, unit, y):
    """Compute a unit of a product, into y (3 m,)."""
    L, m = shared.h.shape
    layer = matrix if matrix < L - 1 else matrix - (L - 1)
    first, last = unit * WIDTH, min((unit + 1) * WIDTH, 3 * m)
    start = matrix * 3 * m * m
    copy(shared.biases[matrix, first:last], y[first:last])
    multiply_panel(y[first:last], shared.h[layer], shared.weights[start + first * m : start + last * m])


@exact_inline
def is_late(queue, unit, finished, patience):
    """Wait for a unit that the assistant claimed; return whether this thread has taken it over."""
    looks = 0
    while load_acquire(queue, unit) < finished:
        looks += 1
        if looks > patience and increase_below(queue, unit, finished) >= 0:
            return True
    return False


@exact
def finish_product(shared, matrix, y):
    """Set y (3 m,) to a published product, the units that the assistant does not do by this thread."""
    queue, outputs = shared.queue, shared.biases.shape[1]
    free = 2 * (queue[published_at(matrix)] - 1)
    for unit in range(count_units(outputs) - 1, -1, -1):
        at = unit_at(shared, matrix, unit)
        is_ours = increase_below(queue, at, free + CLAIMED) >= 0
        if is_ours:
            add_release(queue, at, FINISHED - CLAIMED)
        else:
            is_ours = is_late(queue, at, free + FINISHED, _UNIT_PATIENCE * shared.h.shape[1])
        if is_ours:
            compute_unit(shared, matrix, unit, y)
        else:
            first, last = unit * WIDTH, min((unit + 1) * WIDTH, outputs)
            copy(shared.results[matrix, first:last], y[first:last])


@exact
def shared_forward_step(shared, x, before, gates, o):
    """Do `exact_kernels.forward_step` for the character x, from the h (L, 1, m) `before`; set `shared.h` and o (1, K).

    The products W h of the step before are published, and those of this step are afterwards.

    gates : (L, 1, 5 m)
    """
    L, a, k = len(shared.h), shared.sums[:1], shared.sums[1:]
    for n in range(L):
        if n == 0:
            copy(shared.b, a[0])
            axpy(a[0], _ONE, shared.U[x])
        else:
            finish_product(shared, n - 1, a[0])
        finish_product(shared, L - 1 + n, k[0])
        gru_step(a, k, before[n], gates[n], shared.h[n : n + 1])
        if n < L - 1:
            add_release(shared.queue, published_at(n), 1)
        add_release(shared.queue, published_at(L - 1 + n), 1)
    copy(shared.c, o[0])
    add_matmul(o, shared.h[L - 1 :], shared.V)


@exact
def claim_unit(shared, matrix):
    """Claim the next unit of a product for the assistant; return it and its state, or -1 if there is none."""
    published, cursor = load_acquire(shared.queue, published_at(matrix)), shared.cursors[matrix]
    free = 2 * (published - 1)
    if cursor[0] != published:
        cursor[0], cursor[1] = published, 0
    units = count_units(shared.biases.shape[1])
    unit = cursor[1]
    if unit == units:
        return -1, free
    if increase_below(shared.queue, unit_at(shared, matrix, unit), free + CLAIMED) < 0:
        cursor[1] = units  # the first thread has it, and all behind it
        return -1, free
    cursor[1] = unit + 1
    return unit, free


@exact
def run_unit(shared):
    """Do the next unit of the first product that has one; return whether there was one."""
    for matrix in range(len(shared.biases)):
        unit, free = claim_unit(shared, matrix)
        if unit >= 0:
            compute_unit(shared, matrix, unit, shared.results[matrix])
            increase_below(shared.queue, unit_at(shared, matrix, unit), free + FINISHED)
            return True
    return False


@exact
def assist(shared):
    """Do units until there are none for a while, or until the assistant shall stop."""
    looks = 0
    while looks <= _MAX_IDLE_LOOKS and not load_acquire(shared.queue, STOP):
        looks = 0 if run_unit(shared) else looks + 1
        if looks > PATIENCE:
            yield_thread()
