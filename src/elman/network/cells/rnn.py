"""The vanilla recurrent cell (Elman, 1990): forward, and backward through time.

K  size of the alphabet         T  sequence length (characters in one window)
m  hidden units                 t  1 … T in the equations; the loops count from 0

Forward, for every t::

    (1)  a_t = W h_{t-1} + U x_t + b
    (2)  h_t = tanh(a_t)

Backward, from the last t to the first, with dL/dh_t|out, the part of dL/dh_t that comes from the output at t::

    (3)  dh_t = dL/dh_t|out + W' da_{t+1}          the second term is zero at the last t
    (4)  da_t = (1 - h_t^2) * dh_t
    (5)  dW = sum_t da_t h_{t-1}'    dU = sum_t da_t x_t'    db = sum_t da_t
    (6)  dh_0 = W' da_1                            gradient of the initial state

x_t is one-hot. Therefore U x_t is a column of U, and da_t x_t' adds da_t to a column of dU. The state array ``h`` has
T + 1 rows: ``h[0]`` is the initial state, and ``h[t + 1]`` is the state after step t.
`docs/explanation/bptt.md` derives each line.

A row is one state (m,) or, for a batch of B sequences, B states (B, m); the sums in (5) then run over the batch as
well. Rows are multiplied from the right: ``h[t] @ W.T`` is W h, ``da[t] @ W`` is W' da.
"""

from __future__ import annotations

import numpy as np

from elman.network.cells import CellSpec
from elman.network.ops import Array, Arrays, Input, add_outer, outer, product, total

SPEC = CellSpec(name="rnn", title="vanilla RNN", label="Cell", gates=("n",), module=__name__)


def forward(parameters: Arrays, h0: Array, x: Input) -> Array:
    """Return all hidden states of a window.

    Parameters
    ----------
    parameters : Arrays
        U (m, K), W (m, m), b (m,).
    h0 : ndarray, shape (m,) or (B, m)
        The initial state.
    x : ndarray of unsigned int, shape (T,) or (T, B); or of float, shape (T, m) or (T, B, m)
        Indices of the input characters; for a layer above the first, the output of the layer below.

    Returns
    -------
    h : ndarray, shape (T + 1, m) or (T + 1, B, m)
        Row 0 is `h0`; row t + 1 is the state after step t.
    """
    W, b, Ux = parameters["W"], parameters["b"], product(parameters["U"], x)
    h = np.empty((len(x) + 1, *h0.shape), h0.dtype)
    h[0] = h0
    for t in range(len(x)):
        a = h[t] @ W.T + Ux[t] + b  # (1)
        h[t + 1] = np.tanh(a)  # (2)
    return h


def backward(parameters: Arrays, x: Input, h: Array, dh_out: Array) -> tuple[Arrays, Array, Array]:
    """Return the gradients of U, W, b and the initial state, and da.

    Parameters
    ----------
    parameters : Arrays
    x : ndarray
        The input that was given to `forward`.
    h : ndarray, shape (T + 1, m) or (T + 1, B, m)
        The states that `forward` returned.
    dh_out : ndarray, shape (T, m) or (T, B, m)
        dL/dh_t|out of every step.

    Returns
    -------
    gradients : Arrays
        dU (m, K), dW (m, m), db (m,), under the names U, W, b.
    dh0 : ndarray, shape (m,) or (B, m)
    da : ndarray, shape (T, m) or (T, B, m)
        dL/d of U x_t of every step, from which a layer below gets its dL/dh_t|out.
    """
    W = parameters["W"]
    dU, dW, db = (np.zeros_like(parameters[name]) for name in ("U", "W", "b"))
    da = np.empty_like(dh_out)
    dh_next = np.zeros_like(h[0])  # W' da_{t+1}
    for t in reversed(range(len(x))):
        dh = dh_out[t] + dh_next  # (3)
        da[t] = (1 - h[t + 1] ** 2) * dh  # (4)
        dW += outer(da[t], h[t])  # (5); h[t] is the state before step t, so h[0] counts
        add_outer(dU, da[t], x[t])
        db += total(da[t])
        dh_next = da[t] @ W
    return {"U": dU, "W": dW, "b": db}, dh_next, da  # (6)
