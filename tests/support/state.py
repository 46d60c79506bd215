"""A short text, and the complete contents of a training state for comparison."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.engine import Engine, TrainState
from elman.network import SamplingParams
from elman.network.parameters import Parameters
from elman.network.state import State

ROOT = Path(__file__).parents[2]
"""The root of the repository."""
TEXT = "It was a dark and stormy night;\nthe rain fell in torrents, except, at times.\n"
T = 5
PER_EPOCH = 15
"""floor((77 - 1) / 5); one character is left over."""


def snapshot(state: TrainState) -> dict[str, Any]:
    """Return the contents of a state, bit for bit, as values that can be compared; without the elapsed seconds."""
    return {
        **{
            kind: {name: _bits(array) for name, array in getattr(state, kind).items()}
            for kind in ("parameters", "M", "N", "average")
        },
        "hidden": (_bits(state.hidden.recurrent), _bits(state.hidden.history)),
        "sample_generator": repr(state.sample_generator.bit_generator.state),
        "counters": (state.position, state.update, state.epoch, state.minimum_at),
        "figures": repr((state.smooth_loss, state.minimum_smooth_loss)),  # NaN is not equal to itself
    }


def _bits(array: NDArray[Any]) -> tuple[str, tuple[int, ...], bytes]:
    return str(array.dtype), array.shape, array.tobytes()


def generate(
    engine: Engine, parameters: Parameters, state: State, x: int, uniforms: NDArray[np.float64],
    sampling: SamplingParams | None = None,
) -> tuple[NDArray[np.intp], State]:  # fmt: skip
    """Feed x to the network in a state, sample a character for each of `uniforms` (n,), and return the final state."""
    session, params = engine.session(parameters), [sampling or SamplingParams()]
    characters, states = session.generate(state.reshape(1), np.array([x]), uniforms[:, None], params)
    return characters[:, 0], states.select(0)
