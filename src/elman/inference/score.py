"""Score of a text: how well a model predicts it.

The complete text is evaluated with the state carried through it. A long text is split into segments that are read as
one batch, each from a state reached by a warm-up on the characters before the segment. Afterwards each initial state is
compared with the state in which the previous segment ended; if they differ, the segments are read again from those
states. A network that does not forget its initial state is evaluated sequentially instead.

Other protocols evaluate every window from a state of zeros. `score_windows` does so: each window reads N characters and
predicts the N after its first, so that every character of the text but its first is predicted once, from at most N
before it. This is the loss that nanoGPT reports for a block size of N, there for random windows.

The cost of unknown characters is defined in `elman.text.unknown`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman.engine import Engine, InferenceSession
from elman.engine.protocol import Indices
from elman.errors import ElmanError, shorten
from elman.network import Parameters
from elman.network.parameters import Array, architecture
from elman.text.corpus import drop_pages
from elman.text.unknown import KNOWN_PENALTY_NATS, drop_unknown, unknown_nats

CHUNK = 1 << 20
"""Characters per call of the engine, so that its memory does not grow with the text."""
MIN_SEGMENTED_CHARS = 20_000
"""Length from which a text is split into segments."""
MIN_SEGMENTED_WEIGHTS = 40_000
"""Recurrent weights per layer from which splitting pays: fewer stay in the fastest cache while one text is read."""
SEGMENTS = 32
WARM_UP = 512
"""Characters before its segment from which the first initial state is computed."""
SLICE = 256
"""Steps whose losses are in memory at a time."""
CHUNK_LOSSES = 4096
"""Characters per call of the engine, where the loss of each is returned."""
MAX_ROUNDS = 3
"""How often the segments are read before the text is read sequentially."""
TOLERANCE = 1e-3
"""Largest difference allowed between an initial state and the final state of the previous segment."""


@dataclass(frozen=True)
class Score:
    """The cross-entropy of a text from its second character on.

    Parameters
    ----------
    chars : int
        Characters predicted: one less than the length, as nothing precedes the first known character.
    nats : float
        -sum log p over those characters.
    unknown : int
        Number of unknown characters among them.
    read_losses : callable, optional
        Returns the loss of every character, for `per_char`.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> model = elman.train(text, preset="reference", hidden_size=16, max_updates=100, engine="numpy").model
    >>> score = model.score("the mat")
    >>> score.chars, score.per_char.shape, score.nats_per_char < 3
    (6, (7,), True)
    """

    chars: int
    nats: float
    unknown: int = 0
    read_losses: Callable[[], NDArray[np.float64]] | None = field(default=None, repr=False, compare=False)

    def _repr_html_(self) -> str:
        from elman.notebook import render_table

        rows = {"characters": self.chars, "unknown": self.unknown, "nats per character": self.nats_per_char}
        return render_table("Score", rows | {"bits per character": self.bits_per_char, "perplexity": self.perplexity})

    def __reduce__(self) -> tuple[type[Score], tuple[int, float, int]]:
        """Leave out what `per_char` needs, the model and the text, when the score is pickled or copied."""
        return Score, (self.chars, self.nats, self.unknown)

    @cached_property
    def per_char(self) -> NDArray[np.float64]:
        """The loss of every character in nats, float64 of shape (N,), computed on first use.

        NaN for the first known character, which nothing precedes.

        Raises
        ------
        ElmanError
            If the text was scored in windows, or by weights that adapt, for which losses of characters are not kept.
        """
        if self.read_losses is None:
            raise ElmanError("per_char requires a score without --window and without weights that adapt")
        return self.read_losses()

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
        """Perplexity per character, the exponential of the cross-entropy."""
        try:
            return math.exp(self.nats_per_char)
        except OverflowError:
            return math.inf


def score(engine: Engine, parameters: Parameters, h0: Array, indices: Indices) -> Score:
    """Score a complete text, carrying the state through it.

    Parameters
    ----------
    engine : Engine
    parameters : Parameters
    h0 : ndarray, shape (D,)
        The initial state.
    indices : ndarray of unsigned int, shape (N,)
        An index of K or more is an unknown character; see `elman.text.with_unknown`.

    Raises
    ------
    ElmanError
        If N < 2.
    """
    K = len(parameters["c"])
    readable = readable_indices(indices, K)
    nats = None
    if _can_segment(parameters) and len(readable) > MIN_SEGMENTED_CHARS:
        nats = _sum_segments(engine.session(parameters), h0, readable)
    if nats is None:
        nats = _sum_sequentially(engine, parameters, h0, readable)
    return add_unknown_cost(nats, len(indices), len(readable), K)


def score_windows(engine: Engine, parameters: Parameters, indices: Indices, window: int) -> Score:
    """Score a text in windows, each read from a state of zeros.

    Parameters
    ----------
    engine : Engine
    parameters : Parameters
    indices : ndarray of unsigned int, shape (N,)
        An index of K or more is an unknown character; see `elman.text.with_unknown`.
    window : int
        Characters that each window reads; the last one may be shorter.

    Raises
    ------
    ElmanError
        If N < 2 or `window` < 1.
    """
    if window < 1:
        raise ElmanError(f"--window must be at least 1 (got {shorten(window)})")
    network = architecture(parameters)
    readable = readable_indices(indices, network.K)
    h0 = np.zeros(network.state_size, parameters["c"].dtype)
    session, nats = engine.session(parameters), 0.0
    step = max(1, CHUNK // window) * window
    for start in range(0, len(readable) - 1, step):
        chunk = readable[start : start + step + 1]
        starts = np.arange(0, len(chunk) - 1, window)
        lengths = np.minimum(window, len(chunk) - 1 - starts)
        nats += float(session.segment_losses(h0, chunk, starts, lengths).nats.sum())
        drop_pages(chunk)
    return add_unknown_cost(nats, len(indices), len(readable), network.K)


def compute_char_losses(engine: Engine, parameters: Parameters, h0: Array, indices: Indices) -> NDArray[np.float64]:
    """Return the loss of every character of a text, whose sum is the cost that `score` returns.

    Parameters
    ----------
    engine : Engine
    parameters : Parameters
        Counts that grow count this text.
    h0 : ndarray, shape (D,)
        The initial state.
    indices : ndarray of unsigned int, shape (N,)
        An index of K or more is an unknown character; see `elman.text.with_unknown`.

    Returns
    -------
    ndarray, shape (N,)
        In nats; NaN for the first known character, which nothing precedes.
    """
    K, h, session = len(parameters["c"]), h0[None], engine.session(parameters)
    known = np.flatnonzero(indices < K)
    readable = indices[known][:, None]
    losses = np.full(len(indices), unknown_nats(K))
    losses[known] = KNOWN_PENALTY_NATS if len(known) < len(indices) else 0.0
    losses[known[:1]] = np.nan
    for start in range(0, len(readable) - 1, CHUNK_LOSSES):
        chunk = readable[start : start + CHUNK_LOSSES + 1]
        nats, h = session.losses(h, chunk[:-1], chunk[1:])
        losses[known[start + 1 : start + len(chunk)]] += nats[:, 0]
    return losses


def readable_indices(indices: Indices, K: int) -> Indices:
    """Return the indices that the network can read, those below K.

    Raises
    ------
    ElmanError
        If there are fewer than two indices in total.
    """
    if len(indices) < 2:
        raise ElmanError(f"a text needs at least 2 characters to be scored (got {len(indices)})")
    return drop_unknown(indices, K)


def add_unknown_cost(nats: float, N: int, num_known: int, K: int) -> Score:
    """Return the score of a text of N characters whose `num_known` known ones cost the network `nats`."""
    predicted, unknown = max(num_known - 1, 0), N - num_known
    if unknown:
        nats += unknown * unknown_nats(K) + predicted * KNOWN_PENALTY_NATS
    return Score(predicted + unknown, nats, unknown)


def check_finite(values: ArrayLike) -> None:
    """Check the output of a network, which may have diverged in training or have been imported.

    Raises
    ------
    ElmanError
        If a value is not finite.
    """
    if not np.isfinite(values).all():
        raise ElmanError("the output of this network is not finite; train again with a lower learning rate")


def _can_segment(parameters: Parameters) -> bool:
    """Whether segments of a text may be read in one batch, and pay; counts that grow depend on the order of reading."""
    net = architecture(parameters)
    return not parameters.counts_reading and net.gates * net.m**2 >= MIN_SEGMENTED_WEIGHTS


def _sum_sequentially(engine: Engine, parameters: Parameters, h: Array, indices: Indices) -> float:
    """Return the cost in nats of a text read from its first character to its last."""
    nats = 0.0
    for start in range(0, len(indices) - 1, CHUNK):
        chunk = indices[start : start + CHUNK + 1]
        loss, h = engine.loss(parameters, h, chunk[:-1], chunk[1:])
        nats += float(loss)
        drop_pages(chunk)
    return nats


def _sum_segments(session: InferenceSession, h0: Array, indices: Indices) -> float | None:
    """Return the cost in nats of a text read in segments, or None if their states do not converge."""
    n = (len(indices) - 1) // SEGMENTS  # characters predicted per segment; the remainder follows the last one
    x, y = (indices[first : first + SEGMENTS * n].reshape(SEGMENTS, n).T for first in (0, 1))
    initial = np.tile(h0, (SEGMENTS, 1))
    _, final = _sum_batch(session, initial, x[-WARM_UP:], y[-WARM_UP:])
    for _ in range(MAX_ROUNDS):
        initial = np.concatenate([h0[None], final[:-1]])
        nats, final = _sum_batch(session, initial, x, y)
        if np.abs(final[:-1] - initial[1:]).max() <= TOLERANCE:
            rest = indices[SEGMENTS * n :, None]
            return nats + (_sum_batch(session, final[-1:], rest[:-1], rest[1:])[0] if len(rest) > 1 else 0.0)
    return None


def _sum_batch(session: InferenceSession, h: Array, x: Indices, y: Indices) -> tuple[float, Array]:
    """Return the cost in nats of the batch x, y (n, S) read from the states h (S, D), and the final states."""
    nats = 0.0
    for start in range(0, len(x), SLICE):
        losses, h = session.losses(h, x[start : start + SLICE], y[start : start + SLICE])
        nats += float(np.sum(losses))
    drop_pages(x)
    return nats, h
