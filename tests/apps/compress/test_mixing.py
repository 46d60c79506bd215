"""The mixture is that of the equations, in float64, and learns."""

from typing import Any

import numpy as np
import pytest

from elman.apps.compress import mixing
from elman.apps.compress.arithmetic import FREQ_BITS, set_freqs
from elman.apps.compress.container import find_mode
from elman.apps.compress.exact_network import round_weights
from elman.apps.compress.matches import LENGTHS, MODELS, NONE, make_matches
from elman.apps.compress.mixing import Mixture, make_mixture
from elman.apps.compress.predictor import Predictor
from elman.apps.compress.range_coder import Coder
from elman.apps.compress.tokens import to_tokens
from elman.network.output import softmax
from support.codec_models import INPUTS, make_model
from support.tolerances import FIXED_FUNCTIONS

K, R = 6, 2
LEARNED = ("by_order", "by_last", "match", "first", "second")


class Reference:
    """The equations of `elman.apps.compress.mixing` for one row at a time."""

    def __init__(self, mixture: Mixture) -> None:
        self.by_order, self.by_last, self.match, self.first, self.second = (
            getattr(mixture, name).astype(np.float64) for name in LEARNED
        )

    def mix(self, a: np.ndarray, log_q: np.ndarray, j: int, found: list[Any], context: Any) -> Any:
        """Return p (K,) of (2); `found` are matches, each as a model, a range of lengths and a character."""
        before, last = context
        w, v = self.by_order[j] + self.by_last[last]
        o = w * a + v * log_q + self.first[last] + self.second[(before * K + last) % len(self.second)]
        for z, length, k in found:
            o[k] += self.match[z, length]
        return softmax(o)

    def learn(
        self, p: np.ndarray, x: int, a: np.ndarray, log_q: np.ndarray, j: int, found: list[Any], context: Any
    ) -> None:
        """Take the steps (3) and (4) after character x."""
        g, (before, last) = p - np.eye(K)[x], context
        for weights in (self.by_order[j], self.by_last[last]):
            weights -= mixing.WEIGHT_RATE * np.array([g @ a, g @ log_q])
        for z, length, k in found:
            self.match[z, length] -= mixing.MATCH_RATE * g[k]
        self.first[last] -= mixing.FIRST_RATE * g
        self.second[(before * K + last) % len(self.second)] -= mixing.SECOND_RATE * g


def test_the_mixture_and_what_it_learns_are_those_of_the_reference() -> None:
    rng = np.random.default_rng(0)
    mixture = make_mixture(K, rng.normal(1, 0.2, 4).astype(np.float32), R, 0)
    reference, matches = Reference(mixture), make_matches(R, 1)
    mixed, freqs = np.empty((R, K), np.float32), np.empty((R, K + 1), np.float32)
    for _ in range(200):
        a, log_q = (rng.normal(0, 2, (R, K)).astype(np.float32) for _ in range(2))
        matched, x, coded = rng.integers(0, 4, R), rng.integers(0, K, R), rng.random(R) < 0.9
        matches.predicted[:] = rng.integers(NONE, K, (R, MODELS))
        matches.ranges[:] = rng.integers(0, LENGTHS, (R, MODELS))
        mixing.mix_rows(mixture, (a, log_q, matched), matches, mixed)
        set_freqs(mixed, np.zeros((R, 2), np.int64), np.zeros(R, np.int64), False, np.empty(K, np.int64), freqs)
        p = softmax(mixed.astype(np.float64))
        mixing.learn_rows(mixture, (a, log_q, matched), matches, freqs, x, coded)
        for r in range(R):
            models = np.flatnonzero(matches.predicted[r] >= 0)
            found = [(z, matches.ranges[r, z], matches.predicted[r, z]) for z in models]
            inputs = a[r], log_q[r], matched[r], found, (mixture.before[r], mixture.last[r])
            if r == 0:
                np.testing.assert_allclose(p[r], reference.mix(*inputs), rtol=20 * FIXED_FUNCTIONS)
            if coded[r]:
                reference.learn(p[r], x[r], *inputs)
        mixing.shift_context(mixture, x, coded)
    for name in LEARNED:
        expected = getattr(reference, name)
        np.testing.assert_allclose(getattr(mixture, name), expected, atol=20 * FIXED_FUNCTIONS, err_msg=name)


@pytest.mark.parametrize("order", [0, 4])
@pytest.mark.parametrize("std", [0.7, 300.0, 1e38])
def test_the_frequencies_sum_to_their_whole_at_every_step(order: int, std: float) -> None:
    model = make_model(order=order, std=std)
    tokens = to_tokens(INPUTS["text"], model.alphabet).astype(np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        weights = round_weights(model.parameters)
        predictor = Predictor(weights, model.alphabet, model.parameters.ngrams, find_mode("mixture"), 1, len(tokens))
        for token in tokens:
            predictor.code(Coder(), np.array([[token]]), 1, lambda n: None)
            freqs = predictor.model.work.freqs
            assert (freqs >= 0).all()
            assert (freqs.astype(np.int64) + 1).sum() == 1 << FREQ_BITS
