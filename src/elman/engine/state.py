"""Everything a run is, as one value."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from elman.network.parameters import Array, Parameters, initial_parameters, zeros_like


@dataclass
class State:
    """What training carries from one update to the next. Saved and loaded, it goes on to the bit.

    K  size of the alphabet, m  hidden units

    Parameters
    ----------
    parameters : Parameters
        U (m, K), W (m, m), V (K, m), b (m,), c (K,); float32 or float64.
    M : Parameters
        AdaGrad's sums of squared gradients; same names and shapes.
    h : ndarray, shape (m,)
        The state that the last window left; the next one begins with it, unless it begins an epoch.
    initial_generator : RandomState
        As the draw of the weights left it.
    sample_generator : Generator
        What the samples written during training are drawn with; apart from the other, so that writing them
        does not change the run.
    position : int
        Where in the text the last window ended; the next one begins there, unless it begins an epoch.
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
    position: int = 0
    update: int = 0
    epoch: int = 0
    smooth_loss: float = math.nan
    minimum_smooth_loss: float = math.nan
    minimum_at: int = 0
    seconds: float = 0.0

    @classmethod
    def initial(cls, K: int, m: int, std: float, random_state: int, dtype: np.typing.DTypeLike) -> State:
        """Return the state before the first update of a network with K characters and m units."""
        initial_generator = np.random.RandomState(random_state)
        parameters = initial_parameters(K, m, std, initial_generator, dtype)
        sample_generator = np.random.Generator(np.random.PCG64(random_state))
        h = np.zeros(m, dtype)
        return cls(parameters, zeros_like(parameters), h, initial_generator, sample_generator)
