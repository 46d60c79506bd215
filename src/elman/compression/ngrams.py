"""The n-gram prior of substreams that are coded in lockstep, in exact arithmetic.

R  rows: substreams coded in lockstep   n  order
K  alphabet size                        code  the index of a character + 1; 0 where there is none

The distributions are those of `elman.ngram.model`, computed by the kernels of `elman.ngram`: integers
and float64 under the rules of `arithmetic`, with a logarithm of their own. log q is rounded to float32.

A model may count while coding. All substreams then share its counts, which grow in a fixed order: at each step, row by
row, the character that a substream reads is counted after its contexts, and then its distribution is computed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elman.compression.arithmetic import Floats, Ints, Ints32, exact
from elman.ngram.compiled_table import NONE, Added, Table, empty_added, empty_table
from elman.ngram.kernels import NgramReader, Workspace, find_row_nodes, make_nodes, make_workspace, read_rows, reader
from elman.ngram.model import NgramModel

MAX_ADDED_CONTEXTS = 1 << 23
"""Contexts of the text coded above which all its counts are dropped, which bounds the memory as the restart of PPMd
does."""
ROOM = 1 << 9
"""Characters for which room is made at a time, and after which contexts are compared with their maximum."""


class NgramArrays(NamedTuple):
    """An n-gram model and R histories; everything but `table` and `grows` is changed in place."""

    table: Table
    added: Added
    grows: bool  # whether characters are counted
    room: Ints  # (1,): characters that can be counted before `NgramRows.reserve` is called again
    histories: Ints32  # (R, n)
    bases: Ints  # (R, n + 1): see `elman.ngram.kernels.read_rows`
    extras: Ints  # (R, n + 1)
    folds: Ints  # (R,)
    log_q: Floats  # (R, K)
    flat: Floats  # (R K,): the same numbers
    matched: Ints  # (R,): matched orders
    workspace: Workspace


@exact
def read_ngrams(ngrams, x, reads):
    """Read characters x (R,) in the rows where `reads` (R,) is true, and set their distributions."""
    table, added, histories, bases, extras = ngrams.table, ngrams.added, ngrams.histories, ngrams.bases, ngrams.extras
    if ngrams.grows:
        ngrams.room[0] -= len(x)
    read_rows(
        table, added, ngrams.grows, histories, bases, extras, x, ngrams.folds, reads, table.K,
        ngrams.flat, ngrams.matched, ngrams.workspace,
    )  # fmt: skip


class NgramRows:
    """An n-gram model that reads R substreams which start alike."""

    def __init__(self, ngrams: NgramModel, start: int, R: int, *, grows: bool) -> None:
        self.ngrams, trained = ngrams, reader(ngrams)
        self.arrays = _make_arrays(trained.table, trained.added, R, ngrams.K)
        read_ngrams(self.arrays, np.full(R, start, np.int64), np.ones(R, np.bool_))
        if grows:
            self.arrays = self.arrays._replace(grows=True)
            self._restart()

    def reserve(self) -> None:
        """Make room for counting, if there is not enough for one step."""
        if self.arrays.grows and self.arrays.room[0] < len(self.arrays.histories):
            if self.arrays.added.sizes[0] > MAX_ADDED_CONTEXTS:
                self._restart()
            self.reader.reserve(ROOM)
            self.arrays = self.arrays._replace(added=self.reader.added)
            self.arrays.room[0] = ROOM

    def _restart(self) -> None:
        self.reader = NgramReader(self.ngrams.continued())
        self.arrays = self.arrays._replace(added=self.reader.added)
        self.arrays.bases[:, 0] = NONE
        find_row_nodes(*self.arrays[:2], self.arrays.histories, self.arrays.bases, self.arrays.extras)


def without_ngrams(K: int, R: int, log_q: float) -> NgramArrays:
    """Return what is passed to a kernel without an n-gram model; `log_q` is that of every character."""
    arrays = _make_arrays(empty_table(), empty_added(), R, K)
    arrays.log_q[:] = log_q
    return arrays


def _make_arrays(table: Table, added: Added, R: int, K: int) -> NgramArrays:
    (bases, extras), log_q = make_nodes(R, table.order), np.zeros((R, K), np.float32)
    arrays = NgramArrays(
        table, added, False, np.zeros(1, np.int64),
        histories=np.zeros((R, table.order), np.int32),
        bases=bases,
        extras=extras,
        folds=np.full(R, table.folds, np.int64),
        log_q=log_q,
        flat=log_q.reshape(-1),
        matched=np.zeros(R, np.int64),
        workspace=make_workspace(K, table.order),
    )  # fmt: skip
    find_row_nodes(table, added, arrays.histories, bases, extras)
    return arrays
