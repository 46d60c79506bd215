"""The n-gram prior of batched kernels: its predictions, and the terms that it adds to the logits and gradients.

T, R   steps and batch rows of a group's window         n  length of its longest context
K_row  size of the alphabet, padded
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.layout import Sizes
from elman.engine.numba.simd import aligned_zeros
from elman.jit import UNUSED, KernelPointer, call_pointer, inlined, kernel_pointer
from elman.ngram.kernels import (
    NONE,
    Workspace,
    append_window,
    make_nodes,
    make_workspace,
    read_window,
    select_workspace,
)
from elman.ngram.language_model import Added, Table, empty_added, empty_table

Array = NDArray[np.floating]


class PriorValues(NamedTuple):
    """The terms that the n-gram prior adds to the logits of one group of batch rows."""

    is_on: bool  # whether it takes part in the logits
    matched: NDArray[np.int64]  # (T, R): the matched lengths
    log_q: Array  # (T, R, K_row)
    weights: Array  # (R,): factors of alpha, 1 unless text is sampled


class PriorWorkspace(NamedTuple):
    """The n-gram model that one group of batch rows reads; with an axis for the groups, the workspaces of all.

    Without a model the table is empty instead of None, for which all kernels would have to be compiled again.
    """

    table: Table
    added: Added
    grows: bool
    history: NDArray[np.int32]  # (R, n): the last characters read, changed by every window
    bases: NDArray[np.int64]  # (R, n + 1): nodes of the contexts that end the histories, see `read_rows`
    extras: NDArray[np.int64]  # (R, n + 1): the same
    reads: NDArray[np.bool_]  # (R,): true
    workspace: Workspace
    values: PriorValues
    read: KernelPointer  # to `read_window`


def make_priors(sizes: Sizes, is_on: bool, groups: int, T: int, R: int, dtype: np.dtype[np.floating]) -> PriorWorkspace:
    """Return the workspaces of all groups, each for up to T steps of R rows, without a model."""
    steps, n = T * R if sizes.context_length else 0, sizes.context_length
    bases, extras = make_nodes(R, n, groups)
    return PriorWorkspace(
        table=empty_table(),
        added=empty_added(),
        grows=False,
        history=np.zeros((groups, R, n), np.int32),
        bases=bases,
        extras=extras,
        reads=np.ones((groups, R), np.bool_),
        workspace=make_workspace(sizes.K if n else 1, n, groups),
        values=PriorValues(
            is_on=is_on,
            matched=np.zeros((groups, steps), np.int64),
            log_q=aligned_zeros(groups * steps * sizes.K_row, dtype).reshape(groups, steps * sizes.K_row),
            weights=np.ones((groups, R), dtype),
        ),
        read=UNUSED,
    )


@inlined
def select_prior(priors, g):
    """Return the workspace of a group."""
    values = priors.values
    return PriorWorkspace(
        priors.table, priors.added, priors.grows, priors.history[g], priors.bases[g], priors.extras[g], priors.reads[g],
        select_workspace(priors.workspace, g),
        PriorValues(values.is_on, values.matched[g], values.log_q[g], values.weights[g]), priors.read,
    )  # fmt: skip


@inlined
def restart_history(prior, r, history):
    """Set the history of row r; its nodes are found when it reads next."""
    for o in range(len(history)):
        prior.history[r, o] = history[o]
    prior.bases[r, 0] = NONE


@inlined
def read_prior(sizes, prior, indices, folds, T, R):
    """Read the characters `indices` (T R,) of a window with the n-gram model; store log q and the matched lengths.

    The counts of `folds` (T R,) are left out. A prior that is off only reads the history.
    """
    if prior.values.is_on:
        call_pointer(
            prior.read,
            (
                prior.table, prior.added, prior.grows, prior.history[:R], prior.bases[:R], prior.extras[:R],
                prior.reads[:R], indices, folds, T, R, sizes.K_row, prior.values.log_q, prior.values.matched,
                prior.workspace,
            ),
        )  # fmt: skip
    else:
        append_window(prior.history, indices, sizes.reset_at, T, R)


def prior_pointer(priors: PriorWorkspace) -> KernelPointer:
    """Return a pointer to `read_window` for the n-gram model of a network."""
    indices, values, workspace = np.zeros(0, np.intp), priors.values, priors.workspace
    arrays = (priors.history[0], priors.bases[0], priors.extras[0], priors.reads[0], indices, indices)
    outputs = values.log_q[0], values.matched[0], Workspace._make(array[0] for array in workspace)
    return kernel_pointer(read_window, priors.table, priors.added, priors.grows, *arrays, 1, 1, 1, *outputs)


@inlined
def add_prior(theta, sizes, g, prior, first, last, R):
    """Add alpha log q to the logits of a window's rows from `first` to `last`."""
    for row in range(first, last if prior.is_on else first):
        alpha = prior.weights[row % R] * theta[sizes.alpha + prior.matched[row]]
        start = row * sizes.K_row
        logits, log_q = g[start : start + sizes.K], prior.log_q[start : start + sizes.K]
        for k in range(len(logits)):
            logits[k] += alpha * log_q[k]


@inlined
def compute_alpha_gradient(sizes, workspace, prior, rows):
    """Add the products of dL/do and log q to dalpha of the matched lengths."""
    gradient = workspace.gradient
    for j in range(sizes.context_length + 1):
        gradient[sizes.alpha + j] = 0
    for row in range(rows if prior.is_on else 0):
        start = row * sizes.K_row
        g, log_q = workspace.g[start : start + sizes.K], prior.log_q[start : start + sizes.K]
        total = gradient.dtype.type(0)
        for k in range(len(g)):
            total += g[k] * log_q[k]
        gradient[sizes.alpha + prior.matched[row]] += total
