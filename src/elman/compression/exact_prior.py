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

import numpy as np

from elman.compression.exact_kernels import Ints
from elman.engine.numba.ngrams.kernels import count_rows, find_row_nodes, read_rows
from elman.engine.numba.ngrams.reader import NgramReader, reader
from elman.network.ngram import NgramModel
from elman.network.output import Prior

MAX_ADDED_CONTEXTS = 1 << 23
"""Contexts of the text coded above which all its counts are dropped, which bounds the memory as the restart of PPMd
does. Part of the file format."""
ROOM = 1 << 9
"""Characters for which room is made at a time, and after which contexts are compared with their maximum. Part of the
file format."""


class ExactPrior:
    """Reads R substreams that start alike.

    Parameters
    ----------
    ngrams : NgramModel
        The counts of the training text, which do not change.
    start : int
        The character that precedes every substream; it is read, but not counted.
    R : int
    adapt : bool
        Whether the characters that are read are counted.
    count_first : bool
        Whether all of a step are counted before any of its distributions is computed.
    """

    def __init__(
        self, ngrams: NgramModel, start: int, R: int, adapt: bool = False, *, count_first: bool = False
    ) -> None:
        self.ngrams = trained_counts(ngrams)
        self.reader, self.adapt, self.count_first, self.room = reader(self.ngrams), False, count_first, 0
        self.histories = np.zeros((R, self.ngrams.order), np.int32)
        self.bases, self.extras = np.zeros((2, R, self.ngrams.order + 1), np.int64)
        self.folds = np.full(R, self.ngrams.folds)
        self.prior = Prior(np.zeros((R, self.ngrams.K), np.float32), np.zeros(R, np.intp))
        self.read(np.full(R, start, np.int64))
        if adapt:
            self.adapt = True
            self._restart()

    def read(self, x: Ints, unread: Ints | None = None) -> Prior:
        """Read characters x (R,), except in the rows `unread`; return the prior of the next ones."""
        if self.adapt:
            self._make_room(len(x))
        reads = np.ones(len(x), np.bool_)
        if unread is not None:
            reads[unread] = False
        log_q, matched = self.prior.log_q.copy(), self.prior.matched.copy()
        tree, added, grows = self.reader.tree, self.reader.added, self.adapt and not self.count_first
        if self.adapt and self.count_first:
            count_rows(tree, added, self.histories, self.bases, self.extras, x, reads)
        read_rows(
            tree, added, grows, self.histories, self.bases, self.extras, x, self.folds, reads, self.ngrams.K,
            log_q.reshape(-1), matched,
        )  # fmt: skip
        self.prior = Prior(log_q, matched)
        return self.prior

    def first_row(self) -> Prior:
        """Return the prior of one substream, the first."""
        return Prior(self.prior.log_q[:1], self.prior.matched[:1])

    def _make_room(self, characters: int) -> None:
        if self.room < characters:
            if self.reader.added.sizes[0] > MAX_ADDED_CONTEXTS:
                self._restart()
            self.reader.reserve(ROOM)
            self.room = ROOM
        self.room -= characters

    def _restart(self) -> None:
        self.reader = NgramReader(self.ngrams.continued())
        find_row_nodes(self.reader.tree, self.reader.added, self.histories, self.bases, self.extras)


def trained_counts(ngrams: NgramModel) -> NgramModel:
    """Return the model of the training text that a model may continue."""
    return ngrams if ngrams.base is None else trained_counts(ngrams.base)
