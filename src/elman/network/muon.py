"""The step of the optimizer Muon: momentum, orthogonalized by a Newton-Schulz iteration (Jordan and others, 2024).

It is that of hidden matrices, W and, after the first layer, U; all other parameters have the step of Adam. Each m x m
block, that of one gate, by itself::

    N <- mu N + (1 - mu) g_n                      X <- mu N + (1 - mu) g_n
    X <- X / (||X|| + 1e-7)                       the Frobenius norm; then three times
    X <- a X + (b A + c A A) X                    with A = X X'
    theta <- theta - eta 0.1 sqrt(m) X            M stays zero

A step changes the output of a matrix by the same amount in every direction, also in those that few gradients have. Its
size does not depend on that of the gradients; clipping only changes the weight of a gradient in the momentum. The
factor 0.1 sqrt(m) makes the root mean square of a step's components about 0.1 eta, as small as a typical step of Adam,
so that both kinds of parameters share a learning rate (Liu and others, 2025, with 0.2).

The iteration maps every singular value s of X to a s + b s^3 + c s^5 and leaves the singular vectors as they are. With
these coefficients, singular values from 0.02 to 1 are between 0.68 and 1.21 after three steps: they do not converge to
1, but small ones grow fast.
"""

from __future__ import annotations

import numpy as np

from elman.network.ops import Array

MOMENTUM = 0.95
"""mu, the decay of the momentum."""
NEWTON_SCHULZ_STEPS = 3
"""Fewer than the usual five: more updates in the same time are worth more than what remains to be orthogonalized."""
NEWTON_SCHULZ_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""a, b and c."""
STEP_SCALE = 0.1
"""Root mean square of the components of a step, in learning rates."""
NORM_EPSILON = 1e-7
"""Added to a norm, which is zero where there is no gradient."""


def is_hidden_matrix(name: str) -> bool:
    """Return whether a parameter is a matrix from m units to m units per gate: W, or U of a layer after the first."""
    return name[0] in "UW" and name != "U"


def muon_step(N: Array, g_n: Array) -> Array:
    """Update the momentum N (G m, m) of one parameter in place, from the clipped gradient g_n.

    Returns the step that the learning rate multiplies: every block (m, m), that of one gate, is nearly a multiple of an
    orthogonal matrix.
    """
    m = g_n.shape[1]
    N += (1 - MOMENTUM) * (g_n - N)
    d = MOMENTUM * N + (1 - MOMENTUM) * g_n
    X = orthogonalize(d.reshape(-1, m, m)).reshape(d.shape)
    step: Array = STEP_SCALE * m**0.5 * X
    return step


def orthogonalize(d: Array) -> Array:
    """Return matrices with the singular vectors of `d` (blocks, m, m) and singular values near 1.

    Examples
    --------
    >>> import numpy as np
    >>> from elman.network.muon import orthogonalize
    >>> orthogonalize(np.diag([3.0, 1.0])[None])[0].round(1)
    array([[0.7, 0. ],
           [0. , 1.1]])
    """
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    X: Array = d / (np.linalg.norm(d, axis=(1, 2), keepdims=True) + NORM_EPSILON)
    for _ in range(NEWTON_SCHULZ_STEPS):
        A = X @ X.transpose(0, 2, 1)
        X = a * X + (b * A + c * A @ A) @ X
    return X
