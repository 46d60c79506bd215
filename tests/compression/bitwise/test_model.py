"""Symbols come back from their bits, whose probabilities sum to one; the training text is read before."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from elman.compression import compress
from elman.compression.bitwise import model as module
from elman.compression.bitwise.model import BitwiseModel, build_bitwise_model, code_symbols, read_step
from elman.compression.bitwise.variants import BASIC, WITH_BACKGROUND, WITH_PARAGRAPHS, Variant
from elman.compression.exact_kernels import FREQ_BITS
from elman.compression.range_coder import Coder
from elman.network.ngram import NgramModel
from support.codec_models import ALPHABET, INPUTS, K, make_model

S, R = K + 1, 3
SYMBOLS = np.random.default_rng(1).integers(0, S, (200, R))
SYMBOLS[50:] = SYMBOLS[:150]


def make(text: str = "", N: int = SYMBOLS.size, variant: Variant = WITH_BACKGROUND) -> BitwiseModel:
    """Return a model that has read a training text."""
    ngrams = NgramModel(ALPHABET.encode(text), K, 2) if text else None
    return build_bitwise_model(ngrams, ALPHABET, R, N, 0, variant)


def run(coder: Coder, model: BitwiseModel, table: np.ndarray) -> None:
    """Code a table (steps, R) of symbols, with uniform frequencies."""
    model.freqs[:] = (1 << FREQ_BITS) // S - 1
    history = np.full(table.size, -1, np.int32)
    coder.reserve(2 * table.size * model.tree.bits.shape[1])
    for step, symbols in enumerate(table):
        assert code_symbols(coder.arrays, model, history, symbols)
        history[step * R : (step + 1) * R] = symbols
        read_step(model, history, 0, step, symbols, np.ones(R, np.bool_))


@pytest.mark.parametrize("variant", [WITH_BACKGROUND, WITH_PARAGRAPHS, BASIC])
def test_symbols_come_back(variant: Variant) -> None:
    encoder = Coder()
    run(encoder, make(variant=variant), SYMBOLS.copy())
    payload = encoder.finish()
    decoded = np.zeros_like(SYMBOLS)
    decoder = Coder(payload)
    run(decoder, make(variant=variant), decoded)
    decoder.finish()
    np.testing.assert_array_equal(decoded, SYMBOLS)


def test_what_an_expert_predicts_costs_less() -> None:
    sizes = []
    for e in (None, *range(3)):
        model, coder = make(), Coder()
        coder.reserve(S)
        model.freqs[:] = (1 << FREQ_BITS) // S - 1
        if e is not None:
            model.freqs[e] = 0
            model.freqs[e, :, 3] = (1 << FREQ_BITS) - S
        code_symbols(coder.arrays, model, np.zeros(0, np.int32), np.full(R, 3))
        sizes.append(np.log2(float(coder.arrays.state[1])) - 32 * coder.arrays.counters[0])
    assert sizes[0] < min(sizes[1:])


def test_repeats_cost_less() -> None:
    sizes = []
    for table in (SYMBOLS[:50], SYMBOLS[:100]):
        coder = Coder()
        run(coder, make(), table.copy())
        sizes.append(len(coder.finish()))
    assert sizes[1] - sizes[0] < 0.5 * sizes[0]


@pytest.mark.parametrize("e", range(3))
def test_a_distribution_of_another_expert_is_split_among_the_nodes(e: int) -> None:
    model = make()
    freqs = np.random.default_rng(2).integers(0, 1000, S).astype(np.float32)
    module.set_ratios(model.tree, freqs, model.ratios, e)
    odds = np.exp(model.ratios.logs[e])
    for symbol in range(S):
        p = 1.0
        for node, bit in zip(model.tree.nodes[symbol], model.tree.bits[symbol], strict=True):
            if node >= 0:
                p *= (odds[node] if bit else 1) / (1 + odds[node])
        assert p == pytest.approx((freqs[symbol] + 1) / (freqs + 1).sum())


def test_the_frequencies_of_a_bit_are_complete() -> None:
    model, coder = make(), Coder()
    run(coder, model, SYMBOLS.copy())
    assert model.pair.sum() + 2 == 1 << FREQ_BITS
    assert (model.pair >= 0).all()


def test_the_training_text_makes_what_resembles_it_smaller() -> None:
    text = "".join(ALPHABET.characters[k] for k in SYMBOLS[:, 0] if k < K)
    sizes = []
    for training in ("", text):
        coder = Coder()
        run(coder, make(training), SYMBOLS[:50].copy())
        sizes.append(len(coder.finish()))
    assert sizes[1] < sizes[0]


def test_a_kept_model_is_not_changed() -> None:
    ngrams = NgramModel(ALPHABET.encode("a bad egg had a leg\n" * 9), K, 2)
    payloads = []
    for _ in range(2):
        coder = Coder()
        run(coder, build_bitwise_model(ngrams, ALPHABET, R, SYMBOLS.size, 0, WITH_BACKGROUND), SYMBOLS.copy())
        payloads.append(coder.finish())
    assert payloads[0] == payloads[1]


def test_threads_that_share_a_model_disturb_one_another_in_nothing() -> None:
    model, data = make_model(order=4), INPUTS["long"]
    expected = compress(model, data, adapt="bitwise")
    with ThreadPoolExecutor(4) as executor:
        files = executor.map(lambda _: compress(model, data, adapt="bitwise"), range(12))
        assert all(file == expected for file in files)


def test_of_a_long_training_text_a_short_file_reads_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MIN_PRIMED", 8)
    ngrams = NgramModel(ALPHABET.encode("abcdefgh" * 25), K, 2)
    build_bitwise_model(ngrams, ALPHABET, 1, 2, 0, WITH_BACKGROUND)
    ((primed, _, _),) = ngrams.tables["bitwise"]
    assert primed == 2 * module.PRIMED_PER_SYMBOL
    end = NgramModel(ngrams.text[-primed:], K, 2)
    model, expected = (build_bitwise_model(counted, ALPHABET, 1, 2, 0, WITH_BACKGROUND) for counted in (ngrams, end))
    np.testing.assert_array_equal(model.counters.probs, expected.counters.probs)
    found, there = model.matches.text_tables, expected.matches.text_tables
    np.testing.assert_array_equal(found, np.where(there >= 0, there + len(ngrams.text) - primed, there))


def test_bits_are_smaller_than_the_mixture_alone() -> None:
    model, data = make_model(order=4), INPUTS["long"]
    assert len(compress(model, data, adapt="bitwise")) < len(compress(model, data, adapt="mixture"))
