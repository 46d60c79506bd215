"""The n-gram prior of substreams that are coded in lockstep, in exact arithmetic.

R  rows: substreams coded in lockstep   n  order
K  alphabet size                        code  the index of a character + 1; 0 where there is none

The distributions are those of `elman.network.ngram`, computed by the kernels of `elman.engine.numba.ngrams`: integers
and float64 under the rules of `exact_kernels`, with a logarithm of their own. log q is rounded to float32.

Counts may go on while coding. All substreams then share one table, which grows in a fixed order: at each step, row by
row, the character that a substream reads is counted after its context, and then its next distribution is computed; or
all characters of the step are counted first, so that the distributions of the rows are independent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elman.compression.exact_kernels import Floats, Ints, exact
from elman.engine.numba.ngrams.counting import Added, Ints32, empty_added
from elman.engine.numba.ngrams.kernels import count_rows, find_row_nodes, read_rows
from elman.engine.numba.ngrams.tree import NgramReader, Tree, empty_tree, reader
from elman.network.ngram import NgramModel

MAX_ADDED_CONTEXTS = 1 << 23
"""Contexts of the text coded above which all its counts are dropped, which bounds the memory as the restart of PPMd
does. Part of the file format."""
ROOM = 1 << 9
"""Characters for which room is made at a time, and after which contexts are compared with their maximum. Part of the
file format."""


NOTHING, ROW_BY_ROW, ALL_FIRST = range(3)
"""What is counted: nothing; each row before its next distribution is computed; all rows before any distribution."""


class PriorArrays(NamedTuple):
    """The n-gram model and R histories; everything but `tree` and `counts` is changed in place."""

    tree: Tree
    added: Added
    counts: int  # `NOTHING`, `ROW_BY_ROW` or `ALL_FIRST`
    room: Ints  # (1,): characters that can be counted before `ExactPrior.reserve` is called again
    histories: Ints32  # (R, n)
    bases: Ints  # (R, n + 1): see `elman.engine.numba.ngrams.kernels.read_rows`
    extras: Ints  # (R, n + 1)
    folds: Ints  # (R,)
    log_q: Floats  # (R, K)
    matched: Ints  # (R,)


@exact
def read_prior(prior, x, reads):
    """Read characters x (R,) in the rows where `reads` (R,) is true, and set their distributions."""
    tree, added, histories, bases, extras = prior.tree, prior.added, prior.histories, prior.bases, prior.extras
    if prior.counts != NOTHING:
        prior.room[0] -= len(x)
    if prior.counts == ALL_FIRST:
        count_rows(tree, added, histories, bases, extras, x, reads)
    log_q = prior.log_q.reshape(-1)
    read_rows(
        tree, added, prior.counts == ROW_BY_ROW, histories, bases, extras, x, prior.folds, reads, tree.K, log_q,
        prior.matched,
    )  # fmt: skip


class ExactPrior:
    """Reads R substreams that start alike.

    Parameters
    ----------
    ngrams : NgramModel
        The counts of the training text, which do not change.
    start : int
        The character that precedes every substream; it is read, but not counted.
    R : int
    counts : int
        Of the characters that are read: `NOTHING`, `ROW_BY_ROW` or `ALL_FIRST`.
    """

    def __init__(self, ngrams: NgramModel, start: int, R: int, counts: int = NOTHING) -> None:
        self.ngrams = trained_counts(ngrams)
        trained = reader(self.ngrams)
        bases, extras = np.zeros((2, R, self.ngrams.order + 1), np.int64)
        self.arrays = PriorArrays(
            trained.tree, trained.added, NOTHING, np.zeros(1, np.int64),
            histories=np.zeros((R, self.ngrams.order), np.int32),
            bases=bases,
            extras=extras,
            folds=np.full(R, self.ngrams.folds),
            log_q=np.zeros((R, self.ngrams.K), np.float32),
            matched=np.zeros(R, np.int64),
        )  # fmt: skip
        read_prior(self.arrays, np.full(R, start, np.int64), np.ones(R, np.bool_))
        if counts != NOTHING:
            self.arrays = self.arrays._replace(counts=counts)
            self._restart()

    def reserve(self) -> None:
        """Make room for counting, if there is not enough for one step."""
        if self.arrays.counts != NOTHING and self.arrays.room[0] < len(self.arrays.histories):
            if self.arrays.added.sizes[0] > MAX_ADDED_CONTEXTS:
                self._restart()
            self.reader.reserve(ROOM)
            self.arrays = self.arrays._replace(added=self.reader.added)
            self.arrays.room[0] = ROOM

    def _restart(self) -> None:
        self.reader = NgramReader(self.ngrams.continued())
        self.arrays = self.arrays._replace(tree=self.reader.tree, added=self.reader.added)
        find_row_nodes(*self.arrays[:2], self.arrays.histories, self.arrays.bases, self.arrays.extras)


def no_prior(K: int, R: int, log_q: float) -> PriorArrays:
    """Return what is passed to a kernel without an n-gram model; `log_q` is that of every character."""
    return PriorArrays(
        empty_tree(),
        empty_added(),
        NOTHING,
        room=np.zeros(1, np.int64),
        histories=np.zeros((R, 1), np.int32),
        bases=np.zeros((R, 1), np.int64),
        extras=np.zeros((R, 1), np.int64),
        folds=np.zeros(R, np.int64),
        log_q=np.full((R, K), log_q, np.float32),
        matched=np.zeros(R, np.int64),
    )


def trained_counts(ngrams: NgramModel) -> NgramModel:
    """Return the model of the training text that a model may continue."""
    return ngrams if ngrams.base is None else trained_counts(ngrams.base)
