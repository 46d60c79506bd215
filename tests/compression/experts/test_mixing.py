"""The mixture is that of the reference, sums to one at every step, and learns."""

import numpy as np
import pytest

from elman.compression import compress, decompress
from elman.compression.container import Mode
from elman.compression.exact_kernels import FREQ_BITS, Floats, compute_symbol_freqs
from elman.compression.exact_network import build_exact_network
from elman.compression.experts import mixing
from elman.compression.experts.match import MAX_LENGTH, MatchModel, text_matches
from elman.compression.experts.mixing import Mixture, initial_weights
from elman.compression.experts.reference import ReferenceMixture
from elman.compression.experts.words import CHARACTERS, CONFIDENCES, WIDTH, build_word_model
from elman.compression.predictor import Predictor
from elman.compression.range_coder import Coder
from elman.compression.tokens import to_tokens
from elman.config import CodecAdapt
from elman.network.output import softmax
from support.codec_models import INPUTS, TEXT, make_model
from support.small_blocks import small_blocks
from support.tolerances import FIXED_FUNCTIONS

K, R = 6, 2


def make_mixture(alpha: Floats, rows: int) -> Mixture:
    """Return a mixture without counts."""
    model = build_word_model(np.zeros((2, WIDTH), np.int32), np.zeros(K, np.bool_), 0, rows)
    matches = MatchModel(text_matches(None), rows, 1).arrays
    return Mixture(mixing.RATES, initial_weights(K, alpha), model, matches, *np.zeros((2, rows), np.int64))


def set_random_inputs(mixture: Mixture, rng: np.random.Generator) -> None:
    """Set what words and matches predict to random values."""
    words, matches, rows = mixture.words, mixture.matches, len(mixture.last)
    words.confidences[:] = rng.integers(0, CONFIDENCES, rows)
    words.characters[:] = np.stack([rng.permutation(CHARACTERS) for _ in range(rows)])
    words.characters[words.characters >= K] = -1
    words.bonuses[:] = rng.normal(0, 1, (rows, CHARACTERS))
    matches.predicted[:] = rng.integers(-1, K, rows)
    matches.lengths[:] = rng.integers(0, MAX_LENGTH + 1, rows)


def test_the_mixture_and_what_it_learns_are_those_of_the_reference() -> None:
    rng = np.random.default_rng(0)
    mixture = make_mixture(rng.normal(1, 0.2, 4).astype(np.float32), R)
    reference = ReferenceMixture(mixture.weights)
    mixed, freqs, g = np.empty((R, K), np.float32), np.empty((R, K + 1), np.float32), np.empty((R, K), np.float32)
    words, matches = mixture.words, mixture.matches
    for _ in range(200):
        a, log_q = (rng.normal(0, 2, (R, K)).astype(np.float32) for _ in range(2))
        matched = rng.integers(0, 4, R)
        set_random_inputs(mixture, rng)
        mixing.mix_rows(mixture, a, log_q, matched, mixed)
        compute_symbol_freqs(mixed, np.zeros((R, 2), np.int64), np.zeros(R, np.int64), False, freqs)
        x = rng.integers(0, K, R)
        reads = rng.random(R) < 0.9
        p = softmax(mixed.astype(np.float64))
        mixing.learn_rows(mixture, a, log_q, matched, freqs, x, reads, g)
        for r in range(R):
            b, seen = np.zeros(K), words.characters[r] >= 0
            b[words.characters[r][seen]] = words.bonuses[r][seen]
            values = (
                a[r], log_q[r], matched[r], b, words.confidences[r], matches.predicted[r], matches.lengths[r],
                [int(mixture.before[r]), int(mixture.last[r])],
            )  # fmt: skip
            if r == 0:
                np.testing.assert_allclose(p[r], reference.mix(*values), rtol=20 * FIXED_FUNCTIONS)
            if reads[r]:
                reference.learn(p[r], x[r], *values)
        mixture.before[:], mixture.last[:] = mixture.last, x
    for name, array in mixture.weights._asdict().items():
        np.testing.assert_allclose(array, getattr(reference.weights, name), atol=20 * FIXED_FUNCTIONS, err_msg=name)


def test_a_row_that_reads_nothing_teaches_nothing() -> None:
    mixture, none = make_mixture(np.ones(1, np.float32), 1), np.zeros(1, np.int64)
    before = [array.copy() for array in mixture.weights]
    ones, freqs, g = np.ones((1, K), np.float32), np.zeros((1, K + 1), np.float32), np.ones((1, K), np.float32)
    mixing.learn_rows(mixture, ones, ones, none, freqs, none, np.zeros(1, np.bool_), g)
    for array, old in zip(mixture.weights, before, strict=True):
        np.testing.assert_array_equal(array, old)
    assert not g.any()


def test_contexts_of_a_large_alphabet_share_biases() -> None:
    weights = initial_weights(3000, np.ones(1, np.float32))
    assert weights.second.size <= mixing.MAX_BIASES
    assert 0 <= mixing.second_row(weights.second, 3000, 2999, 2999) < len(weights.second)


@pytest.mark.parametrize("order", [0, 4])
@pytest.mark.parametrize("std", [0.7, 300.0, 1e38])
def test_the_mixture_sums_to_one_at_every_step(order: int, std: float) -> None:
    model = make_model(order=order, std=std)
    tokens = to_tokens(INPUTS["long"], model.alphabet).astype(np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        network = build_exact_network(model.parameters)
        predictor = Predictor(network, model.alphabet, model.parameters.ngrams, 1, len(tokens), Mode.MIXTURE)
        for token in tokens:
            predictor.code(Coder(), np.array([[token]]), 1, lambda n: None)
            freqs = predictor.model.workspace.freqs
            assert (freqs >= 0).all()
            assert (freqs.astype(np.int64) + 1).sum() == 1 << FREQ_BITS


def test_the_mixture_is_smaller_than_counts_alone() -> None:
    model, data = make_model(order=4), (TEXT * 8).encode()
    counts, mixture = (len(compress(model, data, adapt=adapt)) for adapt in ("counts", "mixture"))
    assert mixture < counts


def test_without_a_prior_the_mixture_learns_too() -> None:
    model, data = make_model(), (TEXT * 8).encode()
    assert len(compress(model, data, adapt="mixture")) < 0.5 * len(compress(model, data))


@pytest.mark.parametrize("adapt", ["mixture", "bitwise", "all"])
@small_blocks()
def test_of_many_substreams(adapt: CodecAdapt) -> None:
    model = make_model(order=3)
    for name in ("long", "carriage returns", "another script"):
        assert decompress(model, compress(model, INPUTS[name], adapt=adapt)) == INPUTS[name]
