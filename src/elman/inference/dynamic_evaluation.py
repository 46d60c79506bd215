"""Dynamic evaluation: a network keeps training on a text while it is scored.

The method is that of Krause, Kahembwe, Murray and Renals (2018). The text is read in windows. Each is scored first,
with the current parameters, and then trained on, so that no character is predicted by parameters that have seen it.
The network passed in is not changed.

n        windows trained on so far            g       gradient of window n, of the sum over its characters
theta_0  parameters of the trained network    m       hidden units per layer
c        `DynamicEvaluation.relative_rate`    rms(W)  root mean square over all entries of W, W2, … in theta_0

::

    (1)  eta = c rms(W) / sqrt(m)
    (2)  M <- beta M + (1 - beta) g^2
    (3)  theta <- theta - eta g / (sqrt(M / (1 - beta^n)) + 1e-8)
    (4)  theta <- theta + decay (theta_0 - theta)                after every 16th window

(2) and (3) are Adam without momentum, for every parameter. (4) decays the parameters towards the trained ones, so that
old text is forgotten and no error persists. The root in (3) removes the scale of the gradients, so every weight changes
by about eta. In a sum over the m inputs of a unit these changes add up to m eta at most, while the sum itself is of the
order of sqrt(m) rms(W). So with (1) a step changes the recurrent sums by the same fraction, c, in every network. One
whose recurrent weights are all zero does not adapt.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from elman.engine import Engine, TrainState
from elman.engine.protocol import Indices
from elman.inference.score import Score, add_unknown_cost, readable_indices
from elman.network import Parameters
from elman.network.optimizer import Optimizer
from elman.network.parameters import Array, architecture, suffix, zeros_like
from elman.text import Windows

OnProgress = Callable[[float], None]
"""Is called, often, with the fraction that is done; maybe from another thread, but never by two at once."""

DECAY_INTERVAL = 16
"""Windows from one decay (4) to the next, so that it costs next to nothing."""


@dataclass(frozen=True)
class DynamicEvaluation:
    """Hyperparameters of dynamic evaluation.

    The choice of the defaults is explained in ``docs/explanation/recipes.md``.

    Parameters
    ----------
    seq_length : int
        Characters per window, T.
    relative_rate : float
        Learning rate relative to the recurrent weights, c.
    beta : float
        Decay of the running average of squared gradients.
    time_constant : float
        Characters over which a change of the parameters decays to 1/e.
    """

    seq_length: int = 32
    relative_rate: float = 0.045
    beta: float = 0.999
    time_constant: float = 32_000.0

    def learning_rate(self, trained: Parameters) -> float:
        """Return eta of (1) for a network with the trained parameters theta_0."""
        return self.relative_rate * recurrent_rms(trained) / math.sqrt(architecture(trained).m)

    def optimizer(self, trained: Parameters) -> Optimizer:
        """Return the optimizer of (2) and (3) for a network with the trained parameters theta_0."""
        return Optimizer(self.learning_rate(trained), math.inf, name="adam", beta1=0.0, beta2=self.beta)

    @property
    def decay(self) -> float:
        """Fraction of the change that one decay step (4) removes."""
        return -math.expm1(-DECAY_INTERVAL * self.seq_length / self.time_constant)


DEFAULT = DynamicEvaluation()


def recurrent_rms(parameters: Parameters) -> float:
    """Return the root mean square over all entries of the recurrent matrices of all layers."""
    matrices = [parameters["W" + suffix(n)] for n in range(1, architecture(parameters).layers + 1)]
    with np.errstate(over="ignore"):  # the network may have diverged
        squares = sum(float(np.square(W, dtype=np.float64).sum()) for W in matrices)
    return math.sqrt(squares / sum(W.size for W in matrices))


def score_dynamic(
    engine: Engine,
    parameters: Parameters,
    h0: Array,
    indices: Indices,
    settings: DynamicEvaluation = DEFAULT,
    on_progress: OnProgress | None = None,
) -> Score:
    """Score a text by dynamic evaluation; `elman.inference.score.score` is the static counterpart.

    Parameters
    ----------
    engine : Engine
    parameters : Parameters
        The trained parameters; they are not changed.
    h0 : ndarray, shape (D,)
        The initial state.
    indices : ndarray of unsigned int, shape (N,)
        Unknown characters, K or more, are neither read nor trained on.
    settings : DynamicEvaluation
    on_progress : callable, optional
        Called with the fraction of the text that was read.

    Raises
    ------
    ElmanError
        If N < 2.
    """
    K = len(parameters["c"])
    readable = readable_indices(indices, K)
    state = _initial_state(parameters, h0)
    nats = _score_and_train(engine, state, parameters, readable, settings, on_progress or (lambda done: None))
    rest = readable[state.position :]  # shorter than a window, so it is only scored
    if len(rest) > 1:
        nats += float(engine.loss(state.parameters, state.h, rest[:-1], rest[1:])[0])
    return add_unknown_cost(nats, len(indices), len(readable), K)


def _initial_state(trained: Parameters, h0: Array) -> TrainState:
    """Return a training state with copies of the parameters, before the first update."""
    parameters = trained.map(np.copy)
    M, N = zeros_like(parameters), zeros_like(parameters)
    return TrainState(parameters, M, h0.copy(), np.random.default_rng(0), N)


def _score_and_train(
    engine: Engine,
    state: TrainState,
    trained: Parameters,
    indices: Indices,
    settings: DynamicEvaluation,
    on_progress: OnProgress,
) -> float:
    """Read all complete windows, and return their cost in nats."""
    T = settings.seq_length
    count = (len(indices) - 1) // T
    if count < 1:
        return 0.0
    windows, optimizer = Windows(indices, T), settings.optimizer(trained)
    nats = 0.0
    for first in range(0, count, DECAY_INTERVAL):
        nats += float(engine.advance(state, windows, min(DECAY_INTERVAL, count - first), optimizer).sum())
        if state.update % DECAY_INTERVAL == 0:
            for name, theta in state.parameters.items():
                theta += settings.decay * (trained[name] - theta)
        on_progress(state.position / len(indices))
    return nats
