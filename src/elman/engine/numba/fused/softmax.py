"""Softmax and its loss, on padded rows of logits g; K_row is the length of a row."""

import numpy as np

from elman.engine.numba.jit import compiled, inlined
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.vector import exponentials, scale


@inlined
def softmax_loss(g, y, K_row):
    """Turn logits into p - y, row by row; return L = -sum_t log p_t[y_t].

    The logarithm is taken once per 32 rows, of the product of their softmax sums: each is in [1, K], so it cannot
    overflow.
    """
    loss, product = 0.0, 1.0
    for t in range(len(y)):
        difference, total = softmax_row(g, t * K_row, y[t], K_row)
        loss += difference
        product *= total
        if t % 32 == 31:
            loss += np.log(product)
            product = 1.0
    return loss + np.log(product)


@inlined
def softmax_row(g, start, target, K_row):
    """Turn a row of logits into p - y; return the largest logit less the target's, and the sum of the exponentials."""
    one = g.dtype.type(1)
    vectors = K_row * g.itemsize // BYTES
    target_logit = g[start + target]
    total, largest = exponentials(g, start, vectors, one)
    scale(g, start, vectors, one / total)
    g[start + target] -= one
    return largest - target_logit, total


@compiled()  # without fastmath: the losses are added in the order of the steps
def sum_losses(differences, totals, T):
    """The loss of a window from what `softmax_row` returned for its steps, added as `softmax_loss` does."""
    loss, product = 0.0, 1.0
    for t in range(T):
        loss += differences[t]
        product *= totals[t]
        if t % 32 == 31:
            loss += np.log(product)
            product = 1.0
    return loss + np.log(product)
