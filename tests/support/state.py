"""A short text, and everything that a state of training consists of."""

from pathlib import Path
from typing import Any

import numpy as np

from elman.engine import State
from elman.network.parameters import Array

ROOT = Path(__file__).parents[2]
"""The folder of the repository."""
TEXT = "It was a dark and stormy night;\nthe rain fell in torrents, except, at times.\n"
T = 5
PER_EPOCH = 15
"""floor((77 - 1) / 5); one character is left over."""


def everything(state: State) -> dict[str, Any]:
    """Return all that a state is, to the bit, in values that compare; the time that it took is left out."""
    initial = state.initial_generator.get_state(legacy=False)
    key = initial["state"]["key"]
    assert isinstance(key, np.ndarray)
    return {
        **{
            kind: {name: _bits(array) for name, array in getattr(state, kind).items()}
            for kind in ("parameters", "M", "N", "average")
        },
        "h": _bits(state.h),
        "initial_generator": repr(initial | {"state": initial["state"] | {"key": key.tolist()}}),
        "sample_generator": repr(state.sample_generator.bit_generator.state),
        "counters": (state.position, state.update, state.epoch, state.minimum_at),
        "figures": repr((state.smooth_loss, state.minimum_smooth_loss)),  # nan is not equal to itself
    }


def _bits(array: Array) -> tuple[str, tuple[int, ...], bytes]:
    return str(array.dtype), array.shape, array.tobytes()
