"""The state of a training run as one value, and the interface of engines as `typing.Protocol` classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from elman.engine_registry import ENGINES, require_numba
from elman.errors import ElmanError, format_count, quote, require_extra
from elman.network.optimizer import Optimizer
from elman.network.parameters import Array, Arrays, LossAndGradients, Parameters
from elman.network.sampling import SamplingParams
from elman.network.state import PriorValues, State, untrained_weights
from elman.ngram.model import Ints
from elman.text import Windows

Indices = NDArray[np.unsignedinteger[Any]]

Callback = Callable[[Array, NDArray[np.float64]], bool]
"""Called with the recurrent part of the state after an update and the losses since the last callback of the same call
of the engine; returns whether the engine should stop there."""

CALLBACK_INTERVAL = 95
"""Updates between two callbacks: few enough that a problem that needs a second callback to confirm is reported within
100 updates. A callback costs a compiled engine some 25 microseconds, and 95 of the fastest updates take 3,400.
"""


@dataclass(repr=False)
class TrainState:
    """Everything that training passes from one update to the next. Saved and loaded, training continues bit for bit."""

    parameters: Parameters
    M: Arrays
    """The optimizer's second moments, sums or running averages of squared gradients; same names and shapes, or empty.
    """
    hidden: State
    """The final hidden state of the last window, with an axis for the batch if B > 1; the next window begins with it,
    unless it begins an epoch."""
    sample_generator: np.random.Generator
    """The generator of the samples that are written during training; it is separate, so that they do not change the
    run."""
    N: Arrays = field(default_factory=dict)
    """The optimizer's first moments (momentum), or empty."""
    average: Arrays = field(default_factory=dict)
    """The exponential moving average (EMA) of the parameters, which evaluation uses, or empty."""
    position: int = 0
    """Where in every batch row the last window ended; the next one begins there, unless it begins an epoch."""
    update: int = 0
    epoch: int = 0
    """Epochs completed."""
    smooth_loss: float = math.nan
    """S in nats per window (a sum over its T characters); NaN before the first update."""
    minimum_smooth_loss: float = math.nan
    """The minimum of S so far."""
    minimum_at: int = 0
    """The update of that minimum; 0 before the first update."""
    seconds: float = 0.0
    """Seconds spent in updates."""
    spent: float = 0.0
    """Seconds of its commands without the compilation of kernels, which count towards a time budget; the whole budget
    once it has ended the run."""
    prior_since: int = 0
    """The update after which an n-gram prior was switched on; 0 for a prior that takes part from the start."""

    def __repr__(self) -> str:
        return f"<TrainState after {format_count(self.update, 'update')}, {format_count(self.epoch, 'epoch')} complete>"

    @classmethod
    def initial(
        cls, parameters: Parameters, seed: int, batch_size: int = 1, optimizer: Optimizer | None = None
    ) -> TrainState:
        """Return the state before the first update of a network.

        `optimizer`, by default the optimizer of the reference experiment, determines which moments are allocated and
        whether there is an average.
        """
        M, N, average = (optimizer or Optimizer(0.1, 5.0)).init(parameters)
        batch = () if batch_size == 1 else (batch_size,)
        hidden = parameters.architecture.zero_state(parameters["V"].dtype, *batch)
        return cls(parameters, M, hidden, np.random.Generator(np.random.PCG64(seed)), N, average)

    @property
    def eval_parameters(self) -> Parameters:
        """The parameters that evaluation uses: their average if there is one, with the prior on if there is one."""
        parameters = self.parameters.with_arrays(self.average) if self.average else self.parameters
        return parameters.switch_on_prior(*untrained_weights(self.update)) if parameters.prior.is_off else parameters

    @property
    def final_hidden(self) -> State:
        """The hidden state from which the text continues: the state of the last batch row."""
        return self.hidden if self.hidden.recurrent.ndim == 1 else self.hidden.select(-1)


def training_folds(parameters: Parameters, windows: Windows, position: int) -> Ints | None:
    """Return the fold of every target of a window, (T,) or (T, B); None unless the n-gram prior is cross-fitted."""
    if parameters.ngrams is None or not windows.cross_fit:
        return None
    return parameters.ngrams.folds_at(windows.target_positions(position))


def run_in_chunks(
    updates: int, done: int, advance: Callable[[NDArray[np.float64]], State], callback: Callback | None
) -> NDArray[np.float64]:
    """Run updates in chunks that end where `callback` is due; return their losses. `done` updates were made before.

    `advance` makes as many updates as its argument is long, fills it with their losses, and returns the hidden state.
    """
    losses, first = np.empty(updates), 0
    while first < updates:
        last = min(updates, first + CALLBACK_INTERVAL - (done + first) % CALLBACK_INTERVAL)
        chunk = losses[first:last]
        hidden = advance(chunk)
        if callback and (done + last) % CALLBACK_INTERVAL == 0 and callback(hidden.recurrent, chunk):
            return losses[:last]
        first = last
    return losses


@runtime_checkable
class Engine(Protocol):
    """Carries out the mathematics of `elman.network`; no result depends on earlier calls.

    T  sequence length, B  batch size
    """

    name: str

    def advance(
        self, state: TrainState, windows: Windows, updates: int, optimizer: Optimizer, callback: Callback | None = None
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

    def loss_and_gradients(self, parameters: Parameters, state: State, x: Indices, y: Indices) -> LossAndGradients:
        """Return the loss of one window, its gradients and its final state, without dropout."""
        ...

    def session(self, parameters: Parameters) -> InferenceSession:
        """Return a session for inference with `parameters`, which must not change while it is in use."""
        ...


@runtime_checkable
class CompilingEngine(Engine, Protocol):
    """An engine whose kernels other processes can compile before they are called."""

    def start_compiling(
        self, state: TrainState, windows: Windows, optimizer: Optimizer, samples: bool, validates: bool
    ) -> None:
        """Begin to compile the kernels of a run; `elman.compilation.finish_compiling` waits for the end.

        `state` has arrays of the same shapes and types as the run's state; it is changed. `samples` is whether the run
        prints samples, `validates` whether it has a validation set.
        """
        ...


def get_engine(name: str, device: str = "auto", mixed_precision: bool = False) -> Engine:
    """Return the engine `name`, importing it."""
    if name not in ENGINES:
        raise ElmanError(f"unknown engine {quote(name)} (choose from {', '.join(ENGINES)})")
    spec = ENGINES[name]
    require_numba(name)
    with require_extra(spec.extra):
        factory = resolve_name(spec.factory)
    options = {"device": device, "mixed_precision": mixed_precision}
    engine: Engine = factory(**{name: options[name] for name in spec.options})
    return engine


WORST = 5
"""Highest losses of a segment that are listed: their sum finds most anomalies, see ``benchmarks/log_outliers.py``."""


class SegmentLosses(NamedTuple):
    """Losses of n segments of a text, in nats."""

    nats: NDArray[np.float64]
    """-sum log p of all characters that are predicted in each segment, (n,); 0 if there are none."""
    worst: NDArray[np.intp]
    """Position, from 0, of the character with the highest loss, (n,); the first of several."""
    worst_nats: NDArray[np.float64]
    """The highest losses in descending order, (n, WORST); 0 if there are fewer characters."""

    @classmethod
    def zeros(cls, n: int) -> SegmentLosses:
        """Return arrays of zeros for n segments."""
        return cls(np.zeros(n), np.zeros(n, np.intp), np.zeros((n, WORST)))


class InferenceSession(Protocol):
    """A network prepared once for many calls of inference. Not thread-safe.

    Arrays have a batch axis even for a single sequence, and the results of a batch row do not depend on the other rows.
    Compiled sessions release the GIL. States whose counts grow are the exception: the rows of a batch share them.

    T  number of characters, B  batch size, K  size of the alphabet
    """

    def losses(self, state: State, x: Indices, y: Indices) -> tuple[NDArray[np.float64], State]:
        """Feed x (T, B) from the states of B sequences: -log p of every y (T, B) in nats, and the final states."""
        ...

    def logits(self, state: State, x: Indices) -> tuple[Array, State]:
        """Feed x (T, B) from the states of B sequences: the logits (T, B, K) and the states after each step."""
        ...

    def prior(self, state: State, x: Indices) -> PriorValues:
        """Feed x (T, B) from the states of B sequences to the n-gram prior alone, which must be on."""
        ...

    def segment_losses(
        self, state: State, text: Indices, starts: NDArray[np.intp], lengths: NDArray[np.intp]
    ) -> SegmentLosses:
        """Evaluate segments of a text (N,), each from the state of a single sequence.

        Segment n feeds the characters from `starts[n]` on and predicts the `lengths[n]` that follow the first. Segments
        do not depend on one another: nothing is counted here.
        """
        ...

    def generate(
        self, state: State, x: NDArray[np.integer], uniforms: NDArray[np.float64], sampling: Sequence[SamplingParams]
    ) -> tuple[NDArray[np.intp], State]:
        """Feed x (B,) from the states of B sequences, sample the next characters, feed these, and so on.

        Returns one character for each of `uniforms` (n, B), numbers in [0, 1), sampled by the `sampling` of its batch
        row; and the states before the last characters are fed.
        """
        ...
