"""An n-gram model as a language model of its own: the loss of a text, and samples, without any network.

K  size of the alphabet    T  characters    B  batch size    n  order
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.ngram.kernels import make_nodes, make_workspace, read_window, reader
from elman.ngram.model import Indices, Ints, NgramModel, check_indices


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


def compute_losses(model: NgramModel, x: Indices) -> NDArray[np.float64]:
    """Return -log q of every character of a text (T,) but its first, (T - 1,), in nats.

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
    log_q, _, _ = read_compiled(model, np.zeros((1, model.order), np.int32), x[:-1, None])
    losses: NDArray[np.float64] = -log_q[np.arange(len(x) - 1), 0, x[1:]]
    return losses


def sample_text(model: NgramModel, prompt: Indices, length: int, generator: np.random.Generator) -> Indices:
    """Return `length` characters sampled from q, each after the prompt, of one character at least, and those before."""
    check_indices(prompt, model.K)
    history, x = np.zeros((1, model.order), np.int32), prompt[:, None]
    characters = np.empty(length, prompt.dtype)
    for n in range(length):
        log_q, _, history = read_compiled(model, history, x)
        q = np.exp(log_q[-1, 0])
        characters[n] = min(np.searchsorted(np.cumsum(q), generator.random() * q.sum(), side="right"), model.K - 1)
        x = characters[n : n + 1, None]
    return characters
