"""Adaptation: a model's counts or weights change while it reads a text.

Every character is predicted before it is learned, and the model that is passed in does not change. The counts of an
n-gram prior are adapted by counting every character after it was read, see `elman.ngram.model`. The weights are adapted
by dynamic evaluation (Krause, Kahembwe, Murray and Renals, 2018): the text is read in windows, and each window is first
scored with the current parameters and then trained on.

n        windows trained on so far            g       gradient of window n, of the sum over its characters
theta_0  parameters of the trained network    m       hidden units per layer
c        `RELATIVE_RATE`, a constant          rms(W)  root mean square over all recurrent weights in theta_0
beta     `BETA`, a constant                   decay   rate that follows from `TIME_CONSTANT`

::

    (1)  eta = c rms(W) / sqrt(m)
    (2)  M <- beta M + (1 - beta) g^2
    (3)  theta <- theta - eta g / (sqrt(M / (1 - beta^n)) + 1e-8)
    (4)  theta <- theta + decay (theta_0 - theta)                after every 16th window

(2) and (3) are Adam without momentum, for every parameter. (4) decays the parameters towards the trained ones, so that
old text is forgotten and no error persists. By (3) every weight changes by about eta. In a sum over the m inputs of a
unit these changes add up to m eta at most, while the sum itself is of the order of sqrt(m) rms(W). With (1), a step
therefore changes the recurrent sums by the same fraction, c, in every network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine import Engine, TrainState
from elman.engine.protocol import Indices
from elman.errors import ElmanError, option, shorten
from elman.model.score import Score, compute_char_losses, score, score_known
from elman.network import Parameters
from elman.network.optimizer import Optimizer
from elman.network.parameters import layer
from elman.network.state import State
from elman.plugins import Registry
from elman.text import Alphabet, Windows

OnProgress = Callable[[float], None]
"""Called often with the fraction that is done, possibly from another thread, but never by two threads at once."""


ScoreChunks = Callable[[Alphabet, Parameters, Callable[[], Iterable[str]], OnProgress], Score]
"""Scores a text, whose chunks the third argument returns, with a model of the given alphabet and parameters."""


class Adaptation(NamedTuple):
    """A kind of adaptation, a value of ``--adapt``."""

    help: str
    score_chunks: ScoreChunks | None = None
    """Scores a text, including its unknown characters; None for the kinds that `score_adapting` implements."""


ADAPTATIONS = Registry(
    "elman.adaptations",
    {
        "weights": Adaptation("train the network further (dynamic evaluation)"),
        "counts": Adaptation("update the counts of the n-gram prior"),
        "both": Adaptation("do both"),
    },
)
"""Kinds of adaptation by name."""


def check_adapt(parameters: Parameters, adapt: str) -> None:
    """Check that the kind of adaptation exists, and that the model has the parts that it adapts."""
    if adapt not in [*ADAPTATIONS]:  # it may be a list
        raise ElmanError(f"{option.adapt} must be one of {', '.join(ADAPTATIONS)} (got {shorten(adapt)})")
    if parameters.architecture.is_of_lines and ADAPTATIONS[adapt].score_chunks:
        raise ElmanError(f"{option.adapt:{adapt}} does not work with a model of independent lines")
    requires = f"{option.adapt:{adapt}} requires"
    if adapt in ("weights", "both") and not parameters.architecture.m:
        raise ElmanError(f"{requires} a network, and this model is its counts: use {option.adapt:counts}")
    if adapt in ("counts", "both") and parameters.ngrams is None:
        raise ElmanError(f"{requires} a model with an n-gram prior: train with {option.ngram_order:8}")


def score_adapting(
    engine: Engine, parameters: Parameters, state: State, indices: Indices, adapt: str,
    on_progress: OnProgress | None = None,
) -> Score:  # fmt: skip
    """Score a text with a copy of a model that adapts to every character except unknown ones."""
    check_adapt(parameters, adapt)

    initial = state if adapt == "weights" else state.count(parameters.ngrams)
    if adapt != "counts":
        return score_dynamic(engine, parameters, initial, indices, on_progress)

    def read_losses() -> NDArray[np.float64]:  # with counts that have not counted the text yet
        return compute_char_losses(engine, parameters, state.count(parameters.ngrams), indices)

    return replace(score(engine, parameters, initial, indices), read_losses=read_losses)


# --- Dynamic evaluation; ``benchmarks/NOTES.md`` has the choice of the hyperparameters ---

SEQ_LENGTH = 32  # characters per window
RELATIVE_RATE = 0.045  # learning rate relative to the recurrent weights, c
BETA = 0.999  # decay of the running average of squared gradients
TIME_CONSTANT = 32_000.0  # characters over which a change of the parameters decays to 1/e
DECAY_INTERVAL = 16  # windows from one decay (4) to the next, so that decay costs almost no time


def learning_rate(trained: Parameters) -> float:
    """Return eta of (1) for a network with the trained parameters theta_0.

    For a cell without recurrent weights, it is the root mean square of the input weights.
    """
    net = trained.architecture
    layers = (layer(trained, n) for n in range(1, net.layers + 1))
    matrices = [of_layer.get("W", of_layer["U"]) for of_layer in layers]
    with np.errstate(over="ignore"):  # the network may have diverged
        squares = sum(float(np.square(W, dtype=np.float64).sum()) for W in matrices)
    return RELATIVE_RATE * math.sqrt(squares / sum(W.size for W in matrices)) / math.sqrt(net.m)


def score_dynamic(
    engine: Engine, parameters: Parameters, initial: State, indices: Indices, on_progress: OnProgress | None = None
) -> Score:
    """Score a text by dynamic evaluation; for the arguments see `score_adapting`."""
    decay = -math.expm1(-DECAY_INTERVAL * SEQ_LENGTH / TIME_CONSTANT)

    def sum_nats(known: Indices) -> float:
        count = (len(known) - 1) // SEQ_LENGTH
        optimizer = Optimizer(learning_rate(parameters), math.inf, name="adam", beta1=0.0, beta2=BETA)
        M, N, _ = optimizer.init(parameters)
        state, nats = TrainState(parameters.map(np.copy), M, initial, np.random.default_rng(0), N), 0.0
        for first in range(0, count, DECAY_INTERVAL):
            windows = Windows(known, SEQ_LENGTH)
            nats += float(engine.advance(state, windows, min(DECAY_INTERVAL, count - first), optimizer).sum())
            if state.update % DECAY_INTERVAL == 0:
                for name, theta in state.parameters.items():
                    theta += decay * (parameters[name] - theta)
            if on_progress is not None:
                on_progress(state.position / len(known))
        rest = known[state.position :]  # shorter than a window, so it is only scored
        if len(rest) < 2:
            return nats
        losses, _ = engine.session(state.parameters).losses(state.hidden.reshape(1), rest[:-1, None], rest[1:, None])
        return nats + float(losses.sum())

    return score_known(indices, len(parameters["c"]), sum_nats)
