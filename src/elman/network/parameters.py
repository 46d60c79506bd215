"""The parameters of a network, their shapes and initialization.

K  size of the alphabet        G  gates of the cell: 1 for rnn, 3 for gru, 4 for lstm
m  hidden units of a layer     l  1 … layers

==========  =============================================  ================================
name        meaning                                        shape
==========  =============================================  ================================
U           input-to-hidden weights                        (G m, K), and (G m, m) for l > 1
W           hidden-to-hidden weights                       (G m, m)
b           hidden bias                                    (G m,)
d           gru only: the bias that the reset multiplies   (m,)
V           hidden-to-output weights                       (K, m)
c           output bias                                    (K,)
==========  =============================================  ================================

U, W, b and d of layer l > 1 have l appended to their name: U2, W2, …. The m rows of each gate are contiguous; gates are
in PyTorch's order: r, z, n for gru, and i, f, g, o for lstm.

The state of a network is one flat vector of D numbers: for every layer, from the first to the last, h (m) and, for
lstm, then the cell state s (m). The state of a batch has one row for each of its B sequences, (B, D).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

Parameters = dict[str, Array]
"""Arrays by name. Gradients and the optimizer's moments have the same names and shapes."""

NAMES = ("U", "W", "V", "b", "c")
"""The parameters of the vanilla network."""

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
"""Number of gates G by cell."""


class Architecture(NamedTuple):
    """Cell and sizes of a network, which follow from its parameters."""

    cell: str
    layers: int
    K: int
    m: int

    @property
    def gates(self) -> int:
        """G, the number of blocks of m rows in U, W and b."""
        return GATES[self.cell]

    @property
    def state_vectors(self) -> int:
        """Number of vectors (m,) in the state of one layer: h, and for lstm s."""
        return 2 if self.cell == "lstm" else 1

    @property
    def state_size(self) -> int:
        """D, the size of the state of one sequence."""
        return self.layers * self.state_vectors * self.m


def architecture(parameters: Mapping[str, Array]) -> Architecture:
    """Return the architecture of the network with these parameters: one W per layer, with G m rows."""
    K, m = parameters["V"].shape
    layers = sum(name[0] == "W" for name in parameters)
    gates = parameters["W"].shape[0] // m
    cell = next(cell for cell, G in GATES.items() if gates == G)
    return Architecture(cell, layers, K, m)


def shapes(K: int, m: int, cell: str = "rnn", layers: int = 1) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter: layer by layer, then V and c; vanilla: in the order of `NAMES`."""
    if (cell, layers) == ("rnn", 1):
        return {"U": (m, K), "W": (m, m), "V": (K, m), "b": (m,), "c": (K,)}
    G, shape = GATES[cell], dict[str, tuple[int, ...]]()
    for number in range(1, layers + 1):
        layer_shapes: dict[str, tuple[int, ...]] = {
            "U": (G * m, K if number == 1 else m),
            "W": (G * m, m),
            "b": (G * m,),
        }
        if cell == "gru":
            layer_shapes["d"] = (m,)
        shape |= {name + suffix(number): size for name, size in layer_shapes.items()}
    return shape | {"V": (K, m), "c": (K,)}


def suffix(number: int) -> str:
    """Return the suffix of the parameter names of layer 1, 2, …."""
    return "" if number == 1 else str(number)


def layer(parameters: Parameters, number: int) -> Parameters:
    """Return the arrays of layer 1, 2, … under the names of the first: U, W, b and, for gru, d."""
    return {name: parameters[name + suffix(number)] for name in "UWbd" if name + suffix(number) in parameters}


def initial_parameters(
    K: int,
    m: int,
    std: float,
    generator: np.random.RandomState,
    dtype: np.typing.DTypeLike,
    cell: str = "rnn",
    layers: int = 1,
    orthogonal: bool = False,
) -> Parameters:
    """Return initial parameters: U and W of every layer, then V, are drawn from a normal distribution, biases are zero.

    The bias of lstm's forget gate is 1, so that the cell state is remembered at first (Gers, Schmidhuber and Cummins,
    2000; Jozefowicz, Zaremba and Sutskever, 2015).

    Parameters
    ----------
    K, m : int
        Size of the alphabet, hidden units.
    std : float
        Standard deviation of the weights.
    generator : RandomState
        Source of randomness, advanced by this call. NumPy's legacy generator, because the reference experiment used
        it: its weights are reproduced bit for bit.
    dtype : dtype
        float32 or float64. Numbers are drawn in float64 and then rounded, so both start from the same weights.
    cell : str
        One of `GATES`.
    layers : int
    orthogonal : bool
        Whether every (m, m) block of W is a random orthogonal matrix, which preserves the norm of a state (Saxe,
        McClelland and Ganguli, 2014). The standard deviation of V, and of U above the first layer, is then 1/sqrt(m),
        as they read m units.
    """
    parameters: Parameters = {}
    for name, shape in shapes(K, m, cell, layers).items():
        if name[0] not in "UWV":
            parameters[name] = np.zeros(shape)
        elif not orthogonal or name == "U":
            parameters[name] = generator.randn(*shape) * std
        else:
            normal = generator.randn(*shape)
            parameters[name] = _orthogonal(normal) if name[0] == "W" else normal / np.sqrt(m)
        if cell == "lstm" and name[0] == "b":
            parameters[name][m : 2 * m] = 1  # i, f, g, o: the second is the forget gate
    with np.errstate(over="ignore"):  # a weight too large for float32 becomes infinite, which training detects
        return {name: array.astype(dtype) for name, array in parameters.items()}


def _orthogonal(normal: Array) -> Array:
    """Return the orthogonal QR factor of every (m, m) block of a matrix (G m, m) of normal numbers.

    QR leaves the sign of every column open. With a positive diagonal of R the factor is distributed uniformly over all
    orthogonal matrices (Mezzadri, 2007).
    """
    m = normal.shape[1]
    Q, R = np.linalg.qr(normal.reshape(-1, m, m))
    signs = np.sign(np.diagonal(R, axis1=1, axis2=2))
    return np.asarray((Q * signs[:, None, :]).reshape(normal.shape))


def zeros_like(parameters: Parameters) -> Parameters:
    """Return zeros with the names, shapes and dtypes of `parameters`."""
    return {name: np.zeros_like(array) for name, array in parameters.items()}
