"""Dropout masks of a group of batch rows, computed from hashes; see `elman.network.dropout`."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.jit import inlined
from elman.network.dropout import Dropout, key


class DropoutMask(NamedTuple):
    """The parameters of one update's masks for a group; see `elman.network.dropout`."""

    keys: NDArray[np.uint32]  # (layers,)
    threshold: np.uint32  # a unit is kept if its hash is at least this
    scale: float
    per_step: bool  # a mask for every time step, instead of one per window (variational)
    first_row: int  # of the group, in the batch
    batch_size: int


class DropoutMasks(NamedTuple):
    """The masks of all layers in some updates, for every group."""

    is_on: bool
    keys: NDArray[np.uint32]  # (updates, layers)
    threshold: np.uint32
    scale: float
    per_step: bool


def make_masks(dropout: Dropout | None, updates: range, layers: int) -> DropoutMasks:
    """Return the masks of the updates with these numbers."""
    if dropout is None:
        return DropoutMasks(False, np.zeros((len(updates), layers), np.uint32), np.uint32(0), 1.0, False)
    keys = [[key(dropout.seed, update, layer + 1) for layer in range(layers)] for update in updates]
    threshold, scale = np.uint32(dropout.rate * 2**32), 1 / (1 - dropout.rate)
    return DropoutMasks(True, np.array(keys, np.uint32), threshold, scale, not dropout.variational)


def mask_of_group(masks: DropoutMasks, n: int, first_row: int, batch_size: int) -> DropoutMask:
    """Return the mask of the n-th update for a group. This is Python; kernels call `select_mask`."""
    return DropoutMask(masks.keys[n], masks.threshold, masks.scale, masks.per_step, first_row, batch_size)


select_mask = inlined(mask_of_group)


@inlined
def hash_entry(key, e):
    """The number u of entry e of a mask, see (4) in `elman.network.dropout`."""
    return _lowbias32(np.uint32(key + np.uint32(np.uint32(e) * np.uint32(0x9E3779B9))))


@inlined
def _lowbias32(x):
    """The hash lowbias32 of a 32-bit number."""
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x = np.uint32(x ^ (x >> np.uint32(15)))
    x = np.uint32(x * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@inlined
def apply_dropout(to, to_start, of, of_start, dropout_mask, layer, T, R, sizes, team):
    """Multiply the output of a layer, or its gradient, by the mask."""
    key, factor = dropout_mask.keys[layer], to.dtype.type(dropout_mask.scale)
    for t in range(T):
        for r in range(R):
            step = t if dropout_mask.per_step else 0
            e = np.uint32((step * dropout_mask.batch_size + dropout_mask.first_row + r) * sizes.m)
            row = (t * R + r) * sizes.m_row
            for j in range(team.first, min(team.last, sizes.m)):
                u = hash_entry(key, e + np.uint32(j))
                keep = factor if u >= dropout_mask.threshold else to.dtype.type(0)
                to[to_start + row + j] = of[of_start + row + j] * keep
