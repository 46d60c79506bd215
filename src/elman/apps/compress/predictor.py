"""The predictor of the symbols of a text, and the steps of coding, which an encoder and a decoder share.

R  rows: substreams coded in lockstep      K  alphabet size; symbol K is the escape      n  context length of the prior

At each step the next symbol of every row is predicted and coded; then the model learns from the characters and reads
them. An escape, as in PPM, announces a byte that is not part of a character of the alphabet. Its probability is
estimated adaptively, separately after a character and after an escaped byte. A single unknown character therefore costs
little elsewhere, and a file of only bytes costs little more than its bytes. The model does not read escaped bytes; but
if the alphabet has an unknown symbol, it reads that symbol at the first byte of each escaped character.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.apps.compress import exact_network, mixing
from elman.apps.compress.arithmetic import ESCAPE_PROB_BITS, Floats, Ints, Ints32, apportion, axpy, copy, set_freqs
from elman.apps.compress.container import CodecMode
from elman.apps.compress.exact_network import Network, Weights, make_network
from elman.apps.compress.matches import make_matches, read_symbols, reserve_steps
from elman.apps.compress.mixing import make_mixture
from elman.apps.compress.range_coder import Coder, bad_end_error, code
from elman.jit import exact, exact_step
from elman.ngram import (
    NONE,
    Added,
    NgramModel,
    NgramReader,
    Table,
    Workspace,
    empty_added,
    empty_table,
    find_row_nodes,
    make_nodes,
    make_workspace,
    read_rows,
    reader,
)
from elman.text import Alphabet

BYTES = 256
COUNT_STEP, MAX_TOTAL = 1 << 15, 1 << 24
"""The increase of a byte's count at each occurrence, and the total above which all counts are halved."""
ESCAPE_RATE_SHIFT = 5  # at each symbol, the probability of an escape moves 2^-5 of the way to the observation
MAX_TOKENS = 1 << 12  # tokens that a kernel codes at a time, about 20 ms
_ESCAPE_AFTER_CHARACTER = 1 << ESCAPE_RATE_SHIFT
_ESCAPE_AFTER_BYTE = 1 << (ESCAPE_PROB_BITS - 1)
"""Initial probability of an escape, in units of 2^-20: the smallest possible, and one half."""
_INITIAL_BYTE_COUNT = 1 << 10
_LOG_Q = -4.0  # log q of every character in a mixture without an n-gram prior
MAX_ADDED_CONTEXTS = 1 << 23
"""Contexts of the coded text above which all its counts are dropped; like the restart of PPMd, this bounds the
memory."""
ROOM = 1 << 9  # characters for which room is made at a time; afterwards, contexts are compared with their maximum


# --- The n-gram prior, whose log q are rounded to float32 ---
#
# A model may count while coding. All substreams then share its counts, which grow in a fixed order: at each step, row
# by row, the character that a substream reads is counted after its contexts, and then its distribution is computed.


class NgramArrays(NamedTuple):
    """An n-gram model and R histories; everything except `table` and `grows` is changed in place."""

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
    matched: Ints  # (R,): matched lengths
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


def _make_arrays(table: Table, added: Added, R: int, K: int) -> NgramArrays:
    (bases, extras), log_q = make_nodes(R, table.context_length), np.zeros((R, K), np.float32)
    histories, room = np.zeros((R, table.context_length), np.int32), np.zeros(1, np.int64)
    matched = np.zeros(R, np.int64)
    find_row_nodes(table, added, histories, bases, extras)
    return NgramArrays(
        table, added, False, room, histories, bases, extras, np.full(R, table.folds, np.int64), log_q,
        log_q.reshape(-1), matched, make_workspace(K, table.context_length),
    )  # fmt: skip


# --- Coding ---


class Escapes(NamedTuple):
    """The predictor of escapes and of the bytes that follow them; changed in place."""

    has_unknown: bool  # whether the last character of the alphabet is the unknown symbol
    probs: Ints  # (R, 2): probabilities of an escape, see `arithmetic.set_freqs`
    was_byte: Ints  # (R,)
    byte_counts: Ints  # (R, 256)


class Results(NamedTuple):
    """Results of a step; changed in place."""

    mixed: Floats  # (R, K): the logits of the next characters
    freqs: Floats  # (R, K + 1): the frequencies of the next symbols minus one
    counts: Ints  # (K,): see `arithmetic.set_freqs`
    byte_freqs: Floats  # (1, 256)
    byte: Ints  # (1,)
    symbols: Ints  # (R,)
    x: Ints  # (R,): the characters of the step; the last of the alphabet for a byte
    coded: NDArray[np.bool_]  # (R,): whether the row coded a character
    reads: NDArray[np.bool_]  # (R,): whether the row reads x


class ModelArrays(NamedTuple):
    """The model, and the predictor of escapes."""

    network: Network
    alpha: Floats  # (n + 1,)
    has_prior: bool
    prior: NgramArrays
    escapes: Escapes
    work: Results


@exact
def code_steps(coder, model, mixture, matches, table, n):
    """Code the steps of a table (steps, R), or of its first n tokens; return how many were coded.

    A decoder writes the tokens to the table. If n is not divisible by R, the rows that have ended keep reading the
    first character and code nothing. The kernel returns early when there is no room for counting. It returns -1 if no
    encoder can have written the file.

    mixture, matches : a `Mixture` with `Matches`, or None, for which kernels are compiled without them
    """
    R, work = table.shape[1], model.work
    for t in range(len(table)):
        if model.prior.grows and model.prior.room[0] < R:
            return t
        set_symbol_freqs(model, mixture, matches)
        tokens, symbols = table[t, : min(R, n - R * t)], work.symbols[: min(R, n - R * t)]
        for r in range(len(tokens)):
            symbols[r] = min(tokens[r], work.mixed.shape[1])
        if not code(coder, work.freqs, symbols) or not code_bytes(coder, model.escapes, work, tokens):
            return -1
        end_step(model, mixture, matches, table[t])
    return len(table)


@exact_step
def set_symbol_freqs(model, mixture, matches):
    """Set the frequencies of the next symbols."""
    escapes, prior, work, logits = model.escapes, model.prior, model.work, model.network.logits
    if mixture is None:
        for r in range(len(work.mixed)):
            copy(logits[r], work.mixed[r])
            if model.has_prior:
                axpy(work.mixed[r], model.alpha[prior.matched[r]], prior.log_q[r])
    else:
        mixing.mix_rows(mixture, (logits, prior.log_q, prior.matched), matches, work.mixed)
    set_freqs(work.mixed, escapes.probs, escapes.was_byte, escapes.has_unknown, work.counts, work.freqs)


@exact_step
def code_bytes(coder, escapes, work, tokens):
    """Set tokens (n,) to the symbols of the first rows and, after escapes, to bytes; return whether that succeeded."""
    byte, K = work.byte, work.mixed.shape[1]
    for r in range(len(tokens)):
        if work.symbols[r] < K:
            tokens[r] = work.symbols[r]
            continue
        counts = escapes.byte_counts[r]
        apportion(counts, np.int64(MAX_TOTAL - BYTES), work.byte_freqs[0])
        byte[0] = tokens[r] - K
        if not code(coder, work.byte_freqs, byte):
            return False
        tokens[r] = K + byte[0]
        count_byte(counts, byte[0])
    return True


@exact
def count_byte(counts, byte):
    """Count a byte, in counts (256,)."""
    counts[byte] += COUNT_STEP
    total = np.int64(0)
    for i in range(BYTES):
        total += counts[i]
    if total > MAX_TOTAL:
        for i in range(BYTES):
            counts[i] -= counts[i] >> 1


@exact_step
def end_step(model, mixture, matches, tokens):
    """Learn from the tokens of a step (R,), and read its characters; tokens >= K were escaped."""
    escapes, prior, logits, freqs = model.escapes, model.prior, model.network.logits, model.work.freqs
    x, coded, reads, K, any_reads = model.work.x, model.work.coded, model.work.reads, logits.shape[1], False
    for r in range(len(tokens)):
        coded[r] = tokens[r] < K
        x[r] = min(tokens[r], K - 1)
        reads[r] = coded[r] or (escapes.has_unknown and (tokens[r] - K) & 0xC0 != 0x80)
        any_reads = any_reads or reads[r]
        p = escapes.probs[r, escapes.was_byte[r]]
        change = -(p >> ESCAPE_RATE_SHIFT) if coded[r] else ((1 << ESCAPE_PROB_BITS) - p) >> ESCAPE_RATE_SHIFT
        escapes.probs[r, escapes.was_byte[r]] = p + change
        escapes.was_byte[r] = np.int64(not coded[r])
    if mixture is not None:
        mixing.learn_rows(mixture, (logits, prior.log_q, prior.matched), matches, freqs, x, coded)
    if any_reads:
        exact_network.read_characters(model.network, x, reads)
        if model.has_prior:
            read_ngrams(model.prior, x, reads)
        if mixture is not None:
            mixing.shift_context(mixture, x, reads)
            read_symbols(matches, x, reads)


def _make_results(R: int, K: int) -> Results:
    mixed, freqs, byte_freqs = (np.empty(shape, np.float32) for shape in ((R, K), (R, K + 1), (1, BYTES)))
    counts, byte, symbols, x = (np.zeros(length, np.int64) for length in (K, 1, R, R))
    coded, reads = np.zeros((2, R), np.bool_)
    return Results(mixed, freqs, counts, byte_freqs, byte, symbols, x, coded, reads)


class Predictor:
    """Predicts R substreams of N tokens that start alike."""

    def __init__(
        self, weights: Weights, alphabet: Alphabet, ngrams: NgramModel | None, mode: CodecMode, R: int, N: int
    ) -> None:
        K, start = weights.net.K, int(alphabet.encode(alphabet.start_char)[0])
        self.R = R
        self.prior = None if ngrams is None else NgramRows(ngrams, start, R, grows=mode.mixes)
        prior = self.prior.arrays if self.prior else _make_arrays(empty_table(), empty_added(), R, K)
        if self.prior is None:
            prior.log_q[:] = _LOG_Q
        probs = np.tile(np.array([_ESCAPE_AFTER_CHARACTER, _ESCAPE_AFTER_BYTE], np.int64), (R, 1))
        byte_counts = np.full((R, BYTES), _INITIAL_BYTE_COUNT, np.int64)
        escapes = Escapes(alphabet.has_unknown, probs, np.zeros(R, np.int64), byte_counts)
        has_prior, work = self.prior is not None, _make_results(R, K)
        self.model = ModelArrays(make_network(weights, R), weights.alpha, has_prior, prior, escapes, work)
        exact_network.read_characters(self.model.network, np.full(R, start, np.int64), np.ones(R, np.bool_))
        self.mixture = make_mixture(K, weights.alpha, R, start) if mode.mixes else None
        self.matches = make_matches(R, -(-N // R)) if mode.mixes else None

    def code(self, coder: Coder, table: Ints, n: int, count_coded: Callable[[int], None]) -> None:
        """Code n tokens, in `table` (steps, R) for an encoder; a decoder writes them there."""
        # `count_coded` is called with the number of tokens that were just coded.
        first = 0
        while first < len(table):
            steps, rest = table[first : first + max(1, MAX_TOKENS // self.R)], n - first * self.R
            self._reserve(coder, len(steps))
            coded = code_steps(coder.arrays, self.model, self.mixture, self.matches, steps, rest)
            if coded < 0:
                raise bad_end_error()
            count_coded(min(rest, coded * self.R))
            first += coded

    def _reserve(self, coder: Coder, steps: int) -> None:
        """Make room for so many steps, or at least one."""
        coder.reserve(2 * steps * self.R)
        if self.prior is not None:
            self.prior.reserve()
            self.model = self.model._replace(prior=self.prior.arrays)
        if self.matches is not None:
            self.matches = reserve_steps(self.matches, steps)
