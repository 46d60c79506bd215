"""Common mistakes in the forward and the backward pass of a vanilla RNN, and what an implementation with each computes.

The two passes are written with every choice as a function of its own, a rule. A fault replaces one or more of them:
where an array of another implementation equals the one computed with a fault, that fault is what is wrong with it.

K  size of the alphabet         T  sequence length (characters in one window)
m  hidden units                 t  1 … T in the equations; the loops count from 0
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.network.ops import Array, Arrays, add_outer

Rule = Callable[..., Any]
Faults = dict[str, dict[str, Rule]]
"""Mistakes: what each is, and the rules that make it."""


def compute_states(parameters: Arrays, h0: Array, x: NDArray[np.intp], rules: Mapping[str, Rule]) -> Array:
    """Return the states (T + 1, m) of a forward pass in which `rules` replace some of `FORWARD`."""
    apply = {**FORWARD, **rules}
    W, b = apply["W"](parameters["W"]), apply["b"](parameters["b"])
    h = np.empty((len(x) + 1, len(h0)))
    h[0] = apply["start"](h0)
    for t in range(len(x)):
        h[t + 1] = apply["activation"](W @ h[apply["before"](t)] + parameters["U"][:, x[t]] + b)
    return h


FORWARD: dict[str, Rule] = {
    "start": lambda h0: h0,
    "W": lambda W: W,
    "b": lambda b: b,
    "activation": np.tanh,
    "before": lambda t: t,
}

FORWARD_FAULTS: Faults = {
    "h_0 is ignored: the window starts from zeros": {"start": np.zeros_like},
    "W' instead of W in a_t = W h_{t-1} + U x_t + b": {"W": np.transpose},
    "b is missing in a_t = W h_{t-1} + U x_t + b": {"b": np.zeros_like},
    "tanh is missing: h_t = tanh(a_t)": {"activation": lambda a: a},
    "every step starts from h_0 instead of h_{t-1}": {"before": lambda t: 0},
}


def compute_gradients(
    parameters: Arrays, x: NDArray[np.intp], y: NDArray[np.intp], h: Array, p: Array, rules: Mapping[str, Rule]
) -> Arrays:
    """Return the gradients of a backward pass in which `rules` replace some of `BACKWARD`; that of h_0 is ``h0``.

    x and y are (T,), h is (T + 1, m), and p (T, K).
    """
    apply = {**BACKWARD, **rules}
    g = apply["error"](p, x, y)
    dh_out, slope = apply["out"](g @ parameters["V"]), apply["slope"](h)
    da, dh_next = np.zeros_like(dh_out), np.zeros_like(h[0])
    for t in apply["order"](len(x)):
        dh = dh_out[t] + dh_next
        da[t] = slope[t] * dh
        dh_next = apply["through_time"](parameters["W"], da[t], dh)
    total = apply["total"]
    return {
        "V": total(g[:, :, None] * apply["after"](h)[:, None]),
        "U": apply["columns"](parameters["U"], da, x, total),
        "W": total(da[:, :, None] * apply["before"](h)[:, None]),
        "b": total(da),
        "c": total(g),
        "h0": dh_next,
    }


def _subtract_target(p: Array, target: NDArray[np.intp]) -> Array:
    g = p.copy()
    g[np.arange(len(target)), target] -= 1
    return g


def _sum_columns(U: Array, da: Array, x: NDArray[np.intp], total: Rule) -> Array:
    terms = np.zeros((len(x), *U.shape))
    for t in range(len(x)):
        add_outer(terms[t], da[t], x[t])
    return np.asarray(total(terms))


def _overwrite_columns(U: Array, da: Array, x: NDArray[np.intp], total: Rule) -> Array:
    dU = np.zeros_like(U)
    dU[:, x] += da.T  # an index that occurs twice counts once
    return dU


def _only_last(dh_out: Array) -> Array:
    return np.concatenate([np.zeros_like(dh_out[:-1]), dh_out[-1:]])


BACKWARD: dict[str, Rule] = {
    "error": lambda p, x, y: _subtract_target(p, y),
    "out": lambda dh_out: dh_out,
    "slope": lambda h: 1 - h[1:] ** 2,
    "order": lambda T: reversed(range(T)),
    "through_time": lambda W, da, dh: da @ W,
    "before": lambda h: h[:-1],
    "after": lambda h: h[1:],
    "total": lambda terms: terms.sum(axis=0),
    "columns": _sum_columns,
}

BACKWARD_FAULTS: Faults = {
    "the gradient through h_{t-1} is missing, so every step but the last is wrong: dh_t = V' g_t + W' da_{t+1}":
        {"through_time": lambda W, da, dh: np.zeros_like(da)},
    "W instead of W' in dh_t = V' g_t + W' da_{t+1}": {"through_time": lambda W, da, dh: W @ da},
    "W' dh_{t+1} instead of W' da_{t+1} in dh_t = V' g_t + W' da_{t+1}": {"through_time": lambda W, da, dh: dh @ W},
    "V' g_t is added at the last step only: dh_t = V' g_t + W' da_{t+1} at every step": {"out": _only_last},
    "the steps are taken from the first to the last: dh_t needs da_{t+1}, so begin at the last": {"order": range},
    "the derivative of tanh is missing: da_t = (1 - h_t^2) * dh_t": {"slope": lambda h: np.ones_like(h[1:])},
    "the derivative of tanh is 1 - tanh(a_t)^2 = 1 - h_t^2, not 1 - tanh(h_t)^2":
        {"slope": lambda h: 1 - np.tanh(h[1:]) ** 2},
    "the derivative of tanh is taken at h_{t-1} instead of h_t: da_t = (1 - h_t^2) * dh_t":
        {"slope": lambda h: 1 - h[:-1] ** 2},
    "the term of h_0 is missing: the first step adds da_1 h_0', and h_0 is not zero in general":
        {"before": lambda h: np.concatenate([np.zeros_like(h[:1]), h[1:-1]])},
    "h_t instead of h_{t-1} in dW = sum_t da_t h_{t-1}'": {"before": lambda h: h[1:]},
    "h_{t-1} instead of h_t in dV = sum_t g_t h_t'": {"after": lambda h: h[:-1]},
    "the target is not subtracted: g_t = p_t - y_t": {"error": lambda p, x, y: p},
    "the input x_t is subtracted instead of the target: g_t = p_t - y_t":
        {"error": lambda p, x, y: _subtract_target(p, x)},
    "the sign is wrong: g_t = p_t - y_t, and an update subtracts the gradient":
        {"error": lambda p, x, y: -_subtract_target(p, y)},
    "a character that occurs twice counts once: dU[:, x] += da.T overwrites, np.add.at adds":
        {"columns": _overwrite_columns},
    "not summed over the steps, only the first step is there: add with += instead of =":
        {"total": lambda terms: terms[0]},
    "not summed over the steps, only the last step is there: add with += instead of =":
        {"total": lambda terms: terms[-1]},
    "the mean over the window: the loss is the sum over its steps, and so is the gradient":
        {"total": lambda terms: terms.mean(axis=0)},
}  # fmt: skip


def list_combinations(faults: Faults) -> list[tuple[tuple[str, ...], dict[str, Rule]]]:
    """Return the message and the rules of every fault, then those of every two that replace different rules."""
    pairs = [
        ((first, second), rules | other_rules)
        for (first, rules), (second, other_rules) in combinations(faults.items(), 2)
        if not rules.keys() & other_rules.keys()
    ]
    return [*(((message,), rules) for message, rules in faults.items()), *pairs]
