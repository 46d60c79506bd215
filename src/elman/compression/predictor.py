"""Predicted frequencies of the next symbol: characters by the network, escapes and bytes by counting.

R  rows: substreams coded in lockstep      K  alphabet size; symbol K is the escape

An escape, as in PPM, announces a byte that is not part of a character of the alphabet. Its probability is estimated
adaptively, separately after a character and after an escaped byte. So a single unknown character costs little
elsewhere, and a file of nothing but bytes costs little more than its bytes. The network does not read escaped bytes;
but if the alphabet has an unknown symbol, the network reads that symbol at the first byte of each escaped character.
"""

from __future__ import annotations

import numpy as np

from elman.compression import exact_kernels
from elman.compression.adaptive import CodedStep, OnlineLearner, output_gradient
from elman.compression.exact_kernels import Floats, Ints
from elman.compression.exact_network import ExactNetwork, Step, forward_step
from elman.compression.exact_prior import ExactPrior
from elman.text import Alphabet

_ESCAPE_AFTER_CHARACTER = 1 << exact_kernels.ESCAPE_RATE_SHIFT
_ESCAPE_AFTER_BYTE = 1 << (exact_kernels.ESCAPE_PROB_BITS - 1)
"""Initial probability of an escape, in units of 2^-20: the smallest possible, and one half."""
_INITIAL_COUNT, _COUNT_STEP, _MAX_TOTAL = 1 << 10, 1 << 15, 1 << 24
"""Initial count of each byte, its increment per occurrence, and the total above which all counts are halved."""


class EscapeModel:
    """Predicts escapes, and the bytes that follow them, in R rows that start alike."""

    def __init__(self, R: int) -> None:
        self.probs = np.tile(np.array([_ESCAPE_AFTER_CHARACTER, _ESCAPE_AFTER_BYTE], np.int64), (R, 1))
        self.was_byte = np.zeros(R, np.int64)
        self.byte_counts = np.full((R, 256), _INITIAL_COUNT, np.int64)

    def add_escapes(self, logits: Floats, has_unknown: bool, freqs: Floats) -> None:
        """Set the frequencies minus one (R, K + 1) of the next symbol, given the logits (R, K) of the characters."""
        exact_kernels.compute_symbol_freqs(logits, self.probs, self.was_byte, has_unknown, freqs)

    def predict_bytes(self, rows: Ints) -> Floats:
        """Return the frequencies minus one (n, 256) of the byte that follows an escape in `rows` (n,)."""
        freqs = np.empty((len(rows), 256), np.float32)
        for n, row in enumerate(rows):
            exact_kernels.apportion(self.byte_counts[row], np.int64(_MAX_TOTAL - 256), freqs[n])
        return freqs

    def advance(self, tokens: Ints, escaped: Ints, K: int) -> None:
        """Read tokens (R,), of which those in the rows `escaped` (n,) are bytes."""
        exact_kernels.update_escape_probs(tokens, K, self.probs, self.was_byte)
        for row in escaped:
            self._count_byte(row, tokens[row] - K)

    def _count_byte(self, row: int, byte: int) -> None:
        counts = self.byte_counts[row]
        counts[byte] += _COUNT_STEP
        if counts.sum() > _MAX_TOTAL:
            counts -= counts >> 1


def unread_rows(tokens: Ints, escaped: Ints, K: int, has_unknown: bool) -> Ints:
    """Return the rows among `escaped` (n,) in which the model reads nothing.

    An unknown symbol is read once per character: at bytes that are not UTF-8 continuation bytes.
    """
    return escaped[tokens[escaped] - K & 0xC0 == 0x80] if has_unknown else escaped


class SymbolPredictor:
    """Predicts R substreams that start alike.

    Parameters
    ----------
    network : ExactNetwork
        Changed in place if `adaptive`.
    alphabet : Alphabet
    start : Step
        The step that precedes every substream; of one row.
    R : int
    adaptive : bool
        Whether the network is trained on the tokens it reads; R must be 1 then.
    prior : ExactPrior, optional
        The n-gram prior of R substreams, if the network has one.
    """

    def __init__(
        self,
        network: ExactNetwork,
        alphabet: Alphabet,
        start: Step,
        R: int,
        adaptive: bool = False,
        prior: ExactPrior | None = None,
    ) -> None:
        self.network, self.has_unknown = network, alphabet.has_unknown
        self.learner = OnlineLearner(network) if adaptive else None
        self.step, self.prior = start.repeat(R), prior
        self.escapes = EscapeModel(R)
        self.predict_bytes = self.escapes.predict_bytes
        self.freqs = np.empty((R, network.K + 1), np.float32)

    def predict_symbols(self) -> Floats:
        """Return the frequencies minus one (R, K + 1) of the next symbol of each substream."""
        self.escapes.add_escapes(self.step.logits, self.has_unknown, self.freqs)
        return self.freqs

    def advance(self, tokens: Ints, escaped: Ints) -> None:
        """Read tokens (R,), of which those in the rows `escaped` (n,) are bytes."""
        K = self.network.K
        self.escapes.advance(tokens, escaped, K)
        if not len(escaped):
            self._read(tokens, escaped)
            return
        unread = unread_rows(tokens, escaped, K, self.has_unknown)
        if len(unread) == len(tokens):
            return
        previous = self.step
        self._read(np.minimum(tokens, K - 1), unread)
        self.step.after[:, unread] = previous.after[:, unread]
        self.step.logits[unread] = previous.logits[unread]

    def _read(self, characters: Ints, unread: Ints) -> None:
        """Read characters (R,), of which those in the rows `unread` only replace the recurrent state."""
        if self.learner is not None:
            self.learner.observe(CodedStep(self.step, output_gradient(self.freqs, int(characters[0]))))
        prior = None if self.prior is None else self.prior.read(characters, unread)
        self.step = forward_step(self.network, self.step.after, characters, prior)
