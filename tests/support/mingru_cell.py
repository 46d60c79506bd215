"""A cell that only the tests register, in NumPy: minGRU (Feng et al., 2024), whose gates read the input alone.

    (1)  z_t = sigmoid(U_z x_t + b_z)
    (2)  n_t = U_n x_t + b_n
    (3)  h_t = (1 - z_t) * h_{t-1} + z_t * n_t

There is no W.
"""

import numpy as np

from elman.network.cells import CellSpec
from elman.network.ops import Array, Arrays, Input, add_outer, product, sigmoid, total

SPEC = CellSpec(
    name="mingru", title="minGRU", label="MinGRU", gates=("z", "n"), module="support.mingru_cell", has_W=False
)


def gates(parameters: Arrays, x: Input) -> tuple[Array, Array]:
    a_z, n = np.split(product(parameters["U"], x) + parameters["b"], 2, axis=-1)
    return sigmoid(a_z), n  # (1), (2)


def forward(parameters: Arrays, h0: Array, x: Input) -> Array:
    z, n = gates(parameters, x)
    h = np.empty((len(x) + 1, *h0.shape), h0.dtype)
    h[0] = h0
    for t in range(len(x)):
        h[t + 1] = (1 - z[t]) * h[t] + z[t] * n[t]  # (3)
    return h


def backward(parameters: Arrays, x: Input, h: Array, dh_out: Array) -> tuple[Arrays, Array, Array]:
    z, n = gates(parameters, x)
    dh, dh_next = np.empty_like(dh_out), np.zeros_like(h[0])
    for t in reversed(range(len(x))):
        dh[t] = dh_out[t] + dh_next
        dh_next = (1 - z[t]) * dh[t]
    da = np.concatenate([z * (1 - z) * (n - h[:-1]) * dh, z * dh], axis=-1)
    dU = np.zeros_like(parameters["U"])
    add_outer(dU, da, x)
    return {"U": dU, "b": total(da)}, dh_next, da
