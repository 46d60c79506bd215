"""Sampling from a row of logits, compiled: the temperature, and the filters of `elman.network.sampling` themselves.

The kernel `elman.engine.numba.inference._generate` calls `softmax_scale`, `truncate` where a filter is on, and
`sample_index`.

K  size of the alphabet, B  batch rows
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.jit import KernelPointer, allocating_kernel, inlined, kernel_pointer
from elman.network.sampling import SamplingOption, SamplingParams, list_sampling_options

_OPTIONS = list_sampling_options()
_NAMES = [each.name for each in _OPTIONS]
_get_values = attrgetter(*_NAMES)

TEMPERATURE, NGRAM_WEIGHT, TRUNCATES = _NAMES.index("temperature"), _NAMES.index("ngram_weight"), len(_NAMES)
"""Rows of the array that `pack_sampling_params` returns: one for each sampling option, and whether a filter is on."""


def pack_sampling_params(sampling: Sequence[SamplingParams], K: int) -> NDArray[np.float64]:
    """Return the parameters (n, B) of B batch rows for the kernels; top-k is 0 if it excludes nothing."""
    packed = np.empty((len(_NAMES) + 1, len(sampling)))
    packed[:TRUNCATES] = np.array([_get_values(params) for params in sampling]).T
    top_k = packed[_NAMES.index("top_k")]
    top_k[top_k >= K] = 0
    packed[TRUNCATES] = np.any([packed[n] != each.default for n, each in enumerate(_OPTIONS) if each.filter], axis=0)
    return packed


def _compile_filters(options: Sequence[SamplingOption], row: int = 0) -> Any:
    """Return the kernel that applies the filters of some options; `row` is the first option's row of the parameters."""
    if not options:
        return inlined(lambda p, sampling_params, b: None)
    following, default = _compile_filters(options[1:], row + 1), options[0].default
    if options[0].filter is None:
        return following
    apply_filter, convert = inlined(options[0].filter), np.intp if options[0].type is int else np.float64

    @inlined
    def apply(p, sampling_params, b):
        if sampling_params[row, b] != default:
            apply_filter(p, convert(sampling_params[row, b]))
        following(p, sampling_params, b)

    return apply


_apply_filters = _compile_filters(_OPTIONS)


@allocating_kernel
def truncate(row, total, sampling_params, b, remaining):
    """Apply the filters of batch row b to a row of numbers with sum `total`; remaining[b] becomes the remaining sum.

    The filters are applied in the order of the fields of `SamplingParams`.
    """
    p = row / total
    descending = np.argsort(-p, kind="mergesort")  # in float64, as the filters sort: another type is compiled as well
    p = p[descending]
    _apply_filters(p, sampling_params, b)
    for rank in range(len(row)):
        row[descending[rank]] = p[rank]
    remaining[b] = 0.0
    for k in range(len(row)):
        remaining[b] += row[k]


def truncate_pointer(dtype: np.dtype[np.floating]) -> KernelPointer:
    """Return a pointer to `truncate` for rows of a dtype."""
    return kernel_pointer(truncate, np.zeros(1, dtype), 1.0, np.zeros((1, 1)), 0, np.zeros(1))


@inlined
def softmax_scale(temperature, scalar_type):
    """Return the factor of the logits. At a temperature of 0 it leaves only the most likely character.

    It is finite in float32 and not 0, which would make a NaN of the -infinity of padded characters.
    """
    return scalar_type(min(max(1 / temperature, 1e-30), 1e30)) if temperature > 0 else scalar_type(1e30)


@inlined
def sampling_target(uniform, total, temperature):
    """Return the position in the cumulative sum; at a temperature of 0 the first of equal characters is chosen."""
    return uniform * np.float64(total) if temperature > 0 else 0.0


@inlined
def sample_index(row, K, target):
    """Return the first character whose cumulative sum exceeds the target; else the last of positive probability."""
    cumulative, last = 0.0, 0
    for k in range(K):
        if row[k] > 0:
            last = k
            cumulative += row[k]
            if cumulative > target:
                break
    return last
