"""The forward and the backward pass of a vanilla RNN as a student may write them, and mistakes as changes of a line."""

from typing import Any

import numpy as np

RIGHT = """
def forward(parameters, h0, x, y):
    U, W, V, b, c = (parameters[name] for name in "UWVbc")
    T = len(x)
    h = np.zeros((T + 1, len(h0)))
    p = np.zeros((T, len(c)))
    h[0] = h0
    loss = 0.0
    for t in range(T):
        h_before = h[t]
        a = W @ h_before + U[:, x[t]] + b
        h[t + 1] = np.tanh(a)
        o = V @ h[t + 1] + c
        e = np.exp(o - o.max())
        p[t] = e / e.sum()
        loss -= np.log(p[t, y[t]])
    return loss, h, p


def backward(parameters, x, y, h, p):
    U, W, V, b, c = (parameters[name] for name in "UWVbc")
    dU, dW, dV, db, dc = (np.zeros_like(array) for array in (U, W, V, b, c))
    dh_next = np.zeros(len(W))
    for t in reversed(range(len(x))):
        g = p[t].copy()
        g[y[t]] -= 1
        dV += np.outer(g, h[t + 1])
        dc += g
        dh = V.T @ g + dh_next
        da = (1 - h[t + 1] ** 2) * dh
        dW += np.outer(da, h[t])
        dU[:, x[t]] += da
        db += da
        dh_next = W.T @ da
    return {"U": dU, "W": dW, "V": dV, "b": db, "c": dc, "h0": dh_next}
"""


def load_passes(*changes: tuple[str, str], **names: Any) -> tuple[Any, Any]:
    """Return `forward` and `backward` after replacing parts of their source, with further global names."""
    source = RIGHT
    for old, new in changes:
        assert old in source, old
        source = source.replace(old, new)
    names |= {"np": np}
    exec(source, names)
    return names["forward"], names["backward"]
