"""Kernels of coding: the sequence of steps that an encoder and a decoder share, under the rules of `exact_kernels`.

R  rows: substreams coded in lockstep   m  hidden units per layer
K  alphabet size; symbol K is the escape                           P  state vectors (m,)

At each step the next symbol of every row is predicted and coded; then the model learns from the characters and reads
them. An escape, as in PPM, announces a byte that is not part of a character of the alphabet. Its probability is
estimated adaptively, separately after a character and after an escaped byte. So a single unknown character costs little
elsewhere, and a file of nothing but bytes costs little more than its bytes. The model does not read escaped bytes; but
if the alphabet has an unknown symbol, it reads that symbol at the first byte of each escaped character.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.compression.bitwise.model import code_symbols, read_step
from elman.compression.exact_coder import code
from elman.compression.exact_gradients import Window, output_gradient
from elman.compression.exact_kernels import (
    Floats,
    Ints,
    add_prior,
    apportion,
    compute_symbol_freqs,
    copy,
    exact,
    exact_inline,
    forward_step,
    update_escape_probs,
)
from elman.compression.exact_prior import NOTHING, PriorArrays, read_prior
from elman.compression.experts.mixing import Mixture, learn_rows, mix_rows, read_rows
from elman.compression.experts.words import set_bonuses
from elman.compression.shared_forward import SharedForward, shared_forward_step

BYTES = 256
COUNT_STEP, MAX_TOTAL = 1 << 15, 1 << 24
"""What a byte's count increases by at each occurrence, and the total above which all counts are halved."""

UNREAD, READ = range(2)
"""Results of a step: no row read a character; some did."""


class Escapes(NamedTuple):
    """What predicts escapes and the bytes that follow them; changed in place."""

    has_unknown: bool  # whether the last character of the alphabet is the unknown symbol
    probs: Ints  # (R, 2): of an escape, see `exact_kernels.compute_symbol_freqs`
    was_byte: Ints  # (R,)
    byte_counts: Ints  # (R, 256)


class Workspace(NamedTuple):
    """Results of the last step; changed in place."""

    mixed: Floats  # (R, K): the logits of the next characters
    freqs: Floats  # (R, K + 1): the frequencies of the next symbols minus one
    byte_freqs: Floats  # (1, 256)
    byte: Ints  # (1,)
    symbols: Ints  # (R,)
    x: Ints  # (R,): the characters of the last step; the last of the alphabet for a byte
    coded: NDArray[np.bool_]  # (R,): whether the row coded a character
    reads: NDArray[np.bool_]  # (R,): whether the row read x
    g: Floats  # (R, K): dL/do, the probabilities of the characters minus their one-hot vectors; 0 without a character


class ModelArrays(NamedTuple):
    """Everything that predicts, except the network."""

    escapes: Escapes
    has_prior: bool
    prior: PriorArrays
    alpha: Floats  # (n + 1,)
    is_mixture: bool
    mixture: Mixture
    logits: Floats  # (R, K): of the network
    workspace: Workspace


class NetworkArrays(NamedTuple):
    """A network, see `exact_kernels.forward_step`, and whether it has still to read `Workspace.x` (1,)."""

    theta: Floats
    cell: int
    G: int
    pending: NDArray[np.bool_]
    is_trained: bool
    window: Window
    shared: SharedForward  # empty unless an assistant takes part in the forward step


@exact
def code_steps(coder, model, bitwise, network, table, first, last, n):
    """Code the steps from `first` to `last` of a table (steps, R) of n tokens; return the first that was not coded.

    A decoder writes the tokens to the table. Where n is not divisible by R, the rows that have ended keep reading the
    first character and code nothing. The kernel returns before `last` when there is no room for counting, and when the
    window is full and the network can be trained on it. It returns -1 if no encoder wrote the file.

    bitwise : a `BitwiseModel`, or None, for which the kernel is compiled without it. Numba recognizes that only here.
    """
    R, window, work = table.shape[1], network.window, model.workspace
    for t in range(first, last):
        if model.prior.counts != NOTHING and model.prior.room[0] < R:
            return t
        if bitwise is not None:  # noqa: SIM102 (in a condition with others Numba would not recognize it)
            if bitwise.background.counts != NOTHING and bitwise.background.room[0] < R:
                return t
        if network.pending[0]:
            read_characters(network, model)
        set_symbol_freqs(model)
        tokens, symbols = table[t, : min(R, n - R * t)], work.symbols[: min(R, n - R * t)]
        for r in range(len(tokens)):
            symbols[r] = min(tokens[r], work.mixed.shape[1])
        if bitwise is None:
            is_valid = code(coder, work.freqs, symbols)
        else:
            set_expert_freqs(bitwise, model)
            is_valid = code_symbols(coder, bitwise, model.mixture.matches.history, symbols)
        if not is_valid or not code_bytes(coder, model.escapes, work, tokens):
            return -1
        result = end_step(model, table[t])
        if bitwise is not None and result == READ:
            matches = model.mixture.matches
            read_step(bitwise, matches.history, matches.text_size, matches.step[0] - 1, work.x, work.reads)
            if len(bitwise.freqs) > 1:
                read_prior(bitwise.background, work.x, work.reads)
        network.pending[0] = result == READ
        if network.is_trained and result == READ:
            if not model.is_mixture:
                for r in range(R):
                    output_gradient(work.freqs[r], work.x[r], work.g[r])
            for r in range(R):
                copy(work.g[r], window.g[window.filled[0], r])
            window.filled[0] += 1
            if window.filled[0] == len(window.g):
                return t + 1
    return last


@exact_inline
def read_characters(network, model):
    """Let the network read the characters of the last step, and set its logits."""
    window, work, K = network.window, model.workspace, model.logits.shape[1]
    w, R = window.filled[0], len(work.x)
    before, after = window.states[w], window.states[w + 1]
    gates, logits = window.gates[w], window.logits
    if len(network.shared.queue) > 0:
        shared_forward_step(network.shared, work.x[0], before, gates, logits)
    else:
        forward_step(network.theta, network.cell, network.G, K, work.x, before, after, gates, logits, 0, R)
    end_reading(network, model)


@exact
def end_reading(network, model):
    """Store what the forward step found, in the rows that read a character."""
    window, work, prior = network.window, model.workspace, model.prior
    w = window.filled[0]
    before, after = window.states[w], window.states[w + 1]
    for r in range(len(work.x)):
        if work.reads[r]:
            copy(window.logits[r], model.logits[r])
        for p in range(len(before)):
            if not work.reads[r]:
                copy(before[p, r], after[p, r])
            elif not network.is_trained:
                copy(after[p, r], before[p, r])
        if network.is_trained:
            window.x[w, r], window.matched[w, r] = work.x[r], prior.matched[r]
            copy(prior.log_q[r], window.log_q[w, r])
    network.pending[0] = False


@exact_inline
def end_step(model, tokens):
    """Learn from the tokens of a step (R,) and, except in the network, read them; return whether any is read."""
    escapes, prior, work = model.escapes, model.prior, model.workspace
    K, result = work.mixed.shape[1], UNREAD
    for r in range(len(tokens)):
        work.coded[r] = tokens[r] < K
        work.x[r] = min(tokens[r], K - 1)
        work.reads[r] = work.coded[r] or (escapes.has_unknown and (tokens[r] - K) & 0xC0 != 0x80)
        if work.reads[r]:
            result = READ
    if model.is_mixture:
        learn_rows(model.mixture, model.logits, prior.log_q, prior.matched, work.freqs, work.x, work.coded, work.g)
    update_escape_probs(tokens, K, escapes.probs, escapes.was_byte)
    if result == READ:
        if model.is_mixture:
            read_rows(model.mixture, work.x, work.reads)
        if model.has_prior:
            read_prior(prior, work.x, work.reads)
    return result


@exact_inline
def set_symbol_freqs(model):
    """Set the frequencies of the next symbols."""
    escapes, prior, work = model.escapes, model.prior, model.workspace
    if model.is_mixture:
        set_bonuses(model.mixture.words, prior.log_q)
        mix_rows(model.mixture, model.logits, prior.log_q, prior.matched, work.mixed)
    else:
        for r in range(len(work.mixed)):
            copy(model.logits[r], work.mixed[r])
        if model.has_prior:
            add_prior(model.alpha, prior.log_q, prior.matched, work.mixed)
    compute_symbol_freqs(work.mixed, escapes.probs, escapes.was_byte, escapes.has_unknown, work.freqs)


@exact_inline
def set_expert_freqs(bitwise, model):
    """Set the frequencies of the distributions that bits are predicted from."""
    escapes, work, freqs = model.escapes, model.workspace, bitwise.freqs
    R, K = work.mixed.shape
    for r in range(R):
        copy(work.freqs[r], freqs[0, r])
    if len(freqs) > 1:
        compute_symbol_freqs(model.logits, escapes.probs, escapes.was_byte, escapes.has_unknown, freqs[1])
        for r in range(R):
            copy(bitwise.background.log_q[r, :K], work.mixed[r])
        compute_symbol_freqs(work.mixed, escapes.probs, escapes.was_byte, escapes.has_unknown, freqs[2])


@exact_inline
def code_bytes(coder, escapes, work, tokens):
    """Set tokens (n,) to the symbols of the first rows and, after escapes, to bytes; return whether that worked."""
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
