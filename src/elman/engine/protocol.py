"""The state of a training run as one value, and the interface of engines as `typing.Protocol` classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from elman.network.ngram import Ints, NgramModel
from elman.network.optimizer import Optimizer
from elman.network.output import Prior
from elman.network.parameters import (
    INITIAL_ALPHA,
    Array,
    Arrays,
    LossAndGradients,
    Parameters,
    architecture,
    initial_parameters,
)
from elman.network.sampling import SamplingParams
from elman.text import Windows

Indices = NDArray[np.unsignedinteger[Any]]

StepCallback = Callable[[Array, NDArray[np.float64]], bool]
"""Called with the hidden state h after an update and the losses since the last callback of the same call of the engine;
returns whether the engine should stop there."""

CALLBACK_INTERVAL = 95
"""Updates between two callbacks: few enough that a problem that takes a second callback to confirm is reported within
100 updates. A callback costs a compiled engine some 25 microseconds, and 95 of the fastest updates take 3,400.
"""


@dataclass
class TrainState:
    """Everything that training passes from one update to the next. Saved and loaded, training continues bit for bit.

    K  size of the alphabet, m  hidden units, B  batch size, D  size of one sequence's state (m for the vanilla network,
    see `elman.network.parameters`)

    Parameters
    ----------
    parameters : Parameters
        U (m, K), W (m, m), V (K, m), b (m,), c (K,) of the vanilla network; float32 or float64.
    M : Arrays
        The optimizer's second moments, sums or running averages of squared gradients; same names and shapes, or empty.
    h : ndarray, shape (D,) or, where B > 1, (B, D)
        The final hidden state of the last window; the next window begins with it, unless it begins an epoch.
    sample_generator : Generator
        The generator of the samples that are written during training; a separate one, so that writing them does not
        change the run.
    N : Arrays
        The optimizer's first moments (momentum), or empty.
    average : Arrays
        The exponential moving average (EMA) of the parameters, which evaluation uses, or empty.
    position : int
        Where in every batch row the last window ended; the next one begins there, unless it begins an epoch.
    update, epoch : int
        Updates made, epochs completed.
    smooth_loss, minimum_smooth_loss : float
        S in nats per window (a sum over its T characters), and its minimum so far; NaN before the first update.
    minimum_at : int
        The update of that minimum; 0 before the first.
    seconds : float
        Time spent in updates.
    spent : float
        Time of its commands, compilation of kernels excepted: what is spent of a time budget. Once the budget has ended
        the run, all of it.
    prior_since : int
        The update after which an n-gram prior was switched on; 0 for one that takes part from the start.
    """

    parameters: Parameters
    M: Arrays
    h: Array
    sample_generator: np.random.Generator
    N: Arrays = field(default_factory=dict)
    average: Arrays = field(default_factory=dict)
    position: int = 0
    update: int = 0
    epoch: int = 0
    smooth_loss: float = math.nan
    minimum_smooth_loss: float = math.nan
    minimum_at: int = 0
    seconds: float = 0.0
    spent: float = 0.0
    prior_since: int = 0

    @classmethod
    def initial(
        cls,
        K: int,
        m: int,
        std: float,
        seed: int,
        dtype: np.typing.DTypeLike,
        *,
        cell: str = "rnn",
        layers: int = 1,
        orthogonal: bool = False,
        batch_size: int = 1,
        optimizer: Optimizer | None = None,
        ngrams: NgramModel | None = None,
        alpha: float = INITIAL_ALPHA,
        reset_at: int | None = None,
    ) -> TrainState:
        """Return the state before the first update of a network with K characters and m units per layer.

        For the arguments see `elman.network.parameters.initial_parameters`; `optimizer`, by default that of the
        reference experiment, determines which moments are allocated and whether there is an average.
        """
        parameters = initial_parameters(
            K, m, std, np.random.RandomState(seed), dtype, cell, layers, orthogonal, ngrams, alpha, reset_at
        )
        sample_generator = np.random.Generator(np.random.PCG64(seed))
        M, N, average = (optimizer or Optimizer(0.1, 5.0)).init(parameters)
        D = architecture(parameters).state_size
        h = np.zeros(D if batch_size == 1 else (batch_size, D), dtype)
        return cls(parameters, M, h, sample_generator, N, average)

    @property
    def eval_parameters(self) -> Parameters:
        """The parameters that evaluation uses: their average if there is one."""
        return self.parameters.with_arrays(self.average) if self.average else self.parameters

    @property
    def final_hidden(self) -> Array:
        """The hidden state (D,) from which the text continues: that of the last batch row."""
        return self.h if self.h.ndim == 1 else self.h[-1]


def training_folds(parameters: Parameters, windows: Windows, position: int) -> Ints | None:
    """Return the fold of every target of a window, (T,) or (T, B), where the n-gram prior is cross-fitted."""
    if parameters.ngrams is None or not windows.cross_fit:
        return None
    return parameters.ngrams.folds_at(windows.target_positions(position))


def no_callback(h: Array, losses: NDArray[np.float64]) -> bool:
    """Do nothing, and never stop."""
    return False


def run_in_chunks(
    updates: int, done: int, advance: Callable[[NDArray[np.float64]], Array], callback: StepCallback
) -> NDArray[np.float64]:
    """Run updates in chunks that end where `callback` is due, and return their losses.

    Parameters
    ----------
    updates : int
        Number of updates to run.
    done : int
        Number of updates that were made before.
    advance : callable
        Makes as many updates as its argument is long, fills it with their losses, and returns the hidden state h.
    callback : callable
        Returns whether to stop, in which case fewer losses are returned.
    """
    losses, first = np.empty(updates), 0
    while first < updates:
        last = min(updates, first + CALLBACK_INTERVAL - (done + first) % CALLBACK_INTERVAL)
        chunk = losses[first:last]
        h = advance(chunk)
        if (done + last) % CALLBACK_INTERVAL == 0 and callback(h, chunk):
            return losses[:last]
        first = last
    return losses


class Engine(Protocol):
    """Carries out the mathematics of `elman.network`; no result depends on earlier calls.

    T  sequence length, B  batch size, D  size of one sequence's state, m for the vanilla network
    """

    name: str

    def advance(
        self,
        state: TrainState,
        windows: Windows,
        updates: int,
        optimizer: Optimizer,
        callback: StepCallback = no_callback,
    ) -> NDArray[np.float64]:
        """Run many updates; return the loss of each, in nats: summed over the window, averaged over the batch.

        `state` is changed in place: parameters, moments, average, hidden state, position, update and epoch. The first
        window of an epoch begins at the start of every batch row, with a hidden state of zero; every other window
        begins with the final state of the one before. However the updates are divided into calls, the results are
        bit-identical.

        After every update whose number is a multiple of `CALLBACK_INTERVAL`, `callback` decides whether to stop there,
        in which case fewer losses are returned. It must not keep references to the arrays it is given.
        """
        ...

    def loss(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[Any, Array]:
        """Return the loss of x, y (T,) in nats, summed, and the final state (D,).

        For a batch, x and y are (T, B) and h0 is (B, D); the losses are an array (B,), one for every row.
        """
        ...

    def loss_and_gradients(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> LossAndGradients:
        """Return the loss of one window, its gradients and its final state, without dropout."""
        ...

    def session(self, parameters: Parameters) -> InferenceSession:
        """Return a session for inference with `parameters`, which must not change while it is in use."""
        ...


WORST = 5
"""Highest losses of a segment that are listed: their sum finds most anomalies, see ``benchmarks/log_outliers.py``."""


class SegmentLosses(NamedTuple):
    """Losses of segments of a text, in nats.

    Parameters
    ----------
    nats : ndarray of float64, shape (n,)
        -sum log p of all characters that are predicted in each segment; 0 where there are none.
    worst : ndarray of int, shape (n,)
        Position, from 0, of the character with the highest loss; the first of several.
    worst_nats : ndarray of float64, shape (n, WORST)
        The highest losses in descending order; 0 where there are fewer characters.
    """

    nats: NDArray[np.float64]
    worst: NDArray[np.intp]
    worst_nats: NDArray[np.float64]

    @classmethod
    def zeros(cls, n: int) -> SegmentLosses:
        """Return arrays of zeros for n segments."""
        return cls(np.zeros(n), np.zeros(n, np.intp), np.zeros((n, WORST)))


class InferenceSession(Protocol):
    """A network prepared once for many calls of inference. Not thread-safe.

    Arrays have a batch axis even for a single sequence, and the results of a batch row do not depend on the other rows.
    Compiled sessions release the GIL. The one exception is an n-gram model that counts what is read: the rows of a
    batch share its counts.

    T  number of characters, B  batch size, D  size of one sequence's state, K  size of the alphabet
    """

    def losses(self, h: Array, x: Indices, y: Indices) -> tuple[NDArray[np.float64], Array]:
        """Feed x (T, B) from the states h (B, D): -log p of every y (T, B) in nats, (T, B), and the final states."""
        ...

    def logits(self, h: Array, x: Indices) -> tuple[Array, Array]:
        """Feed x (T, B) from the states h (B, D): the logits (T, B, K) and the states (T, B, D) after each step."""
        ...

    def prior(self, h: Array, x: Indices) -> Prior:
        """Feed x (T, B) from the states h (B, D) to the n-gram prior alone: log q and matched orders after each step.

        The network must have a prior that is on.
        """
        ...

    def segment_losses(
        self, h: Array, text: Indices, starts: NDArray[np.intp], lengths: NDArray[np.intp]
    ) -> SegmentLosses:
        """Evaluate segments of a text (N,), each from the state h (D,).

        Segment n feeds the characters from `starts[n]` on and predicts the `lengths[n]` that follow the first. Segments
        do not depend on one another: an n-gram model counts nothing here.
        """
        ...

    def generate(
        self, h: Array, x: NDArray[np.integer], uniforms: NDArray[np.float64], sampling: Sequence[SamplingParams]
    ) -> tuple[NDArray[np.intp], Array]:
        """Feed x (B,) from the states h (B, D), sample the next characters, feed those, and so on.

        Returns one character for each of `uniforms` (n, B), numbers in [0, 1), sampled by the `sampling` of its batch
        row; and the states before the last characters are fed.
        """
        ...
