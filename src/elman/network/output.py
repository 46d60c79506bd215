"""The output layer: logits, softmax, cross-entropy.

K  size of the alphabet         T  characters in one window
m  hidden units                 t  1 … T in the equations; the loops count from 0

::

    (1)  o_t = V h_t + c
    (2)  p_t = softmax(o_t)
    (3)  L = -sum_t log p_t[y_t]                   a sum over the window, in nats

    (4)  g_t = dL/do_t = p_t - y_t
    (5)  dV = sum_t g_t h_t'     dc = sum_t g_t    dL/dh_t|out = V' g_t
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elman.network.parameters import Array, Parameters


def softmax(o: Array) -> Array:
    """Return e^o / sum e^o along the last axis; the maximum is subtracted first, so nothing overflows."""
    e = np.exp(o - o.max(axis=-1, keepdims=True))
    p: Array = e / e.sum(axis=-1, keepdims=True)
    return p


def logits(parameters: Parameters, h: Array) -> Array:
    """Return o = V h + c: (m,) to (K,), or (T, m) to (T, K)."""
    return h @ parameters["V"].T + parameters["c"]  # (1)


def loss(o: Array, y: NDArray[np.unsignedinteger]) -> float:
    """Return L of logits o (T, K) for the characters y (T,), in nats.

    Computed as log sum e^o - o[y]: the same number as (2) and (3), and finite where p rounds to zero.
    """
    largest = o.max(axis=1)
    log_sum = np.log(np.exp(o - largest[:, None]).sum(axis=1)) + largest
    return float(np.sum(log_sum - o[np.arange(len(y)), y], dtype=np.float64))


def backward(parameters: Parameters, h: Array, o: Array, y: NDArray[np.unsignedinteger]) -> tuple[Parameters, Array]:
    """Return the gradients of V and c, and dL/dh_t|out.

    Parameters
    ----------
    parameters : Parameters
    h : ndarray, shape (T, m)
        The states that gave the logits.
    o : ndarray, shape (T, K)
    y : ndarray of unsigned int, shape (T,)

    Returns
    -------
    gradients : Parameters
        dV (K, m) and dc (K,), under the names V, c.
    dh_out : ndarray, shape (T, m)
    """
    g = softmax(o)  # (2)
    g[np.arange(len(y)), y] -= 1  # (4)
    return {"V": g.T @ h, "c": g.sum(axis=0)}, g @ parameters["V"]  # (5)
