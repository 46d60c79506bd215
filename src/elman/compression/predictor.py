"""The model of a text that is coded: the network, the n-gram model, the other experts, and what is learned.

R  rows: substreams coded in lockstep      K  alphabet size

`elman.compression.exact_steps` contains the steps; this module what they begin with, and the training of the weights.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from elman.compression import exact_kernels, exact_steps
from elman.compression.adaptive import OnlineLearner, former_learning_rate, make_window, relative_learning_rate
from elman.compression.assistant import Assistant, empty_shared_forward, share_forward
from elman.compression.bitwise.background import count_background
from elman.compression.bitwise.model import BitwiseModel, build_bitwise_model
from elman.compression.bitwise.variants import variant_of
from elman.compression.container import Mode
from elman.compression.exact_kernels import Ints
from elman.compression.exact_network import ExactNetwork
from elman.compression.exact_prior import ALL_FIRST, NOTHING, ROW_BY_ROW, ExactPrior, no_prior
from elman.compression.exact_steps import Escapes, ModelArrays, NetworkArrays, Workspace
from elman.compression.experts import mixing
from elman.compression.experts.match import MatchModel, text_matches
from elman.compression.experts.mixing import Mixture, initial_weights
from elman.compression.experts.words import WIDTH, WordModel, build_word_model, text_words, word_characters
from elman.compression.parts import MIN_WORK, run_parts, start_task
from elman.compression.range_coder import Coder, bad_end_error
from elman.network.ngram import NgramModel
from elman.text import Alphabet

_MAX_TOKENS = 1 << 12
"""Tokens that a kernel codes at a time, about 20 ms."""
_ESCAPE_AFTER_CHARACTER = 1 << exact_kernels.ESCAPE_RATE_SHIFT
_ESCAPE_AFTER_BYTE = 1 << (exact_kernels.ESCAPE_PROB_BITS - 1)
"""Initial probability of an escape, in units of 2^-20: the smallest possible, and one half."""
_INITIAL_BYTE_COUNT = 1 << 10
_MIN_PARTS = 4
"""Parts of `MIN_WORK` from which on the rows of a step are worth several threads and a call for every step."""
_LOG_Q = -4.0
"""log q of every character in a mixture without an n-gram model."""


class Predictor:
    """Predicts R substreams that start alike.

    Parameters
    ----------
    network : ExactNetwork
        Trained in place if the mode says so; R must be 1 then, except in a mixture.
    alphabet : Alphabet
    ngrams : NgramModel or None
    R : int
    steps : int
        Steps to be coded; the history of the match model has room for as many, within limits.
    mode : Mode
    """

    def __init__(
        self, network: ExactNetwork, alphabet: Alphabet, ngrams: NgramModel | None, R: int, steps: int, mode: Mode
    ) -> None:
        K, start_char = network.K, int(alphabet.encode(alphabet.start_char)[0])
        counts = ALL_FIRST if mode.is_mixture else ROW_BY_ROW if mode.adapts_counts else NOTHING
        self.network, self.R = network, R
        self.prior = None if ngrams is None else ExactPrior(ngrams, start_char, R, counts)
        self.learner = None
        if mode.adapts_weights:
            trains_alpha = self.prior is not None and not mode.is_mixture
            rate = relative_learning_rate if mode.has_relative_rate else former_learning_rate
            self.learner = OnlineLearner(network, R, rate(network), trains_alpha=trains_alpha)
        self.match = MatchModel(text_matches(ngrams if mode.is_mixture else None), R, steps if mode.is_mixture else 0)
        self.background: ExactPrior | None = None
        self.bitwise: BitwiseModel | None = None
        if mode.is_bitwise:
            self._build_bitwise(alphabet, ngrams, steps * R, mode, start_char)
        alpha = network.arrays.get("alpha", np.zeros(1, np.float32))
        self.model = ModelArrays(
            escapes=_initial_escapes(R, alphabet.has_unknown),
            has_prior=self.prior is not None,
            prior=no_prior(K, R, _LOG_Q) if self.prior is None else self.prior.arrays,
            alpha=alpha,
            is_mixture=mode.is_mixture,
            mixture=Mixture(
                mixing.RATES,
                initial_weights(K if mode.is_mixture else 1, alpha),
                _word_model(alphabet, ngrams, mode, start_char, R),
                self.match.arrays,
                *np.full((2, R), start_char, np.int64),
            ),
            logits=np.zeros((R, K), np.float32),
            workspace=_workspace(K, R, start_char),
        )
        # The state at the end of training is not used: it still encodes where that was, mostly in the middle of a line,
        # which would cost small files bytes.
        window = make_window(network, 1, R) if self.learner is None else self.learner.window
        is_fixed = mode.is_adaptive and self.learner is None
        shared = share_forward(network, window) if is_fixed else empty_shared_forward()
        self.assistant = Assistant(shared)
        self.network_arrays = NetworkArrays(
            network.theta, network.cell, network.G, np.ones(1, np.bool_), self.learner is not None, window, shared
        )
        # Static blocks are on all cores anyway, and what is trained has few rows.
        is_large = R * len(network.theta) >= _MIN_PARTS * MIN_WORK
        self.reads_in_parts = is_fixed and is_large and R > 1

    def _build_bitwise(
        self, alphabet: Alphabet, ngrams: NgramModel | None, N: int, mode: Mode, start_char: int
    ) -> None:
        """Build the bitwise model and, at the same time if there are two cores, the background model."""
        variant = variant_of(mode)

        def build_background() -> ExactPrior:
            return ExactPrior(count_background(ngrams, alphabet, N), start_char, self.R, ALL_FIRST)

        background = start_task(build_background) if variant.has_background else None
        self.bitwise = build_bitwise_model(ngrams, alphabet, self.R, N, start_char, variant)
        if background is not None:
            self.background = background.result()
            self.bitwise = self.bitwise._replace(background=self.background.arrays)

    def code(self, coder: Coder, table: Ints, n: int, count_coded: Callable[[int], None]) -> None:
        """Code n tokens, in `table` (steps, R) for an encoder; a decoder writes them there.

        `count_coded` is called with the number of tokens that were just coded.

        Raises
        ------
        ElmanError
            If a payload was not written by an encoder.
        """
        with self.assistant:
            self._code(coder, table, n, count_coded)

    def _code(self, coder: Coder, table: Ints, n: int, count_coded: Callable[[int], None]) -> None:
        t = 0
        while t < len(table):
            self.assistant.start()
            last = min(len(table), t + max(1, _MAX_TOKENS // self.R))
            if self.reads_in_parts:
                last = t + 1
                self._read_in_parts()
            self._reserve(coder, last - t)
            before, t = (
                t,
                exact_steps.code_steps(coder.arrays, self.model, self.bitwise, self.network_arrays, table, t, last, n),
            )
            if t < 0:
                raise bad_end_error()
            if self.learner is not None:
                self.learner.observe()
            count_coded(min(n, t * self.R) - before * self.R)

    def _reserve(self, coder: Coder, steps: int) -> None:
        """Make room for so many steps, or at least one."""
        depth = 1 if self.bitwise is None else self.bitwise.tree.bits.shape[1]
        coder.reserve((depth + 1) * steps * self.R)
        if self.prior is not None:
            self.prior.reserve()
            self.model = self.model._replace(prior=self.prior.arrays)
        if self.bitwise is not None and self.background is not None:
            self.background.reserve()
            self.bitwise = self.bitwise._replace(background=self.background.arrays)
        if self.model.is_mixture:
            self.match.reserve(steps)
            self.model = self.model._replace(mixture=self.model.mixture._replace(matches=self.match.arrays))

    def _read_in_parts(self) -> None:
        """Let a large network read the characters of the last step, the rows on all cores."""
        network, window, work = self.network, self.network_arrays.window, self.model.workspace
        before, after = window.states

        def forward(rows: slice) -> None:
            exact_kernels.forward_step(
                network.theta, network.cell, network.G, network.K, work.x, before, after, window.gates[0],
                window.logits, rows.start, rows.stop,
            )  # fmt: skip

        if self.network_arrays.pending[0]:
            run_parts(forward, self.R, self.R * len(network.theta))
            exact_steps.end_reading(self.network_arrays, self.model)


def _word_model(alphabet: Alphabet, ngrams: NgramModel | None, mode: Mode, start_char: int, R: int) -> WordModel:
    """Return the word model of a mixture; of other modes, one that is not used."""
    slots = text_words(ngrams, alphabet) if mode.is_mixture else np.zeros((2, WIDTH), np.int32)
    return build_word_model(slots, word_characters(alphabet), start_char, R)


def _initial_escapes(R: int, has_unknown: bool) -> Escapes:
    return Escapes(
        has_unknown=has_unknown,
        probs=np.tile(np.array([_ESCAPE_AFTER_CHARACTER, _ESCAPE_AFTER_BYTE], np.int64), (R, 1)),
        was_byte=np.zeros(R, np.int64),
        byte_counts=np.full((R, exact_steps.BYTES), _INITIAL_BYTE_COUNT, np.int64),
    )


def _workspace(K: int, R: int, start_char: int) -> Workspace:
    return Workspace(
        mixed=np.empty((R, K), np.float32),
        freqs=np.empty((R, K + 1), np.float32),
        byte_freqs=np.empty((1, exact_steps.BYTES), np.float32),
        byte=np.zeros(1, np.int64),
        symbols=np.zeros(R, np.int64),
        x=np.full(R, start_char, np.int64),
        coded=np.zeros(R, np.bool_),
        reads=np.ones(R, np.bool_),
        g=np.zeros((R, K), np.float32),
    )
