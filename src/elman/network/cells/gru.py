"""The gated recurrent unit (Cho et al., 2014): forward, and backward through time.

K  size of the alphabet         T  sequence length (characters in one window)
m  hidden units                 t  1 … T in the equations; the loops count from 0

This is the variant that applies the reset gate *after* the recurrent product, r * (W h + d), as in cuDNN, PyTorch and
ONNX (`linear_before_reset`). The original paper applies it before the product, W (r * h).

Forward, for every t, where U_r, U_z, U_n are the blocks of m rows of U, with the same names for W and b::

    (1)  r_t = sigmoid(U_r x_t + W_r h_{t-1} + b_r)            reset gate
    (2)  z_t = sigmoid(U_z x_t + W_z h_{t-1} + b_z)            update gate: the fraction of the old state kept
    (3)  q_t = W_n h_{t-1} + d
    (4)  n_t = tanh(U_n x_t + b_n + r_t * q_t)                 candidate state
    (5)  h_t = (1 - z_t) * n_t + z_t * h_{t-1}

Backward, from the last t to the first; a_r, a_z and a_n are the arguments of sigmoid and tanh::

    (6)   dh_t = dL/dh_t|out + dL/dh_t|next                    the second term is zero at the last t
    (7)   da_n = (1 - n^2) * (1 - z) * dh                      symbols without an index belong to step t
    (8)   da_r = r (1 - r) * q * da_n       dq = r * da_n
    (9)   da_z = z (1 - z) * (h_{t-1} - n) * dh
    (10)  dL/dh_{t-1}|next = z * dh + W_r' da_r + W_z' da_z + W_n' dq
    (11)  dU = sum_t da_t x_t'              db = sum_t da_t    with da = (da_r, da_z, da_n)
    (12)  dW = sum_t dk_t h_{t-1}'          dd = sum_t dq_t    with dk = (da_r, da_z, dq)
    (13)  dh_0 = dL/dh_0|next

Only the states are stored for the backward pass, which recomputes the gates: once all states are known, (1) to (4) of
the whole window need one product. Rows and batches are as in `rnn.py`. `docs/explanation/cells.md` explains them.
"""

from __future__ import annotations

import numpy as np

from elman.network.cells import CellSpec
from elman.network.ops import Array, Arrays, Input, add_outer, outer, product, sigmoid, total

SPEC = CellSpec(name="gru", title="GRU", label="GRU", gates=("r", "z", "n"), module=__name__, extra_biases=("d",))


def gates(parameters: Arrays, h: Array, Ux: Array) -> tuple[Array, Array, Array, Array]:
    """Return r, z, n and q, each (…, m), of states h (…, m) and products U x (…, 3 m)."""
    k_r, k_z, k_n = np.split(h @ parameters["W"].T, 3, axis=-1)
    i_r, i_z, i_n = np.split(Ux + parameters["b"], 3, axis=-1)
    r = sigmoid(i_r + k_r)  # (1)
    z = sigmoid(i_z + k_z)  # (2)
    q = k_n + parameters["d"]  # (3)
    n = np.tanh(i_n + r * q)  # (4)
    return r, z, n, q


def forward(parameters: Arrays, h0: Array, x: Input) -> Array:
    """Return all hidden states of a window; the shapes are as in `rnn.py`, except for the parameters.

    The parameters are U (3 m, K), W (3 m, m), b (3 m,), their rows in the order r, z, n; d (m,).
    """
    Ux = product(parameters["U"], x)
    h = np.empty((len(x) + 1, *h0.shape), h0.dtype)
    h[0] = h0
    for t in range(len(x)):
        _, z, n, _ = gates(parameters, h[t], Ux[t])
        h[t + 1] = (1 - z) * n + z * h[t]  # (5)
    return h


def backward(parameters: Arrays, x: Input, h: Array, dh_out: Array) -> tuple[Arrays, Array, Array]:
    """Return the gradients of U, W, b, d and the initial state, and da (T, 3 m) or (T, B, 3 m).

    See `elman.network.cells.rnn.backward`.
    """
    r, z, n, q = gates(parameters, h[:-1], product(parameters["U"], x))
    da = np.empty((*dh_out.shape[:-1], len(parameters["W"])), dh_out.dtype)
    dk = np.empty_like(da)  # dL/d of W h_{t-1}; its last block is dq
    dh_next = np.zeros_like(h[0])  # dL/dh_t|next
    for t in reversed(range(len(x))):
        dh = dh_out[t] + dh_next  # (6)
        da_n = (1 - n[t] ** 2) * (1 - z[t]) * dh  # (7)
        da_r = r[t] * (1 - r[t]) * q[t] * da_n  # (8)
        da_z = z[t] * (1 - z[t]) * (h[t] - n[t]) * dh  # (9)
        da[t] = np.concatenate([da_r, da_z, da_n], axis=-1)
        dk[t] = np.concatenate([da_r, da_z, r[t] * da_n], axis=-1)
        dh_next = z[t] * dh + dk[t] @ parameters["W"]  # (10)
    dU = np.zeros_like(parameters["U"])
    add_outer(dU, da, x)  # (11)
    dd = total(dk[..., -h.shape[-1] :])
    return {"U": dU, "W": outer(dk, h[:-1]), "b": total(da), "d": dd}, dh_next, da  # (12), (13)
