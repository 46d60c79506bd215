"""The update rules of `elman.network.optimizer` over flat arrays, a range at a time so that ranges may be shared out."""

import numpy as np

from elman.engine.numba.jit import kernel

ADAGRAD, RMSPROP, ADAM, SGD = range(4)
CODES = {"adagrad": ADAGRAD, "rmsprop": RMSPROP, "adam": ADAM, "adamw": ADAM, "sgd": SGD}


@kernel
def combine(gradients, first, last, factor):
    """Add the gradients of all groups, times `factor`, into the first; return the sum of their squares."""
    total, factor = 0.0, gradients.dtype.type(factor)
    mine = gradients[0, first:last]
    for group in range(1, len(gradients)):
        other = gradients[group, first:last]
        for i in range(len(mine)):
            mine[i] += other[i]
    for i in range(len(mine)):
        mine[i] *= factor
        total += np.float64(mine[i]) * np.float64(mine[i])
    return total


@kernel
def apply(
    code, theta, M, N, g, first, last, rate, shrink, decay, scale, clip, beta1, beta2, bias1, bias2, epsilon
):  # fmt: skip
    """One update of a range of theta.

    The gradient is multiplied by `scale`, which limits its norm, and clipped to `clip`, which limits each component;
    `decay` theta is added to it, or (AdamW) theta multiplied by `shrink`.
    """
    number = theta.dtype.type
    rate, shrink, decay, scale, clip = number(rate), number(shrink), number(decay), number(scale), number(clip)
    keep1, keep2, new1, new2 = number(beta1), number(beta2), number(1 - beta1), number(1 - beta2)
    up1, up2, epsilon = number(1 / bias1), number(1 / bias2), number(epsilon)
    # Within a slice no index is negative, which Numba would otherwise test for, and not vectorise.
    theta, g = theta[first:last], g[first:last]
    M, N = M[first:last], N[first:last]
    if code == ADAGRAD:
        for i in range(len(theta)):
            raw = g[i] * scale + decay * theta[i]
            M[i] += raw * raw
            d = min(max(g[i] * scale, -clip), clip) + decay * theta[i]
            theta[i] -= rate * d / np.sqrt(M[i] + epsilon)
    elif code == RMSPROP:
        for i in range(len(theta)):
            d = min(max(g[i] * scale, -clip), clip) + decay * theta[i]
            M[i] = keep2 * M[i] + new2 * d * d
            theta[i] -= rate * d / (np.sqrt(M[i]) + epsilon)
    elif code == ADAM:
        for i in range(len(theta)):
            d = min(max(g[i] * scale, -clip), clip) + decay * theta[i]
            N[i] = keep1 * N[i] + new1 * d
            M[i] = keep2 * M[i] + new2 * d * d
            theta[i] = shrink * theta[i] - rate * (N[i] * up1) / (np.sqrt(M[i] * up2) + epsilon)
    else:
        for i in range(len(theta)):
            N[i] = keep1 * N[i] + min(max(g[i] * scale, -clip), clip) + decay * theta[i]
            theta[i] -= rate * N[i]


@kernel
def average_in(average, theta, first, last, share):
    """average <- average + share (theta - average)."""
    share = theta.dtype.type(share)
    average, theta = average[first:last], theta[first:last]
    for i in range(len(theta)):
        average[i] += share * (theta[i] - average[i])
