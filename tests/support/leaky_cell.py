"""A cell that only the tests register, in NumPy: a leaky integrator, with the gates and shapes of the vanilla cell.

    (1)  n_t = tanh(W h_{t-1} + U x_t + b)
    (2)  h_t = (h_{t-1} + n_t) / 2

Run as a program, it is the command line with this cell.
"""

import numpy as np

from elman.network.cells import CELLS, CellSpec
from elman.network.ops import Array, Arrays, Input, add_outer, outer, product, total

SPEC = CellSpec(name="leaky", title="leaky RNN", label="Leaky", gates=("n",), module="support.leaky_cell")

TABLE = {SPEC.name: SPEC}
"""Of an engine that has this cell only."""


def candidates(parameters: Arrays, h: Array, Ux: Array) -> Array:
    return np.asarray(np.tanh(h @ parameters["W"].T + Ux + parameters["b"]))  # (1)


def forward(parameters: Arrays, h0: Array, x: Input) -> Array:
    Ux = product(parameters["U"], x)
    h = np.empty((len(x) + 1, *h0.shape), h0.dtype)
    h[0] = h0
    for t in range(len(x)):
        h[t + 1] = (h[t] + candidates(parameters, h[t], Ux[t])) / 2  # (2)
    return h


def backward(parameters: Arrays, x: Input, h: Array, dh_out: Array) -> tuple[Arrays, Array, Array]:
    n = candidates(parameters, h[:-1], product(parameters["U"], x))
    da, dh_next = np.empty_like(dh_out), np.zeros_like(h[0])
    for t in reversed(range(len(x))):
        dh = dh_out[t] + dh_next
        da[t] = (1 - n[t] ** 2) * dh / 2
        dh_next = dh / 2 + da[t] @ parameters["W"]
    dU = np.zeros_like(parameters["U"])
    add_outer(dU, da, x)
    return {"U": dU, "W": outer(da, h[:-1]), "b": total(da)}, dh_next, da


if __name__ == "__main__":
    CELLS.core[SPEC.name] = SPEC
    from elman.cli import main

    main()
