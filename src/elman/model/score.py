"""Score of a text: how well a model predicts it, in total and character by character.

The complete text is evaluated with the state carried through it. A long text is split into segments that are read as
one batch, each from a state reached by a warm-up on the characters before the segment. Afterwards each initial state is
compared with the state in which the previous segment ended; if they differ, the segments are read again from those
states. A network that does not forget its initial state is evaluated sequentially instead.

`score_windows` evaluates every window from a state of zeros: it reads N characters and predicts the N characters after
the first. nanoGPT reports this loss, for random windows, with a block size of N.

The cost of unknown characters is defined in `elman.text.unknown`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman.engine import Engine, InferenceSession
from elman.engine.protocol import Indices
from elman.errors import ElmanError, check_range, option
from elman.network import Parameters
from elman.network.parameters import Array
from elman.network.state import State, stack_states
from elman.text.corpus import drop_pages
from elman.text.unknown import KNOWN_PENALTY_NATS, drop_unknown, unknown_nats

MIN_SEGMENTED_CHARS = 20_000  # length from which a text is split into segments
MIN_SEGMENTED_WEIGHTS = 40_000
"""Recurrent weights per layer from which splitting pays: fewer stay in the fastest cache while one text is read."""
SEGMENTS = 32
WARM_UP = 512  # characters before its segment from which the first initial state is computed
MAX_ROUNDS = 3  # how often the segments are read before the text is read sequentially
TOLERANCE = 0.02
"""Largest difference allowed between an initial state and the final state of the previous segment. Mixed precision
causes differences of up to 0.008, which change the loss by 1e-6 nats per character."""
SLICE_LOSSES = 8192  # losses of characters in memory at a time
WINDOW_CHARS = 1 << 20  # characters per call of the engine in windows


@dataclass(frozen=True)
class Score:
    """The cross-entropy of a text from its second character on.

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
    """Characters predicted: one less than the length, because nothing precedes the first known character.
    `elman.apps.compress.code_length` predicts all of them."""
    nats: float
    """-sum log p over those characters."""
    unknown: int = 0
    """Unknown characters among them."""
    read_losses: Callable[[], NDArray[np.float64]] | None = field(default=None, repr=False, compare=False)
    """Returns the loss of every character, for `per_char`."""

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

        NaN for the first known character, which nothing precedes. Raises `ElmanError` if the text was scored in windows
        or with adapting weights, for which losses of characters are not kept.
        """
        if self.read_losses is None:
            raise ElmanError(f"per_char requires a score without {option.window} and without weights that adapt")
        return self.read_losses()

    @property
    def nats_per_char(self) -> float:
        """Mean cross-entropy in nats; NaN if no characters were predicted."""
        return self.nats / self.chars if self.chars else math.nan

    @property
    def bits_per_char(self) -> float:
        """Mean cross-entropy in bits."""
        return self.nats_per_char / math.log(2)

    @property
    def perplexity(self) -> float:
        """Perplexity per character, the exponential of the cross-entropy."""
        with np.errstate(over="ignore"):
            return float(np.exp(self.nats_per_char))


def score(engine: Engine, parameters: Parameters, state: State, indices: Indices) -> Score:
    """Score a complete text, carrying the state through it; an index of K or more is an unknown character."""
    network, session = parameters.architecture, engine.session(parameters)
    # Counts that grow depend on the order of reading.
    can_segment = not state.grows and network.gates * network.m**2 >= MIN_SEGMENTED_WEIGHTS

    def sum_nats(known: Indices) -> float:
        nats = _sum_segments(session, state, known) if can_segment and len(known) > MIN_SEGMENTED_CHARS else None
        return _sum_losses(session, state.reshape(1), known[:-1, None], known[1:, None])[0] if nats is None else nats

    read_losses = partial(compute_char_losses, engine, parameters, state, indices)
    return replace(score_known(indices, network.K, sum_nats), read_losses=read_losses)


def score_windows(engine: Engine, parameters: Parameters, indices: Indices, window: int) -> Score:
    """Score a text in windows, each read from a state of zeros."""
    check_range("window", window, 1)
    window = min(window, len(indices) + 1)
    network, session = parameters.architecture, engine.session(parameters)
    state, step = network.zero_state(parameters["c"].dtype), max(1, WINDOW_CHARS // window) * window

    def sum_nats(known: Indices) -> float:
        nats = 0.0
        for first in range(0, len(known) - 1, step):
            chunk = known[first : first + step + 1]
            starts = np.arange(0, len(chunk) - 1, window)
            lengths = np.minimum(window, len(chunk) - 1 - starts)  # the last one may be shorter
            nats += float(session.segment_losses(state, chunk, starts, lengths).nats.sum())
            drop_pages(chunk)
        return nats

    return score_known(indices, network.K, sum_nats)


def compute_char_losses(engine: Engine, parameters: Parameters, state: State, indices: Indices) -> NDArray[np.float64]:
    """Return the loss of every character of a text in nats (N,); the sum is the cost that `score` returns.

    The loss is NaN for the first known character, which nothing precedes. Counts that grow count this text.
    """
    K = len(parameters["c"])
    known = np.flatnonzero(indices < K)
    readable = indices[known][:, None]
    losses = np.full(len(indices), unknown_nats(K))
    losses[known] = KNOWN_PENALTY_NATS if len(known) < len(indices) else 0.0
    losses[known[:1]] = np.nan
    slices = read_slices(engine.session(parameters), state.reshape(1), readable[:-1], readable[1:])
    losses[known[1:]] += np.concatenate([np.zeros(0), *(nats[:, 0] for nats, _ in slices)])
    return losses


def score_known(indices: Indices, K: int, sum_nats: Callable[[Indices], float]) -> Score:
    """Return the score of a text (N,) from `sum_nats`, the network's cost of the known characters, those below K."""
    check_length(len(indices))
    known = drop_unknown(indices, K)
    nats, predicted, unknown = sum_nats(known), max(len(known) - 1, 0), len(indices) - len(known)
    if unknown:
        nats += unknown * unknown_nats(K) + predicted * KNOWN_PENALTY_NATS
    return Score(predicted + unknown, nats, unknown)


def check_length(N: int) -> None:
    """Check that a text of N characters can be scored."""
    if N < 2:
        raise ElmanError(f"a text needs at least 2 characters to be scored (got {N})")


def check_finite(values: ArrayLike) -> None:
    """Check that the output of a network is finite: the network may have diverged in training or have been imported."""
    if not np.isfinite(values).all():
        raise ElmanError("the output of this network is not finite; train again with a lower learning rate")


def _sum_segments(session: InferenceSession, state: State, indices: Indices) -> float | None:
    """Return the cost in nats of a text read in segments, or None if their states do not converge."""
    n = (len(indices) - 1) // SEGMENTS  # characters predicted per segment; the remainder follows the last segment
    x, y = (indices[first : first + SEGMENTS * n].reshape(SEGMENTS, n).T for first in (0, 1))
    rest = indices[SEGMENTS * n :, None]
    _, final = _sum_losses(session, state.tile(SEGMENTS), x[-WARM_UP:], y[-WARM_UP:])
    for _ in range(MAX_ROUNDS):
        initial = stack_states([state, *map(final.select, range(SEGMENTS - 1))])
        nats, final = _sum_losses(session, initial, x, y)
        if np.abs(final.recurrent[:-1] - initial.recurrent[1:]).max() <= TOLERANCE:
            return nats + _sum_losses(session, final.select(slice(-1, None)), rest[:-1], rest[1:])[0]
    return None


def _sum_losses(session: InferenceSession, state: State, x: Indices, y: Indices) -> tuple[float, State]:
    """Read the batch x, y (T, B) from the states of B sequences; return its cost in nats and the final states."""
    sums = [(float(losses.sum()), states) for losses, states in read_slices(session, state, x, y)]
    return sum(nats for nats, _ in sums), sums[-1][1] if sums else state


def read_slices(
    session: InferenceSession, state: State, x: Indices, y: Indices
) -> Iterator[tuple[NDArray[np.float64], State]]:
    """Yield the losses (n, B) of slices of the batch x, y (T, B), and the states of the B sequences after each."""
    n = max(1, SLICE_LOSSES // len(state))
    for first in range(0, len(x), n):
        losses, state = session.losses(state, x[first : first + n], y[first : first + n])
        drop_pages(x)
        yield losses, state


def top_k(log_p: Array, k: int) -> tuple[NDArray[np.intp], Array]:
    """Return the k most likely characters at each position of log_p (n, K), the most likely first, and their log p.

    If k exceeds K, all K are returned.
    """
    best = np.argpartition(-log_p, min(k, log_p.shape[-1] - 1), axis=-1)[:, :k]
    order = np.argsort(-np.take_along_axis(log_p, best, -1), axis=-1, kind="stable")
    best = np.take_along_axis(best, order, -1)
    return best, np.take_along_axis(log_p, best, -1)
