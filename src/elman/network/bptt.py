"""The whole network, stacked cells and output layer: the loss of a window and all its gradients.

T  sequence length              S  size of the recurrent part of a state
m  hidden units of a layer      B  batch size; a single sequence has no such axis

The first layer reads the characters, every other layer reads the h of the layer below. The output layer reads the h of
the last layer and, if there is a prior, the log q of its n-gram model. A dropout mask multiplies h in the forward pass,
and its gradient in the backward pass.

A state is set to zeros before some steps, such as every line feed in a text of independent lines: a reset at step r,
h_{r-1} := 0. In a batch every row has its own resets. A reset divides a window into parts that do not depend on one
another: the loss is the sum of their losses, every gradient is the sum of their gradients, and no gradient flows from a
part to the previous one. To the cell, each part is a separate window, so that it needs to know nothing of resets::

    (1)  h_r … h_{s-1} = forward(0, x_r … x_{s-1})           the part from one reset, r, to the next, s
    (2)  dL/dtheta = sum of its gradients over all parts     and over the rows of a batch
    (3)  dL/dh_0 = its gradient in the first part; zero if the first step is a reset

`docs/how_to/independent_lines.md` explains the purpose.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from elman.network import output
from elman.network.cells import Cell
from elman.network.ops import Array, Arrays, Input
from elman.network.parameters import LossAndGradients, Parameters, Resets, layer, suffix, zeros_like
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


def loss_and_gradients(
    parameters: Parameters, state: State, x: NDArray[np.unsignedinteger], y: NDArray[np.unsignedinteger],
    masks: list[Array] | None = None, folds: Ints | None = None,
) -> LossAndGradients:  # fmt: skip
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
        of_layer, dstate0, da = _backward_layer(
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
    if not net.is_of_lines:
        return state
    feed = np.array([net.reset_at])
    _, states, _ = forward(parameters, h, feed)
    return _final_state(states, parameters.prior.histories(state.history, feed)[-1], state)


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
        states.append(_forward_layer(net.spec.functions, layer(parameters, n + 1), state0, x, resets_before))
        h = states[n][1:, ..., : net.m]
        x = h if masks is None else h * masks[n]
    return inputs, states, x


def _final_state(states: list[Array], history: NDArray[np.int32], initial: State) -> State:
    """Return the state after the window, with the last states of all layers."""
    return State(np.concatenate([of_layer[-1] for of_layer in states], axis=-1), history, initial.counts)


# --- A layer whose state is reset before some steps ---


def _forward_layer(cell: Cell, parameters: Arrays, state0: Array, x: Input, resets: Resets | None) -> Array:
    """Return the states of a window as `Cell.forward` does; row t + 1 holds the state after step t."""
    if resets is None:
        return cell.forward(parameters, state0, x)
    states = np.empty((len(x) + 1, *state0.shape), state0.dtype)
    states[0] = state0
    for part, start in _parts(state0, resets):
        states[1:][part] = cell.forward(parameters, start, x[part])[1:]  # (1)
    return states


def _backward_layer(
    cell: Cell, parameters: Arrays, x: Input, states: Array, dh_out: Array, resets: Resets | None
) -> tuple[Arrays, Array, Array]:
    """Return the gradients of the parameters and of the initial state, and da, as `Cell.backward` does."""
    if resets is None:
        return cell.backward(parameters, x, states, dh_out)
    gradients, dstate0 = zeros_like(parameters), np.zeros_like(states[0])
    da = np.empty((*dh_out.shape[:-1], len(parameters["U"])), dh_out.dtype)
    for part, start in _parts(states[0], resets):
        of_part = np.concatenate([start[None], states[1:][part]])
        of_parameters, dstart, da[part] = cell.backward(parameters, x[part], of_part, dh_out[part])
        for name, gradient in of_parameters.items():
            gradients[name] += gradient  # (2)
        if not resets[part][0]:
            dstate0[part[1:]] = dstart  # (3)
    return gradients, dstate0, da


def _parts(state0: Array, resets: Resets) -> Iterator[tuple[tuple[slice | int, ...], Array]]:
    """Yield the steps of every part, and its row if there is a batch, as an index; and the state in which it begins."""
    for row in np.ndindex(resets.shape[1:]):
        of_row = resets[(slice(None), *row)]
        starts = [0, *(np.flatnonzero(of_row[1:]) + 1).tolist()]
        for first, last in zip(starts, [*starts[1:], len(resets)], strict=True):
            yield (slice(first, last), *row), np.zeros_like(state0[row]) if of_row[first] else state0[row]
