"""Dropout masks, computed from hashes; see `elman.network.dropout`."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.layout import W_BACKWARD, W_FORWARD
from elman.engine.numba.panels import pack_panels, pack_panels_transposed
from elman.engine.numba.threads import partition
from elman.jit import inlined, kernel
from elman.network.dropout import Dropout, WeightDropout, key


class Masks(NamedTuple):
    """The masks of all layers in some updates: masks of the outputs, or of the recurrent matrices."""

    is_on: bool
    keys: NDArray[np.uint32]  # (updates, layers)
    threshold: np.uint32  # an entry is kept if its hash is at least this
    scale: float
    per_step: bool  # a mask for every time step, instead of one per window (variational)


class DropoutMask(NamedTuple):
    """The masks of dropout in one window of a group of batch rows."""

    is_on: bool
    keys: NDArray[np.uint32]  # (layers,)
    threshold: np.uint32
    scale: float
    per_step: bool
    first_row: int  # first row of the group in the batch
    batch_size: int


NO_DROPOUT = DropoutMask(False, np.zeros(1, np.uint32), np.uint32(0), 1.0, False, 0, 1)


def make_masks(dropout: Dropout | WeightDropout | None, updates: range, layers: int) -> Masks:
    """Return the masks of the updates with these numbers."""
    if dropout is None:
        return Masks(False, np.zeros((len(updates), layers), np.uint32), np.uint32(0), 1.0, False)
    hash_key = dropout.key if isinstance(dropout, WeightDropout) else partial(key, dropout.seed)
    keys = np.array([[hash_key(update, layer + 1) for layer in range(layers)] for update in updates], np.uint32)
    per_step = isinstance(dropout, Dropout) and not dropout.variational
    return Masks(True, keys, np.uint32(dropout.rate * 2**32), 1 / (1 - dropout.rate), per_step)


@inlined
def select_mask(masks, n, first_row, batch_size):
    """Return the mask of the n-th update for a group."""
    return DropoutMask(
        masks.is_on, masks.keys[n], masks.threshold, masks.scale, masks.per_step, first_row, batch_size
    )  # fmt: skip


@inlined
def hash_entry(key, e):
    """Return the number u of entry e of a mask, see (4) in `elman.network.dropout`."""
    return _lowbias32(np.uint32(key + np.uint32(np.uint32(e) * np.uint32(0x9E3779B9))))


@inlined
def _lowbias32(x):
    """Return the hash lowbias32 of a 32-bit number."""
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x = np.uint32(x ^ (x >> np.uint32(15)))
    x = np.uint32(x * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@inlined
def apply_dropout(target, target_start, source, source_start, dropout_mask, layer, T, R, sizes, thread):
    """Multiply the thread's units of the output of a layer, or of its gradient, by the mask."""
    key, factor = dropout_mask.keys[layer], target.dtype.type(dropout_mask.scale)
    for t in range(T):
        for r in range(R):
            step = t if dropout_mask.per_step else 0
            e = np.uint32((step * dropout_mask.batch_size + dropout_mask.first_row + r) * sizes.m)
            row = (t * R + r) * sizes.m_row
            for j in range(thread.first, min(thread.last, sizes.m)):
                u = hash_entry(key, e + np.uint32(j))
                keep = factor if u >= dropout_mask.threshold else target.dtype.type(0)
                target[target_start + row + j] = source[source_start + row + j] * keep


@kernel
def mask_recurrent(target, target_start, source, source_start, sizes, masks, n, layer, thread):
    """Multiply the thread's rows of a recurrent matrix, or of its gradient, by its mask in the n-th update.

    See (5) and (6) in `elman.network.dropout`.
    """
    m, m_row, factor, key = sizes.m, sizes.m_row, target.dtype.type(masks.scale), masks.keys[n, layer]
    first, last = partition(thread, sizes.recurrent_blocks * m)
    for i in range(first, last):
        row = (i // m * m_row + i % m) * m_row
        e = np.uint32(i * m)
        for j in range(m):
            keep = factor if hash_entry(key, e + np.uint32(j)) >= masks.threshold else target.dtype.type(0)
            target[target_start + row + j] = source[source_start + row + j] * keep


@kernel
def pack_recurrent(net, layer, dropped):
    """Pack a recurrent matrix that is in `dropped` instead of theta."""
    sizes, offset = net.sizes, net.offsets[layer]
    m, m_row, width = sizes.m, sizes.m_row, sizes.panel_width
    rows = sizes.recurrent_blocks * m_row
    pack_panels_transposed(net.packed, offset[W_FORWARD], dropped, 0, m_row, m, rows, width)
    pack_panels(net.packed, offset[W_BACKWARD], dropped, 0, m_row, rows, m_row, width)
