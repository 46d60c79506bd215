"""The parameters of the network and how they begin.

K  size of the alphabet
m  hidden units

==========  ===========================  ========
name        meaning                      shape
==========  ===========================  ========
U           input-to-hidden weights      (m, K)
W           hidden-to-hidden weights     (m, m)
V           hidden-to-output weights     (K, m)
b           hidden bias                  (m,)
c           output bias                  (K,)
==========  ===========================  ========
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

Parameters = dict[str, Array]
"""Arrays by the names U, W, V, b, c. Gradients and AdaGrad's sums have the same names and shapes."""

NAMES = ("U", "W", "V", "b", "c")


def shapes(K: int, m: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter, in the order of `NAMES`."""
    return {"U": (m, K), "W": (m, m), "V": (K, m), "b": (m,), "c": (K,)}


def initial_parameters(
    K: int, m: int, std: float, generator: np.random.RandomState, dtype: np.typing.DTypeLike
) -> Parameters:
    """Draw U, W and V from a normal distribution, in that order; b and c are zero.

    Parameters
    ----------
    K, m : int
        Size of the alphabet, hidden units.
    std : float
        Standard deviation of the weights.
    generator : RandomState
        Advanced by the draw. The experiment fixes this old generator, so that its weights are
        drawn again to the bit.
    dtype : dtype
        float32 or float64. The draw is always float64, so both begin alike.
    """
    shape = shapes(K, m)
    parameters = {name: generator.randn(*shape[name]) * std for name in ("U", "W", "V")}
    parameters |= {name: np.zeros(shape[name]) for name in ("b", "c")}
    with np.errstate(over="ignore"):  # a weight too large for float32 is infinite, which training notices
        return {name: array.astype(dtype) for name, array in parameters.items()}


def zeros_like(parameters: Parameters) -> Parameters:
    """Return arrays of zeros with the names, shapes and dtypes of `parameters`."""
    return {name: np.zeros_like(array) for name, array in parameters.items()}
