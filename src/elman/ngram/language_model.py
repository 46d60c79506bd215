"""An n-gram model for the kernels: a table with a cache, and counts; and its predictions, without any network.

K  size of the alphabet    T  characters    B  batch size    n  length of the longest context
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from elman.jit import bind
from elman.ngram.kernels import (
    CHILD,
    NONE,
    SIBLING,
    WIDTH,
    find_row_nodes,
    make_nodes,
    make_workspace,
    read_window,
    unpack,
)
from elman.ngram.model import Indices, Ints, NgramModel, check_indices
from elman.ngram.table import CODES, symbol_bits

if TYPE_CHECKING:
    from elman.jit import Signature

MAX_CACHE_BYTES = 1 << 26  # size of the distributions of short contexts that are stored
MAX_CACHED_ORDER = 2
INITIAL_CAPACITY = 1 << 10  # nodes for which a growing model has room at first
MAX_LOG_Q = 1 << 22  # values of log q that are in memory at once, 32 MB


class Table(NamedTuple):
    """An n-gram model as the kernels read it; nothing changes."""

    K: int
    context_length: int
    folds: int
    reset_at: int  # -1 if there is none
    width: int  # bits of a symbol
    strings: NDArray[np.uint32]  # (nodes,): the symbol of each node and, above it, the code of its weight
    rests: NDArray[np.uint8]  # (contexts,): the code of the weight of a context's characters that are not kept
    firsts: NDArray[
        np.uint32
    ]  # (contexts + 1,): the first child of each context; the last one's children end at the end
    discounts: NDArray[np.float64]  # (n + 1, 3)
    kept: NDArray[np.float64]  # (n + 1, codes): the weight of each code minus the discount
    fold_weights: NDArray[np.uint8]  # (folds, nodes): see `elman.ngram.table.FoldCounts`
    fold_rests: NDArray[np.uint8]  # (folds, contexts)
    cached_order: int = NONE  # the length of the contexts whose distributions are stored …
    cached_first: int = 0  # … the first node of that length …
    cached_q: NDArray[np.float64] = np.zeros((1, 1, 1))  # (folds + 1, contexts, K)
    cached_matched: NDArray[np.int8] = np.zeros((1, 1), np.int8)  # (folds + 1, contexts)
    terms: NDArray[np.float64] = np.zeros((0, 2))  # (nodes, 2): see `NgramModel.terms`; empty if there are counts


class Added(NamedTuple):
    """The counts of the characters read, changed in place; the root is node 0."""

    sizes: NDArray[np.int64]  # (1,): nodes in use; 0 if nothing is counted
    nodes: NDArray[np.int32]  # (nodes, 5): see `COUNT`, …


def empty_added() -> Added:
    """Return the counts of a model that does not grow."""
    return Added(np.zeros(1, np.int64), np.zeros((1, WIDTH), np.int32))


def empty_table() -> Table:
    """Return the table of no text, which is passed to a kernel if there is no model."""
    strings, firsts, discounts = np.zeros(1, np.uint32), np.ones(2, np.uint32), np.zeros((1, 3))
    rests, folds = np.zeros(1, np.uint8), np.zeros((2, 0, 1), np.uint8)
    return Table(2, 0, 0, NONE, 1, strings, rests, firsts, discounts, keep_codes(discounts), *folds)


def keep_codes(discounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight of each code minus the discount in `discounts` (n + 1, 3), but at least 0, (n + 1, codes)."""
    of_codes = np.pad(discounts, ((0, 0), (1, 0)))[:, np.minimum(CODES, 3)]
    return np.asarray(np.maximum(CODES - of_codes, 0.0, order="C"))  # kernels are compiled for this order


def grow(added: Added, nodes: int) -> Added:
    """Return a copy of counts, or of none, with room for so many nodes."""
    size, larger = int(added.sizes[0]), np.zeros((max(nodes, len(added.nodes)), WIDTH), np.int32)
    larger[:, CHILD : SIBLING + 1] = NONE
    larger[:size] = added.nodes[:size]
    return Added(np.array([max(1, size)]), larger)  # with the root


class NgramReader:
    """An n-gram model for the kernels: its table, and the counts that are added if it continues another."""

    def __init__(self, model: NgramModel) -> None:
        if model.base is None:
            self.table, self.added = make_table(model), empty_added()
        else:
            base = reader(model.base)
            self.table, self.added = base.table, grow(base.added, INITIAL_CAPACITY)
        self.read_window = bind(read_window, self.table)

    def __getstate__(self) -> tuple[Table, Added]:
        """Return the state of a copy: the packed arguments are addresses of these arrays."""
        return self.table, self.added

    def __setstate__(self, state: tuple[Table, Added]) -> None:
        self.table, self.added = state
        self.read_window = bind(read_window, self.table)

    def reserve(self, characters: int) -> None:
        """Make room for counting so many characters."""
        nodes = int(self.added.sizes[0]) + characters * (self.table.context_length + 1)
        if nodes > len(self.added.nodes):
            self.added = grow(self.added, 2 * nodes)


def reader(model: NgramModel) -> NgramReader:
    """Return the compiled form of a model, which is made on first use."""
    if "numba" not in model.derived:
        model.derived["numba"] = NgramReader(model)
    return cast("NgramReader", model.derived["numba"])


def make_table(model: NgramModel) -> Table:
    """Return a model in the form that the kernels read."""
    table, width, folds = model.table, symbol_bits(model.K), model.fold_counts or empty_table()[-7:-5]
    strings, rests = np.zeros(table.nodes, np.uint32), np.empty(table.contexts, np.uint8)
    firsts = np.empty(table.contexts + 1, np.uint32)
    # The arrays of a file are not writable, and a kernel would be compiled separately for them.
    arrays = tuple(array.view() for array in table.arrays().values())
    for array in arrays:
        array.flags.writeable = False
    unpack(model.K, width, arrays, strings, rests, firsts)
    compiled = Table(
        model.K, model.context_length, model.folds, NONE if model.reset_at is None else model.reset_at, width, strings,
        rests, firsts, model.discounts, keep_codes(model.discounts), *folds,
    )  # fmt: skip
    if model.terms is not None:
        compiled = compiled._replace(terms=np.require(model.terms, requirements=["C", "W"]))
    return _with_cache(compiled)


def _with_cache(table: Table) -> Table:
    """Return the table with the distributions after contexts of one length, the longest for which they fit."""
    starts = [0, 1]  # of the levels
    for _ in range(min(MAX_CACHED_ORDER, table.context_length)):
        starts.append(int(table.firsts[min(starts[-1], len(table.firsts) - 1)]))
    for o in range(min(MAX_CACHED_ORDER, table.context_length), -1, -1):
        shape = table.folds + 1, starts[o + 1] - starts[o], table.K
        are_contexts = shape[1] > 0 and starts[o + 1] < len(table.firsts)  # a file may contain any numbers
        if are_contexts and 8 * int(np.prod(shape, dtype=np.int64)) <= MAX_CACHE_BYTES:
            q, matched = np.empty(shape), np.empty(shape[:2], np.int8)
            for fold in range(len(q)):
                q[fold], matched[fold] = _find_distributions(table, [*map(slice, starts, starts[1 : o + 2])], fold)
            return table._replace(cached_order=o, cached_first=starts[o], cached_q=q, cached_matched=matched)
    return table


_Level = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""For the N contexts of one length: the characters' weights minus the discounts (N, K); 1 / W_o (N,), or 0 if no
character is kept; and r_o (N,), or 1 if none is."""


def _find_distributions(table: Table, levels: list[slice], fold: int) -> tuple[NDArray[np.float64], Ints]:
    """Return q (contexts, K), (5), and the matched lengths after the contexts of the last of the first levels.

    The operations are the ones in `distribution`, in the same order, so that both return the same bits. A kernel that
    did this once per model would take a second to compile.
    """
    read, ends, has_fold = list[_Level](), list[Ints](), fold < table.folds
    suffixes = keys = matched = np.zeros(1, np.intp)  # each context without its first character
    is_found = np.ones(1, np.bool_)
    for o, level in enumerate(levels):
        firsts, N = table.firsts[level.start : level.stop + 1].astype(np.intp), level.stop - level.start
        children, parents = slice(firsts[0], firsts[-1]), np.repeat(np.arange(N), np.diff(firsts))
        strings = table.strings[children].astype(np.intp)
        symbols, rests = strings & ((1 << table.width) - 1), table.fold_rests[fold] if has_fold else table.rests
        codes = table.fold_weights[fold, children].astype(np.intp) if has_fold else strings >> table.width
        values, weights = table.kept[o, codes], np.bincount(parents, CODES[codes], N)
        is_found, kept = is_found[suffixes] & (weights > 0), np.zeros((N, table.K))
        if len(table.terms) > 0:
            values, shares, sums = table.terms[children, 0], is_found / 1.0, 1.0 - table.terms[level, 1]
        else:
            shares = is_found / np.maximum(weights + CODES[rests[level]], 1)
            sums = np.bincount(parents, values, N) / 1.0
        np.add.at(kept, (parents, symbols), values)  # a file may contain a character twice
        read.append((kept, shares, np.where(is_found, 1.0 - sums * shares, 1.0)))  # (6)
        ends = [*(contexts[suffixes] for contexts in ends), np.arange(N)]
        matched = np.where(is_found, o, matched[suffixes])  # (7)
        places = np.searchsorted(keys, suffixes[parents] * table.K + symbols) if o > 0 else np.zeros_like(parents)
        suffixes, keys = np.minimum(places, len(keys) - 1), parents * table.K + symbols
    return _interpolate(read, ends, table.K), matched


def _interpolate(levels: list[_Level], ends: list[Ints], K: int) -> NDArray[np.float64]:
    """Return q (contexts, K) after the contexts of the last level; `ends` has their suffixes in every level."""
    factor = np.asarray(math.prod(level[2][contexts] for level, contexts in zip(levels, ends, strict=True)))
    q, factor = np.repeat((1.0 / K * factor)[:, None], K, axis=1), np.ones_like(factor)  # (4)
    for (kept, shares, rests), contexts in zip(levels[::-1], ends[::-1], strict=True):
        q += kept[contexts] * (shares[contexts] * factor)[:, None]  # (5)
        factor *= rests[contexts]
    return q


# --- Its predictions ---


def read_compiled(
    model: NgramModel, history: NDArray[np.int32], x: Indices, folds: Ints | None = None, dtype: Any = np.float64
) -> tuple[NDArray[np.floating], Ints, NDArray[np.int32]]:
    """Read a batch like `elman.ngram.model.read`, history (B, n) and x (T, B), with the kernels."""
    T, B = x.shape
    compiled, log_q, matched = reader(model), np.empty(T * B * model.K, dtype), np.empty(T * B, np.int64)
    after = history.astype(np.int32)  # a copy, because the kernel appends to it
    left_out = np.full(T * B, model.folds, np.int64) if folds is None else folds.astype(np.int64).ravel()
    if model.grows:
        compiled.reserve(T * B)
    compiled.read_window(
        compiled.added, model.grows, after, *make_nodes(B, model.context_length),
        np.ones(B, np.bool_), np.ascontiguousarray(x, np.intp).ravel(), left_out, T, B, model.K, log_q, matched,
        make_workspace(model.K, model.context_length),
    )  # fmt: skip
    return log_q.reshape(T, B, model.K), matched.reshape(T, B), after


def reading_kernels(dtype: Any = np.float32) -> list[Signature]:
    """Return the kernels, with the types of their arguments, that read a model in a dtype."""
    from elman.jit import call_kernel, record_kernels  # without Numba there are no kernels

    table, added, nodes, workspace = empty_table(), empty_added(), make_nodes(1, 1), make_workspace(1, 1)
    x, history, reads = np.zeros(1, np.intp), np.zeros((1, 1), np.int32), np.ones(1, np.bool_)
    log_q = np.empty(1, dtype)
    with record_kernels() as kernels:
        call_kernel(unpack, 2, 1, (np.frombuffer(bytes(16), np.uint64),) * 4, table.strings, table.rests, table.firsts)
        call_kernel(find_row_nodes, table, added, history, *nodes)
        call_kernel(read_window, table, added, False, history, *nodes, reads, x, x, 1, 1, 1, log_q, x, workspace)
    return kernels


def compute_losses(model: NgramModel, x: Indices, dtype: Any = np.float64) -> NDArray[np.float64]:
    """Return -log q, rounded to `dtype`, of every character of a text (T,) except its first, (T - 1,), in nats."""
    check_indices(x, model.K)
    history, losses = np.zeros((1, model.context_length), np.int32), np.empty(len(x) - 1)
    steps = max(1, MAX_LOG_Q // model.K)
    for first in range(0, len(losses), steps):
        y = x[first + 1 : first + 1 + steps]
        log_q, _, history = read_compiled(model, history, x[first : first + len(y), None], dtype=dtype)
        losses[first : first + len(y)] = -log_q[np.arange(len(y)), 0, y]
    return losses
