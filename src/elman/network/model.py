"""The whole network, stacked cells and output layer: the loss of a window and all its gradients.

T  sequence length              D  size of one sequence's state, see `elman.network.parameters`
m  hidden units of a layer      B  batch size; a single sequence has no such axis

The first layer reads the characters, every other layer the h of the layer below, and the output layer the h of the last
one and, where there is a prior, the log q of its n-gram model. A dropout mask multiplies h in the forward pass, and its
gradient in the backward pass.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.network import ngram, output, resets
from elman.network.ngram import Ints
from elman.network.ops import Array, Input
from elman.network.output import Prior
from elman.network.parameters import LossAndGradients, Parameters, architecture, layer, suffix


def logits(
    parameters: Parameters, h0: Array, x: NDArray[np.unsignedinteger], ngram_weight: float | Array = 1.0
) -> tuple[Array, Array]:
    """Return the logits after every character and the final state.

    Parameters
    ----------
    parameters : Parameters
    h0 : ndarray, shape (D,) or (B, D)
        The initial state.
    x : ndarray of unsigned int, shape (T,) or (T, B)
    ngram_weight : float or ndarray, shape (B,)
        See `elman.network.output.logits`.

    Returns
    -------
    o : ndarray, shape (T, K) or (T, B, K)
    h : ndarray, shape (D,) or (B, D)
    """
    recurrent, history = _split_state(parameters, h0)
    prior, history = _read_prior(parameters, history, x)
    _, states, h = _forward(parameters, recurrent, x)
    return output.logits(parameters, h, prior, ngram_weight), _final_state(states, history)


def loss(
    parameters: Parameters,
    h0: Array,
    x: NDArray[np.unsignedinteger],
    y: NDArray[np.unsignedinteger],
) -> tuple[Any, Array]:
    """Return the loss L of one window, summed over it, and the final state.

    For a single sequence, x and y (T,) and h0 (D,), L is a float; for a batch, x and y (T, B) and h0 (B, D), it is an
    array (B,), one L for every batch row.
    """
    o, h = logits(parameters, h0, x)
    return output.loss(o, y), h


def loss_and_gradients(
    parameters: Parameters,
    h0: Array,
    x: NDArray[np.unsignedinteger],
    y: NDArray[np.unsignedinteger],
    masks: list[Array] | None = None,
    folds: Ints | None = None,
) -> LossAndGradients:
    """Return the loss of one window, its gradients and its final state.

    Parameters
    ----------
    parameters : Parameters
    h0 : ndarray, shape (D,) or (B, D)
        The initial state.
    x, y : ndarray of unsigned int, shape (T,) or (T, B)
        Input characters, and the characters to predict.
    masks : list of ndarray, optional
        Dropout mask of every layer's h, shape (T, m) or (T, B, m), or with 1 in place of T. See
        `elman.network.dropout`.
    folds : ndarray of int, shape (T,) or (T, B), optional
        The fold of every target, whose counts the n-gram model leaves out. See `elman.network.ngram`.
    """
    network = architecture(parameters)
    cell, reset_steps = network.spec.functions, _reset_steps(parameters, x)
    recurrent, history = _split_state(parameters, h0)
    prior, final_history = _read_prior(parameters, history, x, folds)
    inputs, states, h = _forward(parameters, recurrent, x, masks)
    o = output.logits(parameters, h, prior)
    gradients, dh_out = output.backward(parameters, h, o, y, prior)
    dh0: list[Array] = [np.zeros_like(history)]
    for n in reversed(range(network.layers)):
        if masks is not None:
            dh_out = dh_out * masks[n]
        of_layer, dstate0, da = resets.backward(
            cell, layer(parameters, n + 1), inputs[n], states[n], dh_out, reset_steps
        )
        gradients |= {name + suffix(n + 1): gradient for name, gradient in of_layer.items()}
        dh0.insert(0, dstate0)
        if n > 0:
            dh_out = da @ parameters["U" + suffix(n + 1)]
    gradients = {name: gradients[name] if name in gradients else np.zeros_like(parameters[name]) for name in parameters}
    return LossAndGradients(
        float(np.mean(output.loss(o, y))), gradients, np.concatenate(dh0, axis=-1), _final_state(states, final_history)
    )


def read_text(parameters: Parameters, h0: Array, x: NDArray[np.unsignedinteger]) -> Array:
    """Return the state after reading x (T,) or (T, B) from the state h0 (D,) or (B, D), without any logits."""
    recurrent, history = _split_state(parameters, h0)
    _, states, _ = _forward(parameters, recurrent, x)
    return _final_state(states, ngram.append(history, x, parameters.reset_at))


def _reset_steps(parameters: Parameters, x: NDArray[Any]) -> resets.Resets | None:
    """Return whether the state is reset before each step; None if it never is."""
    return None if parameters.reset_at is None else x == parameters.reset_at


def _split_state(parameters: Parameters, h0: Array) -> tuple[Array, Array]:
    """Return the recurrent part of a state, and the characters in it: (0,) or (B, 0) without a prior."""
    size = architecture(parameters).recurrent_size
    return h0[..., :size], h0[..., size:]


def _read_prior(
    parameters: Parameters, history: Array, x: NDArray[Any], folds: Ints | None = None
) -> tuple[Prior | None, Array]:
    """Return log q after every character and the matched orders, if the prior is on, and the characters at the end."""
    if parameters.ngrams is None:
        return None, history
    if not parameters.uses_prior:
        return None, ngram.append(history, x, parameters.reset_at)
    log_q, matched, history = ngram.read(parameters.ngrams, history, x, folds, history.dtype)
    return Prior(log_q, matched), history


def _forward(
    parameters: Parameters, h0: Array, x: Input, masks: list[Array] | None = None
) -> tuple[list[Input], list[Array], Array]:
    """Return the input and the states (T + 1, …) of each layer, and the output layer's input, (T, m) or (T, B, m)."""
    network = architecture(parameters)
    cell, reset_steps = network.spec.functions, _reset_steps(parameters, x)
    inputs: list[Input] = []
    states: list[Array] = []
    for n, state0 in enumerate(np.split(h0, network.layers, axis=-1)):
        inputs.append(x)
        states.append(resets.forward(cell, layer(parameters, n + 1), state0, x, reset_steps))
        h = states[n][1:, ..., : network.m]
        x = h if masks is None else h * masks[n]
    return inputs, states, x


def _final_state(states: list[Array], history: Array) -> Array:
    """Return the state (D,) or (B, D) after the window: the states of all layers and the last characters."""
    return np.concatenate([*(of_layer[-1] for of_layer in states), history], axis=-1)
