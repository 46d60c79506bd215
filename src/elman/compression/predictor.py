"""What is expected next in each of R streams: characters by the network, escapes and bytes by counting.

R  rows: streams read side by side      K  size of the alphabet; the symbol K is the escape

An escape says that a byte follows which is no character of the alphabet. Its probability is learned as it goes, apart
for what follows a character and what follows an escaped byte, so that a lone strange character costs little
elsewhere, and a file of nothing but bytes costs little more than its bytes. The network does not read
them; only where its alphabet folds, its last character is read for each that begins.
"""

from __future__ import annotations

import numpy as np

from elman.compression import exact_kernels
from elman.compression.adaptive import Learner, Seen
from elman.compression.exact_network import Floats, Ints, Network, Step, read
from elman.text import Alphabet

_AFTER_CHARACTER, _AFTER_BYTE = 1 << exact_kernels.HASTE, 1 << (exact_kernels.FRACTION - 1)
"""How probable an escape is at first, of 2^20: as little as can be, and one half."""
_BYTE, _MORE, _MOST = 1 << 10, 1 << 15, 1 << 24
"""What a byte's count begins with, what it grows by, and the sum from which on all are halved."""


class Reading:
    """Streams that begin alike.

    Parameters
    ----------
    network : Network
        Changed in place if `learns`.
    alphabet : Alphabet
    start : Step
        What the network did when it read what comes before every stream; of one row.
    R : int
    learns : bool
        Whether the network learns from what it reads; R is 1 then.
    """

    def __init__(self, network: Network, alphabet: Alphabet, start: Step, R: int, learns: bool = False) -> None:
        self.network, self.folds = network, alphabet.folds
        self.learner = Learner(network) if learns else None
        self.step = start.repeated(R)
        self.escapes = np.tile(np.array([_AFTER_CHARACTER, _AFTER_BYTE], np.int64), (R, 1))
        self.was_byte = np.zeros(R, np.int64)
        self.counts = np.full((R, 256), _BYTE, np.int64)
        self.weights = np.empty((R, network.K + 1), np.float32)

    def symbols(self) -> Floats:
        """Return the weights (R, K + 1) of the next symbol in each stream."""
        exact_kernels.expect(self.step.logits, self.escapes, self.was_byte, self.folds, self.weights)
        return self.weights

    def bytes(self, rows: Ints) -> Floats:
        """Return the weights (n, 256) of the byte that follows the escape in `rows` (n,)."""
        weights = np.empty((len(rows), 256), np.float32)
        for n, row in enumerate(rows):
            exact_kernels.share(self.counts[row], np.int64(_MOST - 256), weights[n])
        return weights

    def read(self, tokens: Ints, escaped: Ints) -> None:
        """Go on behind tokens (R,), of which those in the rows `escaped` (n,) are bytes."""
        K = self.network.K
        exact_kernels.count_escapes(tokens, K, self.escapes, self.was_byte)
        if not len(escaped):
            self._read(tokens)
            return
        for row in escaped:
            self._count(row, tokens[row] - K)
        unread = escaped
        if self.folds:  # the last character stands for one, which begins where no other of UTF-8 goes on
            unread = escaped[tokens[escaped] - K & 0xC0 == 0x80]
        if len(unread) == len(tokens):
            return
        before = self.step
        self._read(np.minimum(tokens, K - 1))
        self.step.after[:, unread] = before.after[:, unread]
        self.step.logits[unread] = before.logits[unread]

    def _read(self, characters: Ints) -> None:
        if self.learner is not None:
            self.learner.saw(Seen(self.step, self.weights.copy(), int(characters[0])))
        self.step = read(self.network, self.step.after, characters)

    def _count(self, row: int, byte: int) -> None:
        counts = self.counts[row]
        counts[byte] += _MORE
        if counts.sum() > _MOST:
            counts -= counts >> 1
