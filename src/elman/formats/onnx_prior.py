"""The n-gram prior in ONNX operators: log q after every character, and the matched lengths.

T  sequence length    B  batch size    K  alphabet size    n  length of the longest context

`elman.ngram.model` defines the prior. The trie of `elman.ngram.table` is unpacked into arrays: the first child of every
node that may have children, and the last character and the code of the weight of every node. A missing node, or a node
without children, is represented by `contexts`, the number after the nodes that may have children; its child is the
entry after all nodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError
from elman.ngram.model import MIN_PROB, NgramModel
from elman.ngram.table import CODES, NgramSpec, NgramTable, Nodes

HISTORY = "history"  # the last n characters as index + 1, the latest last, 0 for no character: (n, B), int64
FIRSTS, SYMBOLS, WEIGHTS, RESTS = TABLE = ("ngram_firsts", "ngram_symbols", "ngram_weights", "ngram_rests")
"""The names of the arrays of the trie."""
_END = np.iinfo(np.int64).max


def unpack_table(table: NgramTable) -> dict[str, NDArray[Any]]:
    """Return the arrays of the trie."""
    nodes = table.unpack()
    return {
        FIRSTS: np.append(np.cumsum(np.append(1, nodes.children)), table.nodes).astype(np.int32),
        SYMBOLS: np.concatenate([[0], nodes.symbols, [table.spec.K]]).astype(np.min_scalar_type(table.spec.K)),
        WEIGHTS: np.concatenate([[0], nodes.weights, [0]]).astype(np.uint8),
        RESTS: np.append(nodes.rests, 0).astype(np.uint8),
    }


def pack_table(arrays: dict[str, NDArray[Any]], spec: NgramSpec) -> NgramTable:
    """Return the table of a trie from untrusted arrays."""
    if not arrays.keys() >= set(TABLE) or any(arrays[name].ndim != 1 or len(arrays[name]) < 2 for name in TABLE):
        raise ElmanError("the arrays of its n-gram counts are invalid")
    firsts, symbols, weights, rests = (arrays[name] for name in TABLE)
    return NgramTable.from_nodes(spec, Nodes(symbols[1:-1], weights[1:-1], rests[:-1], np.diff(firsts[:-1])))


class PriorOperators:
    """The operators of a prior, `nodes`, which read ``x`` (T, B) and the history and compute `log_q` and `matched`."""

    def __init__(self, onnx: Any, ngrams: NgramModel) -> None:
        ngrams.require_counts()
        self.onnx, self.ngrams, self.nodes = onnx, ngrams, list[Any]()
        self._constants: dict[Any, str] = {}
        n, K = ngrams.context_length, ngrams.K
        codes = self._add("Concat", f"{HISTORY}0", self._add("Add", "x", self._constant(1)), axis=0)
        self._add("Slice", codes, *map(self._constant, ([-n], [_END], [0])), output=HISTORY)
        # The characters that were read j = 0 … n - 1 steps before, (n, T, B).
        shifted = [self._slice(codes, n - j, -j or _END) for j in range(n)]
        before = self._add("Concat", *(self._add("Unsqueeze", each, axes=[0]) for each in shifted), axis=0)
        # Each context is looked up from its first character on; all lengths are looked up at the same time.
        node, contexts = self._add("Mul", before, self._constant(0)), [self._add("Mul", "x", self._constant(0))]
        for read in range(n):
            node = self._find_child(self._slice(node, 1, _END) if read else node, self._slice(before, 0, n - read))
            contexts.append(self._add("Gather", node, self._constant(0), axis=0))
        shape = self._add("Concat", self._add("Shape", "x"), self._constant([K + 1]), axis=0)
        self._zeros = self._add("ConstantOfShape", shape)
        q, self.matched, is_found = self._constant(np.full(K + 1, 1 / K, np.float32)), contexts[0], ""  # (4)
        for o, context in enumerate(contexts):
            if is_found:
                context = self._add("Where", is_found, context, self._none)
            q, is_found = self._interpolate(q, o, context)
            self.matched = self._add("Where", is_found, self._constant(o), self.matched)  # (7)
        q = self._add("Slice", q, *map(self._constant, ([0], [K], [2])))
        self.log_q = self._add("Log", self._add("Max", q, self._constant(np.float32(MIN_PROB))))

    def _add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add an operator, and return the name of its output."""
        output = output or f"ngram_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def _constant(self, value: Any) -> str:
        array = np.asarray(value)
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._constants:
            self._constants[key] = self._add("Constant", value=self.onnx.numpy_helper.from_array(array))
        return self._constants[key]

    def _slice(self, array: str, first: int, last: int) -> str:
        return self._add("Slice", array, *map(self._constant, ([first], [last], [0])))

    def _gather(self, table: str, index: str) -> str:
        return self._add("Cast", self._add("Gather", table, index), to=self.onnx.TensorProto.INT64)

    @property
    def _none(self) -> str:
        return self._constant(self.ngrams.table.contexts)

    def _children(self, node: str) -> tuple[str, str, str]:
        """Return a node (or `_none` if it has no children), its first child, and the node after its last child."""
        none = self._none
        context = self._add("Where", self._add("Less", node, none), node, none)
        first = self._gather(FIRSTS, context)
        return context, first, self._gather(FIRSTS, self._add("Add", context, self._constant(1)))

    def _find_child(self, node: str, code: str) -> str:
        """Return the child with a character, whose index + 1 is `code`, by binary search."""
        _, child, end = self._children(node)
        for bit in reversed(range((self.ngrams.K - 1).bit_length())):
            later = self._add("Add", child, self._constant(1 << bit))
            later = self._add("Where", self._add("Less", later, end), later, child)
            child = self._add("Where", self._add("Less", self._gather(SYMBOLS, later), code), later, child)
        found = self._add("Add", self._gather(SYMBOLS, child), self._constant(1))
        is_found = self._add("And", self._add("Less", child, end), self._add("Equal", found, code))
        return self._add("Where", is_found, child, self._none)

    def _interpolate(self, q: str, o: int, context: str) -> tuple[str, str]:
        """Return q after contexts of o characters, from q after shorter ones, and whether any character is kept."""
        # q has an additional entry for the entry after the nodes.
        K, numbers = self.ngrams.K, self._constant(CODES.astype(np.float32))
        discounts = self.ngrams.discounts[o][np.clip(CODES, 1, 3) - 1]
        discounted = np.maximum(CODES - discounts, 0)
        context, first, end = self._children(context)
        places = self._add("Add", self._add("Unsqueeze", first, axes=[2]), self._constant(np.arange(K)))
        inside = self._add("Less", places, self._add("Unsqueeze", end, axes=[2]))
        places = self._add("Where", inside, places, self._constant(self.ngrams.table.nodes))  # (T, B, K)
        weights = self._gather(WEIGHTS, places)
        kept = self._add("ReduceSum", self._add("Gather", numbers, weights), axes=[2])
        rest = self._add("Gather", numbers, self._gather(RESTS, context))
        total = self._add("Add", kept, self._add("Unsqueeze", rest, axes=[2]))  # (3)
        one = self._constant(np.float32(1))
        divisor = self._add("Max", total, one)
        terms = self._add("Gather", self._constant(discounted.astype(np.float32)), weights)
        terms = self._add("Div", terms, divisor)
        # 1 - the sum of the terms would lose digits where the sum is near 1.
        removed = self._add("Gather", self._constant((CODES - discounted).astype(np.float32)), weights)
        removed = self._add("Add", self._add("ReduceSum", removed, axes=[2]), self._add("Unsqueeze", rest, axes=[2]))
        r = self._add("Where", self._add("Less", total, one), one, self._add("Div", removed, divisor))  # (6)
        kept = self._add("ScatterElements", self._zeros, self._gather(SYMBOLS, places), terms, axis=2)
        return self._add("Add", kept, self._add("Mul", r, q)), self._add("Less", first, end)  # (5)
