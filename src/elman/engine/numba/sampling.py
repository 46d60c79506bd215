"""Sampling from a row of logits, compiled: temperature, top-k, top-p and min-p of `elman.network.sampling`.

Shared by the kernels that generate text in `elman.engine.numba.fused.rnn` and `elman.engine.numba.batched.inference`:
softmax with `softmax_scale`, then `truncate` where the parameters ask for it, then `sample_index`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.jit import inlined
from elman.network.sampling import SamplingParams

TEMPERATURE, TOP_K, TOP_P, MIN_P = range(4)
"""Rows of the array that `pack_sampling_params` returns."""


def pack_sampling_params(sampling: Sequence[SamplingParams], K: int) -> NDArray[np.float64]:
    """Return the parameters (4, B) of B batch rows for the kernels; top-k is K where it is unlimited."""
    return np.array([(p.temperature, min(p.top_k or K, K), p.top_p, p.min_p) for p in sampling]).T


@inlined
def truncate(row, total, top_k, top_p, min_p):
    """Set all but the most likely to zero, in a row whose largest number is 1; return the sum that remains."""
    order = np.argsort(-row, kind="mergesort")
    cumulative, remaining = 0.0, 0.0
    for rank in range(len(order)):
        k = order[rank]
        if rank > 0 and (rank >= top_k or cumulative >= top_p * total or row[k] < min_p):
            row[k] = 0
        else:
            remaining += row[k]
        cumulative += row[k]
    return remaining


@inlined
def softmax_scale(temperature, scalar_type):
    """The factor of the logits. At a temperature of 0 it leaves only the most likely character.

    It is finite in float32 and not 0, which would make a NaN of the -infinity of padded characters.
    """
    return scalar_type(min(max(1 / temperature, 1e-30), 1e30)) if temperature > 0 else scalar_type(1e30)


@inlined
def sampling_target(uniform, total, temperature):
    """The position in the cumulative sum; at a temperature of 0 the first of equals is taken."""
    return uniform * np.float64(total) if temperature > 0 else 0.0


@inlined
def sample_index(row, K, target):
    """The first character whose cumulative sum exceeds the target; else the last one of positive probability."""
    cumulative, last = 0.0, 0
    for k in range(K):
        if row[k] > 0:
            last = k
            cumulative += row[k]
            if cumulative > target:
                break
    return last
