"""The binary tree of the symbols: a Huffman code of the training text, so that a symbol has few bits on average.

S  symbols      D  the largest depth
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import NamedTuple

import numpy as np

from elman.compression.exact_kernels import Ints

GROUP_LEVELS = 3
"""Levels of the tree whose nodes share a bucket of counters, see `elman.compression.bitwise.counters`."""


class Tree(NamedTuple):
    """A binary tree. Its S - 1 nodes are numbered such that the root is the last and children precede their parents."""

    children: Ints  # (S - 1, 2): of bits 0 and 1, a node, or -1 - symbol
    nodes: Ints  # (S, D): on the path of a symbol, -1 behind its end
    bits: Ints  # (S, D): of a symbol, 0 behind its end
    groups: Ints  # (S - 1,): the highest node of each node's group of levels
    places: Ints  # (S - 1,): the number of a node within its group, less than 7


def build_tree(counts: Ints) -> Tree:
    """Return the Huffman tree of S >= 2 symbols that occur `counts` (S,) times; ties are resolved by age."""
    children = np.zeros((len(counts) - 1, 2), np.int64)
    heap = [(int(n), age, -1 - age) for age, n in enumerate(counts)]
    heapify(heap)
    for node in range(len(children)):
        rarest, next_rarest = heappop(heap), heappop(heap)
        children[node] = rarest[2], next_rarest[2]
        heappush(heap, (rarest[0] + next_rarest[0], len(counts) + node, node))
    paths = _find_paths(children)
    D = max(map(len, paths))
    nodes, bits = np.full((len(counts), D), -1, np.int64), np.zeros((len(counts), D), np.int64)
    groups, places = np.zeros((2, len(children)), np.int64)
    for symbol, path in enumerate(paths):
        for depth, (node, bit) in enumerate(path):
            nodes[symbol, depth], bits[symbol, depth] = node, bit
            top = depth - depth % GROUP_LEVELS
            groups[node] = path[top][0]
            places[node] = _place([step[1] for step in path[top:depth]])
    return Tree(children, nodes, bits, groups, places)


def _find_paths(children: Ints) -> list[list[tuple[int, int]]]:
    """Return the nodes and bits of every symbol's path from the root."""
    paths: list[list[tuple[int, int]]] = [[] for _ in range(len(children) + 1)]
    open_nodes: list[tuple[int, list[tuple[int, int]]]] = [(len(children) - 1, [])]
    while open_nodes:
        node, path = open_nodes.pop()
        for bit, child in enumerate(children[node].tolist()):
            extended = [*path, (node, bit)]
            if child >= 0:
                open_nodes.append((child, extended))
            else:
                paths[-1 - child] = extended
    return paths


def _place(bits: list[int]) -> int:
    """Return the number of a node in its group, given the bits from its top: 0 there, 1 and 2 below, then 3 to 6."""
    return (1 << len(bits)) - 1 + sum(bit << i for i, bit in enumerate(reversed(bits)))
