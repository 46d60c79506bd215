"""The weights of an ensemble that predict a text best.

i     1 … n, a model of the ensemble, with weight w_i >= 0 and logits o_t^i
p_t   the distribution of the ensemble after character t, softmax of sum_i w_i o_t^i; y_t is the character that follows

::

    (1)  L(w) = mean_t (log sum_k exp(sum_i w_i o_t^i(k)) - sum_i w_i o_t^i(y_t))
    (2)  dL/dw_i = mean_t (E_p o_t^i - o_t^i(y_t))
    (3)  d^2L/dw_i dw_j = mean_t cov_p (o_t^i, o_t^j)

(3) is positive semidefinite, so (1) is convex. It is minimized by the projected Newton method: a step is taken in the
weights that are positive or would grow, and weights that it makes negative become 0.
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

MIN_CHARACTERS = 100
"""Characters that a text must have."""
MAX_CHARACTERS = 100_000
"""Characters that are used at most: a few weights need no more."""
MAX_LOGITS = 50_000_000
"""Logits of all models that are kept at most, 200 MB."""
CHUNK_LOGITS = 1 << 20
"""Logits that are converted to float64 at once."""
MAX_STEPS = 50
MAX_WEIGHT = 100.0
"""A larger weight means that (1) has no minimum: the most likely character always follows."""
TOLERANCE = 1e-6
"""Change of the weights in the last step."""
RIDGE = 1e-6
"""Added to the diagonal of (3), relative to its mean: (3) is singular if two models are equal."""


class Chunk(NamedTuple):
    """The logits of all models for a part of the text, and the characters that follow."""

    logits: NDArray[np.float32]  # (n, T, K)
    y: NDArray[np.intp]  # (T,)


def fit_weights(models: Sequence[Model], indices: Indices) -> list[float]:
    """Return the weights of models with which their ensemble predicts a text best, (1).

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
        If the text has fewer than `MIN_CHARACTERS` known characters, no model predicts it better than a uniform
        distribution, (1) has no minimum, or the logits of a model are not finite.
    """
    n, K = len(models), len(models[0].parameters["c"])
    used = min(MAX_CHARACTERS, max(MIN_CHARACTERS, MAX_LOGITS // (n * K)))
    x = drop_unknown(indices, K)[: used + 1]
    if len(x) < MIN_CHARACTERS:
        raise ElmanError(f"fitting weights needs a text of at least {MIN_CHARACTERS} known characters (got {len(x)})")
    weights = _minimize(_collect_logits(models, x), n)
    if not weights.any():
        raise ElmanError(
            "no model predicts the text better than a uniform distribution: fit on text like the training set"
        )
    return [float(weight) for weight in weights]


def _collect_logits(models: Sequence[Model], x: Indices) -> list[Chunk]:
    """Return the logits of the models after each character but the last."""
    n, K = len(models), len(models[0].parameters["c"])
    length = max(1, CHUNK_LOGITS // (n * K))
    sessions = [model.engine.session(model.parameters) for model in models]
    states, chunks = [model.h[None] for model in models], []
    for start in range(0, len(x) - 1, length):
        y = x[start + 1 : start + length + 1].astype(np.intp)
        logits = np.empty((n, len(y), K), np.float32)
        for i, session in enumerate(sessions):
            o, h = session.logits(states[i], x[start : start + len(y), None])
            logits[i], states[i] = o[:, 0], h[-1]
        if not np.isfinite(logits).all():
            raise ElmanError("the logits of a model are not finite: its training diverged")
        chunks.append(Chunk(logits, y))
    return chunks


def _minimize(chunks: Sequence[Chunk], n: int) -> Floats:
    """Return the weights (n,) that minimize (1)."""
    weights = np.full(n, 1 / n)
    loss, gradient, hessian = _evaluate(chunks, weights)
    for _ in range(MAX_STEPS):
        step, scale = _newton_step(weights, gradient, hessian), 1.0
        while True:
            new = np.maximum(weights + scale * step, 0)
            change = np.abs(new - weights).max()
            evaluated = _evaluate(chunks, new)
            if evaluated[0] <= loss or change <= TOLERANCE:
                break
            scale /= 2
        if evaluated[0] <= loss:
            weights, (loss, gradient, hessian) = new, evaluated
        if weights.max() > MAX_WEIGHT:
            break
        if change <= TOLERANCE:
            return weights
    raise ElmanError("no finite weights predict the text best: it is too short or too repetitive")


def _newton_step(weights: Floats, gradient: Floats, hessian: Floats) -> Floats:
    """Return the step (n,) of Newton's method in the weights that are positive or would grow."""
    step, free = np.zeros_like(weights), (weights > 0) | (gradient < 0)
    while free.any():
        block = hessian[np.ix_(free, free)]
        ridge = RIDGE * np.diag(block).mean() + np.finfo(np.float64).tiny
        step[:] = 0
        step[free] = np.linalg.solve(block + ridge * np.eye(len(block)), -gradient[free])
        blocked = (weights == 0) & (step < 0)
        if not blocked.any():
            break
        free &= ~blocked
    return step


def _evaluate(chunks: Sequence[Chunk], weights: Floats) -> tuple[float, Floats, Floats]:
    """Return (1), (2) and (3) at `weights`."""
    n = len(weights)
    loss, gradient, hessian = 0.0, np.zeros(n), np.zeros((n, n))
    for logits, y in chunks:
        o, rows = logits.astype(np.float64), np.arange(len(y))
        mixed = np.tensordot(weights, o, 1)
        mixed -= mixed.max(axis=-1, keepdims=True)
        p = np.exp(mixed)
        total = p.sum(axis=-1, keepdims=True)
        p /= total
        loss += float((np.log(total[:, 0]) - mixed[rows, y]).sum())  # (1)
        mean = np.einsum("tk,itk->it", p, o)
        gradient += (mean - o[:, rows, y]).sum(axis=1)  # (2)
        o -= mean[..., None]
        hessian += np.einsum("tk,itk,jtk->ij", p, o, o, optimize=True)  # (3)
    count = sum(len(y) for _, y in chunks)
    return loss / count, gradient / count, hessian / count
