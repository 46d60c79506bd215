"""Scores of many lines in several processes; each process loads the model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import checks_types
from elman.model import BlockScorer, load, locate_model


class LineScorer:
    """Scores independent lines; for the batches of Ray, Dask, Spark or ``multiprocessing``.

    A scorer is pickled as the path of its model. Each process loads the model once, when it first scores lines, and
    shares it among all copies of the scorer; threads of a process take turns. The arguments are passed to `elman.load`.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_lines(["accepted", "accepted", "rejected"] * 40)
    >>> run = elman.train(text, out="runs/log", preset="reference", hidden_size=16, max_updates=100, engine="numpy")
    >>> scorer = elman.LineScorer("runs/log")
    >>> scores = scorer(["accepted", "!?"])
    >>> bool(scores["nats_per_char"][0] < scores["nats_per_char"][1]), scores["chars"]
    (True, array([9, 3]))
    """

    @checks_types
    def __init__(self, path: str | os.PathLike[str], *, engine: str | None = None) -> None:
        self.engine = engine
        self.path = locate_model(path)  # a process may run in another directory

    def __call__(self, lines: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Score lines as ``elman score`` does; return ``chars``, ``nats_per_char``, ``worst5_nats``, ….

        The values are described in `elman.model.score_lines.Line`; each is an array of shape (len(lines),).
        """
        scored = _open_scorer(self.path, self.engine).score_batch(lines)
        names = {"chars": "i8", "nats_per_char": "f8", "worst5_nats": "f8", "worst_column": "i8", "worst_nats": "f8"}
        return {name: np.array([getattr(line, name) for line in scored], dtype) for name, dtype in names.items()}


@cache
def _open_scorer(path: str, engine: str | None) -> BlockScorer:
    """Return the scorer of a model, which the process keeps."""
    return BlockScorer(load(path, engine=engine), carry_state=False)
