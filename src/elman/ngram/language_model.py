"""What an n-gram model predicts, by the kernels: of a batch, and as the loss of a text, without any network.

K  size of the alphabet    T  characters    B  batch size    n  order
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elman.ngram.compiled_table import empty_added, empty_table, unpack
from elman.ngram.kernels import find_row_nodes, make_nodes, make_workspace, read_window, reader
from elman.ngram.model import Indices, Ints, NgramModel, check_indices

if TYPE_CHECKING:
    from elman.jit.runtime import Signature

MAX_LOG_Q = 1 << 22  # log q that are in memory at once, 32 MB


def read_compiled(
    model: NgramModel, history: NDArray[np.int32], x: Indices, folds: Ints | None = None, dtype: Any = np.float64
) -> tuple[NDArray[np.floating], Ints, NDArray[np.int32]]:
    """Do what `elman.ngram.model.read` does for a batch, history (B, n) and x (T, B), with the kernels."""
    T, B = x.shape
    compiled, log_q, matched = reader(model), np.empty(T * B * model.K, dtype), np.empty(T * B, np.int64)
    left_out = np.full(T * B, model.folds, np.int64) if folds is None else folds.astype(np.int64).ravel()
    if model.grows:
        compiled.reserve(T * B)
    read_window(
        compiled.table, compiled.added, model.grows, history.astype(np.int32), *make_nodes(B, model.order),
        np.ones(B, np.bool_), np.ascontiguousarray(x, np.intp).ravel(), left_out, T, B, model.K, log_q, matched,
        make_workspace(model.K, model.order),
    )  # fmt: skip
    return log_q.reshape(T, B, model.K), matched.reshape(T, B), model.histories(history, x)[-1].copy()


def reading_kernels(dtype: Any = np.float32) -> list[Signature]:
    """Return the kernels, with the types of their arguments, that read a model in a dtype."""
    from elman.jit.runtime import call_kernel, record_kernels  # without Numba there are none

    table, added, nodes, workspace = empty_table(), empty_added(), make_nodes(1, 1), make_workspace(1, 1)
    x, history, reads = np.zeros(1, np.intp), np.zeros((1, 1), np.int32), np.ones(1, np.bool_)
    log_q = np.empty(1, dtype)
    with record_kernels() as kernels:
        call_kernel(unpack, 2, 1, (np.frombuffer(bytes(16), np.uint64),) * 4, table.strings, table.rests, table.firsts)
        call_kernel(find_row_nodes, table, added, history, *nodes)
        call_kernel(read_window, table, added, False, history, *nodes, reads, x, x, 1, 1, 1, log_q, x, workspace)
    return kernels


def compute_losses(model: NgramModel, x: Indices, dtype: Any = np.float64) -> NDArray[np.float64]:
    """Return -log q, rounded to `dtype`, of every character of a text (T,) but its first, (T - 1,), in nats.

    Examples
    --------
    >>> import numpy as np
    >>> from elman.ngram.counting import count_ngrams
    >>> from elman.ngram.table import NgramSpec
    >>> text = np.array([0, 1, 2] * 20, np.uint8)
    >>> model = count_ngrams(text, NgramSpec(K=3, order=2))
    >>> bool(compute_losses(model, text[:9]).mean() < 0.2)
    True
    """
    check_indices(x, model.K)
    history, losses, steps = np.zeros((1, model.order), np.int32), np.empty(len(x) - 1), max(1, MAX_LOG_Q // model.K)
    for first in range(0, len(losses), steps):
        y = x[first + 1 : first + 1 + steps]
        log_q, _, history = read_compiled(model, history, x[first : first + len(y), None], dtype=dtype)
        losses[first : first + len(y)] = -log_q[np.arange(len(y)), 0, y]
    return losses
