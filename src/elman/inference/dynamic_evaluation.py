"""Dynamic evaluation: a network goes on learning from a text while it is scored (Krause, Kahembwe, Murray and Renals,
2018).

A text is read in windows. Each is scored first, by the network as it then is, and then learned from, so that no
character is predicted by a network that has seen it. The network that was given is not changed.

n     windows learned from              g        gradient of the n-th, of the sum over its characters
eta   the rate, `Adaptation.rate` / m   theta_0  the parameters as training left them

::

    (1)  M <- beta M + (1 - beta) g^2
    (2)  theta <- theta - eta g / (sqrt(M / (1 - beta^n)) + 1e-8)
    (3)  theta <- theta + faded (theta_0 - theta)                after every 16th window

(1) and (2) are Adam without momentum, for every parameter. In (3) what was learned fades, so that what was read long
ago is forgotten and no error stays. The root takes out how large gradients are; what is left for eta to depend on is
the width of the network, since a step of every weight moves a sum over m of them by m steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from elman.engine import Engine, TrainState
from elman.engine.protocol import Indices
from elman.inference.score import Score, readable, with_strangers
from elman.network import Parameters
from elman.network.optimizer import Optimizer
from elman.network.parameters import Array, architecture, zeros_like
from elman.text import Windows

FADE_EVERY = 16
"""Windows from one (3) to the next: then it costs next to nothing."""


@dataclass(frozen=True)
class Adaptation:
    """How a network learns from what it reads. `docs/score.md` says what the defaults were chosen on.

    Parameters
    ----------
    seq_length : int
        Characters of a window, T.
    rate : float
        eta times the units of a layer.
    beta : float
        How much of M is kept from one window to the next.
    memory : float
        Characters over which what was learned fades to 1/e.
    """

    seq_length: int = 32
    rate: float = 0.15
    beta: float = 0.999
    memory: float = 32_000.0

    def optimizer(self, m: int) -> Optimizer:
        """Return (1) and (2) for a network of m units a layer."""
        return Optimizer(self.rate / m, math.inf, name="adam", beta1=0.0, beta2=self.beta)

    @property
    def faded(self) -> float:
        """How much fades in one (3)."""
        return -math.expm1(-FADE_EVERY * self.seq_length / self.memory)


DEFAULT = Adaptation()


def score_adapting(
    engine: Engine, parameters: Parameters, h0: Array, indices: Indices, adaptation: Adaptation = DEFAULT
) -> Score:
    """Score a text with a network that learns from what it has read; `elman.inference.score.score` is the same without.

    Parameters
    ----------
    engine : Engine
    parameters : Parameters
        Where learning begins; not changed.
    h0 : ndarray, shape (D,)
        The state to begin with.
    indices : ndarray of unsigned int, shape (N,)
        Characters that the network does not know, K or more, are neither read nor learned from.
    adaptation : Adaptation

    Raises
    ------
    ElmanError
        If N < 2.
    """
    K = len(parameters["c"])
    known = readable(indices, K)
    state = _begun(parameters, h0)
    nats = _learned_from(engine, state, parameters, known, adaptation)
    rest = known[state.position :]  # shorter than a window, it is only scored
    if len(rest) > 1:
        nats += float(engine.loss(state.parameters, state.h, rest[:-1], rest[1:])[0])
    return with_strangers(nats, len(indices), len(known), K)


def _begun(parameters: Parameters, h0: Array) -> TrainState:
    """Return a state apart from the network, before the first update."""
    mine = {name: array.copy() for name, array in parameters.items()}
    M, N = zeros_like(mine), zeros_like(mine)
    return TrainState(mine, M, h0.copy(), np.random.RandomState(0), np.random.default_rng(0), N)


def _learned_from(
    engine: Engine, state: TrainState, trained: Parameters, indices: Indices, adaptation: Adaptation
) -> float:
    """Read all whole windows, and return what they cost."""
    T = adaptation.seq_length
    count = (len(indices) - 1) // T
    if count < 1:
        return 0.0
    windows, optimizer = Windows(indices, T), adaptation.optimizer(architecture(trained).m)
    nats = 0.0
    for first in range(0, count, FADE_EVERY):
        nats += float(engine.advance(state, windows, min(FADE_EVERY, count - first), optimizer).sum())
        if state.update % FADE_EVERY == 0:
            for name, theta in state.parameters.items():
                theta += adaptation.faded * (trained[name] - theta)
    return nats
