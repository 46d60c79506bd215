"""Which characters a network holds likeliest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elman.network.parameters import Array


def likeliest(log_p: Array, k: int) -> tuple[NDArray[np.intp], Array]:
    """Return the k likeliest characters of every place, and their log-probabilities.

    Parameters
    ----------
    log_p : ndarray, shape (n, K)
    k : int
        Fewer are returned where K is less.

    Returns
    -------
    characters : ndarray of int, shape (n, min(k, K))
        The likeliest first.
    values : ndarray, shape (n, min(k, K))
    """
    best = np.argpartition(-log_p, min(k, log_p.shape[-1] - 1), axis=-1)[:, :k]
    order = np.argsort(-np.take_along_axis(log_p, best, -1), axis=-1, kind="stable")
    best = np.take_along_axis(best, order, -1)
    return best, np.take_along_axis(log_p, best, -1)
