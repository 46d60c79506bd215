"""The tree of symbols is a Huffman code, and its groups fit into buckets."""

import numpy as np
import pytest

from elman.compression.bitwise.counters import BUCKET
from elman.compression.bitwise.tree import GROUP_LEVELS, build_tree

COUNTS = [[1, 1], [5, 0, 0], [1, 1, 2, 4, 8, 16, 32, 64], [10] * 66, list(range(40, 0, -1))]


def code_lengths(counts: list[int]) -> list[int]:
    tree = build_tree(np.array(counts))
    return [int(length) for length in (tree.nodes >= 0).sum(axis=1)]


@pytest.mark.parametrize("counts", COUNTS)
def test_every_symbol_has_a_path_of_its_own(counts: list[int]) -> None:
    tree = build_tree(np.array(counts))
    for symbol, (nodes, bits) in enumerate(zip(tree.nodes, tree.bits, strict=True)):
        node = len(tree.children) - 1
        for depth in range(int((nodes >= 0).sum())):
            assert nodes[depth] == node
            node = tree.children[node, bits[depth]]
        assert node == -1 - symbol


@pytest.mark.parametrize("counts", COUNTS)
def test_the_code_is_complete(counts: list[int]) -> None:
    assert sum(2.0**-length for length in code_lengths(counts)) == 1


def test_frequent_symbols_have_short_paths() -> None:
    assert code_lengths([1, 1, 2, 4, 8, 16, 32, 64]) == [7, 7, 6, 5, 4, 3, 2, 1]
    assert set(code_lengths([10] * 64)) == {6}


@pytest.mark.parametrize("counts", COUNTS)
def test_children_precede_their_parents(counts: list[int]) -> None:
    children = build_tree(np.array(counts)).children
    assert (children < np.arange(len(children))[:, None]).all()


@pytest.mark.parametrize("counts", COUNTS)
def test_the_nodes_of_a_group_have_different_places_in_a_bucket(counts: list[int]) -> None:
    tree = build_tree(np.array(counts))
    assert len(set(zip(tree.groups.tolist(), tree.places.tolist(), strict=True))) == len(counts) - 1
    assert tree.places.max() < BUCKET - 1
    for nodes in tree.nodes:
        path = nodes[nodes >= 0]
        assert (tree.groups[path] == path[np.arange(len(path)) // GROUP_LEVELS * GROUP_LEVELS]).all()
