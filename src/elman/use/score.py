"""How well a model predicts a text."""

from __future__ import annotations

import math
from dataclasses import dataclass

from elman.engine import Engine
from elman.engine.protocol import Indices
from elman.errors import ElmanError
from elman.network import Parameters
from elman.network.parameters import Array


@dataclass(frozen=True)
class Score:
    """The surprise of a text, character by character from its second on.

    Parameters
    ----------
    chars : int
        Characters predicted: one less than the text holds, as nothing comes before the first.
    nats : float
        -sum log p of them all.
    """

    chars: int
    nats: float

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
    h0 : ndarray, shape (m,)
        The state to begin with.
    indices : ndarray of unsigned int, shape (N,)

    Raises
    ------
    ElmanError
        If N < 2.
    """
    if len(indices) < 2:
        raise ElmanError(f"a text of {len(indices)} characters holds nothing to predict: give one of at least two")
    nats, _ = engine.loss(parameters, h0, indices[:-1], indices[1:])
    return Score(len(indices) - 1, nats)
