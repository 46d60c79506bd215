"""Predicted frequencies of the next symbol, the characters by a mixture of experts; see `elman.compression.predictor`.

R  rows: substreams coded in lockstep      K  alphabet size; symbol K is the escape

The experts are the network, the n-gram model, whose counts go on, the word model and the match model. All of them have
read the training text as far as the n-gram model contains it.
"""

from __future__ import annotations

import numpy as np

from elman.compression.adaptive import DECAY_INTERVAL, WINDOW, CodedStep, OnlineLearner, Schedule
from elman.compression.exact_kernels import Floats, Ints
from elman.compression.exact_network import ExactNetwork, forward_step_in_parts
from elman.compression.exact_prior import ExactPrior
from elman.compression.experts.match import MatchModel, text_matches
from elman.compression.experts.mixing import Mixture, initial_weights
from elman.compression.experts.words import WordModel, text_words, word_characters
from elman.compression.predictor import EscapeModel, unread_rows
from elman.network.ngram import NgramModel
from elman.network.output import Prior
from elman.text import Alphabet

_LOG_Q = np.float32(-4)
"""log q of every character without an n-gram model."""
_MIN_WINDOW = 16
"""Steps between two optimizer steps at least."""


def _schedule(R: int) -> Schedule:
    """Return a schedule of as many characters per decay as that of a single row."""
    window = max(_MIN_WINDOW, WINDOW // R)
    return Schedule(window, max(1, DECAY_INTERVAL * WINDOW // (window * R)))


class MixturePredictor:
    """Predicts R substreams that start alike.

    Parameters
    ----------
    network : ExactNetwork
    alphabet : Alphabet
    ngrams : NgramModel or None
    start_char : int
        The character before every substream; it is read, but not counted.
    R : int
    steps : int
        Steps to be coded; the history of the match model has room for as many, within limits.
    adapts_weights : bool
        Whether the network is trained, in place.
    """

    def __init__(
        self,
        network: ExactNetwork,
        alphabet: Alphabet,
        ngrams: NgramModel | None,
        start_char: int,
        R: int,
        steps: int,
        adapts_weights: bool = False,
    ) -> None:
        self.network, self.has_unknown = network, alphabet.has_unknown
        self.learner = OnlineLearner(network, _schedule(R)) if adapts_weights else None
        self.prior = None if ngrams is None else ExactPrior(ngrams, start_char, R, adapt=True, count_first=True)
        self.no_prior = Prior(np.full((R, network.K), _LOG_Q), np.zeros(R, np.intp))
        self.mixture = Mixture(
            initial_weights(network.K, network.arrays.get("alpha", np.zeros(1, np.float32))),
            MatchModel(text_matches(ngrams), R, steps),
            WordModel(text_words(ngrams, alphabet), word_characters(alphabet), start_char, R),
            start_char,
            R,
        )
        before = np.zeros((network.P, R, network.m), np.float32)
        self.step = forward_step_in_parts(network, before, np.full(R, start_char, np.int64))
        self.escapes = EscapeModel(R)
        self.predict_bytes = self.escapes.predict_bytes
        self.freqs = np.empty((R, network.K + 1), np.float32)

    def predict_symbols(self) -> Floats:
        """Return the frequencies minus one (R, K + 1) of the next symbol of each substream."""
        logits = self.mixture.mix(self.step.logits, *self._read_prior())
        self.escapes.add_escapes(logits, self.has_unknown, self.freqs)
        return self.freqs

    def advance(self, tokens: Ints, escaped: Ints) -> None:
        """Learn from and read tokens (R,), of which those in the rows `escaped` (n,) are bytes."""
        K = self.network.K
        x, coded = np.minimum(tokens, K - 1), tokens < K
        g = self.mixture.learn(self.step.logits, *self._read_prior(), self.freqs, x, coded)
        if self.learner is not None:
            self.learner.observe(CodedStep(self.step, np.float32(-1) * g))
        self.escapes.advance(tokens, escaped, K)
        unread = unread_rows(tokens, escaped, K, self.has_unknown)
        if len(unread) < len(tokens):
            self._read(x, unread)

    def _read(self, x: Ints, unread: Ints) -> None:
        reads = np.ones(len(x), np.bool_)
        reads[unread] = False
        self.mixture.read(x, reads)
        if self.prior is not None:
            self.prior.read(x, unread)
        previous, self.step = self.step, forward_step_in_parts(self.network, self.step.after, x)
        self.step.after[:, unread] = previous.after[:, unread]
        self.step.logits[unread] = previous.logits[unread]

    def _read_prior(self) -> Prior:
        return self.no_prior if self.prior is None else self.prior.prior
