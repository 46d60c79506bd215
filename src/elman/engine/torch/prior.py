"""The n-gram prior of windows, read by the compiled model of the numba engine on the CPU."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from elman.engine.numba.ngrams import kernels
from elman.engine.numba.ngrams.reader import reader
from elman.engine.torch.network import PriorTensors, one_hot
from elman.network.ngram import Ints, NgramModel, append
from elman.network.parameters import Array


def read_prior(
    model: NgramModel, history: Array, x: NDArray[np.unsignedinteger], folds: Ints | None, device: torch.device
) -> tuple[PriorTensors, Array]:
    """Read characters x (T, B) after a history (B, n); return the prior on a device, and the history at the end.

    See `elman.network.ngram.read`, which does the same.
    """
    T, B = x.shape
    compiled, n = reader(model), model.order
    log_q, matched = np.empty(T * B * model.K, history.dtype), np.empty(T * B, np.int64)
    left_out = np.full(T * B, compiled.tree.folds, np.int64) if folds is None else folds.astype(np.int64).ravel()
    kernels.read_window(
        compiled.tree, compiled.added, False, np.rint(history).astype(np.int32),
        np.zeros((B, n + 1), np.int64), np.zeros((B, n + 1), np.int64), np.ones(B, np.bool_),
        np.ascontiguousarray(x, np.intp).ravel(), left_out, T, B, model.K, log_q, matched,
    )  # fmt: skip
    q = torch.from_numpy(log_q.reshape(T, B, model.K)).to(device)
    orders = one_hot(torch.from_numpy(matched.reshape(T, B)).to(device), n + 1, q.dtype)
    return PriorTensors(q, orders), append(history, x)
