"""The whole network, stacked cells and output layer: the loss of a window and all its gradients.

T  sequence length              S  size of the recurrent part of a state
m  hidden units of a layer      B  batch size; a single sequence has no such axis

The first layer reads the characters, every other layer the h of the layer below, and the output layer the h of the last
one and, where there is a prior, the log q of its n-gram model. A dropout mask multiplies h in the forward pass, and its
gradient in the backward pass.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.network import output, resets
from elman.network.ops import Array, Input
from elman.network.parameters import LossAndGradients, Parameters, layer, suffix
from elman.network.state import State
from elman.ngram.model import Ints


def logits(
    parameters: Parameters, state: State, x: NDArray[np.unsignedinteger], ngram_weight: float | Array = 1.0
) -> tuple[Array, State]:
    """Return the logits (T, K) or (T, B, K) after every character of x (T,) or (T, B), and the final state.

    For `ngram_weight`, a number or one for each batch row, see `elman.network.output.logits`.
    """
    prior, history = parameters.prior.read(state, x)
    _, states, h = forward(parameters, state.recurrent, x)
    return output.logits(parameters, h, prior, ngram_weight), _final_state(states, history, state)


def loss(
    parameters: Parameters, state: State, x: NDArray[np.unsignedinteger], y: NDArray[np.unsignedinteger]
) -> tuple[Any, State]:
    """Return the loss L of one window, summed over it, and the final state.

    For a single sequence, x and y (T,), L is a float; for a batch, x and y (T, B), it is an array (B,), one L for every
    batch row.
    """
    o, final = logits(parameters, state, x)
    return output.loss(o, y), final


def loss_and_gradients(
    parameters: Parameters,
    state: State,
    x: NDArray[np.unsignedinteger],
    y: NDArray[np.unsignedinteger],
    masks: list[Array] | None = None,
    folds: Ints | None = None,
) -> LossAndGradients:
    """Return the loss of one window, its gradients and its final state.

    Parameters
    ----------
    parameters : Parameters
    state : State
        The initial state.
    x, y : ndarray of unsigned int, shape (T,) or (T, B)
        Input characters, and the characters to predict.
    masks : list of ndarray, optional
        Dropout mask of every layer's h, shape (T, m) or (T, B, m), or with 1 in place of T. See
        `elman.network.dropout`.
    folds : ndarray of int, shape (T,) or (T, B), optional
        The fold of every target, whose counts the n-gram model leaves out. See `elman.ngram.model`.
    """
    net = parameters.architecture
    prior, history = parameters.prior.read(state, x, folds)
    inputs, states, h = forward(parameters, state.recurrent, x, masks)
    o = output.logits(parameters, h, prior)
    gradients, dh_out = output.backward(parameters, h, o, y, prior)
    dh0 = list[Array]()
    for n in reversed(range(net.layers)):
        if masks is not None:
            dh_out = dh_out * masks[n]
        of_layer, dstate0, da = resets.backward(
            net.spec.functions, layer(parameters, n + 1), inputs[n], states[n], dh_out, net.resets(x)
        )
        gradients |= {name + suffix(n + 1): gradient for name, gradient in of_layer.items()}
        dh0.insert(0, dstate0)
        if n > 0:
            dh_out = da @ parameters["U" + suffix(n + 1)]
    gradients = {name: gradients[name] if name in gradients else np.zeros_like(parameters[name]) for name in parameters}
    return LossAndGradients(
        float(np.mean(output.loss(o, y))), gradients, np.concatenate(dh0, axis=-1), _final_state(states, history, state)
    )


def begin_text(parameters: Parameters, h: Array) -> State:
    """Return the state in which a text begins: h (S,), and an empty history; independent lines follow a line feed."""
    net = parameters.architecture
    state = net.zero_state(h.dtype).with_recurrent(h)
    _, states, _ = forward(parameters, h, net.text_prefix)
    return _final_state(states, parameters.prior.histories(state.history, net.text_prefix)[-1], state)


def forward(
    parameters: Parameters, recurrent: Array, x: Input, masks: list[Array] | None = None
) -> tuple[list[Input], list[Array], Array]:
    """Return the input and the states (T + 1, …) of each layer, and the output layer's input, (T, m) or (T, B, m).

    A batch (B, S) of initial states may read the same characters, x (T, 1).
    """
    net = parameters.architecture
    resets_before, inputs, states = net.resets(x), list[Input](), list[Array]()
    for n, state0 in enumerate(np.split(recurrent, net.layers, axis=-1)):
        inputs.append(x)
        states.append(resets.forward(net.spec.functions, layer(parameters, n + 1), state0, x, resets_before))
        h = states[n][1:, ..., : net.m]
        x = h if masks is None else h * masks[n]
    return inputs, states, x


def _final_state(states: list[Array], history: NDArray[np.int32], initial: State) -> State:
    """Return the state after the window, with the last states of all layers."""
    return State(np.concatenate([of_layer[-1] for of_layer in states], axis=-1), history, initial.counts)
