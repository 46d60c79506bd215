"""The bitwise model: it codes the symbols of R rows, each as the bits of its path, and learns from them.

R  rows: substreams coded in lockstep      K  alphabet size      S  symbols: K characters and the escape
E  distributions of other experts: of the mixture; in some modes, of the network and the background model too

Rows are coded in order, and what one teaches the next one uses. What a row reads takes part in its contexts after the
step. Before the first symbol the model codes the training text, as far as the n-gram model has it, without the other
experts: what they predict of a text on which they were trained would mislead. Of a long training text for a short file
it reads only the end, `PRIMED_PER_SYMBOL` symbols for each symbol of the file.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.compression.bitwise import contexts, counters, matches, mixer
from elman.compression.bitwise.contexts import Rows, fold_symbols, make_rows, symbol_classes
from elman.compression.bitwise.counters import Counters, align, make_counters
from elman.compression.bitwise.matches import Matches, make_matches
from elman.compression.bitwise.mixer import CODING, CONSTANT, PRIMING, Mixer
from elman.compression.bitwise.tree import Tree, build_tree
from elman.compression.bitwise.variants import Variant
from elman.compression.exact_coder import code
from elman.compression.exact_kernels import FREQ_BITS, Floats, Ints, allocating, exact
from elman.compression.exact_prior import PriorArrays, no_prior
from elman.compression.experts.match import MAX_CODED, NONE, Ints32
from elman.compression.range_coder import Coder
from elman.engine.numba.ngrams.distributions import set_logs
from elman.network.ngram import NgramModel
from elman.text import Alphabet

Floats64 = NDArray[np.float64]

PRIMED_PER_SYMBOL = 16
MIN_PRIMED, MAX_PRIMED = 1 << 14, 1 << 22
"""Symbols of the training text that are read at least, if it has as many, and at most."""
MIN_SIZE = 1 << 12
"""Symbols for which there is room whatever the training text, if a file has as many."""
MAX_KEPT = 1 << 17
"""Symbols read up to which a model is kept for the next file: that of a long text is large."""
_MIN_FREQ, _FREQ_TOTAL = np.int64(1 << 6), np.int64(1 << FREQ_BITS)
"""Frequencies of a bit: p is at least 2^-18."""
_SCALE = np.float32(1 << FREQ_BITS)


class Ratios(NamedTuple):
    """The distributions of other experts at all nodes; workspace."""

    totals: Ints  # (S - 1,): the frequency of all symbols below a node
    ratios: Floats64  # (S - 1,): of the symbols below bit 1 to those below bit 0
    logs: Floats64  # (E, S - 1): 0 while the training text is read
    bits: Ints  # (S - 1,): workspace of `set_logs`
    powers: Floats64  # (S - 1,): the same


class BitwiseModel(NamedTuple):
    """Everything that predicts bits."""

    tree: Tree
    classes: Ints  # (S,): see `contexts.symbol_classes`
    folded: Ints  # (S,): see `contexts.fold_symbols`
    rows: Rows
    counters: Counters
    matches: Matches
    mixer: Mixer
    ratios: Ratios
    freqs: Floats  # (E, R, S): of the other experts, minus one
    background: PriorArrays  # unused if E is 1
    pair: Floats  # (1, 2): frequencies of a bit, minus one
    bit: Ints  # (1,)


@exact
def code_symbols(coder, model, history, symbols):
    """Code symbols (n,) of the first n rows, with the frequencies of the other experts; return whether it worked."""
    for r in range(len(symbols)):
        for e in range(len(model.freqs)):
            set_ratios(model.tree, model.freqs[e, r], model.ratios, e)
        if not code_symbol(coder, model, history, symbols, r, True):
            return False
    return True


@exact
def set_ratios(tree, freqs, ratios, e):
    """Set what the frequencies minus one (S,) of expert e say about the bit at every node."""
    totals, children = ratios.totals, tree.children
    for node in range(len(children)):
        zero, one = children[node, 0], children[node, 1]
        below_zero = totals[zero] if zero >= 0 else np.int64(freqs[-1 - zero]) + 1
        below_one = totals[one] if one >= 0 else np.int64(freqs[-1 - one]) + 1
        totals[node] = below_zero + below_one
        ratios.ratios[node] = np.float64(below_one) / np.float64(below_zero)
    set_logs(ratios.ratios, ratios.bits, ratios.powers, ratios.logs[e], 0)


@exact
def code_symbol(coder, model, history, symbols, r, is_primed):
    """Code a symbol of row r and learn from it; return whether that worked. Before priming ends there is no coder."""
    tree, inputs, pair, bit = model.tree, model.mixer.inputs, model.pair, model.bit
    contexts.set_hashes(model.rows, r, model.classes, model.counters.hashes)
    selected = matches.set_predictions(model.matches, history, r)
    mixer.select(model.mixer, model.rows.last[r], model.rows.line[r], selected)
    phase, first_match = CODING if is_primed else PRIMING, 2 * len(model.counters.hashes)
    end_of_matches = first_match + 2 * len(model.matches.pointers)
    node, depth, group = np.int64(len(tree.children) - 1), np.int64(0), np.int64(-1)
    while node >= 0:
        if tree.groups[node] != group:
            group = tree.groups[node]
            counters.find_buckets(model.counters, group)
        place = tree.places[node]
        counters.set_counter_inputs(model.counters, place, inputs)
        matches.set_match_inputs(model.matches, tree, node, depth, model.counters.stretches, inputs, first_match)
        inputs[end_of_matches] = CONSTANT
        for e in range(len(model.ratios.logs)):
            inputs[end_of_matches + 1 + e] = np.float32(model.ratios.logs[e, node])
        mixer.mix(model.mixer, node)
        bit[0] = tree.bits[symbols[r], depth]
        if is_primed:
            one = np.int64(model.mixer.result[2] * _SCALE)
            one = min(max(one, _MIN_FREQ), _FREQ_TOTAL - _MIN_FREQ)
            pair[0, 0], pair[0, 1] = np.float32(_FREQ_TOTAL - one - 1), np.float32(one - 1)
            if not code(coder, pair, bit):
                return False
        mixer.learn(model.mixer, bit[0], phase)
        counters.count_bit(model.counters, place, bit[0])
        matches.observe_bit(model.matches, bit[0])
        node, depth = tree.children[node, bit[0]], depth + 1
    symbols[r] = -1 - node
    return True


@exact
def read_step(model, history, N, step, symbols, coded):
    """Let the rows read symbols (R,), where `coded` (R,) is true; they are in the history, in step `step`."""
    for r in range(len(symbols)):
        if coded[r]:
            contexts.read_symbol(model.rows, r, symbols[r], model.classes, model.folded)
    matches.read_symbols(model.matches, history, N, step, symbols, coded)


@allocating
def prime(coder, model, text):
    """Read a text in row 0, without the other experts."""
    symbol, coded = np.zeros(1, np.int64), np.ones(1, np.bool_)
    for i in range(len(text)):
        symbol[0] = text[i]
        code_symbol(coder, model, text, symbol, 0, False)
        read_step(model, text, 0, i, symbol, coded)


def build_bitwise_model(
    ngrams: NgramModel | None, alphabet: Alphabet, R: int, N: int, start_char: int, variant: Variant
) -> BitwiseModel:
    """Return the model of R rows of N symbols in all, which has read the training text, as far as there is one.

    Its tables are as large as the training text demands, whatever N is: a file may announce more than it contains.
    """
    text = np.zeros(0, np.int32) if ngrams is None else ngrams.text.astype(np.int32)
    primed = text[max(0, len(text) - min(max(PRIMED_PER_SYMBOL * N, MIN_PRIMED), MAX_PRIMED)) :]
    model = _primed_model(ngrams, alphabet, text, primed, max(len(primed), min(N, MIN_SIZE)), variant)
    text_tables = model.matches.coded_tables
    text_tables = np.where(text_tables >= 0, text_tables + (len(text) - len(primed)), NONE).astype(np.int32)
    matches_of_rows = make_matches(R, min(N, MAX_CODED), variant.M, _line_feed(alphabet), text_tables)._replace(
        probs=model.matches.probs, seen=model.matches.seen
    )
    rows = make_rows(R)
    for r in range(R):
        contexts.read_symbol(rows, r, start_char, model.classes, model.folded)
    mixer.include_distributions(model.mixer, 2 * (variant.C + variant.M) + 1, variant.initial_weights())
    freqs = np.zeros((len(variant.weights), R, len(alphabet) + 1), np.float32)
    return model._replace(rows=rows, matches=matches_of_rows, freqs=freqs)


def _primed_model(
    ngrams: NgramModel | None, alphabet: Alphabet, text: Ints32, primed: Ints32, size: int, variant: Variant
) -> BitwiseModel:
    """Return a model that has read `primed`, the end of the training text, with tables for `size` symbols.

    A small one is made once, as many short files may follow.
    """
    made = {} if ngrams is None else ngrams.tables.setdefault("bitwise", {})
    key = len(primed), size, variant
    model: BitwiseModel | None = made.get(key)
    if model is None:
        model = _make_model(alphabet, np.bincount(text, minlength=len(alphabet) + 1), size, variant)
        prime(Coder().arrays, model, primed)
        if len(primed) > MAX_KEPT:
            return model
        made.clear()
        made[key] = model
    return _copy(model)


def _make_model(alphabet: Alphabet, counts: Ints, symbols: int, variant: Variant) -> BitwiseModel:
    """Return a model of one row, with tables for so many symbols, whose tree is that of the `counts` (S,)."""
    nodes, E = len(counts) - 1, len(variant.weights)
    return BitwiseModel(
        tree=build_tree(counts),
        classes=symbol_classes(alphabet),
        folded=fold_symbols(alphabet) if variant.folds_case else np.arange(len(counts)),
        rows=make_rows(1),
        counters=make_counters(symbols, variant.C),
        matches=make_matches(1, symbols, variant.M, _line_feed(alphabet)),
        mixer=mixer.make_mixer(len(counts), variant.C, variant.M, variant.mixer_rates(), variant.own_share),
        ratios=Ratios(
            totals=np.zeros(nodes, np.int64),
            ratios=np.zeros(nodes),
            logs=np.zeros((E, nodes)),
            bits=np.zeros(nodes, np.int64),
            powers=np.zeros(nodes),
        ),
        freqs=np.zeros((E, 1, len(counts)), np.float32),
        background=no_prior(len(counts), 1, 0.0),
        pair=np.zeros((1, 2), np.float32),
        bit=np.zeros(1, np.int64),
    )


def _copy(model: BitwiseModel) -> BitwiseModel:
    """Return a model with copies of all that changes, workspace included: other threads may use the same model."""
    counters, matches = model.counters, model.matches
    return model._replace(
        counters=copy.deepcopy(counters._replace(table=np.zeros(0, np.int32)))._replace(table=align(counters.table)),
        matches=matches._replace(probs=matches.probs.copy(), seen=matches.seen.copy()),
        **copy.deepcopy({name: getattr(model, name) for name in ("mixer", "ratios", "pair", "bit")}),
    )


def _line_feed(alphabet: Alphabet) -> int:
    """The symbol of a line feed, or -1."""
    return alphabet.characters.index("\n") if "\n" in alphabet.characters else NONE
