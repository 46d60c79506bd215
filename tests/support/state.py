"""A short text, and the complete contents of a training state for comparison."""

from pathlib import Path
from typing import Any

from elman.engine import TrainState
from elman.network.parameters import Array

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
        "h": _bits(state.h),
        "sample_generator": repr(state.sample_generator.bit_generator.state),
        "counters": (state.position, state.update, state.epoch, state.minimum_at),
        "figures": repr((state.smooth_loss, state.minimum_smooth_loss)),  # NaN is not equal to itself
    }


def _bits(array: Array) -> tuple[str, tuple[int, ...], bytes]:
    return str(array.dtype), array.shape, array.tobytes()
