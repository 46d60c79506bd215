"""The parameters and the state of a network as `kernels` takes them.

R  rows: streams read side by side      m  hidden units of a layer
K  size of the alphabet                 G  blocks of m in a layer's sums: 1 rnn, 3 gru, 4 lstm
L  layers                               P  vectors (m,) in the state: h of every layer, and for lstm its s behind it

The equations are those of `elman.network`. Matrices are held transposed, (inputs, outputs), so that the sums of all
outputs grow side by side, and are rounded to float32 where the network was trained in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.compression import exact_kernels
from elman.network.parameters import Parameters, architecture, suffix

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Network:
    """All parameters in one vector, and by their names.

    Parameters
    ----------
    theta : ndarray of float32
        U, W, b and, for gru, d of every layer, then V and c.
    arrays : dict of ndarray
        The same numbers under the names of `elman.network.parameters`: U (K, G m), above the first layer (m, G m);
        W (m, G m), b (G m,), d (m,), V (m, K), c (K,).
    G, L, P, K, m : int
    """

    theta: Floats
    arrays: dict[str, Floats]
    G: int
    L: int
    P: int
    K: int
    m: int

    def like(self, theta: Floats) -> Network:
        """Return a network of the same shape over other numbers, such as a gradient."""
        arrays, at = {}, 0
        for name, array in self.arrays.items():
            arrays[name] = theta[at : at + array.size].reshape(array.shape)
            at += array.size
        return Network(theta, arrays, self.G, self.L, self.P, self.K, self.m)


class Step(NamedTuple):
    """What a network did in one step: the characters x (R,) it read, its states (P, R, m), gates and logits (R, K)."""

    x: Ints
    before: Floats
    after: Floats
    gates: Floats
    logits: Floats

    def repeated(self, R: int) -> Step:
        """Return it in R rows, where it is of one."""
        states = (np.repeat(array, R, -2) for array in (self.before, self.after, self.gates, self.logits))
        return Step(np.repeat(self.x, R), *states)


def network_of(parameters: Parameters) -> Network:
    """Return a network with these parameters, apart from them."""
    found = architecture(parameters)
    names = [name + suffix(n) for n in range(1, found.layers + 1) for name in "UWbd" if name + suffix(n) in parameters]
    arrays = {name: rounded(parameters[name].T) for name in [*names, "V", "c"]}
    P = found.layers * found.state_vectors
    shape = Network(np.empty(0, np.float32), arrays, found.gates, found.layers, P, found.K, found.m)
    return shape.like(np.concatenate([array.reshape(-1) for array in arrays.values()]))


def rounded(array: NDArray[np.floating]) -> Floats:
    """Return a copy in float32."""
    with np.errstate(over="ignore"):  # a weight of float64 too large for float32 is infinite there
        return np.array(array, np.float32, order="C")


def read(network: Network, before: Floats, x: Ints) -> Step:
    """Read the characters x (R,) in the state `before` (P, R, m)."""
    R = len(x)
    after, o = np.empty_like(before), np.empty((R, network.K), np.float32)
    gates = np.empty((network.L, R, 5 * network.m), np.float32)
    exact_kernels.read(network.theta, network.G, network.K, x, before, after, gates, o)
    return Step(x, before, after, gates, o)
