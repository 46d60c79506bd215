"""How well a model predicts a text.

A text is read whole, its state carried through. A long one is cut into segments that are read side by side, each
from a state that the network comes to on the characters before it. Whether that is the state in which the segment
before it ends is seen afterwards; where it is not, the segments are read again from those. A network that does not
forget where it began is read from the first character to the last.

Characters that the model does not know cost what `elman.inference.strangers` says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from elman.engine import Engine, InferenceSession
from elman.engine.protocol import Indices
from elman.errors import ElmanError
from elman.inference.strangers import KNOWN_NATS, stranger_nats, without_strangers
from elman.network import Parameters
from elman.network.parameters import Array
from elman.text.spool import let_go

PIECE = 1 << 20
"""Characters given to an engine at a time, so that the memory it takes for them does not grow with the text."""
LONG = 20_000
"""Characters from which on a text is cut into segments."""
LARGE = 40_000
"""Recurrent weights of a layer from which on it pays: fewer stay in the fastest cache while one text is read."""
SEGMENTS = 32
WARM_UP = 512
"""Characters before its segment that a state comes from at first."""
SLICE = 256
"""Steps whose losses exist at once."""
ROUNDS = 3
"""How often segments are read before the text is read in one piece."""
TOLERANCE = 1e-3
"""How far any number of a state may be from where the segment before ended."""


@dataclass(frozen=True)
class Score:
    """The surprise of a text, character by character from its second on.

    Parameters
    ----------
    chars : int
        Characters predicted: one less than the text holds, as nothing comes before the first that is known.
    nats : float
        -sum log p of them all.
    unknown : int
        How many of them the model does not know.
    """

    chars: int
    nats: float
    unknown: int = 0

    @property
    def nats_per_char(self) -> float:
        """Mean cross-entropy in nats."""
        return self.nats / self.chars

    @property
    def bits_per_char(self) -> float:
        """Mean cross-entropy in bits."""
        return self.nats_per_char / math.log(2)

    @property
    def perplexity(self) -> float:
        """e to the cross-entropy: among how many equally likely characters the model hesitates."""
        try:
            return math.exp(self.nats_per_char)
        except OverflowError:
            return math.inf


def score(engine: Engine, parameters: Parameters, h0: Array, indices: Indices) -> Score:
    """Score a text whole, its state carried through.

    Parameters
    ----------
    engine : Engine
    parameters : Parameters
    h0 : ndarray, shape (D,)
        The state to begin with.
    indices : ndarray of unsigned int, shape (N,)
        K or more is a character that is not known; see `elman.text.opened`.

    Raises
    ------
    ElmanError
        If N < 2.
    """
    K = len(parameters["c"])
    known = readable(indices, K)
    nats = None
    if len(known) > LONG and parameters["W"].size >= LARGE:
        nats = _nats_side_by_side(engine.session(parameters), h0, known)
    if nats is None:
        nats, _ = _nats_in_turn(engine, parameters, h0, known)
    return with_strangers(nats, len(indices), len(known), K)


def readable(indices: Indices, K: int) -> Indices:
    """Return the indices that the network can read, those below K.

    Raises
    ------
    ElmanError
        If there are fewer than two in all.
    """
    if len(indices) < 2:
        raise ElmanError(f"a text of {len(indices)} characters holds nothing to predict: give one of at least two")
    return without_strangers(indices, K)


def with_strangers(nats: float, N: int, known: int, K: int) -> Score:
    """Return the surprise of a text of N characters of which so many are known, which cost the network `nats`."""
    predicted, unknown = max(known - 1, 0), N - known
    if unknown:
        nats += unknown * stranger_nats(K) + predicted * KNOWN_NATS
    return Score(predicted + unknown, nats, unknown)


def _nats_in_turn(engine: Engine, parameters: Parameters, h: Array, indices: Indices) -> tuple[float, Array]:
    """Return the surprise of a text read from its first character to its last, and the state behind it."""
    nats = 0.0
    for start in range(0, len(indices) - 1, PIECE):
        read = indices[start : start + PIECE + 1]
        loss, h = engine.loss(parameters, h, read[:-1], read[1:])
        nats += float(loss)
        let_go(read)
    return nats, h


def _nats_side_by_side(session: InferenceSession, h0: Array, indices: Indices) -> float | None:
    """Return the surprise of a text read in segments, or None where their states do not meet."""
    n = (len(indices) - 1) // SEGMENTS  # characters predicted in one segment; a rest is read behind the last
    x, y = (indices[first : first + SEGMENTS * n].reshape(SEGMENTS, n).T for first in (0, 1))
    starts = np.tile(h0, (SEGMENTS, 1))
    _, warm = _read(session, starts, x[-WARM_UP:], y[-WARM_UP:])
    for _ in range(ROUNDS):
        starts = np.concatenate([h0[None], warm[:-1]])
        nats, warm = _read(session, starts, x, y)
        if np.abs(warm[:-1] - starts[1:]).max() <= TOLERANCE:
            rest = indices[SEGMENTS * n :, None]
            return nats + (_read(session, warm[-1:], rest[:-1], rest[1:])[0] if len(rest) > 1 else 0.0)
    return None


def _read(session: InferenceSession, h: Array, x: Indices, y: Indices) -> tuple[float, Array]:
    """Return the surprise of streams x, y (n, S) read from the states h (S, D), and the states behind them."""
    nats = 0.0
    for first in range(0, len(x), SLICE):
        losses, h = session.losses(h, x[first : first + SLICE], y[first : first + SLICE])
        nats += float(np.sum(losses))
    let_go(x)
    return nats, h
