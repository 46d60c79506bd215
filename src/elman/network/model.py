"""Layers of cells and the output layer together: the loss of a window and all its gradients.

T  characters in one window     D  numbers in the state of one stream, see `elman.network.parameters`
m  hidden units of a layer      B  streams read side by side, an axis that one stream alone does without

The first layer reads the characters, each other layer the h of the layer below, and the output layer the h of the
last. A mask of dropout multiplies h on its way up, and on the way down the gradient at the same place.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from elman.network import output
from elman.network.cells import gru, lstm, rnn
from elman.network.ops import Input
from elman.network.parameters import Array, Parameters, architecture, layer, suffix


class Cell(Protocol):
    """What each of `rnn`, `gru` and `lstm` offers: one layer, forward and backward."""

    def forward(self, parameters: Parameters, state0: Array, x: Input, /) -> Array:
        """Return the states (T + 1, …) of a window; the first m components of each are h."""
        ...

    def backward(
        self, parameters: Parameters, x: Input, states: Array, dh_out: Array, /
    ) -> tuple[Parameters, Array, Array]:
        """Return the gradients, that of the state carried in, and dL/d of U x_t."""
        ...


CELLS: dict[str, Cell] = {"rnn": rnn, "gru": gru, "lstm": lstm}


class LossAndGradients(NamedTuple):
    """What one window gives."""

    loss: float
    """L, a sum over the window in nats, and the mean over the streams."""
    gradients: Parameters
    """dL/d of every parameter, under its name."""
    dh0: Array
    """dL/d of the state carried in, shape (D,) or (B, D)."""
    h: Array
    """The last state, shape (D,) or (B, D), which the next window begins with."""


def logits(parameters: Parameters, h0: Array, x: NDArray[np.unsignedinteger]) -> tuple[Array, Array]:
    """Return o after every character, (T, K) or (T, B, K), and the last state: x (T,) or (T, B), h0 (D,) or (B, D)."""
    _, states, h = _forward(parameters, h0, x)
    return output.logits(parameters, h), _last(states)


def loss(
    parameters: Parameters,
    h0: Array,
    x: NDArray[np.unsignedinteger],
    y: NDArray[np.unsignedinteger],
) -> tuple[Any, Array]:
    """Return L of one window and its last state: inputs x (T,), targets y (T,), state h0 (D,).

    Of streams, x and y (T, B) and h0 (B, D), it returns every L, an array (B,), and every last state.
    """
    o, h = logits(parameters, h0, x)
    return output.loss(o, y), h


def loss_and_gradients(
    parameters: Parameters,
    h0: Array,
    x: NDArray[np.unsignedinteger],
    y: NDArray[np.unsignedinteger],
    masks: list[Array] | None = None,
) -> LossAndGradients:
    """Return L of one window, its gradients and its last state.

    Parameters
    ----------
    parameters : Parameters
    h0 : ndarray, shape (D,) or (B, D)
        The state carried in.
    x, y : ndarray of unsigned int, shape (T,) or (T, B)
        Input characters, and the characters to predict.
    masks : list of ndarray, optional
        Of every layer, what its h is multiplied by on its way up, shape (T, m) or (T, B, m); where one mask holds for
        the whole window, with 1 for T. See `elman.network.dropout`.
    """
    cell, layers, _, _ = architecture(parameters)
    inputs, states, h = _forward(parameters, h0, x, masks)
    o = output.logits(parameters, h)
    gradients, dh_out = output.backward(parameters, h, o, y)
    dh0: list[Array] = []
    for n in reversed(range(layers)):
        if masks is not None:
            dh_out = dh_out * masks[n]
        of_layer, dstate0, da = CELLS[cell].backward(layer(parameters, n + 1), inputs[n], states[n], dh_out)
        gradients |= {name + suffix(n + 1): gradient for name, gradient in of_layer.items()}
        dh0.insert(0, dstate0)
        if n > 0:
            dh_out = da @ parameters["U" + suffix(n + 1)]
    gradients = {name: gradients[name] for name in parameters}
    return LossAndGradients(float(np.mean(output.loss(o, y))), gradients, np.concatenate(dh0, axis=-1), _last(states))


def _forward(
    parameters: Parameters, h0: Array, x: Input, masks: list[Array] | None = None
) -> tuple[list[Input], list[Array], Array]:
    """Return what each layer read, its states (T + 1, …), and what the output layer reads, (T, m) or (T, B, m)."""
    cell, layers, _, m = architecture(parameters)
    inputs: list[Input] = []
    states: list[Array] = []
    for n, state0 in enumerate(np.split(h0, layers, axis=-1)):
        inputs.append(x)
        states.append(CELLS[cell].forward(layer(parameters, n + 1), state0, x))
        h = states[n][1:, ..., :m]
        x = h if masks is None else h * masks[n]
    return inputs, states, x


def _last(states: list[Array]) -> Array:
    """Return the state (D,) or (B, D) behind the window: that of every layer, one after the other."""
    return np.concatenate([of_layer[-1] for of_layer in states], axis=-1)
