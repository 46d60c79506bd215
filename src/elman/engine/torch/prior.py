"""The n-gram prior of windows, read by the compiled model of the numba engine on the CPU."""

from __future__ import annotations

import numpy as np
import torch

from elman.engine.numba.ngrams import kernels
from elman.engine.numba.ngrams.reader import reader
from elman.engine.protocol import Indices
from elman.engine.torch.network import PriorTensors
from elman.network.ngram import Ints, NgramModel, append
from elman.network.output import Prior
from elman.network.parameters import Array


def read_prior(
    model: NgramModel | None, history: Array, x: Indices, folds: Ints | None = None
) -> tuple[Prior | None, Array]:
    """Read characters x (T, B) after a history (B, n); return the prior, if there is one, and the history at the end.

    See `elman.network.ngram.read`, which does the same.
    """
    if model is None:
        return None, append(history, x)
    T, B = x.shape
    compiled, n = reader(model), model.order
    log_q, matched = np.empty(T * B * model.K, history.dtype), np.empty(T * B, np.int64)
    left_out = np.full(T * B, compiled.tree.folds, np.int64) if folds is None else folds.astype(np.int64).ravel()
    kernels.read_window(
        compiled.tree, compiled.growth, False, np.rint(history).astype(np.int32),
        np.zeros((B, n + 1), np.int64), np.zeros((B, n + 1), np.int64), np.ones(B, np.bool_),
        np.ascontiguousarray(x, np.intp).ravel(), left_out, T, B, model.K, log_q, matched,
    )  # fmt: skip
    return Prior(log_q.reshape(T, B, model.K), matched.reshape(T, B)), append(history, x)


def prior_tensors(prior: Prior | None, device: torch.device) -> PriorTensors | None:
    """Return a prior, if there is one, as tensors on a device."""
    return None if prior is None else PriorTensors(*(torch.from_numpy(array).to(device) for array in prior))
