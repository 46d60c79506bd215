"""Sampling from a row of logits, compiled: the temperature and the filters of `elman.network.sampling`.

The kernel `elman.engine.numba.batched.inference._generate` calls `softmax_scale`, `truncate` where a filter is on, and
`sample_index`.

K  size of the alphabet, B  batch rows
"""

from collections.abc import Sequence
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError, option
from elman.jit import allocating_kernel, inlined
from elman.jit.runtime import KernelPointer, kernel_pointer
from elman.network.sampling import SamplingParams, list_sampling_options

_FILTERS = ("top_k", "top_p", "min_p", "typical_p")
"""The options whose filters `truncate` applies."""
_NAMES = ("temperature", "ngram_weight", *_FILTERS)
_get_values = attrgetter(*_NAMES)
_MAX = np.finfo(np.float64).max

TEMPERATURE, NGRAM_WEIGHT, TOP_K, TOP_P, MIN_P, TYPICAL_P, TRUNCATES = range(len(_NAMES) + 1)
"""Rows of the array that `pack_sampling_params` returns: the options of `_NAMES`, and whether a filter is on."""


def pack_sampling_params(sampling: Sequence[SamplingParams], K: int) -> NDArray[np.float64]:
    """Return the parameters (n, B) of B batch rows for the kernels; top-k is 0 where it excludes nothing."""
    filters = {each.name: each.default for each in list_sampling_options() if each.filter}
    for name, default in filters.items():
        if name not in _FILTERS and any(getattr(params, name) != default for params in sampling):
            raise ElmanError(f"{option[name]} is not supported by the numba engine; use {option.engine:numpy}")
    packed = np.empty((len(_NAMES) + 1, len(sampling)))
    packed[:TRUNCATES] = np.array([[min(value, _MAX) for value in _get_values(params)] for params in sampling]).T
    packed[TOP_K, packed[TOP_K] >= K] = 0
    is_on = [packed[_NAMES.index(name)] != filters[name] for name in _FILTERS]
    packed[TRUNCATES] = np.logical_or.reduce(is_on)
    return packed


@allocating_kernel
def truncate(row, total, sampling_params, b, remaining):
    """Apply the filters of batch row b to a row of numbers whose largest is 1; remaining[b] becomes their sum.

    The order of the filters is that of the fields of `SamplingParams`. Each gets the row, the characters that remain,
    in descending order of their numbers, and the value of its option; it sets the numbers of those that it excludes to
    0, and returns the others, which are at least one.
    """
    order = np.argsort(-row, kind="mergesort")
    if sampling_params[TOP_K, b] > 0:
        order = filter_top_k(row, order, sampling_params[TOP_K, b])
    if sampling_params[TOP_P, b] < 1:
        order = filter_top_p(row, order, sampling_params[TOP_P, b] * total)
    if sampling_params[MIN_P, b] > 0:
        order = filter_min_p(row, order, sampling_params[MIN_P, b])
    if sampling_params[TYPICAL_P, b] < 1:
        order = filter_typical_p(row, order, sampling_params[TYPICAL_P, b])
    remaining[b] = 0.0
    for rank in range(len(order)):
        if row[order[rank]] > 0:
            remaining[b] += row[order[rank]]


def truncate_pointer(dtype: np.dtype[np.floating]) -> KernelPointer:
    """Return a pointer to `truncate` for rows of a dtype."""
    return kernel_pointer(truncate, np.zeros(1, dtype), 1.0, np.zeros((1, 1)), 0, np.zeros(1))


@inlined
def keep_first(row, order, count):
    """Set all but the first `count` to 0; return these."""
    for rank in range(count, len(order)):
        row[order[rank]] = 0
    return order[:count]


@inlined
def filter_top_k(row, order, top_k):
    """Keep the first `top_k`."""
    return keep_first(row, order, np.intp(top_k))


@inlined
def filter_top_p(row, order, sum_to_reach):
    """Keep the first until their sum reaches a number, `top_p` times the sum of all."""
    count, cumulative = 1, np.float64(row[order[0]])
    while count < len(order) and not cumulative >= sum_to_reach:
        cumulative += row[order[count]]
        count += 1
    return keep_first(row, order, count)


@inlined
def filter_min_p(row, order, min_p):
    """Exclude those below `min_p` times the largest, which is 1."""
    count = 1
    while count < len(order) and not row[order[count]] < min_p:
        count += 1
    return keep_first(row, order, count)


@inlined
def filter_typical_p(row, order, typical_p):
    """Keep those whose surprisal is nearest to the entropy until their sum reaches `typical_p` of the sum of all."""
    order = order[row[order] > 0]
    total, weighted = 0.0, 0.0
    for k in order:
        value = np.float64(row[k])
        total += value
        weighted += value * np.log(value)
    # With q = row / total, the surprisal is log total - log row and the entropy log total - weighted / total.
    distances = np.empty(len(order), row.dtype)  # sorting another type would have to be compiled as well
    for rank in range(len(order)):
        distances[rank] = np.rint(1e6 * abs(np.log(np.float64(row[order[rank]])) - weighted / total))
    cumulative = 0.0
    for rank in np.argsort(distances, kind="mergesort"):
        value = row[order[rank]]
        if cumulative > 0 and cumulative >= typical_p * total:
            row[order[rank]] = 0
        cumulative += value
    return order[row[order] > 0]


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
