"""Counters follow the bits of their context and forget opposite ones; the tree of symbols is a Huffman code."""

import numpy as np
import pytest

from elman.compression import bit_counters as counters
from elman.compression.bit_contexts import CONTEXTS
from elman.compression.bit_counters import (
    BUCKET,
    GROUP_LEVELS,
    HISTORIES,
    build_tree,
    count_bit,
    find_buckets,
    make_counters,
    next_history,
    reserve_symbols,
)

PLACE, GROUP = 3, 5


def after(bits: list[int]) -> counters.Counters:
    """Return counters that have seen bits in every context."""
    made = reserve_symbols(make_counters(), 1000)
    made.hashes[:] = np.arange(CONTEXTS) * 7919 + 1
    find_buckets(made, GROUP)
    for bit in bits:
        count_bit(made, PLACE, bit)
    return made


def inputs_of(made: counters.Counters) -> list[float]:
    inputs = np.zeros(2 * CONTEXTS, np.float32)
    counters.set_counter_inputs(made, PLACE, inputs)
    return inputs.tolist()


def history(bits: list[int]) -> tuple[int, int, int]:
    """Return zeros, ones and the last bit of the history of bits."""
    h = 0
    for bit in bits:
        h = next_history(h, bit)
        assert 0 < h < HISTORIES
    return h >> 5, (h >> 1) & 15, h & 1


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        ([0], (1, 0, 0)),
        ([1, 1, 0], (1, 2, 0)),
        ([1] * 30, (0, 15, 1)),
        ([1] * 5 + [0], (1, 3, 0)),
        ([1] * 12 + [0], (1, 4, 0)),
        ([1] * 12 + [0, 0, 0], (3, 2, 0)),
    ],
)
def test_bit_histories(bits: list[int], expected: tuple[int, int, int]) -> None:
    assert history(bits) == expected


def test_nothing_is_predicted_in_a_new_context() -> None:
    assert inputs_of(after([])) == [0.0] * 2 * CONTEXTS


def test_the_probability_is_the_relative_frequency() -> None:
    bits = (np.random.default_rng(0).random(2000) < 0.8).astype(int).tolist()
    logits = inputs_of(after(bits))[1::2]
    assert 1 / (1 + np.exp(-np.array(logits))) == pytest.approx(0.8, abs=0.1)


def test_a_bucket_of_another_context_is_cleared() -> None:
    made = after([1] * 9)
    made.hashes[:] += 1
    made.table[counters.BUCKET - 1 :: counters.BUCKET][made.table[counters.BUCKET - 1 :: counters.BUCKET] == 0] = -1
    find_buckets(made, GROUP)
    assert inputs_of(made) == [0.0] * 2 * CONTEXTS


def test_stretches_are_logits() -> None:
    stretches = make_counters().stretches
    p = (np.arange(len(stretches)) + 0.5) / len(stretches)
    np.testing.assert_allclose(stretches, np.log(p / (1 - p)), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(stretches, -stretches[::-1])


# --- The tree ---

COUNTS = pytest.mark.parametrize(
    "counts", [[1, 1], [5, 0, 0], [1, 1, 2, 4, 8, 16, 32, 64], [10] * 66, list(range(40, 0, -1))]
)


def code_lengths(counts: list[int]) -> list[int]:
    tree = build_tree(np.array(counts))
    return [int(length) for length in (tree.nodes >= 0).sum(axis=1)]


@COUNTS
def test_every_symbol_has_a_path_of_its_own(counts: list[int]) -> None:
    tree = build_tree(np.array(counts))
    assert (tree.children < np.arange(len(tree.children))[:, None]).all()
    for symbol, (nodes, bits) in enumerate(zip(tree.nodes, tree.bits, strict=True)):
        node = len(tree.children) - 1
        for depth in range(int((nodes >= 0).sum())):
            assert nodes[depth] == node
            node = tree.children[node, bits[depth]]
        assert node == -1 - symbol


@COUNTS
def test_the_code_is_complete(counts: list[int]) -> None:
    assert sum(2.0**-length for length in code_lengths(counts)) == 1


def test_frequent_symbols_have_short_paths() -> None:
    assert code_lengths([1, 1, 2, 4, 8, 16, 32, 64]) == [7, 7, 6, 5, 4, 3, 2, 1]
    assert set(code_lengths([10] * 64)) == {6}


@COUNTS
def test_the_nodes_of_a_group_have_different_places_in_a_bucket(counts: list[int]) -> None:
    tree = build_tree(np.array(counts))
    assert len(set(zip(tree.groups.tolist(), tree.places.tolist(), strict=True))) == len(counts) - 1
    assert tree.places.max() < BUCKET - 1
    for nodes in tree.nodes:
        path = nodes[nodes >= 0]
        assert (tree.groups[path] == path[np.arange(len(path)) // GROUP_LEVELS * GROUP_LEVELS]).all()


def test_counters_are_kept_in_a_larger_table() -> None:
    made = reserve_symbols(make_counters(), 10)
    made.hashes[:] = np.arange(CONTEXTS) * 7919 + 5
    find_buckets(made, 3)
    count_bit(made, 2, 1)
    before = made.table[made.offsets + 2].copy()
    made = reserve_symbols(made, 1000)
    find_buckets(made, 3)
    assert before.all()
    np.testing.assert_array_equal(made.table[made.offsets + 2], before)
    assert len(reserve_symbols(made, 1 << 40).table) == (1 << 22) * BUCKET
