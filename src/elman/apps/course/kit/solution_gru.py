"""A gated recurrent unit in NumPy, forward and backward: the solution of the second assignment.

The rows of U, W and b belong to the gates r and z and the candidate n, m rows each, in this order; d (m,) is inside the
reset gate.
"""

import numpy as np


def sigmoid(a):
    """Return 1 / (1 + e^-a)."""
    return 0.5 * (1 + np.tanh(0.5 * a))


# Task 1: forward pass
def gates(parameters, h, x):
    """Return r, z, n and q = W_n h + d, each (m,), for the character x, an index, in the state h (m,)."""
    k_r, k_z, k_n = np.split(parameters["W"] @ h, 3)
    i_r, i_z, i_n = np.split(parameters["U"][:, x] + parameters["b"], 3)
    r, z = sigmoid(i_r + k_r), sigmoid(i_z + k_z)
    q = k_n + parameters["d"]
    n = np.tanh(i_n + r * q)
    return r, z, n, q


def step(parameters, h, x):
    """Return the state (m,) after reading the character x, an index, in the state h (m,), and p (K,)."""
    _, z, n, _ = gates(parameters, h, x)
    new = (1 - z) * n + z * h
    o = parameters["V"] @ new + parameters["c"]
    e = np.exp(o - o.max())
    return new, e / e.sum()


# Task 2: backward pass
def backward(parameters, x, y, h, p):
    """Return a dict of the gradients of U, W, V, b, c and d, in their shapes, and of h_0, "h0" (m,)."""
    W, V = parameters["W"], parameters["V"]
    dU, dW, dV, db, dc, dd = (np.zeros_like(parameters[name]) for name in ("U", "W", "V", "b", "c", "d"))
    dh_next = np.zeros_like(h[0])
    for t in reversed(range(len(x))):
        r, z, n, q = gates(parameters, h[t], x[t])
        g = p[t].copy()
        g[y[t]] -= 1
        dh = V.T @ g + dh_next
        da_n = (1 - n**2) * (1 - z) * dh
        da_r = r * (1 - r) * q * da_n
        da_z = z * (1 - z) * (h[t] - n) * dh
        dq = r * da_n
        da = np.concatenate([da_r, da_z, da_n])
        dk = np.concatenate([da_r, da_z, dq])
        dV += np.outer(g, h[t + 1])
        dW += np.outer(dk, h[t])
        dU[:, x[t]] += da
        db += da
        dc += g
        dd += dq
        dh_next = z * dh + W.T @ dk
    return {"U": dU, "W": dW, "V": dV, "b": db, "c": dc, "d": dd, "h0": dh_next}
