"""Bitwise context mixing, after the PAQ compressors of M. Mahoney: the last stage of the mode that has it.

R  rows: substreams coded in lockstep      K  alphabet size      S  symbols: K characters and the escape

A symbol is coded as the bits of its path through a binary tree (`bit_counters`). Every bit is predicted by what
followed many contexts (`bit_contexts`, `bit_counters`), by what followed earlier occurrences of the last characters
(`matches`), and from three distributions: of the mixture, of the network alone and of the background model (`ngrams`).
A small network mixes these predictions and learns from every bit (`bit_mixer`).

Rows are coded in order, and what one teaches the next one uses. What a row reads takes part in its contexts after the
step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.compression import bit_contexts, bit_counters, bit_mixer
from elman.compression.arithmetic import FREQ_BITS, Floats, Ints, exact
from elman.compression.bit_contexts import Rows, fold_symbols, make_rows, symbol_classes
from elman.compression.bit_counters import Counters, Tree, build_tree, make_counters
from elman.compression.bit_mixer import (
    CONSTANT,
    DISTRIBUTIONS,
    FIRST_DISTRIBUTION,
    FIRST_MATCH,
    Mixer,
    make_mixer,
)
from elman.compression.matches import observe_bit, set_match_inputs
from elman.compression.ngrams import NgramArrays, without_ngrams
from elman.compression.range_coder import code
from elman.ngram.kernels import set_logs
from elman.text import Alphabet

Floats64 = NDArray[np.float64]

_MIN_FREQ, _FREQ_TOTAL = np.int64(1 << 6), np.int64(1 << FREQ_BITS)
"""Frequencies of a bit: p is at least 2^-18."""
_SCALE = np.float32(1 << FREQ_BITS)


class Ratios(NamedTuple):
    """The distributions of other predictors at all nodes; workspace."""

    totals: Ints  # (S - 1,): the frequency of all symbols below a node
    ratios: Floats64  # (S - 1,): of the symbols below bit 1 to those below bit 0
    logs: Floats64  # (DISTRIBUTIONS, S - 1)
    bits: Ints  # (S - 1,): workspace of `set_logs`
    powers: Floats64  # (S - 1,): the same


class BitwiseModel(NamedTuple):
    """Everything that predicts bits, but for the match models."""

    tree: Tree
    classes: Ints  # (S,): see `bit_contexts.symbol_classes`
    folded: Ints  # (S,): see `bit_contexts.fold_symbols`
    rows: Rows
    counters: Counters
    mixer: Mixer
    ratios: Ratios
    freqs: Floats  # (DISTRIBUTIONS, R, S): of the other predictors, minus one
    background: NgramArrays
    pair: Floats  # (1, 2): frequencies of a bit, minus one
    bit: Ints  # (1,)


@exact
def code_symbols(coder, model, matches, symbols):
    """Code symbols (n,) of the first n rows, with the frequencies of other predictors; return whether it worked."""
    for r in range(len(symbols)):
        for e in range(DISTRIBUTIONS):
            set_ratios(model.tree, model.freqs[e, r], model.ratios, e)
        if not code_symbol(coder, model, matches, symbols, r):
            return False
    return True


@exact
def set_ratios(tree, freqs, ratios, e):
    """Set what the frequencies minus one (S,) of distribution e say about the bit at every node."""
    totals, children = ratios.totals, tree.children
    for node in range(len(children)):
        zero, one = children[node, 0], children[node, 1]
        below_zero = totals[zero] if zero >= 0 else np.int64(freqs[-1 - zero]) + 1
        below_one = totals[one] if one >= 0 else np.int64(freqs[-1 - one]) + 1
        totals[node] = below_zero + below_one
        ratios.ratios[node] = np.float64(below_one) / np.float64(below_zero)
    set_logs(ratios.ratios, ratios.bits, ratios.powers, ratios.logs[e], 0)


@exact
def code_symbol(coder, model, matches, symbols, r):
    """Code a symbol of row r and learn from it; return whether that worked."""
    tree, inputs, pair, bit = model.tree, model.mixer.inputs, model.pair, model.bit
    bit_contexts.set_hashes(model.rows, r, model.classes, model.counters.hashes)
    bit_mixer.select(model.mixer, model.rows.last[r], model.rows.line[r], matches.selected[r])
    node, depth, group = np.int64(len(tree.children) - 1), np.int64(0), np.int64(-1)
    while node >= 0:
        if tree.groups[node] != group:
            group = tree.groups[node]
            bit_counters.find_buckets(model.counters, group)
        place = tree.places[node]
        bit_counters.set_counter_inputs(model.counters, place, inputs)
        set_match_inputs(matches, r, tree, node, depth, model.counters.stretches, inputs, FIRST_MATCH)
        inputs[FIRST_DISTRIBUTION - 1] = CONSTANT
        for e in range(DISTRIBUTIONS):
            inputs[FIRST_DISTRIBUTION + e] = np.float32(model.ratios.logs[e, node])
        bit_mixer.mix(model.mixer, node)
        bit[0] = tree.bits[symbols[r], depth]
        one = np.int64(model.mixer.result[2] * _SCALE)
        one = min(max(one, _MIN_FREQ), _FREQ_TOTAL - _MIN_FREQ)
        pair[0, 0], pair[0, 1] = np.float32(_FREQ_TOTAL - one - 1), np.float32(one - 1)
        if not code(coder, pair, bit):
            return False
        bit_mixer.learn(model.mixer, bit[0])
        bit_counters.count_bit(model.counters, place, bit[0])
        observe_bit(matches, r, bit[0])
        node, depth = tree.children[node, bit[0]], depth + 1
    symbols[r] = -1 - node
    return True


@exact
def read_contexts(model, symbols, reads):
    """Let the contexts of the rows read symbols (R,), where `reads` (R,) is true."""
    for r in range(len(symbols)):
        if reads[r]:
            bit_contexts.read_symbol(model.rows, r, symbols[r], model.classes, model.folded)


def build_bitwise_model(counts: Ints, alphabet: Alphabet, R: int, start: int) -> BitwiseModel:
    """Return a model of R rows that has read only the character `start`, which precedes every row.

    Parameters
    ----------
    counts : ndarray of int, shape (S,)
        How often each symbol is expected, which determines the tree.
    alphabet : Alphabet
    R, start : int
    """
    S, nodes = len(alphabet) + 1, len(alphabet)
    classes, folded, rows = symbol_classes(alphabet), fold_symbols(alphabet), make_rows(R)
    for r in range(R):
        bit_contexts.read_symbol(rows, r, start, classes, folded)
    return BitwiseModel(
        tree=build_tree(counts),
        classes=classes,
        folded=folded,
        rows=rows,
        counters=make_counters(),
        mixer=make_mixer(S),
        ratios=Ratios(
            totals=np.zeros(nodes, np.int64),
            ratios=np.zeros(nodes),
            logs=np.zeros((DISTRIBUTIONS, nodes)),
            bits=np.zeros(nodes, np.int64),
            powers=np.zeros(nodes),
        ),
        freqs=np.zeros((DISTRIBUTIONS, R, S), np.float32),
        background=without_ngrams(S, R, 0.0),
        pair=np.zeros((1, 2), np.float32),
        bit=np.zeros(1, np.int64),
    )
