"""A second implementation of the reference experiment: obvious, slow, and written from its specification alone.

It imports nothing from elman, so that agreement between the two is evidence. Characters are dense one-hot columns, the
derivative of tanh is a diagonal matrix, and every sum over t is a loop. Everything is computed in float64.

K  size of the alphabet         T  sequence length (characters in one window)
m  hidden units                 t  1 … T; h[0] is the initial state
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Indices = NDArray[np.unsignedinteger]


class Window(NamedTuple):
    """Results of one window: L, dL/d of every parameter, dL/dh_0 and the final state (m,)."""

    loss: float
    gradients: dict[str, Array]
    dh0: Array
    h: Array


class Trajectory(NamedTuple):
    """Results of several updates: the loss of each, and the state after them."""

    losses: list[float]
    parameters: Mapping[str, Array]
    M: dict[str, Array]
    h: Array


def one_hot(index: int, K: int) -> Array:
    column: Array = np.zeros(K)
    column[index] = 1
    return column


def softmax(o: Array) -> Array:
    e = [math.exp(logit - max(o)) for logit in o]
    return np.array([value / sum(e) for value in e])


def forward(parameters: Mapping[str, Array], h0: Array, x: Indices) -> tuple[list[Array], list[Array]]:
    """Return h_0 … h_T and p_1 … p_T, the latter from index 1 on."""
    U, W, V, b, c = (parameters[name] for name in "UWVbc")
    h: list[Array] = [h0]
    p: list[Array] = [np.zeros(0)]
    for t in range(1, len(x) + 1):
        a = W @ h[t - 1] + U @ one_hot(x[t - 1], len(c)) + b
        h.append(np.tanh(a))
        p.append(softmax(V @ h[t] + c))
    return h, p


def loss(parameters: Mapping[str, Array], h0: Array, x: Indices, y: Indices) -> float:
    """Return L of inputs x (T,) and targets y (T,), from the initial state h0 (m,)."""
    _, p = forward(parameters, h0, x)
    return -sum(math.log(p[t][y[t - 1]]) for t in range(1, len(x) + 1))


def window(parameters: Mapping[str, Array], h0: Array, x: Indices, y: Indices) -> Window:
    """Return the loss of one window, all its gradients and its final state."""
    K, m = parameters["V"].shape
    W, V = parameters["W"], parameters["V"]
    h, p = forward(parameters, h0, x)
    d: dict[str, Array] = {name: np.zeros(array.shape) for name, array in parameters.items()}
    da_next = np.zeros(m)
    for t in range(len(x), 0, -1):
        g = p[t] - one_hot(y[t - 1], K)
        dh = V.T @ g + W.T @ da_next
        da = np.diag(1 - h[t] ** 2) @ dh
        d["V"] += np.outer(g, h[t])
        d["c"] += g
        d["W"] += np.outer(da, h[t - 1])
        d["U"] += np.outer(da, one_hot(x[t - 1], K))
        d["b"] += da
        da_next = da
    return Window(loss(parameters, h0, x, y), d, W.T @ da_next, h[-1])


def products(parameters: Mapping[str, Array], h: Array, u: Array) -> Iterator[tuple[Array, Array]]:
    """Yield W h and U u + b of each gate of a layer."""
    W_h, U_u = parameters["W"] @ h, parameters["U"] @ u + parameters["b"]
    yield from zip(W_h.reshape(-1, len(h)), U_u.reshape(-1, len(h)), strict=True)


def rnn(parameters: Mapping[str, Array], state: list[Array], u: Array) -> list[Array]:
    ((k, i),) = products(parameters, state[0], u)
    return [np.tanh(i + k)]


def gru(parameters: Mapping[str, Array], state: list[Array], u: Array) -> list[Array]:
    (k_r, i_r), (k_z, i_z), (k_n, i_n) = products(parameters, state[0], u)
    r, z = sigmoid(i_r + k_r), sigmoid(i_z + k_z)
    return [(1 - z) * np.tanh(i_n + r * (k_n + parameters["d"])) + z * state[0]]


def lstm(parameters: Mapping[str, Array], state: list[Array], u: Array) -> list[Array]:
    i, f, g, o = (k + i for k, i in products(parameters, state[0], u))
    s = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(s), s]


CELLS: dict[str, Callable[[Mapping[str, Array], list[Array], Array], list[Array]]] = {
    "rnn": rnn, "gru": gru, "lstm": lstm,
}  # fmt: skip
"""The state of a layer, [h] or for lstm [h, s], after the input u, by the name of the cell."""


def sigmoid(a: Array) -> Array:
    return np.array(1 / (1 + np.exp(-a)))


def deep_loss(
    cell: str, layers: int, parameters: Mapping[str, Array], h0: Array, x: Indices, y: Indices,
    masks: list[Array] | None = None,
) -> tuple[float, Array]:  # fmt: skip
    """Return L and the final state (D,) of one sequence: x, y (T,), h0 (D,), masks (T, m) of each layer."""
    vectors = np.split(h0, len(h0) // parameters["V"].shape[1])
    per_layer = len(vectors) // layers
    states = [vectors[n : n + per_layer] for n in range(0, len(vectors), per_layer)]
    total = 0.0
    for t in range(len(x)):
        u = one_hot(x[t], len(parameters["c"]))
        for n in range(layers):
            suffix = str(n + 1) if n else ""
            layer = {name[0]: array for name, array in parameters.items() if name[1:] == suffix and name[0] not in "Vc"}
            states[n] = CELLS[cell](layer, states[n], u)
            u = states[n][0] if masks is None else states[n][0] * masks[n][t]
        o = parameters["V"] @ u + parameters["c"]
        total += math.log(np.exp(o - o.max()).sum()) + o.max() - o[y[t]]
    return total, np.concatenate([vector for state in states for vector in state])


def initial_parameters(K: int, m: int, std: float, seed: int) -> dict[str, Array]:
    generator = np.random.RandomState(seed)
    U = generator.randn(m, K) * std
    W = generator.randn(m, m) * std
    V = generator.randn(K, m) * std
    return {"U": U, "W": W, "V": V, "b": np.zeros(m), "c": np.zeros(K)}


def epochs(indices: Indices, T: int) -> Iterator[tuple[int, Indices, Indices]]:
    """Yield the number of a window in its epoch, its inputs and its targets, epoch after epoch."""
    while True:
        for n in range((len(indices) - 1) // T):
            yield n, indices[n * T : n * T + T], indices[n * T + 1 : n * T + T + 1]


def trajectory(
    indices: Indices, K: int, m: int, T: int, eta: float, clip: float, std: float, seed: int, updates: int,
    h0: Array | None = None,
) -> Trajectory:  # fmt: skip
    """Train from the start of the text; h0 (m,) is the initial state of the first window, zero by default."""
    parameters = initial_parameters(K, m, std, seed)
    M: dict[str, Array] = {name: np.zeros(array.shape) for name, array in parameters.items()}
    h = np.zeros(m) if h0 is None else h0
    losses: list[float] = []
    for n, x, y in epochs(indices, T):
        if len(losses) == updates:
            break
        if n == 0 and losses:
            h = np.zeros(m)
        L, gradients, _, h = window(parameters, h, x, y)
        losses.append(L)
        for name, gradient in gradients.items():
            M[name] = M[name] + gradient**2
            clipped = np.minimum(np.maximum(gradient, -clip), clip)
            parameters[name] = parameters[name] - eta * clipped / np.sqrt(M[name] + 1e-8)
    return Trajectory(losses, parameters, M, h)


def descend(
    algorithm: str, theta: float, gradients: list[float], rates: list[float], limit: float, beta1: float, beta2: float,
    decay: float,
) -> float:  # fmt: skip
    """Return one weight after one update per gradient and learning rate, with gradients clipped to `limit`.

    `algorithm` is one of `RULES`.
    """
    M = N = 0.0
    for n, (raw, eta) in enumerate(zip(gradients, rates, strict=True), 1):
        g = min(max(raw, -limit), limit)
        if algorithm in DECOUPLED:
            theta = theta - eta * decay * theta
        else:
            g, raw = g + decay * theta, raw + decay * theta
        M, N, change = RULES[algorithm](M, N, g, raw, n, beta1, beta2)
        theta = theta - eta * change
    return theta


def adagrad(M: float, N: float, g: float, raw: float, n: int, beta1: float, beta2: float) -> tuple[float, ...]:
    M = M + raw**2
    return M, N, g / math.sqrt(M + 1e-8)


def rmsprop(M: float, N: float, g: float, raw: float, n: int, beta1: float, beta2: float) -> tuple[float, ...]:
    M = beta2 * M + (1 - beta2) * g**2
    return M, N, g / (math.sqrt(M) + 1e-8)


def adam(M: float, N: float, g: float, raw: float, n: int, beta1: float, beta2: float) -> tuple[float, ...]:
    M, N = beta2 * M + (1 - beta2) * g**2, beta1 * N + (1 - beta1) * g
    return M, N, N / (1 - beta1**n) / (math.sqrt(M / (1 - beta2**n)) + 1e-8)


def sgd(M: float, N: float, g: float, raw: float, n: int, beta1: float, beta2: float) -> tuple[float, ...]:
    N = beta1 * N + g
    return M, N, N


RULES = {"adagrad": adagrad, "rmsprop": rmsprop, "adam": adam, "adamw": adam, "sgd": sgd, "muon": adam}
"""M, N and the change per learning rate after one update, by the name of the optimizer; see also `MATRIX_RULES`."""
DECOUPLED = ("adamw", "muon")
"""Optimizers whose weight decay is decoupled."""


def muon(theta: Array, gradients: list[Array], rates: list[float], limit: float, decay: float) -> Array:
    """Return a matrix (blocks * m, m) after one update by Muon per gradient and learning rate, clipped to `limit`.

    The iteration acts on singular values, and leaves singular vectors as they are.
    """
    m = theta.shape[1]
    blocks = []
    for row in range(0, len(theta), m):
        block, N = theta[row : row + m], np.zeros((m, m))
        for gradient, eta in zip(gradients, rates, strict=True):
            g = np.minimum(np.maximum(gradient[row : row + m], -limit), limit)
            N = 0.95 * N + 0.05 * g
            left, s, right = np.linalg.svd(0.95 * N + 0.05 * g)
            s = s / (math.sqrt(sum(s**2)) + 1e-7)
            for _ in range(3):
                s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
            block = block - eta * decay * block - eta * 0.1 * math.sqrt(m) * (left * s @ right)
        blocks.append(block)
    return np.concatenate(blocks)


MATRIX_RULES = {"muon": muon}
"""A hidden matrix after all updates, of the optimizers that have another step for it."""


def clipped_by_norm(gradients: dict[str, Array], limit: float) -> dict[str, Array]:
    """Return the gradients of one update, scaled so that their global norm is at most `limit`."""
    norm = math.sqrt(sum(float(g) ** 2 for array in gradients.values() for g in array.flat))
    return {name: array * min(1.0, limit / (norm + 1e-6)) for name, array in gradients.items()}


def central_differences(function: Callable[[], float], array: Array, step: float) -> Array:
    """Return d function / d array; changes one component at a time, and restores it."""
    derivative = np.zeros(array.shape)
    for index in np.ndindex(array.shape):
        value = array[index]
        array[index] = value + step
        above = function()
        array[index] = value - step
        below = function()
        array[index] = value
        derivative[index] = (above - below) / (2 * step)
    return derivative
