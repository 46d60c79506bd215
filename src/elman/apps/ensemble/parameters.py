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

import numpy as np

from elman.network import Architecture, Array, Arrays, Parameters, State, layer_names, suffix


@np.errstate(over="ignore", invalid="ignore")  # weights may be too large
def join_parameters(members: Sequence[Parameters], weights: Sequence[float]) -> Parameters:
    """Return the network of (2), of members that differ in size, parameters and whether they have the prior only."""
    with_units = [member for member in members if member.architecture.m] or members[:1]
    net, arrays = with_units[0].architecture, Arrays()
    for number in range(1, net.layers + 1):
        for name in layer_names(net.cell):
            reads_states = name == "W" or (name == "U" and number > 1)
            arrays[name + suffix(number)] = _join_blocks(with_units, name + suffix(number), reads_states)
    # In float64, so that the sums are rounded once, and a weight that is too large shows at the end only.
    pairs = [*zip(weights, members, strict=True)]
    arrays["V"] = np.concatenate([np.float64(weight) * member["V"] for weight, member in pairs], axis=1)
    arrays["c"] = _weighted_sum(pairs, "c")
    with_prior = [pair for pair in pairs if pair[1].ngrams is not None]
    ngrams = with_prior[0][1].ngrams if with_prior else None
    if with_prior:
        arrays["alpha"] = _weighted_sum(with_prior, "alpha")
    net = net._replace(m=sum(member.architecture.m for member in members), order=ngrams.order if ngrams else 0)
    arrays = {name: array.astype(members[0]["V"].dtype) for name, array in arrays.items()}
    return Parameters(net, arrays, ngrams)


def join_states(states: Sequence[State], net: Architecture) -> Array:
    """Return the recurrent part of the joined network's state, (S,)."""
    vectors = [state.recurrent.reshape(net.layers * net.state_vectors, -1) for state in states]
    return np.concatenate(vectors, axis=1).ravel()


def _join_blocks(members: Sequence[Parameters], name: str, reads_states: bool) -> Array:
    """Return an array of a layer: of every gate the rows of all members, in columns of their own if it reads states."""
    gates = 1 if name[0] in members[0].architecture.spec.extra_biases else members[0].architecture.gates
    blocks = [member[name].reshape(gates, member.architecture.m, *member[name].shape[1:]) for member in members]
    if reads_states:
        ends = np.cumsum([block.shape[1] for block in blocks])
        columns = [(end - block.shape[1], ends[-1] - end) for block, end in zip(blocks, ends, strict=True)]
        blocks = [np.pad(block, ((0, 0), (0, 0), zeros)) for block, zeros in zip(blocks, columns, strict=True)]
    joined = np.concatenate(blocks, axis=1)
    return joined.reshape(gates * joined.shape[1], *joined.shape[2:])


def _weighted_sum(pairs: Sequence[tuple[float, Parameters]], name: str) -> Array:
    total: Array = np.sum([np.float64(weight) * member[name] for weight, member in pairs], axis=0)
    return total
