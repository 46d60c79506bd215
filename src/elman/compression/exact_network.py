"""Parameters and state of a network in the layout of `elman.compression.exact_kernels`.

R  rows: substreams coded in lockstep   m  hidden units per layer
K  alphabet size                        G  gate blocks of m rows: 1 for rnn, 3 for gru, 4 for lstm
L  layers                               P  state vectors (m,): h of every layer, for lstm each followed by its s

The equations are those of `elman.network`. Matrices are stored transposed, (inputs, outputs), so that the sums of all
outputs can be vectorized, and parameters trained in float64 are rounded to float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.compression import exact_kernels
from elman.compression.exact_kernels import Floats
from elman.errors import ElmanError
from elman.network.parameters import Parameters, architecture, layer_names, suffix


@dataclass(frozen=True, eq=False)
class ExactNetwork:
    """All parameters in one vector, and views of it by name.

    Parameters
    ----------
    theta : ndarray of float32
        U, W, b and, for gru, d of every layer, then V, c and, with a prior, alpha.
    arrays : dict of ndarray
        Views of `theta` under the names of `elman.network.parameters`: U (K, G m), above the first layer (m, G m);
        W (m, G m), b (G m,), d (m,), V (m, K), c (K,), alpha (n + 1,).
    cell : int
        One of `elman.compression.exact_kernels.CELLS`.
    G, L, P, K, m : int
    """

    theta: Floats
    arrays: dict[str, Floats]
    cell: int
    G: int
    L: int
    P: int
    K: int
    m: int

    def with_theta(self, theta: Floats) -> ExactNetwork:
        """Return a network of the same shape with other numbers, such as a gradient."""
        arrays, start = {}, 0
        for name, array in self.arrays.items():
            arrays[name] = theta[start : start + array.size].reshape(array.shape)
            start += array.size
        return ExactNetwork(theta, arrays, self.cell, self.G, self.L, self.P, self.K, self.m)


def build_exact_network(parameters: Parameters) -> ExactNetwork:
    """Return a network with a copy of these parameters.

    Raises
    ------
    ElmanError
        If the codec does not have the cell, or the state is reset, as between independent lines.
    """
    net = architecture(parameters)
    net.spec.require_codec()
    if parameters.reset_at is not None:
        raise ElmanError("files cannot be compressed with a model of independent lines: train without --lines")
    names = [name + suffix(n) for n in range(1, net.layers + 1) for name in layer_names(net.cell)]
    names += ["V", "c", "alpha"] if net.order else ["V", "c"]
    arrays = {name: round_to_float32(parameters[name].T) for name in names}
    P = net.layers * net.state_vectors
    cell = exact_kernels.CELLS[net.cell]
    shape = ExactNetwork(np.empty(0, np.float32), arrays, cell, net.gates, net.layers, P, net.K, net.m)
    return shape.with_theta(np.concatenate([array.reshape(-1) for array in arrays.values()]))


def round_to_float32(array: NDArray[np.floating]) -> Floats:
    """Return a copy in float32; values beyond its range become infinite."""
    with np.errstate(over="ignore"):
        return np.array(array, np.float32, order="C")
