"""Kernels that pack the parameters into panels, after every update; see `elman.engine.numba.batched.layout`."""

import numpy as np

from elman.engine.numba.batched.layout import U_BACKWARD, U_FORWARD, W_BACKWARD, W_FORWARD, B, U, W
from elman.engine.numba.jit import inlined, kernel
from elman.engine.numba.linalg.panels import pack_panels, pack_panels_transposed


@inlined
def _pack_forward(theta, packed_weights, offsets, sizes, layer):
    """Pack what the forward pass reads of a layer."""
    m, m_row, width, offset = sizes.m, sizes.m_row, sizes.panel_width, offsets[layer]
    recurrent, inputs = sizes.recurrent_blocks * m_row, sizes.input_blocks * m_row
    pack_panels_transposed(packed_weights, offset[W_FORWARD], theta, offset[W], m_row, m, recurrent, width)
    if layer == 0:
        for k in range(sizes.K):
            row, of = offset[U_FORWARD] + k * inputs, offset[U] + k * inputs
            for j in range(inputs):
                packed_weights[row + j] = theta[of + j] + theta[offset[B] + j]
    else:
        pack_panels_transposed(packed_weights, offset[U_FORWARD], theta, offset[U], m_row, m, inputs, width)


@inlined
def _pack_backward(theta, packed_weights, offsets, sizes, layer):
    """Pack what the backward pass reads of a layer."""
    m_row, width, offset = sizes.m_row, sizes.panel_width, offsets[layer]
    recurrent, inputs = sizes.recurrent_blocks * m_row, sizes.input_blocks * m_row
    pack_panels(packed_weights, offset[W_BACKWARD], theta, offset[W], m_row, recurrent, m_row, width)
    if layer > 0:
        pack_panels(packed_weights, offset[U_BACKWARD], theta, offset[U], m_row, inputs, m_row, width)


@inlined
def _pack_output(theta, packed_weights, sizes, backward):
    """Pack the output layer into panels; the bias of a padded character is -infinity, its probability 0."""
    pack_panels_transposed(
        packed_weights, sizes.V_forward, theta, sizes.V, sizes.m_row, sizes.m, sizes.K_row, sizes.panel_width
    )
    if backward:
        pack_panels(
            packed_weights, sizes.V_backward, theta, sizes.V, sizes.m_row, sizes.K, sizes.m_row, sizes.panel_width
        )
    for k in range(sizes.K_row):
        packed_weights[sizes.c_padded + k] = theta[sizes.c + k] if k < sizes.K else -np.inf


@kernel
def pack_part(theta, packed_weights, offsets, sizes, backward, part, parts):
    """Do every `parts`-th task of packing, from task `part` on."""
    for task in range(part, 2 * sizes.layers + 1, parts):
        if task == 2 * sizes.layers:
            _pack_output(theta, packed_weights, sizes, backward)
        elif task % 2 == 0:
            _pack_forward(theta, packed_weights, offsets, sizes, task // 2)
        elif backward:
            _pack_backward(theta, packed_weights, offsets, sizes, task // 2)
