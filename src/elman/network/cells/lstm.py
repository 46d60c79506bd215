"""Long short-term memory (Hochreiter and Schmidhuber, 1997; Gers et al., 2000): forward, and backward through time.

K  size of the alphabet         T  sequence length (characters in one window)
m  hidden units                 t  1 … T in the equations; the loops count from 0

Forward, for every t, where a_i, a_f, a_g, a_o are the blocks of m components of a::

    (1)  a_t = W h_{t-1} + U x_t + b
    (2)  i_t, f_t, o_t = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o)      input, forget and output gate
         g_t = tanh(a_g)                                               candidate
    (3)  s_t = f_t * s_{t-1} + i_t * g_t                               cell state
    (4)  h_t = o_t * tanh(s_t)

Backward, from the last t to the first; symbols without an index belong to step t::

    (5)   dh_t = dL/dh_t|out + W' da_{t+1}                             the second term is zero at the last t
    (6)   ds_t = (1 - tanh(s)^2) * o * dh_t + f_{t+1} * ds_{t+1}       the second term is zero at the last t
    (7)   da_i = i (1 - i) * g * ds        da_f = f (1 - f) * s_{t-1} * ds
          da_g = (1 - g^2) * i * ds        da_o = o (1 - o) * tanh(s) * dh
    (8)   dW = sum_t da_t h_{t-1}'         dU = sum_t da_t x_t'        db = sum_t da_t
    (9)   dh_0 = W' da_1                   ds_0 = f_1 * ds_1

Here g is the candidate and o a gate, not the output layer's gradient and logits. Only the states are stored for the
backward pass, which recomputes the gates: once all states are known, (1) and (2) of the whole window need one product.
Rows and batches are as in `rnn.py`; a row of the states holds h and then s, 2 m numbers. `docs/explanation/cells.md`
explains the equations.
"""

from __future__ import annotations

import numpy as np

from elman.network.cells import CELL_STATE, HIDDEN_STATE, CellSpec
from elman.network.ops import Array, Arrays, Input, add_outer, outer, product, sigmoid, total

SPEC = CellSpec(
    "lstm", "LSTM", "LSTM", gates=("i", "f", "g", "o"), module=__name__, state=(HIDDEN_STATE, CELL_STATE), keep_gate=1
)


def gates(parameters: Arrays, h: Array, Ux: Array) -> tuple[Array, Array, Array, Array]:
    """Return i, f, g and o, each (…, m), of states h (…, m) and products U x (…, 4 m)."""
    a = h @ parameters["W"].T + Ux + parameters["b"]  # (1)
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=-1)
    return sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)  # (2)


def forward(parameters: Arrays, state0: Array, x: Input) -> Array:
    """Return all states of a window, (T + 1, 2 m) or (T + 1, B, 2 m): h and s after each step.

    `state0`, (2 m,) or (B, 2 m), is h_0 and s_0. The parameters are U (4 m, K), W (4 m, m), b (4 m,), their rows in the
    order i, f, g, o. Otherwise see `elman.network.cells.rnn.forward`.
    """
    Ux = product(parameters["U"], x)
    states = np.empty((len(x) + 1, *state0.shape), state0.dtype)
    states[0] = state0
    h, s = np.split(states, 2, axis=-1)  # views
    for t in range(len(x)):
        i, f, g, o = gates(parameters, h[t], Ux[t])
        s[t + 1] = f * s[t] + i * g  # (3)
        h[t + 1] = o * np.tanh(s[t + 1])  # (4)
    return states


def backward(parameters: Arrays, x: Input, states: Array, dh_out: Array) -> tuple[Arrays, Array, Array]:
    """Return the gradients of U, W and b, of h_0 and s_0 in one array, and da (T, 4 m) or (T, B, 4 m).

    See `elman.network.cells.rnn.backward`.
    """
    h, s = np.split(states, 2, axis=-1)
    i, f, g, o = gates(parameters, h[:-1], product(parameters["U"], x))
    tanh_s = np.tanh(s[1:])
    da = np.empty((*dh_out.shape[:-1], len(parameters["W"])), dh_out.dtype)
    dh_next = np.zeros_like(h[0])  # W' da_{t+1}
    ds_next = np.zeros_like(s[0])  # f_{t+1} * ds_{t+1}
    for t in reversed(range(len(x))):
        dh = dh_out[t] + dh_next  # (5)
        ds = (1 - tanh_s[t] ** 2) * o[t] * dh + ds_next  # (6)
        da_i = i[t] * (1 - i[t]) * g[t] * ds  # (7)
        da_f = f[t] * (1 - f[t]) * s[t] * ds  # s[t] is the cell state before step t
        da_g = (1 - g[t] ** 2) * i[t] * ds
        da_o = o[t] * (1 - o[t]) * tanh_s[t] * dh
        da[t] = np.concatenate([da_i, da_f, da_g, da_o], axis=-1)
        dh_next, ds_next = da[t] @ parameters["W"], f[t] * ds
    dU = np.zeros_like(parameters["U"])
    add_outer(dU, da, x)  # (8)
    dstate0 = np.concatenate([dh_next, ds_next], axis=-1)  # (9)
    return {"U": dU, "W": outer(da, h[:-1]), "b": total(da)}, dstate0, da
