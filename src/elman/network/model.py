"""Cell and output layer together: the loss of a window and all its gradients."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.network import output, rnn
from elman.network.parameters import Array, Parameters


class LossAndGradients(NamedTuple):
    """What one window gives."""

    loss: float
    """L, a sum over the window in nats."""
    gradients: Parameters
    """dL/d of U, W, V, b, c, under those names."""
    dh0: Array
    """dL/dh_0, shape (m,)."""
    h: Array
    """The last state, shape (m,), which the next window begins with."""


def loss(
    parameters: Parameters,
    h0: Array,
    x: NDArray[np.unsignedinteger],
    y: NDArray[np.unsignedinteger],
) -> tuple[float, Array]:
    """Return L of one window and its last state: inputs x (T,), targets y (T,), state h0 (m,)."""
    h = rnn.forward(parameters, h0, x)
    return output.loss(output.logits(parameters, h[1:]), y), h[-1]


def loss_and_gradients(
    parameters: Parameters,
    h0: Array,
    x: NDArray[np.unsignedinteger],
    y: NDArray[np.unsignedinteger],
) -> LossAndGradients:
    """Return L of one window, its gradients and its last state.

    Parameters
    ----------
    parameters : Parameters
    h0 : ndarray, shape (m,)
        The state carried in.
    x, y : ndarray of unsigned int, shape (T,)
        Input characters, and the characters to predict.
    """
    h = rnn.forward(parameters, h0, x)
    o = output.logits(parameters, h[1:])
    output_gradients, dh_out = output.backward(parameters, h[1:], o, y)
    cell_gradients, dh0 = rnn.backward(parameters, x, h, dh_out)
    return LossAndGradients(output.loss(o, y), cell_gradients | output_gradients, dh0, h[-1])
