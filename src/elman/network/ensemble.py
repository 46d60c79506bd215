"""An ensemble of networks as one network: the weighted sum of their logits.

i  1 … n, a network with m_i hidden units and weight w_i        m  the sum of all m_i

::

    (1)  o_t = sum_i w_i o_t^i                      so p_t is proportional to the product of all (p_t^i)^w_i
    (2)  h_t = [h_t^1 … h_t^n]    V = [w_1 V^1 … w_n V^n]    c = sum_i w_i c^i    alpha = sum_i w_i alpha^i

(1) is the output of one network of the same cell, whose state contains those of all (2): the blocks of its W, and of U
above the first layer, are block-diagonal, so that no network reads the state of another. alpha is the sum over the
networks that have a prior. With weights that sum to 1, p_t is the geometric mean of the distributions, normalized.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from elman.network.parameters import Array, Arrays, Parameters, architecture, layer_names, suffix


class Member(NamedTuple):
    """A network of an ensemble."""

    parameters: Parameters
    h: Array
    """Its state, (D,)."""
    weight: float


def join_members(members: Sequence[Member]) -> tuple[Parameters, Array]:
    """Return the network of (2) and its state.

    Parameters
    ----------
    members : sequence of Member
        Of one cell, number of layers, alphabet, dtype and `reset_at`. The n-gram models are equal where there are any.
    """
    first, arrays = members[0].parameters, Arrays()
    for number in range(1, architecture(first).layers + 1):
        for name in layer_names(first.cell):
            reads_states = name == "W" or (name == "U" and number > 1)
            arrays[name + suffix(number)] = _join_blocks(members, name + suffix(number), reads_states)
    # In float64, so that the sums are rounded once, and a weight that is too large shows at the end only.
    arrays["V"] = np.concatenate([np.float64(member.weight) * member.parameters["V"] for member in members], axis=1)
    arrays["c"] = _weighted_sum(members, "c")
    with_prior = [member for member in members if member.parameters.ngrams is not None]
    if with_prior:
        arrays["alpha"] = _weighted_sum(with_prior, "alpha")
        first = first.with_ngrams(with_prior[0].parameters.ngrams)
    dtype = members[0].h.dtype
    with np.errstate(over="ignore"):  # weights may be too large
        arrays = {name: array.astype(dtype) for name, array in arrays.items()}
    return first.with_arrays(arrays), _join_states(members)


def _join_blocks(members: Sequence[Member], name: str, reads_states: bool) -> Array:
    """Return an array of a layer: of every gate the rows of all members, in columns of their own if it reads states."""
    blocks = []
    for member in members:
        array, m = member.parameters[name], architecture(member.parameters).m
        blocks.append(array.reshape(-1, m, *array.shape[1:]))
    joined = _block_diagonal(blocks) if reads_states else np.concatenate(blocks, axis=1)
    return joined.reshape(-1, *joined.shape[2:])


def _block_diagonal(blocks: Sequence[Array]) -> Array:
    """Return the block-diagonal matrices (G, m, m) of matrices (G, m_i, m_i)."""
    m = sum(block.shape[1] for block in blocks)
    joined, start = np.zeros((len(blocks[0]), m, m), blocks[0].dtype), 0
    for block in blocks:
        end = start + block.shape[1]
        joined[:, start:end, start:end] = block
        start = end
    return joined


def _weighted_sum(members: Sequence[Member], name: str) -> Array:
    total: Array = np.sum([np.float64(member.weight) * member.parameters[name] for member in members], axis=0)
    return total


def _join_states(members: Sequence[Member]) -> Array:
    """Concatenate the states, vector by vector; the last characters are those of a member with a prior."""
    vectors, history = [], np.zeros(0, members[0].h.dtype)
    for member in members:
        net = architecture(member.parameters)
        recurrent, characters = np.split(member.h, [net.recurrent_size])
        vectors.append(recurrent.reshape(-1, net.m))
        history = characters if len(characters) else history
    return np.concatenate([np.concatenate(vectors, axis=1).ravel(), history])
