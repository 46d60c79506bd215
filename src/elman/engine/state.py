"""The state of a training run, as one value."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from elman.network.ngram import Ints, NgramModel
from elman.network.optimizer import Optimizer
from elman.network.parameters import INITIAL_ALPHA, Array, Arrays, Parameters, architecture, initial_parameters
from elman.text import Windows


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
