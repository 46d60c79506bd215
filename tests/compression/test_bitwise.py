"""Symbols come back from their bits, whose probabilities sum to one."""

import numpy as np
import pytest

from elman.compression import bitwise as module
from elman.compression import matches as match_models
from elman.compression.arithmetic import FREQ_BITS
from elman.compression.bit_counters import reserve_symbols
from elman.compression.bit_mixer import DISTRIBUTIONS
from elman.compression.bitwise import BitwiseModel, build_bitwise_model, code_symbols, read_contexts
from elman.compression.matches import Matches, make_matches, reserve_steps
from elman.compression.range_coder import Coder
from support.codec_models import ALPHABET, K

S, R = K + 1, 3
SYMBOLS = np.random.default_rng(1).integers(0, S, (200, R))
SYMBOLS[50:] = SYMBOLS[:150]


def make() -> tuple[BitwiseModel, Matches]:
    return build_bitwise_model(np.ones(S, np.int64), ALPHABET, R, 0), make_matches(R, len(SYMBOLS))


def run(coder: Coder, model: BitwiseModel, matches: Matches, table: np.ndarray) -> None:
    """Code a table (steps, R) of symbols, with uniform frequencies."""
    model.freqs[:] = (1 << FREQ_BITS) // S - 1
    matches, reads = reserve_steps(matches, len(table)), np.ones(R, np.bool_)
    model = model._replace(counters=reserve_symbols(model.counters, table.size))
    coder.reserve(2 * table.size * model.tree.bits.shape[1])
    for symbols in table:
        assert code_symbols(coder.arrays, model, matches, symbols)
        read_contexts(model, symbols, reads)
        match_models.read_symbols(matches, symbols, reads)


def size(table: np.ndarray) -> int:
    coder = Coder()
    run(coder, *make(), table.copy())
    return len(coder.finish())


def test_symbols_come_back() -> None:
    encoder, decoded = Coder(), np.zeros_like(SYMBOLS)
    run(encoder, *make(), SYMBOLS.copy())
    decoder = Coder(encoder.finish())
    run(decoder, *make(), decoded)
    decoder.finish()
    np.testing.assert_array_equal(decoded, SYMBOLS)


def test_repeats_cost_less() -> None:
    once, twice = size(SYMBOLS[:50]), size(SYMBOLS[:100])
    assert twice - once < 0.5 * once


def test_what_a_distribution_predicts_costs_less() -> None:
    costs = []
    for e in (None, *range(DISTRIBUTIONS)):
        (model, matches), coder = make(), Coder()
        coder.reserve(S)
        model.freqs[:] = (1 << FREQ_BITS) // S - 1
        if e is not None:
            model.freqs[e] = 0
            model.freqs[e, :, 3] = (1 << FREQ_BITS) - S
        code_symbols(coder.arrays, model, matches, np.full(R, 3))
        costs.append(32 * coder.arrays.counters[0] - np.log2(float(coder.arrays.state[1])))
    assert costs[0] > max(costs[1:])


@pytest.mark.parametrize("e", range(DISTRIBUTIONS))
def test_a_distribution_is_split_among_the_nodes(e: int) -> None:
    model, _ = make()
    freqs = np.random.default_rng(2).integers(0, 1000, S).astype(np.float32)
    module.set_ratios(model.tree, freqs, model.ratios, e)
    odds = np.exp(model.ratios.logs[e])
    for symbol in range(S):
        p = 1.0
        for node, bit in zip(model.tree.nodes[symbol], model.tree.bits[symbol], strict=True):
            if node >= 0:
                p *= (odds[node] if bit else 1) / (1 + odds[node])
        assert p == pytest.approx((freqs[symbol] + 1) / (freqs + 1).sum())
