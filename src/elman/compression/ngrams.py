"""The n-gram models of substreams that are coded in lockstep, in exact arithmetic.

R  rows: substreams coded in lockstep   n  order
K  alphabet size                        code  the index of a character + 1; 0 where there is none

The distributions are those of `elman.ngram.model`, computed by the kernels of `elman.ngram`: integers
and float64 under the rules of `arithmetic`, with a logarithm of their own. log q is rounded to float32.

A model may count while coding. All substreams then share its counts, which grow in a fixed order: at each step, row by
row, the character that a substream reads is counted after its contexts, and then its distribution is computed.

There are two models. The n-gram prior is that of the network. The background model, of bitwise context mixing only, is
the n-gram prior of the built-in model, with the counts of the network's added: a training text has few of the words of
its language, and the built-in model counts four million characters of English prose and Python, as brotli contains a
dictionary. The background model has K + 1 symbols: a character that the alphabet lacks is the unknown character, if
there is one, and else the escape. The built-in model's counts are part of the file format.
"""

from __future__ import annotations

import functools
import json
from typing import NamedTuple

import numpy as np

from elman.compression.arithmetic import Floats, Ints, Ints32, exact
from elman.ngram.compiled_table import NONE, Added, Table, empty_added, empty_table
from elman.ngram.file import pop_ngram_tensors, restore_ngrams
from elman.ngram.kernels import (
    NgramReader,
    Workspace,
    find_row_nodes,
    make_nodes,
    make_workspace,
    read_rows,
    reader,
)
from elman.ngram.merging import merge, translate
from elman.ngram.model import NgramModel
from elman.ngram.table import CODES
from elman.storage.builtin import MODELS, unpack_builtin
from elman.storage.tensors import read_tensors
from elman.text import Alphabet

MAX_ADDED_CONTEXTS = 1 << 23
"""Contexts of the text coded above which all its counts are dropped, which bounds the memory as the restart of PPMd
does."""
ROOM = 1 << 9
"""Characters for which room is made at a time, and after which contexts are compared with their maximum."""
BACKGROUND_MODEL = MODELS[0]
"""The built-in model whose counts are those of the background model."""


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
        ngrams.log_q.reshape(-1), ngrams.matched, ngrams.workspace,
    )  # fmt: skip


class NgramRows:
    """An n-gram model that reads R substreams which start alike.

    Parameters
    ----------
    ngrams : NgramModel
        It does not change.
    start : int
        The character that precedes every substream; it is read, but not counted.
    R : int
    grows : bool
        Whether characters are counted as they are read.
    """

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
    bases, extras = make_nodes(R, table.order)
    arrays = NgramArrays(
        table, added, False, np.zeros(1, np.int64),
        histories=np.zeros((R, table.order), np.int32),
        bases=bases,
        extras=extras,
        folds=np.full(R, table.folds, np.int64),
        log_q=np.zeros((R, K), np.float32),
        matched=np.zeros(R, np.int64),
        workspace=make_workspace(K, table.order),
    )  # fmt: skip
    find_row_nodes(table, added, arrays.histories, bases, extras)
    return arrays


# --- The background model ---


def background_model(ngrams: NgramModel | None, alphabet: Alphabet) -> NgramModel:
    """Return the background model, given the n-gram prior, if there is one; it is made on first use."""
    builtin = read_builtin_ngrams()
    derived = {} if ngrams is None else ngrams.derived
    if "background" not in derived:
        symbols, order = _find_symbols(builtin.characters, alphabet), builtin.ngrams.order
        background = translate(builtin.ngrams, symbols, len(alphabet) + 1, order)
        if ngrams is not None:
            background = merge(ngrams, background, np.arange(ngrams.K))
        derived["background"] = background
    model: NgramModel = derived["background"]
    return model


def count_symbols(ngrams: NgramModel) -> Ints:
    """Return about how often each symbol (K,) occurs in the text of a model: in its longest strings."""
    if "symbols" not in ngrams.derived:
        nodes = ngrams.table.unpack()
        first = nodes.level_starts()[-2] - 1
        weights = CODES[nodes.weights[first:]].astype(np.float64)
        ngrams.derived["symbols"] = np.bincount(nodes.symbols[first:], weights, ngrams.K).astype(np.int64)
    counts: Ints = ngrams.derived["symbols"]
    return counts


class BuiltinNgrams(NamedTuple):
    """An n-gram model and its alphabet."""

    characters: str
    ngrams: NgramModel


@functools.cache
def read_builtin_ngrams() -> BuiltinNgrams:
    """Return the n-gram prior of the built-in model."""
    with unpack_builtin(BACKGROUND_MODEL) as path:
        text, tensors = read_tensors(path)
    description = json.loads(text)
    characters, order = description["alphabet"], description["config"]["ngram_order"]
    arrays = pop_ngram_tensors(tensors)
    return BuiltinNgrams(characters, restore_ngrams(description["ngrams"], arrays, len(characters), order, None))


def _find_symbols(characters: str, alphabet: Alphabet) -> Ints:
    """Return the symbol of each of these characters."""
    K = len(alphabet)
    known = {c: k for k, c in enumerate(alphabet.characters[: K - alphabet.has_unknown])}
    return np.array([known.get(c, K - alphabet.has_unknown) for c in characters], np.int64)
