"""Weight dropout of a batched network: the masks of `elman.network.dropout` on the recurrent matrices."""

from __future__ import annotations

from functools import partial

import numpy as np

from elman.engine.numba.batched.dropout import hash_entry
from elman.engine.numba.batched.layout import W_BACKWARD, W_FORWARD, W
from elman.engine.numba.batched.network import CompiledNetwork
from elman.engine.numba.jit import inlined, kernel
from elman.engine.numba.linalg.memory import aligned_zeros
from elman.engine.numba.linalg.panels import pack_panels, pack_panels_transposed
from elman.network.dropout import WeightDropout


class DroppedWeights:
    """The recurrent matrices of a network, with some of their entries dropped at every update.

    Theta keeps them all: the masks multiply a copy, which is packed into the panels that the kernels read.

    Parameters
    ----------
    network : CompiledNetwork
    weight_dropout : WeightDropout
    """

    def __init__(self, network: CompiledNetwork, weight_dropout: WeightDropout) -> None:
        self.network, self.weight_dropout = network, weight_dropout
        self.threshold, self.scale = np.uint32(weight_dropout.rate * 2**32), 1 / (1 - weight_dropout.rate)
        size = network.sizes.recurrent_blocks * network.sizes.m_row**2
        self.dropped = [aligned_zeros(size, network.dtype) for _ in range(network.sizes.layers)]

    def pack(self, update: int) -> None:
        """Pack the matrices of an update, once the network is packed."""
        network = self.network
        network.pool.run_all(
            [
                partial(
                    _pack_dropped, network.theta, network.packed_weights, network.offsets[layer], network.sizes,
                    dropped, self._key(update, layer), self.threshold, self.scale,
                )
                for layer, dropped in enumerate(self.dropped)
            ]
        )  # fmt: skip

    def mask_gradients(self, update: int) -> None:
        """Multiply the gradients of all groups by the masks of an update."""
        network = self.network
        network.pool.run_all(
            [
                partial(
                    _mask_matrix, gradient, network.offsets[layer, W], gradient, network.offsets[layer, W],
                    network.sizes, self._key(update, layer), self.threshold, self.scale,
                )
                for layer in range(network.sizes.layers)
                for gradient in network.gradients
            ]
        )  # fmt: skip

    def _key(self, update: int, layer: int) -> np.uint32:
        return np.uint32(self.weight_dropout.key(update, layer + 1))


@kernel
def _pack_dropped(theta, packed_weights, offset, sizes, dropped, key, threshold, scale):
    """Pack a recurrent matrix times its mask; `dropped` is workspace."""
    m, m_row, width = sizes.m, sizes.m_row, sizes.panel_width
    rows = sizes.recurrent_blocks * m_row
    _multiply(dropped, 0, theta, offset[W], sizes, key, threshold, scale)
    pack_panels_transposed(packed_weights, offset[W_FORWARD], dropped, 0, m_row, m, rows, width)
    pack_panels(packed_weights, offset[W_BACKWARD], dropped, 0, m_row, rows, m_row, width)


@kernel
def _mask_matrix(to, to_start, of, of_start, sizes, key, threshold, scale):
    _multiply(to, to_start, of, of_start, sizes, key, threshold, scale)


@inlined
def _multiply(to, to_start, of, of_start, sizes, key, threshold, scale):
    """Multiply a recurrent matrix, or its gradient, by its mask, see (5) and (6)."""
    m, m_row, factor = sizes.m, sizes.m_row, to.dtype.type(scale)
    for i in range(sizes.recurrent_blocks * m):
        row = (i // m * m_row + i % m) * m_row
        e = np.uint32(i * m)
        for j in range(m):
            keep = factor if hash_entry(key, e + np.uint32(j)) >= threshold else to.dtype.type(0)
            to[to_start + row + j] = of[of_start + row + j] * keep
