"""The mixture is that of the reference, sums to one at every step, and learns."""

import numpy as np
import pytest
from numpy.typing import NDArray

from elman.compression import compress, decompress
from elman.compression.exact_kernels import FREQ_BITS, Floats
from elman.compression.experts import mixing
from elman.compression.experts.match import MAX_LENGTH
from elman.compression.experts.mixing import initial_weights
from elman.compression.experts.predictor import MixturePredictor
from elman.compression.experts.reference import ReferenceMixture
from elman.compression.experts.words import CHARACTERS, CONFIDENCES
from elman.compression.predictor import EscapeModel
from elman.compression.tokens import to_tokens
from elman.config import CodecAdapt
from elman.network.output import softmax
from support.codec_models import INPUTS, TEXT, make_model
from support.small_blocks import small_blocks
from support.tolerances import FIXED_FUNCTIONS

K, R = 6, 2


def test_the_mixture_and_what_it_learns_are_those_of_the_reference() -> None:
    rng = np.random.default_rng(0)
    weights = initial_weights(K, rng.normal(1, 0.2, 4).astype(np.float32))
    reference = ReferenceMixture(weights)
    contexts, escapes = np.zeros((2, R), np.int64), EscapeModel(R)
    for _ in range(200):
        a, log_q = (rng.normal(0, 2, (R, K)).astype(np.float32) for _ in range(2))
        matched, confidences = rng.integers(0, 4, R), rng.integers(0, CONFIDENCES, R)
        characters = np.stack([rng.permutation(CHARACTERS) for _ in range(R)])
        characters[characters >= K] = -1
        bonuses = rng.normal(0, 1, (R, CHARACTERS)).astype(np.float32)
        predicted, lengths = rng.integers(-1, K, R), rng.integers(0, MAX_LENGTH + 1, R)
        inputs = a, log_q, matched, characters, bonuses, confidences, predicted, lengths, *contexts
        mixed, freqs, g = np.empty((R, K), np.float32), np.empty((R, K + 1), np.float32), np.empty((R, K), np.float32)
        mixing.mix_rows(*weights, *inputs, mixed)
        escapes.add_escapes(mixed, False, freqs)
        x = rng.integers(0, K, R)
        reads = rng.random(R) < 0.9
        p = softmax(mixed.astype(np.float64))
        mixing.learn_rows(*weights, *inputs, freqs, x, reads, g)
        for r in range(R):
            b = np.zeros(K)
            b[characters[r][characters[r] >= 0]] = bonuses[r][characters[r] >= 0]
            values = (
                a[r], log_q[r], matched[r], b, confidences[r], predicted[r], lengths[r], contexts[:, r].tolist(),
            )  # fmt: skip
            if r == 0:
                np.testing.assert_allclose(p[r], reference.mix(*values), rtol=20 * FIXED_FUNCTIONS)
            if reads[r]:
                reference.learn(p[r], x[r], *values)
        contexts = np.stack([contexts[1], x])
    for name, array in weights._asdict().items():
        np.testing.assert_allclose(array, getattr(reference.weights, name), atol=20 * FIXED_FUNCTIONS, err_msg=name)


def test_a_row_that_reads_nothing_teaches_nothing() -> None:
    weights = initial_weights(K, np.ones(1, np.float32))
    before = [array.copy() for array in weights]
    none = np.zeros(1, np.int64)
    inputs = np.ones((1, K), np.float32), np.ones((1, K), np.float32), none, *_no_words(), none - 1, none, none, none
    g = np.ones((1, K), np.float32)
    mixing.learn_rows(*weights, *inputs, np.zeros((1, K + 1), np.float32), none, np.zeros(1, np.bool_), g)
    for array, old in zip(weights, before, strict=True):
        np.testing.assert_array_equal(array, old)
    assert not g.any()


def _no_words() -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
    return np.full((1, CHARACTERS), -1), np.zeros((1, CHARACTERS), np.float32), np.zeros(1, np.int64)


def test_contexts_of_a_large_alphabet_share_biases() -> None:
    weights = initial_weights(3000, np.ones(1, np.float32))
    assert weights.second.size <= mixing.MAX_BIASES
    assert 0 <= mixing.second_row(weights.second, 3000, 2999, 2999) < len(weights.second)


@pytest.mark.parametrize("order", [0, 4])
@pytest.mark.parametrize("std", [0.7, 300.0, 1e38])
def test_the_mixture_sums_to_one_at_every_step(order: int, std: float, monkeypatch: pytest.MonkeyPatch) -> None:
    sums = list[float]()
    predict = MixturePredictor.predict_symbols

    def check(predictor: MixturePredictor) -> Floats:
        freqs = predict(predictor)
        assert (freqs >= 0).all()
        sums.extend((freqs.astype(np.int64) + 1).sum(axis=1).tolist())
        return freqs

    monkeypatch.setattr(MixturePredictor, "predict_symbols", check)
    compress(make_model(order=order, std=std), INPUTS["long"], adapt="mixture")
    assert set(sums) == {1 << FREQ_BITS}
    assert len(sums) == len(to_tokens(INPUTS["long"], make_model().alphabet))


def test_the_mixture_is_smaller_than_counts_alone() -> None:
    model, data = make_model(order=4), (TEXT * 8).encode()
    counts, mixture = (len(compress(model, data, adapt=adapt)) for adapt in ("counts", "mixture"))
    assert mixture < counts


def test_without_a_prior_the_mixture_learns_too() -> None:
    model, data = make_model(), (TEXT * 8).encode()
    assert len(compress(model, data, adapt="mixture")) < 0.5 * len(compress(model, data))


@pytest.mark.parametrize("adapt", ["mixture", "all"])
@small_blocks()
def test_of_many_substreams(adapt: CodecAdapt) -> None:
    model = make_model(order=3)
    for name in ("long", "carriage returns", "another script"):
        assert decompress(model, compress(model, INPUTS[name], adapt=adapt)) == INPUTS[name]
