"""Networks with random weights for tests."""

from dataclasses import replace
from typing import Any

import numpy as np

from elman.engine import Engine, TrainState
from elman.network import bptt, output
from elman.network.parameters import Architecture, Parameters, initial_parameters
from elman.network.state import State


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


def state_of(parameters: Parameters, recurrent: Any, history: Any = None) -> State:
    """Return a state with this recurrent part and history, by default an empty one."""
    if history is None:
        history = np.zeros((*recurrent.shape[:-1], parameters.architecture.context_length), np.int32)
    return State(recurrent, np.asarray(history, np.int32))


def numbers(state: State) -> Any:
    """Return all numbers of a state, its recurrent part first."""
    return np.concatenate([state.recurrent, state.history], axis=-1)


def with_architecture(parameters: Parameters, **changes: Any) -> Parameters:
    return replace(parameters, architecture=parameters.architecture._replace(**changes))


def sum_losses(engine: Engine, parameters: Parameters, state: State, x: Any, y: Any) -> tuple[Any, State]:
    """Return the loss of each sequence x (T,) or (T, B) in nats, read in a session, and the final state."""
    batch = state.recurrent.shape[:-1]
    rows = state.reshape(x.size // len(x))
    losses, final = engine.session(parameters).losses(rows, x.reshape(len(x), -1), y.reshape(len(y), -1))
    return losses.sum(axis=0).reshape(batch)[()], final.reshape(*batch)


def window_loss(parameters: Parameters, state: State, x: Any, y: Any) -> tuple[Any, State]:
    """Return the loss of a window, summed over it, of each row of a batch; and the final state."""
    o, final = bptt.logits(parameters, state, x)
    return output.loss(o, y), final
