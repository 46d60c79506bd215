"""Comparison of a forward pass of one's own with the reference.

The probabilities are compared with those of the states that the pass returned, and the loss with that of its
probabilities, so that one mistake is reported once, where it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError
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
from elman.testing.faults import FORWARD_FAULTS, compute_states, list_combinations, merge_rules

LARGE = 1e4
"""Logits of this size overflow in e^o, unless the largest is subtracted first."""


Forward = Callable[[Arrays, Array, NDArray[np.intp], NDArray[np.intp]], tuple[float, Array, Array]]
"""``forward(parameters, h0, x, y)`` returns the loss, the states (T + 1, m) and the probabilities (T, K)."""


def check_forward(forward: Forward, *, K: int = 7, m: int = 4, T: int = 25, seed: int = 5) -> GradientComparison:
    """Compare a forward pass of one's own with the reference.

    Parameters
    ----------
    forward : callable
        ``forward(parameters, h0, x, y)`` returns the loss, the states and the probabilities, see `check_gradients`.
    K, m, T : int
        Alphabet size, hidden units, sequence length of the window that it is called with.
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
    findings = [*_diagnose_states(window, h), *_diagnose_probabilities(window, h, p), *_diagnose_loss(window, p, loss)]
    if not findings:
        findings += _diagnose_overflow(forward, window)
    expected_h = window.states()
    expected_p = window.probabilities(h if h.shape == expected_h.shape else expected_h)
    errors = {
        "h": measure_error(h, expected_h),
        "p": measure_error(p, expected_p),
        "loss": measure_error(
            np.array(loss), np.array(_loss(p if p.shape == expected_p.shape else expected_p, window.y))
        ),
    }
    return GradientComparison(errors, tuple(findings))


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


def _diagnose_states(window: Window, h: Array) -> Iterator[str]:
    expected = window.states()
    found = list(diagnose_shape("h", h, expected))
    if found or is_equal(h, expected):
        yield from found
        return
    for faults in list_combinations(FORWARD_FAULTS):
        states = compute_states(window.arrays(), window.h0, window.x, merge_rules(faults))
        if is_equal(h[1:], states[1:]):
            yield from (f"h: {fault.message}" for fault in faults)
            return
    first = int(np.argmax([not is_equal(*rows) for rows in zip(h, expected, strict=True)]))
    yield (
        f"h: h[{first}] is the first wrong state"
        if first
        else "h: h[0] is not h_0; row t + 1 is the state after step t"
    )


def _diagnose_probabilities(window: Window, h: Array, p: Array) -> Iterator[str]:
    """Yield what is wrong with p, given the h from which it was computed."""
    if h.shape != window.states().shape:
        h = window.states()
    expected = window.probabilities(h)
    found = list(diagnose_shape("p", p, expected))
    if found or is_equal(p, expected):
        yield from found
        return
    V, c = window.parameters["V"], window.parameters["c"]
    o = h[1:] @ V.T + c
    candidates = {
        "c is missing in o_t = V h_t + c": softmax(h[1:] @ V.T),
        "computed from h_{t-1} instead of h_t: o_t = V h_t + c": softmax(h[:-1] @ V.T + c),
        "these are the logits o_t: p_t = softmax(o_t)": o,
        "normalized over the steps: softmax is over the characters, each row sums to 1": softmax(o.T).T,
        "normalized over the whole window: softmax is over the characters, each row sums to 1": np.exp(o)
        / np.exp(o).sum(),
        "not normalized: each row sums to 1": np.exp(o),
    }
    matching = [message for message, candidate in candidates.items() if is_equal(p, candidate)]
    yield f"p: {(matching or ['not softmax(V h_t + c) of the states h'])[0]}"


def _diagnose_loss(window: Window, p: Array, loss: float) -> Iterator[str]:
    """Yield what is wrong with the loss, given the p from which it was computed."""
    expected_p = window.probabilities(window.states())
    expected = _loss(p if p.shape == expected_p.shape else expected_p, window.y)
    if math.isclose(loss, expected, rel_tol=TOLERANCE) or not math.isfinite(expected):
        return
    T = len(window.x)
    candidates = {
        "the mean over the window instead of the sum": expected / T,
        "in bits instead of nats: use the natural logarithm": expected / math.log(2),
        "the sign is wrong: L = -sum_t log p_t[y_t]": -expected,
        "of the inputs x instead of the targets y": _loss(p, window.x),
        "of the last step only: the sum over the window": _loss(p[-1:], window.y[-1:]),
    }
    matching = [message for message, value in candidates.items() if math.isclose(loss, value, rel_tol=TOLERANCE)]
    yield f"loss: {(matching or ['not -sum_t log p_t[y_t] of the probabilities p'])[0]}"


def _diagnose_overflow(forward: Forward, window: Window) -> Iterator[str]:
    """Yield a finding if large logits overflow."""
    large = window._replace(parameters=window.parameters.map(lambda array: array * LARGE))
    with np.errstate(all="ignore"):
        _, _, p = call_forward(forward, large)
    if not np.isfinite(p).all():
        yield "p: overflows if logits are large: subtract the largest logit first, e^(o - max o)"
