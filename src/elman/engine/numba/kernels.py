"""Kernels for any cell, number of layers and batch size: one window of a group of batch rows, forward and backward.

m  hidden units of a layer, padded m_row        T  characters in one window
K  size of the alphabet, padded K_row           R  batch rows of the group, rows of every product

Batch rows are independent of one another. A batch is therefore split into groups that are processed in parallel; each
group accumulates its own gradients. A group is computed by one thread or by several, each of which computes its own
units. Row t R + r of an array with a time axis belongs to batch row r at step t. The offsets of all arrays are defined
in `elman.engine.numba.layout`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.cells import Arrays, Step
from elman.engine.numba.dropout import DropoutMask, apply_dropout
from elman.engine.numba.layout import U_BACKWARD, U_FORWARD, W_BACKWARD, W_FORWARD, B, D, Network, U, W
from elman.engine.numba.panels import TERMS, Panels, Ranges, Scratch, entire
from elman.engine.numba.prior import PriorWorkspace, add_prior, compute_alpha_gradient
from elman.engine.numba.simd import BYTES
from elman.engine.numba.threads import barrier, partition
from elman.engine.numba.tile import Matrix
from elman.engine.numba.vector import add_to, copy, exponentials, scale
from elman.jit import UNUSED, KernelPointer, call_pointer, exact, inlined, kernel

Array = NDArray[np.floating]


class Pointers(NamedTuple):
    """Pointers to the kernels that the kernels of a window call.

    A copy of such a kernel in its caller might round differently, see `elman.jit.inlined`.
    """

    multiply: KernelPointer = UNUSED
    sum_outer: KernelPointer = UNUSED
    forward_cell: KernelPointer = UNUSED
    backward_cell: KernelPointer = UNUSED


class Workspace(NamedTuple):
    """Activations and gradients of one group of batch rows; with an axis for the groups, the workspaces of all."""

    h: Array  # (layers, T + 1, R, m_row): step 0 is the initial state; then a row of zeros
    s: Array  # the same for the cell state, which only the LSTM has
    tanh_s: Array  # (layers, T, R, m_row)
    gates: Array  # (layers, T, R, gates_row): gates, overwritten by their gradients
    y: Array  # (layers, T, R, m_row): the outputs after dropout, if there is any
    inputs: Array  # (T, R, blocks of m_row): U x + b of a layer after the first
    dy: Array  # (T + 1, R, m_row): dL/dh of the current layer; step 0 receives dL/dh_0
    ds: Array  # (R, m_row)
    g: Array  # (T, R, K_row): logits, overwritten by probabilities, then by dL/do
    losses: NDArray[np.float64]  # (T, R)
    dh0: Array  # (layers, state vectors, R, m_row)
    gradient: Array  # laid out like theta
    panels: Array  # (threads, TERMS, m_row): for `sum_outer_products`, of the type of packed matrices
    zeros: Array  # as long as the longest row
    dy_before: Array  # (R, m_row): dL/dh of a step before a reset, if there are any
    scratch: NDArray[np.uint32] | None  # of all groups or threads, for products of pairs of bfloat16; otherwise None
    scratch_start: int
    scratch_size: int
    pointers: Pointers


class Window(NamedTuple):
    """The characters that a group of batch rows reads at a time."""

    indices: NDArray[np.intp]  # (T, R)
    T: int
    R: int
    dropout_mask: DropoutMask


class Groups(NamedTuple):
    """A network, and the arguments of its kernels for all groups of a batch."""

    net: Network
    workspaces: Workspace
    priors: PriorWorkspace
    forward: KernelPointer  # to the kernels of a window
    backward: KernelPointer


@inlined
def select_workspace(workspaces, g):
    """Return the workspace of a group."""
    return Workspace(
        workspaces.h[g], workspaces.s[g], workspaces.tanh_s[g], workspaces.gates[g], workspaces.y[g],
        workspaces.inputs[g], workspaces.dy[g], workspaces.ds[g], workspaces.g[g], workspaces.losses[g],
        workspaces.dh0[g], workspaces.gradient[g], workspaces.panels[g], workspaces.zeros[g], workspaces.dy_before[g],
        workspaces.scratch, g * workspaces.scratch_size, workspaces.scratch_size, workspaces.pointers,
    )  # fmt: skip


@inlined
def _own_ranges(sizes, blocks, thread):
    """Return the thread's units of each of so many blocks."""
    if thread.size == 1:
        return entire(blocks * sizes.m_row)
    return Ranges(thread.first, thread.last - thread.first, blocks, sizes.m_row)


@inlined
def _locate_scratch(workspace, thread):
    """Return where the scratch of a thread begins: in its group's scratch, unless threads share the group."""
    return workspace.scratch_start if thread.size == 1 else thread.rank * workspace.scratch_size


@inlined
def _own_vectors(thread, itemsize):
    """Return the vectors of the thread's units of a block."""
    return (thread.last - thread.first) * itemsize // BYTES


@inlined
def _make_step(net, layer, t, T, R, workspace, thread):
    """Return where the rows of a time step begin, from the thread's first unit on."""
    sizes, offsets = net.sizes, net.offsets
    m_row, unit, before = sizes.m_row, thread.first, (layer * (T + 1) + t) * R * sizes.m_row + thread.first
    return Step(
        t * R, R, (layer * T + t) * R * sizes.gates_row + unit, sizes.gates_row,
        (offsets[0, U_FORWARD] if layer == 0 else 0) + unit, sizes.input_blocks * m_row, layer == 0,
        offsets[layer, D] + unit, before, before + R * m_row, len(workspace.h) - m_row + unit,
        (layer * T + t) * R * m_row + unit, (t + 1) * R * m_row + unit, t * R * m_row + unit, unit, sizes.reset_at,
        m_row, _own_vectors(thread, workspace.h.itemsize),
    )  # fmt: skip


@inlined
def _cell_arrays(net, workspace, inputs, indices):
    """Return the arrays of the cell's kernels."""
    return Arrays(
        workspace.gates, inputs, net.theta, workspace.s, workspace.tanh_s, workspace.h, workspace.dy, workspace.ds,
        indices,
    )  # fmt: skip


@inlined
def _forward_step(net, layer, t, T, R, workspace, indices, thread):
    """Compute one time step of one layer for all rows, given U x + b."""
    sizes, step = net.sizes, _make_step(net, layer, t, T, R, workspace, thread)
    recurrent = (sizes.blocks - sizes.recurrent_blocks) * sizes.m_row
    call_pointer(
        workspace.pointers.multiply,
        (
            Matrix(workspace.gates, step.gates - thread.first + recurrent, sizes.gates_row),
            Matrix(workspace.zeros, 0, 0),
            Matrix(workspace.h, step.before - thread.first, sizes.m_row),
            Panels(net.packed, net.offsets[layer, W_FORWARD], sizes.panel_width),
            R, sizes.m, sizes.recurrent_blocks * sizes.m_row, _own_ranges(sizes, sizes.recurrent_blocks, thread),
            workspace.scratch, _locate_scratch(workspace, thread),
        ),
    )  # fmt: skip
    for r in range(R if sizes.reset_at >= 0 else 0):
        if indices[t * R + r] == sizes.reset_at:
            for block in range(sizes.recurrent_blocks):
                at = step.gates + r * sizes.gates_row + recurrent + block * sizes.m_row
                copy(workspace.gates, at, workspace.zeros, 0, step.vectors)
    inputs = net.added if layer == 0 else workspace.inputs
    call_pointer(
        workspace.pointers.forward_cell,
        (_cell_arrays(net, workspace, inputs, indices), step),
    )
    barrier(thread)


@inlined
def _multiply_inputs(net, layer, T, R, y, y_start, workspace, thread):
    """Compute U x + b of a layer after the first, for all steps of the window."""
    sizes = net.sizes
    row = sizes.input_blocks * sizes.m_row
    call_pointer(
        workspace.pointers.multiply,
        (
            Matrix(workspace.inputs, 0, row), Matrix(net.theta, net.offsets[layer, B], 0),
            Matrix(y, y_start, sizes.m_row), Panels(net.packed, net.offsets[layer, U_FORWARD], sizes.panel_width),
            T * R, sizes.m, row, _own_ranges(sizes, sizes.input_blocks, thread),
            workspace.scratch, _locate_scratch(workspace, thread),
        ),
    )  # fmt: skip


@exact  # as written: LLVM would choose the order of a sum of three by the processor
def _loss(total, largest, logit):
    """Return -log p of a character, from the exponentials of the logits minus the largest logit."""
    return np.log(total) + (largest - logit)


@inlined
def _compute_losses(workspace, targets, first, last, K_row, backward):
    """Store the loss of every row of logits from `first` to `last`; if `backward`, turn the logits into p - y."""
    g, one = workspace.g, workspace.g.dtype.type(1)
    vectors = K_row * g.itemsize // BYTES
    for row in range(first, last):
        start = row * K_row
        target = start + targets[row]
        logit = g[target]
        total, largest = exponentials(g, start, vectors, one)
        if backward:
            scale(g, start, vectors, one / total)
            g[target] -= one
        workspace.losses[row] = _loss(np.float64(total), np.float64(largest), np.float64(logit))


@inlined
def _backward_layer(net, layer, T, R, workspace, indices, thread):
    """Compute dL/da for every step of a layer, which overwrites its gates, and dL/dh_0."""
    sizes = net.sizes
    dy, m_row, row = workspace.dy, sizes.m_row, sizes.gates_row
    unit, vectors = thread.first, _own_vectors(thread, dy.itemsize)
    for r in range(R):
        copy(dy, r * m_row + unit, workspace.zeros, 0, vectors)
        copy(workspace.ds, r * m_row + unit, workspace.zeros, 0, vectors)
    for t in range(T - 1, -1, -1):
        step = _make_step(net, layer, t, T, R, workspace, thread)
        into, resets = t * R * m_row, R if sizes.reset_at >= 0 else 0
        for r in range(resets):
            if indices[t * R + r] == sizes.reset_at:
                copy(workspace.dy_before, r * m_row + unit, dy, into + r * m_row + unit, vectors)
        call_pointer(
            workspace.pointers.backward_cell,
            (_cell_arrays(net, workspace, workspace.inputs, indices), step),
        )
        barrier(thread)
        call_pointer(
            workspace.pointers.multiply,
            (
                Matrix(dy, into, m_row), Matrix(dy, into, m_row),
                Matrix(workspace.gates, step.gates - unit + (sizes.blocks - sizes.recurrent_blocks) * m_row, row),
                Panels(net.packed, net.offsets[layer, W_BACKWARD], sizes.panel_width),
                R, sizes.recurrent_blocks * m_row, m_row, _own_ranges(sizes, 1, thread),
                workspace.scratch, _locate_scratch(workspace, thread),
            ),
        )  # fmt: skip
        for r in range(resets):
            if indices[t * R + r] == sizes.reset_at:  # no gradient flows to the state before
                at = r * m_row + unit
                copy(dy, into + at, workspace.dy_before, at, vectors)
                copy(workspace.ds, at, workspace.zeros, 0, vectors)
    for r in range(R):
        at, block = r * m_row + unit, R * m_row
        first = layer * sizes.state_vectors * block
        copy(workspace.dh0, first + at, dy, at, vectors)
        if sizes.state_vectors == 2:
            copy(workspace.dh0, first + block + at, workspace.ds, at, vectors)


@inlined
def _sum_columns(target, target_start, source, source_start, row, rows, vectors, zeros):
    copy(target, target_start, zeros, 0, vectors)
    for k in range(rows):
        add_to(target, target_start, source, source_start + k * row, vectors)


@inlined
def _compute_layer_gradients(net, layer, T, R, y, y_start, workspace, indices, thread):
    """Compute dW, dU and the bias gradients of one layer; `y` is the input of a layer after the first."""
    sizes, offsets = net.sizes, net.offsets
    gradient, gates, m_row, row = workspace.gradient, workspace.gates, sizes.m_row, sizes.gates_row
    start, unit, vectors = layer * T * R * row, thread.first, _own_vectors(thread, gates.itemsize)
    for k in range(T * R if sizes.reset_at >= 0 else 0):
        if indices[k] == sizes.reset_at:  # set the state that the step read; the layers above have read the real one
            copy(workspace.h, (layer * (T + 1) * R + k) * m_row + unit, workspace.zeros, 0, vectors)
    if sizes.reset_at >= 0:
        barrier(thread)
    packed = Scratch(workspace.panels, thread.rank * TERMS * m_row)
    call_pointer(
        workspace.pointers.sum_outer,
        (
            Matrix(gradient, offsets[layer, W], m_row),
            Matrix(gates, start + (sizes.blocks - sizes.recurrent_blocks) * m_row, row),
            Matrix(workspace.h, layer * (T + 1) * R * m_row, m_row), packed, workspace.zeros, T * R, m_row,
            _own_ranges(sizes, sizes.recurrent_blocks, thread), workspace.scratch, _locate_scratch(workspace, thread),
        ),
    )  # fmt: skip
    columns = sizes.input_blocks * m_row
    if layer > 0:
        call_pointer(
            workspace.pointers.sum_outer,
            (
                Matrix(gradient, offsets[layer, U], m_row), Matrix(gates, start, row), Matrix(y, y_start, m_row),
                packed, workspace.zeros, T * R, m_row, _own_ranges(sizes, sizes.input_blocks, thread),
                workspace.scratch, _locate_scratch(workspace, thread),
            ),
        )  # fmt: skip
    for block in range(sizes.input_blocks):
        at = block * m_row + unit
        if layer == 0:
            U_row = offsets[0, U] + at
            for k in range(sizes.K):
                copy(gradient, U_row + k * columns, workspace.zeros, 0, vectors)
            for k in range(T * R):
                add_to(gradient, U_row + indices[k] * columns, gates, start + k * row + at, vectors)
            _sum_columns(gradient, offsets[0, B] + at, gradient, U_row, columns, sizes.K, vectors, workspace.zeros)
        else:
            _sum_columns(gradient, offsets[layer, B] + at, gates, start + at, row, T * R, vectors, workspace.zeros)
    if sizes.has_recurrent_bias:
        last_block = start + (sizes.blocks - 1) * m_row + unit
        _sum_columns(gradient, offsets[layer, D] + unit, gates, last_block, row, T * R, vectors, workspace.zeros)


@inlined
def set_state(T, R, sizes, workspace, thread, h, s, start, layer_stride, row_stride):
    """Copy the initial state of a window from h and s, where row r of a layer is so many strides behind `start`."""
    vectors = _own_vectors(thread, workspace.h.itemsize)
    for layer in range(sizes.layers):
        for r in range(R):
            target = (layer * (T + 1) * R + r) * sizes.m_row + thread.first
            source = start + layer * layer_stride + r * row_stride + thread.first
            copy(workspace.h, target, h, source, vectors)
            if sizes.state_vectors == 2:
                copy(workspace.s, target, s, source, vectors)


@inlined
def carry_state(T, R, sizes, workspace, thread):
    """Copy the final state of the window to the initial state of the next."""
    m_row = sizes.m_row
    set_state(
        T, R, sizes, workspace, thread, workspace.h, workspace.s, T * R * m_row, (T + 1) * R * m_row, m_row
    )  # fmt: skip


@inlined
def _locate_outputs(T, R, sizes, dropout_mask):
    """Return where the layers' outputs are: their stride from layer to layer, and the offset of the first one."""
    # With dropout the outputs have no step 0.
    return (T if dropout_mask.is_on else T + 1) * R * sizes.m_row, 0 if dropout_mask.is_on else R * sizes.m_row


@kernel
def forward(net, workspace, prior, window, thread):
    """Compute the states of every layer, and the logits of the thread's rows of a window."""
    indices, T, R, dropout_mask = window
    sizes, y = net.sizes, workspace.y if dropout_mask.is_on else workspace.h
    m_row, K_row = sizes.m_row, sizes.K_row
    stride, start = _locate_outputs(T, R, sizes, dropout_mask)
    for layer in range(sizes.layers):
        if layer > 0:
            _multiply_inputs(net, layer, T, R, y, (layer - 1) * stride + start, workspace, thread)
        for t in range(T):
            _forward_step(net, layer, t, T, R, workspace, indices, thread)
        if dropout_mask.is_on:
            apply_dropout(
                y, layer * stride, workspace.h, (layer * (T + 1) + 1) * R * m_row, dropout_mask, layer, T, R, sizes,
                thread,
            )  # fmt: skip
            barrier(thread)
    first, last = partition(thread, T * R)
    top = (sizes.layers - 1) * stride + start
    call_pointer(
        workspace.pointers.multiply,
        (
            Matrix(workspace.g, first * K_row, K_row), Matrix(net.added, sizes.c_padded, 0),
            Matrix(y, top + first * m_row, m_row), Panels(net.packed, sizes.V_forward, sizes.panel_width),
            last - first, sizes.m, K_row, entire(K_row), workspace.scratch, _locate_scratch(workspace, thread),
        ),
    )  # fmt: skip
    if sizes.context_length > 0:
        add_prior(net.theta, sizes, workspace.g, prior, first, last, R)


@kernel
def backward(net, workspace, prior, window, thread):
    """Compute the gradients of a window, for which `Workspace.g` holds p - y."""
    indices, T, R, dropout_mask = window
    sizes, y = net.sizes, workspace.y if dropout_mask.is_on else workspace.h
    m_row, K_row, rows = sizes.m_row, sizes.K_row, T * R
    stride, start = _locate_outputs(T, R, sizes, dropout_mask)
    lanes = BYTES // workspace.g.itemsize
    first, last = partition(thread, K_row // lanes)
    column, columns = first * lanes, (last - first) * lanes
    call_pointer(
        workspace.pointers.sum_outer,
        (
            Matrix(workspace.gradient, sizes.V, m_row), Matrix(workspace.g, 0, K_row),
            Matrix(y, (sizes.layers - 1) * stride + start, m_row),
            Scratch(workspace.panels, thread.rank * TERMS * m_row), workspace.zeros, rows, m_row,
            Ranges(column, columns, 1, columns), workspace.scratch, _locate_scratch(workspace, thread),
        ),
    )  # fmt: skip
    _sum_columns(workspace.gradient, sizes.c + column, workspace.g, column, K_row, rows, last - first, workspace.zeros)
    if sizes.context_length > 0 and thread.rank == 0:
        compute_alpha_gradient(sizes, workspace, prior, rows)
    call_pointer(
        workspace.pointers.multiply,
        (
            Matrix(workspace.dy, R * m_row, m_row), Matrix(workspace.zeros, 0, 0), Matrix(workspace.g, 0, K_row),
            Panels(net.packed, sizes.V_backward, sizes.panel_width), rows, sizes.K, m_row,
            _own_ranges(sizes, 1, thread), workspace.scratch, _locate_scratch(workspace, thread),
        ),
    )  # fmt: skip
    for layer in range(sizes.layers - 1, -1, -1):
        if dropout_mask.is_on:
            apply_dropout(
                workspace.dy, R * m_row, workspace.dy, R * m_row, dropout_mask, layer, T, R, sizes, thread
            )  # fmt: skip
        _backward_layer(net, layer, T, R, workspace, indices, thread)
        _compute_layer_gradients(net, layer, T, R, y, (layer - 1) * stride + start, workspace, indices, thread)
        if layer > 0:
            call_pointer(
                workspace.pointers.multiply,
                (
                    Matrix(workspace.dy, R * m_row, m_row), Matrix(workspace.zeros, 0, 0),
                    Matrix(workspace.gates, layer * rows * sizes.gates_row, sizes.gates_row),
                    Panels(net.packed, net.offsets[layer, U_BACKWARD], sizes.panel_width),
                    rows, sizes.input_blocks * m_row, m_row, _own_ranges(sizes, 1, thread),
                    workspace.scratch, _locate_scratch(workspace, thread),
                ),
            )  # fmt: skip
    barrier(thread)  # the gradients of W have read all states


@inlined
def run_window(groups, workspace, prior, window, targets, is_training, thread):
    """Compute the losses of a window and, if `is_training`, gradients; the final state becomes the initial one."""
    net, T, R = groups.net, window.T, window.R
    call_pointer(groups.forward, (net, workspace, prior, window, thread))
    first, last = partition(thread, T * R)
    _compute_losses(workspace, targets, first, last, net.sizes.K_row, is_training)
    barrier(thread)
    if is_training:
        call_pointer(groups.backward, (net, workspace, prior, window, thread))
    carry_state(T, R, net.sizes, workspace, thread)
