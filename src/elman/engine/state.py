"""Everything a run is, as one value."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from elman.network.optimizer import Rule
from elman.network.parameters import Array, Parameters, architecture, initial_parameters


@dataclass
class State:
    """What training carries from one update to the next. Saved and loaded, it goes on to the bit.

    K  size of the alphabet, m  hidden units, B  streams, D  numbers in the state of one stream (m for the vanilla
    network, see `elman.network.parameters`)

    Parameters
    ----------
    parameters : Parameters
        U (m, K), W (m, m), V (K, m), b (m,), c (K,) of the vanilla network; float32 or float64.
    M : Parameters
        The sums or means of squared gradients that the update rule keeps; same names and shapes, or empty.
    h : ndarray, shape (D,) or, where B > 1, (B, D)
        The state that the last window left; the next one begins with it, unless it begins an epoch.
    initial_generator : RandomState
        As the draw of the weights left it.
    sample_generator : Generator
        What the samples written during training are drawn with; apart from the other, so that writing them
        does not change the run.
    N : Parameters
        The momentum that the update rule keeps, or empty.
    average : Parameters
        The average of the parameters over the updates, which evaluation uses, or empty.
    position : int
        Where in every stream the last window ended; the next one begins there, unless it begins an epoch.
    update, epoch : int
        Updates done, epochs completed.
    smooth_loss, minimum_smooth_loss : float
        S in nats a window, and its least value so far; not a number before the first update.
    minimum_at : int
        The update that reached the minimum; 0 before the first.
    seconds : float
        Spent in updates.
    """

    parameters: Parameters
    M: Parameters
    h: Array
    initial_generator: np.random.RandomState
    sample_generator: np.random.Generator
    N: Parameters = field(default_factory=dict)
    average: Parameters = field(default_factory=dict)
    position: int = 0
    update: int = 0
    epoch: int = 0
    smooth_loss: float = math.nan
    minimum_smooth_loss: float = math.nan
    minimum_at: int = 0
    seconds: float = 0.0

    @classmethod
    def initial(
        cls,
        K: int,
        m: int,
        std: float,
        random_state: int,
        dtype: np.typing.DTypeLike,
        *,
        cell: str = "rnn",
        layers: int = 1,
        orthogonal: bool = False,
        batch_size: int = 1,
        rule: Rule | None = None,
    ) -> State:
        """Return the state before the first update of a network with K characters and m units a layer.

        See `elman.network.parameters.initial_parameters`; `rule` (by default the reference's) says which sums are kept.
        """
        initial_generator = np.random.RandomState(random_state)
        parameters = initial_parameters(K, m, std, initial_generator, dtype, cell, layers, orthogonal)
        sample_generator = np.random.Generator(np.random.PCG64(random_state))
        M, N, average = (rule or Rule(0.1, 5.0)).start(parameters)
        D = architecture(parameters).state_size
        h = np.zeros(D if batch_size == 1 else (batch_size, D), dtype)
        return cls(parameters, M, h, initial_generator, sample_generator, N, average)

    @property
    def evaluated(self) -> Parameters:
        """The parameters that evaluation uses: the average where one is kept."""
        return self.average or self.parameters

    @property
    def carried(self) -> Array:
        """The state (D,) in which reading goes on behind the text: that of its last stream."""
        return self.h if self.h.ndim == 1 else self.h[-1]
