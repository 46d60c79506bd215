"""The weights of an ensemble that predict a text best.

i     1 … n, a model of the ensemble, with weight w_i and logits o_t^i
p_t   the distribution of the ensemble after character t, softmax of sum_i w_i o_t^i; y_t is the character that follows

::

    (1)  L(w) = mean_t (log sum_k exp(sum_i w_i o_t^i(k)) - sum_i w_i o_t^i(y_t))
    (2)  dL/dw_i = mean_t (E_p o_t^i - o_t^i(y_t))
    (3)  d^2L/dw_i dw_j = mean_t cov_p (o_t^i, o_t^j)

(3) is positive semidefinite, so (1) is convex, and Newton's method finds its minimum in a few steps. A weight that
would become negative is 0, and the others are fitted without that model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.protocol import Indices
from elman.errors import ElmanError
from elman.inference.model import Model
from elman.text.unknown import drop_unknown

Floats = NDArray[np.float64]

MAX_CHARACTERS = 100_000
"""Characters that are used at most: a few weights need no more."""
MAX_LOGITS = 50_000_000
"""Logits of all models that are kept at most, 200 MB."""
MIN_CHARACTERS = 100
SLICE = 2048
STEPS = 20
TOLERANCE = 1e-6
"""Of the weights: a step smaller than this is the last."""
RIDGE = 1e-6
"""Added to the diagonal of (3), which is singular if two models are equal. Then their weights are equal too."""


class Slice(NamedTuple):
    """The logits of all models for a slice of the text, and the characters that follow."""

    logits: NDArray[np.float32]  # (n, T, K)
    y: NDArray[np.intp]  # (T,)


def fit_weights(models: Sequence[Model], indices: Indices) -> list[float]:
    """Return the weights of models with which their ensemble predicts a text best, (1), each at least 0.

    Parameters
    ----------
    models : sequence of Model
        n models with the same alphabet.
    indices : ndarray of unsigned int, shape (N,)
        A text that none of them was trained on. Unknown characters, K or more, are left out. Of a long text the first
        `MAX_CHARACTERS` are used, fewer where the alphabet is large.

    Raises
    ------
    ElmanError
        If the text has fewer than `MIN_CHARACTERS` known characters, or the logits of a model are not finite.
    """
    n, K = len(models), len(models[0].parameters["c"])
    x = drop_unknown(indices, K)[: min(MAX_CHARACTERS, MAX_LOGITS // (n * K)) + 1]
    if len(x) <= MIN_CHARACTERS:
        raise ElmanError(f"fitting weights needs a text of more than {MIN_CHARACTERS} known characters (got {len(x)})")
    slices = _collect_logits(models, x)
    weights, fitted = np.zeros(n), np.arange(n)
    while True:
        weights[fitted] = _minimize(slices, fitted)
        if (weights[fitted] >= 0).all():
            return [float(weight) for weight in weights]
        worst = fitted[np.argmin(weights[fitted])]
        weights[worst], fitted = 0.0, fitted[fitted != worst]


def _collect_logits(models: Sequence[Model], x: Indices) -> list[Slice]:
    """Return the logits of the models after each character but the last."""
    sessions = [model.engine.session(model.parameters) for model in models]
    states, slices = [model.h[None] for model in models], []
    for start in range(0, len(x) - 1, SLICE):
        y = x[start + 1 : start + SLICE + 1].astype(np.intp)
        logits = []
        for i, session in enumerate(sessions):
            o, h = session.logits(states[i], x[start : start + len(y), None])
            states[i] = h[-1]
            logits.append(o[:, 0].astype(np.float32))
        slices.append(Slice(np.stack(logits), y))
    if not all(np.isfinite(each.logits).all() for each in slices):
        raise ElmanError("the logits of a model are not finite: its training diverged")
    return slices


def _minimize(slices: Sequence[Slice], fitted: NDArray[np.intp]) -> Floats:
    """Return the weights of the models `fitted` that minimize (1), by Newton's method from equal ones."""
    weights = np.full(len(fitted), 1 / len(fitted))
    loss, gradient, hessian = _evaluate(slices, fitted, weights)
    for _ in range(STEPS):
        step = np.linalg.solve(hessian + RIDGE * np.eye(len(fitted)), -gradient)
        new = _evaluate(slices, fitted, weights + step)
        while new[0] > loss and np.abs(step).max() > TOLERANCE:
            step /= 2
            new = _evaluate(slices, fitted, weights + step)
        if new[0] > loss:
            break
        weights, (loss, gradient, hessian) = weights + step, new
        if np.abs(step).max() <= TOLERANCE:
            break
    return weights


def _evaluate(slices: Sequence[Slice], fitted: NDArray[np.intp], weights: Floats) -> tuple[float, Floats, Floats]:
    """Return (1), (2) and (3) at `weights`."""
    n = len(fitted)
    loss, gradient, hessian = 0.0, np.zeros(n), np.zeros((n, n))
    for logits, y in slices:
        o = logits[fitted].astype(np.float64)
        mixed = np.tensordot(weights, o, 1)
        mixed -= mixed.max(axis=-1, keepdims=True)
        p = np.exp(mixed)
        total = p.sum(axis=-1, keepdims=True)
        p /= total
        rows = np.arange(len(y))
        loss += float((np.log(total[:, 0]) - mixed[rows, y]).sum())  # (1)
        mean = np.einsum("tk,itk->it", p, o)
        gradient += (mean - o[:, rows, y]).sum(axis=1)  # (2)
        centered = o - mean[..., None]
        hessian += np.einsum("tk,itk,jtk->ij", p, centered, centered, optimize=True)  # (3)
    count = sum(len(y) for _, y in slices)
    return loss / count, gradient / count, hessian / count
