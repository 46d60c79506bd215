"""The vector kernels beside the products: activation, softmax with its loss, AdaGrad.

Each takes rows as flat arrays whose padded length is a multiple of a vector's lanes.
"""

import numpy as np

from elman.engine.numba.fastmath import exp, tanh
from elman.engine.numba.options import inlined, largest_first


@inlined
def add_to(total, row):
    for i in range(len(total)):
        total[i] += row[i]


@inlined
def add_and_squash(a, b):
    """a <- tanh(a + b)."""
    for i in range(len(a)):
        a[i] = tanh(a[i] + b[i])


@inlined
def through_tanh(dh, h):
    """da = (1 - h^2) dh, in place."""
    for i in range(len(dh)):
        dh[i] -= h[i] * h[i] * dh[i]


# Whatever a NaN makes of the maximum, the exponentials that follow carry it on into the loss.
@largest_first
def _largest(row):
    largest = row[0]
    for k in range(len(row)):
        largest = row[k] if row[k] > largest else largest
    return largest


@inlined
def exponentials(row, scale):
    """row <- e^((row - max) scale); return their sum and the maximum."""
    largest = _largest(row)
    total = largest - largest
    for k in range(len(row)):
        row[k] = exp((row[k] - largest) * scale)
        total += row[k]
    return total, largest


@inlined
def adagrad(theta, M, gradient, rate, clip, epsilon):
    """M <- M + g^2; theta <- theta - eta clip(g) / sqrt(M + epsilon)."""
    for i in range(len(gradient)):
        g = gradient[i]
        M[i] += g * g
        g = -clip if g < -clip else (clip if g > clip else g)
        theta[i] -= rate * g / np.sqrt(M[i] + epsilon)
