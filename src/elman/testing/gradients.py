"""Comparison of a forward and a backward pass of one's own with the reference, `elman.network`, term by term.

The probabilities are compared with those of the states that the forward pass returned, and the loss with that of its
probabilities, so that one mistake is reported once, where it is. The backward pass is called with the states and
probabilities of the reference, so a mistake in the forward pass does not matter. A wrong array is compared with those
of common mistakes, `elman.testing.faults`, alone and two at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError, shorten
from elman.network.ops import Array, Arrays
from elman.network.output import softmax
from elman.testing.comparison import (
    TOLERANCE,
    GradientComparison,
    Window,
    as_array,
    describe,
    diagnose_shape,
    is_equal,
    make_window,
    measure_error,
)
from elman.testing.faults import BACKWARD_FAULTS, FORWARD_FAULTS, compute_gradients, compute_states, list_combinations

LARGE = 1e4
"""Logits of this size overflow in e^o, unless the largest is subtracted first."""

Forward = Callable[[Arrays, Array, NDArray[np.intp], NDArray[np.intp]], tuple[float, Array, Array]]
"""``forward(parameters, h0, x, y)`` returns the loss, the states (T + 1, m) and the probabilities (T, K)."""

Backward = Callable[[Arrays, NDArray[np.intp], NDArray[np.intp], Array, Array], Mapping[str, Array]]
"""``backward(parameters, x, y, h, p)`` returns the gradients by the names of the parameters; that of h_0 is ``h0``."""


def check_forward(forward: Forward, *, K: int = 7, m: int = 4, T: int = 25, seed: int = 5) -> GradientComparison:
    """Compare a forward pass of one's own with the reference.

    Parameters
    ----------
    forward : callable
        ``forward(parameters, h0, x, y)`` returns the loss, the states and the probabilities, see `check_gradients`.
    K, m, T : int
        Alphabet size, hidden units, sequence length of the window that it is called with. Distinct by default, so that
        a swapped axis is noticed.
    seed : int
        Seed of the weights and the window.

    Returns
    -------
    GradientComparison
        With the errors of ``h``, ``p`` and ``loss``.

    Raises
    ------
    ElmanError
        If `forward` does not return three values, the first of them a number, or a size is too small.

    Examples
    --------
    The forward pass below returns the mean of the losses instead of their sum:

    >>> import numpy as np
    >>> from elman.testing import check_forward
    >>> def forward(parameters, h0, x, y):
    ...     h, p, loss = [h0], [], 0.0
    ...     for t in range(len(x)):
    ...         h.append(np.tanh(parameters["W"] @ h[t] + parameters["U"][:, x[t]] + parameters["b"]))
    ...         o = parameters["V"] @ h[t + 1] + parameters["c"]
    ...         e = np.exp(o - o.max())
    ...         p.append(e / e.sum())
    ...         loss -= np.log(p[t][y[t]]) / len(x)
    ...     return loss, np.array(h), np.array(p)
    >>> comparison = check_forward(forward)
    >>> comparison.passed, comparison.errors["h"] < 1e-12
    (False, True)
    """
    window = make_window(K, m, T, seed)
    loss, h, p = call_forward(forward, window)
    right_h = window.states()
    given_h = h if h.shape == right_h.shape else right_h
    right_p = window.probabilities(given_h)
    given_p = p if p.shape == right_p.shape else right_p
    right_loss = _loss(given_p, window.y)
    findings = [
        *_diagnose_states(window, h, right_h),
        *_diagnose_probabilities(window, given_h, p, right_p),
        *_diagnose_loss(window, given_p, loss, right_loss),
    ]
    pairs = {"h": (h, right_h), "p": (p, right_p), "loss": (np.array(loss), np.array(right_loss))}
    errors = {name: measure_error(*pair) for name, pair in pairs.items()}
    return GradientComparison(errors, tuple(findings or _diagnose_overflow(forward, window)))


def call_forward(forward: Forward, window: Window) -> tuple[float, Array, Array]:
    """Return the loss, the states and the probabilities of a forward pass under test."""
    result: Any = forward(window.arrays(), window.h0.copy(), window.x.copy(), window.y.copy())
    if not isinstance(result, tuple) or len(result) != 3:
        raise ElmanError(f"forward must return loss, h and p (got {describe(result)})")
    loss, h, p = result
    loss = np.asarray(loss, np.float64)
    if loss.size != 1:
        raise ElmanError(f"the loss must be a number (got an array of shape {loss.shape})")
    return loss.item(), as_array(h, ndim=2), as_array(p, ndim=2)


def _loss(p: Array, y: NDArray[np.intp]) -> float:
    with np.errstate(all="ignore"):
        return float(-np.log(p[np.arange(len(y)), y]).sum())


def _diagnose_states(window: Window, h: Array, right: Array) -> Iterator[str]:
    found = list(diagnose_shape("h", h, right))
    if found or is_equal(h, right):
        yield from found
        return
    for messages, rules in list_combinations(FORWARD_FAULTS):
        if is_equal(h[1:], compute_states(window.arrays(), window.h0, window.x, rules)[1:]):
            yield from (f"h: {message}" for message in messages)
            return
    first = int(np.argmax([not is_equal(*rows) for rows in zip(h, right, strict=True)]))
    wrong_start = "h: h[0] is not h_0; row t + 1 is the state after step t"
    yield f"h: h[{first}] is the first wrong state" if first else wrong_start


def _diagnose_probabilities(window: Window, h: Array, p: Array, right: Array) -> Iterator[str]:
    """Yield what is wrong with p, given the h from which it was computed."""
    found = list(diagnose_shape("p", p, right))
    if found or is_equal(p, right):
        yield from found
        return
    V, c = window.parameters["V"], window.parameters["c"]
    o = h[1:] @ V.T + c
    e = np.exp(o)
    candidates = {
        "c is missing in o_t = V h_t + c": softmax(h[1:] @ V.T),
        "computed from h_{t-1} instead of h_t: o_t = V h_t + c": softmax(h[:-1] @ V.T + c),
        "these are the logits o_t: p_t = softmax(o_t)": o,
        "normalized over the steps: softmax is over the characters, each row sums to 1": softmax(o.T).T,
        "normalized over the whole window: softmax is over the characters, each row sums to 1": e / e.sum(),
        "not normalized: each row sums to 1": e,
    }
    matching = [message for message, candidate in candidates.items() if is_equal(p, candidate)]
    yield f"p: {(matching or ['not softmax(V h_t + c) of the states h'])[0]}"


def _diagnose_loss(window: Window, p: Array, loss: float, right: float) -> Iterator[str]:
    """Yield what is wrong with the loss, given the p from which it was computed."""
    if math.isclose(loss, right, rel_tol=TOLERANCE) or not math.isfinite(right):
        return
    candidates = {
        "the mean over the window instead of the sum": right / len(window.x),
        "in bits instead of nats: use the natural logarithm": right / math.log(2),
        "the sign is wrong: L = -sum_t log p_t[y_t]": -right,
        "of the inputs x instead of the targets y": _loss(p, window.x),
        "of the last step only: the sum over the window": _loss(p[-1:], window.y[-1:]),
    }
    matching = [message for message, value in candidates.items() if math.isclose(loss, value, rel_tol=TOLERANCE)]
    yield f"loss: {(matching or ['not -sum_t log p_t[y_t] of the probabilities p'])[0]}"


def _diagnose_overflow(forward: Forward, window: Window) -> Iterator[str]:
    large = window._replace(parameters=window.parameters.map(lambda array: array * LARGE))
    with np.errstate(all="ignore"):
        _, _, p = call_forward(forward, large)
    if not np.isfinite(p).all():
        yield "p: overflows if logits are large: subtract the largest logit first, e^(o - max o)"


def check_gradients(
    forward: Forward, backward: Backward, *, K: int = 7, m: int = 4, T: int = 25, seed: int = 5
) -> GradientComparison:
    """Compare a forward and a backward pass of one's own with the reference, and say which term is wrong.

    The network is the vanilla RNN of `elman.network.cells.rnn`, with all its parameters and its initial state non-zero.
    Gradient clipping is a part of the update, not of the gradient: `backward` returns gradients that are not clipped.

    Parameters
    ----------
    forward : callable
        ``forward(parameters, h0, x, y)`` returns

        - the loss in nats, summed over the window;
        - the states, shape (T + 1, m): row 0 is `h0`, row t + 1 the state after step t;
        - the probabilities, shape (T, K), one row per step.

        `parameters` is a dict of U (m, K), W (m, m), V (K, m), b (m,), c (K,), float64; `h0` has shape (m,); `x` and
        `y` (T,) are the indices of the input characters and of those to predict.
    backward : callable
        ``backward(parameters, x, y, h, p)`` returns the gradients, a dict with the names and shapes of `parameters`;
        vectors may be columns, as in (m, 1). With a key ``h0``, the gradient of the initial state is
        compared, too. It is called with the states and probabilities of the reference.
    K, m, T, seed : int
        As of `check_forward`.

    Returns
    -------
    GradientComparison

    Raises
    ------
    ElmanError
        If `forward` does not return three values, `backward` does not return a dict, or a size is too small.

    Examples
    --------
    The backward pass below forgets the gradient through h_{t-1}:

    >>> import numpy as np
    >>> from elman.testing import check_gradients
    >>> def forward(parameters, h0, x, y):
    ...     h, p, loss = [h0], [], 0.0
    ...     for t in range(len(x)):
    ...         a = parameters["W"] @ h[t] + parameters["U"][:, x[t]] + parameters["b"]
    ...         h.append(np.tanh(a))
    ...         o = parameters["V"] @ h[t + 1] + parameters["c"]
    ...         e = np.exp(o - o.max())
    ...         p.append(e / e.sum())
    ...         loss -= np.log(p[t][y[t]])
    ...     return loss, np.array(h), np.array(p)
    >>> def backward(parameters, x, y, h, p):
    ...     g = p.copy()
    ...     g[np.arange(len(y)), y] -= 1
    ...     da = (1 - h[1:] ** 2) * (g @ parameters["V"])
    ...     dU = np.zeros_like(parameters["U"])
    ...     np.add.at(dU.T, x, da)
    ...     return {"U": dU, "W": da.T @ h[:-1], "V": g.T @ h[1:], "b": da.sum(axis=0), "c": g.sum(axis=0)}
    >>> comparison = check_gradients(forward, backward)
    >>> comparison.passed
    False
    >>> comparison.findings[0].split(":")[0]
    'dU, dW, db'
    """
    window = make_window(K, m, T, seed)
    comparison = check_forward(forward, K=K, m=m, T=T, seed=seed)
    expected, gradients = window.gradients(), _call_backward(backward, window)
    names = [name for name in expected if name != "h0" or name in gradients]
    errors = {name: measure_error(gradients.get(name), expected[name]) for name in names}
    wrong = [name for name, error in errors.items() if not error <= TOLERANCE]
    findings = tuple(_diagnose_gradients(backward, window, gradients, wrong))
    return GradientComparison(comparison.errors | errors, comparison.findings + findings)


def _call_backward(backward: Backward, window: Window) -> Arrays:
    h = window.states()
    result: Any = backward(window.arrays(), window.x.copy(), window.y.copy(), h, window.probabilities(h))
    if not isinstance(result, Mapping):
        raise ElmanError(f"backward must return a dict with the gradients of U, W, V, b, c (got {describe(result)})")
    return {name: as_array(array, ndim=2 if name in ("U", "W", "V") else 1) for name, array in result.items()}


def _diagnose_gradients(backward: Backward, window: Window, gradients: Arrays, wrong: list[str]) -> Iterator[str]:
    expected = window.gradients()
    comparable = []
    for name in wrong:
        if name not in gradients:
            yield f"d{name}: missing in the result (got {shorten(', '.join(gradients))})"
            continue
        found = list(diagnose_shape(f"d{name}", gradients[name], expected[name]))
        yield from found
        comparable += [] if found else [name]
    explained = _find_faults(window, gradients, comparable)
    for name in comparable:
        if name not in explained and (change := _find_change(gradients[name], expected[name])):
            explained[name] = (change,)
    messages = dict.fromkeys(message for found in explained.values() for message in found)
    for message in messages:
        yield f"{', '.join(f'd{name}' for name in comparable if message in explained.get(name, ()))}: {message}"
    for name in comparable:
        if name not in explained:
            yield f"d{name}: {_locate_error(backward, window, name)}"


def _find_change(gradient: Array, expected: Array) -> str | None:
    """Return what was done at the end to a gradient that was right: clipped, multiplied or transposed."""
    limit, factor = float(np.abs(gradient).max()), float(np.vdot(gradient, expected) / np.vdot(expected, expected))
    if not limit:
        return "all zeros"
    if is_equal(gradient, np.clip(expected, -limit, limit)):
        return f"clipped at {limit:g}: clipping is a part of the update, the gradient is not clipped"
    if is_equal(gradient, factor * expected):
        return f"{factor:.3g} times the right gradient: scaled, or clipped by norm, which is a part of the update"
    return "transposed" if is_equal(gradient, expected.T) else None


def _find_faults(window: Window, gradients: Arrays, names: list[str]) -> dict[str, tuple[str, ...]]:
    """Return the messages of the fewest faults with which each array is computed; nothing for other arrays.

    Of several such faults, the one that explains most arrays counts.
    """
    if not names:
        return {}
    h = window.states()
    p = window.probabilities(h)
    matches: list[tuple[tuple[str, ...], list[str]]] = []
    for messages, rules in list_combinations(BACKWARD_FAULTS):
        with np.errstate(over="ignore", invalid="ignore"):  # the wrong matrix may grow without bound
            computed = compute_gradients(window.arrays(), window.x, window.y, h, p, rules)
        matches.append((messages, [name for name in names if is_equal(gradients[name], computed[name])]))
    matches.sort(key=lambda match: (len(match[0]), -len(match[1])))
    best = {name: next((messages for messages, matched in matches if name in matched), ()) for name in names}
    return {name: messages for name, messages in best.items() if messages}


def _locate_error(backward: Backward, window: Window, name: str) -> str:
    """Return in which windows a gradient is wrong: those of one step from a zero state, from another, or of more."""
    zeros, T = np.zeros_like(window.h0), len(window.x)
    several = "right for a single step, wrong for several: see what is passed from step to step, and the sum"
    for steps, h0, message in (
        (1, zeros, "wrong for a single step from h_0 = 0: compare the step itself with the equations"),
        (1, window.h0, "right for a single step from h_0 = 0, wrong from another h_0: h_0 counts like every h_{t-1}"),
        (T, window.h0, several),
    ):
        part = window._replace(h0=h0, x=window.x[:steps], y=window.y[:steps])
        gradient = _call_backward(backward, part).get(name)
        if not measure_error(gradient, part.gradients()[name]) <= TOLERANCE:
            return message
    return "wrong"
