"""Networks with random weights for tests."""

from typing import Any

import numpy as np

from elman.engine import TrainState
from elman.network.parameters import Architecture, Parameters, initial_parameters


def make_parameters(
    K: int, m: int, std: float, generator: np.random.RandomState, dtype: Any, cell: str = "rnn", layers: int = 1,
    reset_at: int | None = None, **options: Any,
) -> Parameters:  # fmt: skip
    """Return initial parameters; `options` are those of `initial_parameters`."""
    return initial_parameters(Architecture(K, m, cell, layers, reset_at=reset_at), std, generator, dtype, **options)


def make_state(
    K: int, m: int, std: float, seed: int, dtype: Any, *, batch_size: int = 1, optimizer: Any = None, **network: Any
) -> TrainState:
    """Return the state before the first update; `network` are the options of `make_parameters`."""
    parameters = make_parameters(K, m, std, np.random.RandomState(seed), dtype, **network)
    return TrainState.initial(parameters, seed, batch_size, optimizer)
