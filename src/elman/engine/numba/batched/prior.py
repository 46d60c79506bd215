"""The n-gram prior of batched kernels: what is read of it, and what it adds to the logits and gradients.

T, R   steps and batch rows of a group's window         n  order of the n-gram model
K_row  size of the alphabet, padded
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.batched.layout import Sizes
from elman.engine.numba.jit import inlined
from elman.engine.numba.ngrams.added import Added
from elman.engine.numba.ngrams.kernels import append_window, read_window
from elman.engine.numba.ngrams.tree import Tree

Array = NDArray[np.floating]


class PriorValues(NamedTuple):
    """What the n-gram prior adds to the logits of one group of batch rows."""

    is_on: bool  # whether it takes part in the logits
    matched: NDArray[np.int64]  # (T, R): the matched orders
    log_q: Array  # (T, R, K_row)
    weights: Array  # (R,): factors of alpha, 1 unless text is sampled


class PriorWorkspace(NamedTuple):
    """The n-gram model that one group of batch rows reads; see `elman.engine.numba.ngrams`.

    A network without a prior has no tree, and a model that continues no other has no added counts. Kernels are compiled
    without what is None.
    """

    tree: Tree | None
    added: Added | None
    grows: bool
    history: NDArray[np.int32]  # (R, n): the last characters read, changed by every window
    bases: NDArray[np.int64]  # (R, n + 1): workspace of `read_window`
    extras: NDArray[np.int64]  # the same
    reads: NDArray[np.bool_]  # (R,): true
    folds: NDArray[np.int64]  # (T, R): what is left out of the counts
    values: PriorValues


def call_read_prior(sizes: Sizes, prior: PriorWorkspace, indices: NDArray[np.intp], T: int, R: int) -> None:
    """Read the characters `indices` (T, R) of a window with the n-gram model: log q and matched orders are left there.

    `run_window` and `compute_logits` add them to the logits. A prior that is off only gets the history. This is Python,
    which calls a kernel; kernels call `read_prior`.
    """
    values = prior.values
    if values.is_on:
        read_window(
            prior.tree, prior.added, prior.grows, prior.history, prior.bases, prior.extras, prior.reads, indices,
            prior.folds, T, R, sizes.K_row, values.log_q, values.matched,
        )  # fmt: skip
    else:
        append_window(prior.history, indices, sizes.reset_at, T, R)


read_prior = inlined(call_read_prior)


@inlined
def add_prior(theta, sizes, workspace, prior, first, last, R):
    """Add alpha log q to the logits of a window's rows from `first` to `last`."""
    g = workspace.g
    for row in range(first, last if prior.is_on else first):
        alpha = prior.weights[row % R] * theta[sizes.alpha + prior.matched[row]]
        start = row * sizes.K_row
        logits, log_q = g[start : start + sizes.K], prior.log_q[start : start + sizes.K]
        for k in range(len(logits)):
            logits[k] += alpha * log_q[k]


@inlined
def compute_alpha_gradient(sizes, workspace, prior, rows):
    """Add the products of dL/do and log q to dalpha of the matched orders."""
    gradient = workspace.gradient
    for j in range(sizes.order + 1):
        gradient[sizes.alpha + j] = 0
    for row in range(rows if prior.is_on else 0):
        start = row * sizes.K_row
        g, log_q = workspace.g[start : start + sizes.K], prior.log_q[start : start + sizes.K]
        total = gradient.dtype.type(0)
        for k in range(len(g)):
            total += g[k] * log_q[k]
        gradient[sizes.alpha + prior.matched[row]] += total
