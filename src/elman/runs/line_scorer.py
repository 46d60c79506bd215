"""Scores of many lines in other processes: a callable that is sent as the path of its model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError
from elman.inference.score_lines import BlockScorer, Line
from elman.runs.run import load

BLOCK_CHARS = 1 << 20
"""Characters of the lines that are read in one batch, at most, except for a longer line: they bound the memory."""


class LineScorer:
    """Scores independent lines; for the batches of Ray, Dask, Spark or ``multiprocessing``.

    It is pickled as a path. A process loads the model when it first scores lines, and once, however many copies it
    receives; threads of a process take turns.

    Parameters
    ----------
    path : str or path
        A run directory or a checkpoint file, which every process can read.
    engine : str, optional
        As in `elman.load`.

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

    def __init__(self, path: str | os.PathLike[str], *, engine: str | None = None) -> None:
        self.path, self.engine = os.path.abspath(path), engine  # noqa: PTH100 (a process may run in another directory)

    def __call__(self, lines: Sequence[str]) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
        """Score lines as ``elman score`` does: every line starts from the same state, and its end is scored.

        Parameters
        ----------
        lines : sequence of str
            Without line feeds, except for one at the end of a line.

        Returns
        -------
        dict of ndarray, shape (len(lines),)
            ``chars``, ``nats_per_char``, ``bits_per_char``, ``worst_column`` and ``worst_nats``, see
            `elman.inference.score_lines.Line`.

        Raises
        ------
        ElmanError
            If the model cannot be loaded, or a line contains a line feed.
        """
        scorer, lock = _open(self.path, self.engine)
        with lock:
            scored = [line for block in _join(lines) for line in scorer.score(block, 1)]
        return _to_arrays(scored)


@cache
def _open(path: str, engine: str | None) -> tuple[BlockScorer, Lock]:
    """Return the scorer of a model, which the process keeps, and the lock that a thread holds while it scores."""
    return BlockScorer(load(path, engine=engine), carry_state=False), Lock()


def _join(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines in blocks, each line ended by a line feed."""
    block: list[str] = []
    size = 0
    for n, line in enumerate(lines):
        text = line.removesuffix("\n")
        if "\n" in text:
            raise ElmanError(f"line {n + 1} of the batch contains a line feed: split it")
        if block and size + len(text) > BLOCK_CHARS:
            yield "".join(block)
            block, size = [], 0
        block.append(f"{text}\n")
        size += len(text) + 1
    if block:
        yield "".join(block)


def _to_arrays(lines: Sequence[Line]) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
    return {
        "chars": np.array([line.chars for line in lines], np.int64),
        "nats_per_char": np.array([line.nats_per_char for line in lines], np.float64),
        "bits_per_char": np.array([line.bits_per_char for line in lines], np.float64),
        "worst_column": np.array([line.worst_column for line in lines], np.int64),
        "worst_nats": np.array([line.worst_nats for line in lines], np.float64),
    }
