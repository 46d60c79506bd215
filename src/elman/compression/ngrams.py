"""The n-gram models of substreams that are coded in lockstep, in exact arithmetic.

R  rows: substreams coded in lockstep   n  order
K  alphabet size                        code  the index of a character + 1; 0 where there is none
N  symbols of a file

The distributions are those of `elman.network.ngram`, computed by the kernels of `elman.engine.numba.ngrams`: integers
and float64 under the rules of `arithmetic`, with a logarithm of their own. log q is rounded to float32.

A model may count while coding. All substreams then share one table, which grows in a fixed order: at each step, row by
row, the character that a substream reads is counted after its context, and then the distributions of all rows are
computed.

There are two models. The n-gram prior counts the training text. The background model, of bitwise context mixing only,
counts a text of the built-in model and the training text: a training text has few of the words of its language, and the
built-in model contains four million characters of English prose and Python, as brotli contains a dictionary. It has
K + 1 symbols: a character that the alphabet lacks is the unknown character, if there is one, and else the escape. For a
short file it counts only the ends of long texts, `COUNTED_PER_SYMBOL` symbols for each symbol of the file: of the
training text up to `MAX_TRAINING_TEXT`, and of the other one what is left. The constants and the text are part of the
file format.
"""

from __future__ import annotations

import functools
import json
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.compression.arithmetic import Floats, Ints, Ints32, exact
from elman.engine.numba.ngrams.counting import Added, empty_added
from elman.engine.numba.ngrams.kernels import count_rows, find_row_nodes, read_rows
from elman.engine.numba.ngrams.tree import NgramReader, Tree, empty_tree, reader
from elman.inference.network_file import NGRAM_TEXT
from elman.network.ngram import NgramModel
from elman.storage.builtin import MODELS, unpack_builtin
from elman.storage.tensors import read_tensors
from elman.text import Alphabet

MAX_ADDED_CONTEXTS = 1 << 23
"""Contexts of the text coded above which all its counts are dropped, which bounds the memory as the restart of PPMd
does."""
ROOM = 1 << 9
"""Characters for which room is made at a time, and after which contexts are compared with their maximum."""
BACKGROUND_MODEL = MODELS[0]
"""The built-in model that contains the text of the background model."""
ORDER, DISCOUNT = 7, 0.7
"""Of the background model."""
COUNTED_PER_SYMBOL = 64
MAX_TRAINING_TEXT = 1 << 21


class NgramArrays(NamedTuple):
    """An n-gram model and R histories; everything but `tree` and `grows` is changed in place."""

    tree: Tree
    added: Added
    grows: bool  # whether characters are counted
    room: Ints  # (1,): characters that can be counted before `NgramRows.reserve` is called again
    histories: Ints32  # (R, n)
    bases: Ints  # (R, n + 1): see `elman.engine.numba.ngrams.kernels.read_rows`
    extras: Ints  # (R, n + 1)
    folds: Ints  # (R,)
    log_q: Floats  # (R, K)
    matched: Ints  # (R,): matched orders


@exact
def read_ngrams(ngrams, x, reads):
    """Read characters x (R,) in the rows where `reads` (R,) is true, and set their distributions."""
    tree, added, histories, bases, extras = ngrams.tree, ngrams.added, ngrams.histories, ngrams.bases, ngrams.extras
    if ngrams.grows:
        ngrams.room[0] -= len(x)
        count_rows(tree, added, histories, bases, extras, x, reads)
    log_q = ngrams.log_q.reshape(-1)
    read_rows(tree, added, False, histories, bases, extras, x, ngrams.folds, reads, tree.K, log_q, ngrams.matched)


class NgramRows:
    """An n-gram model that reads R substreams which start alike.

    Parameters
    ----------
    ngrams : NgramModel
        The counts of a text, which do not change.
    start : int
        The character that precedes every substream; it is read, but not counted.
    R : int
    grows : bool
        Whether characters are counted as they are read.
    """

    def __init__(self, ngrams: NgramModel, start: int, R: int, *, grows: bool) -> None:
        self.ngrams, trained = ngrams, reader(ngrams)
        self.arrays = _make_arrays(trained.tree, trained.added, R, ngrams.order, ngrams.K, ngrams.folds)
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
        self.arrays = self.arrays._replace(tree=self.reader.tree, added=self.reader.added)
        find_row_nodes(*self.arrays[:2], self.arrays.histories, self.arrays.bases, self.arrays.extras)


def without_ngrams(K: int, R: int, log_q: float) -> NgramArrays:
    """Return what is passed to a kernel without an n-gram model; `log_q` is that of every character."""
    arrays = _make_arrays(empty_tree(), empty_added(), R, 0, K, 0)
    arrays.log_q[:] = log_q
    return arrays


def _make_arrays(tree: Tree, added: Added, R: int, order: int, K: int, folds: int) -> NgramArrays:
    bases, extras = np.zeros((2, R, order + 1), np.int64)
    return NgramArrays(
        tree, added, False, np.zeros(1, np.int64),
        histories=np.zeros((R, order), np.int32),
        bases=bases,
        extras=extras,
        folds=np.full(R, folds, np.int64),
        log_q=np.zeros((R, K), np.float32),
        matched=np.zeros(R, np.int64),
    )  # fmt: skip


class BackgroundText(NamedTuple):
    """A text as indices into its characters."""

    characters: str
    text: NDArray[np.uint8]


@functools.cache
def read_background_text() -> BackgroundText:
    """Return the text that the built-in model counts."""
    with unpack_builtin(BACKGROUND_MODEL) as path:
        description, tensors = read_tensors(path)
    return BackgroundText(json.loads(description)["alphabet"], tensors[NGRAM_TEXT].astype(np.uint8))


def count_background(ngrams: NgramModel | None, alphabet: Alphabet, N: int) -> NgramModel:
    """Return the background model for a file of N symbols, given the n-gram model of the training text, if any."""
    training_text = np.zeros(0, np.uint8) if ngrams is None else ngrams.text
    background = read_background_text()
    room = COUNTED_PER_SYMBOL * max(1, N)
    of_training_text = min(len(training_text), room, MAX_TRAINING_TEXT)
    of_background = min(len(background.text), room - of_training_text)
    end = BackgroundText(background.characters, background.text[len(background.text) - of_background :])
    text = (_translate(end, alphabet), training_text[len(training_text) - of_training_text :].astype(np.uint32))
    return NgramModel(np.concatenate(text), len(alphabet) + 1, ORDER, DISCOUNT, folds=0)


def _translate(background: BackgroundText, alphabet: Alphabet) -> NDArray[np.uint32]:
    """Return the text as symbols of an alphabet."""
    characters = alphabet.characters
    other = len(characters) - 1 if alphabet.has_unknown else len(characters)
    known = {c: k for k, c in enumerate(characters[: len(characters) - alphabet.has_unknown])}
    symbols = np.array([known.get(c, other) for c in background.characters], np.uint32)
    translated: NDArray[np.uint32] = symbols[background.text]
    return translated
