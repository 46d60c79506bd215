"""The output layer: logits, the n-gram prior, softmax, cross-entropy.

K  size of the alphabet         T  sequence length (characters in one window)
m  hidden units                 t  1 … T in the equations; the loops count from 0
B  batch size, an axis (T, B, …) that a single sequence does not have

::

    (1)  o_t = V h_t + c
    (2)  p_t = softmax(o_t)
    (3)  L = -sum_t log p_t[y_t]                   a sum over the window, in nats

    (4)  g_t = dL/do_t = p_t - y_t
    (5)  dV = sum_t g_t h_t'     dc = sum_t g_t    dL/dh_t|out = V' g_t

With a prior, the distribution q_t of an n-gram model (`elman.ngram.model`) whose matched length at t is j::

    (1') o_t = V h_t + c + alpha_j log q_t         so that p_t is proportional to q_t^alpha_j e^(V h_t + c)
    (6)  dalpha_j = sum_t g_t' log q_t             over the t whose matched length is j

The counts are constants: a prior changes no other gradient. In a batch, L is the mean over its B rows, g_t is divided
by B, and the sums in (5) and (6) run over the rows as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.network.ops import Array, Arrays, outer, total
from elman.network.state import PriorValues


def softmax(o: Array) -> Array:
    """Return e^o / sum e^o along the last axis; the maximum is subtracted first, so that nothing overflows."""
    e = np.exp(o - o.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def log_softmax(o: Array) -> Array:
    """Return log softmax(o) along the last axis; finite even if the probability rounds to zero."""
    o = o - o.max(axis=-1, keepdims=True)
    return np.asarray(o - np.log(np.exp(o).sum(axis=-1, keepdims=True)))


def logits(
    parameters: Mapping[str, Array], h: Array, prior: PriorValues | None = None, ngram_weight: float | Array = 1.0
) -> Array:
    """Return the logits; h of shape (m,), (T, m) or (T, B, m) gives (K,), (T, K) or (T, B, K).

    alpha is multiplied by `ngram_weight`, a number or one for each batch row, when text is sampled.
    """
    o: Array = h @ parameters["V"].T + parameters["c"]  # (1)
    if prior is not None:
        alpha = ngram_weight * parameters["alpha"][prior.matched]
        o += (alpha[..., None] * prior.log_q).astype(o.dtype)  # (1')
    return o


def at(y: NDArray[np.unsignedinteger]) -> tuple[NDArray[np.integer], ...]:
    """Return the index of the entries of y (T,) or (T, B) in an array (T, K) or (T, B, K)."""
    return (*np.indices(y.shape), y)


def losses(o: Array, y: NDArray[np.unsignedinteger]) -> Array:
    """Return -log p of every character of y (T,) or (T, B), in nats, given logits o (T, K) or (T, B, K).

    It is computed as log sum e^o - o[y]: the same number as (2) and (3), but finite if p rounds to zero.
    """
    largest = o.max(axis=-1)
    log_sum = np.log(np.exp(o - largest[..., None]).sum(axis=-1)) + largest
    return np.asarray(log_sum - o[at(y)])


def loss(o: Array, y: NDArray[np.unsignedinteger]) -> Any:
    """Return L in nats: a float for logits o (T, K) and characters y (T,); for a batch an array (B,), one per row."""
    L = np.sum(losses(o, y), axis=0, dtype=np.float64)
    return L if L.ndim else float(L)


def backward(
    parameters: Mapping[str, Array], h: Array, o: Array, y: NDArray[np.unsignedinteger], prior: PriorValues | None
) -> tuple[Arrays, Array]:
    """Return the gradients of V (K, m), c (K,) and, with a prior, alpha (n + 1,); and dL/dh_t|out, with the shape of h.

    The logits `o` were computed from the states `h`, (T, m) or (T, B, m).
    """
    g = softmax(o)  # (2)
    g[at(y)] -= 1  # (4)
    g /= y[0].size  # mean over the batch
    gradients = {"V": outer(g, h), "c": total(g)}  # (5)
    if prior is not None:
        gradients["alpha"] = np.zeros_like(parameters["alpha"])
        np.add.at(gradients["alpha"], prior.matched, (g * prior.log_q).sum(axis=-1))  # (6)
    return gradients, g @ parameters["V"]  # (5)
