"""Long short-term memory in NumPy, forward and backward: the solution of the second assignment.

The rows of U, W and b belong to the gates i and f, the candidate g and the gate o, m rows each, in this order.
A state has 2 m numbers: h, then the cell state s.
"""

import numpy as np


def sigmoid(a):
    """Return 1 / (1 + e^-a)."""
    return 0.5 * (1 + np.tanh(0.5 * a))


# Task 1: forward pass
def gates(parameters, h, x):
    """Return i, f, g and o, each (m,), for the character x, an index, after h (m,)."""
    a = parameters["W"] @ h + parameters["U"][:, x] + parameters["b"]
    a_i, a_f, a_g, a_o = np.split(a, 4)
    return sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)


def step(parameters, state, x):
    """Return the state (2 m,) after reading the character x, an index, in a state (2 m,), and p (K,)."""
    h, s = np.split(state, 2)
    i, f, g, o = gates(parameters, h, x)
    s = f * s + i * g
    new = np.concatenate([o * np.tanh(s), s])
    logits = parameters["V"] @ new[: len(h)] + parameters["c"]
    e = np.exp(logits - logits.max())
    return new, e / e.sum()


# Task 2: backward pass
def backward(parameters, x, y, h, p):
    """Return a dict of the gradients of U, W, V, b and c, in their shapes, and of the state h_0, "h0" (2 m,)."""
    W, V = parameters["W"], parameters["V"]
    dU, dW, dV, db, dc = (np.zeros_like(parameters[name]) for name in ("U", "W", "V", "b", "c"))
    h, s = np.split(h, 2, axis=1)
    dh_next, ds_next = np.zeros_like(h[0]), np.zeros_like(s[0])
    for t in reversed(range(len(x))):
        i, f, candidate, o = gates(parameters, h[t], x[t])
        tanh_s = np.tanh(s[t + 1])
        g = p[t].copy()
        g[y[t]] -= 1
        dh = V.T @ g + dh_next
        ds = (1 - tanh_s**2) * o * dh + ds_next
        da_i = i * (1 - i) * candidate * ds
        da_f = f * (1 - f) * s[t] * ds
        da_g = (1 - candidate**2) * i * ds
        da_o = o * (1 - o) * tanh_s * dh
        da = np.concatenate([da_i, da_f, da_g, da_o])
        dV += np.outer(g, h[t + 1])
        dW += np.outer(da, h[t])
        dU[:, x[t]] += da
        db += da
        dc += g
        dh_next, ds_next = W.T @ da, f * ds
    return {"U": dU, "W": dW, "V": dV, "b": db, "c": dc, "h0": np.concatenate([dh_next, ds_next])}
