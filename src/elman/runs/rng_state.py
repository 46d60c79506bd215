"""The states of both random generators of a run as JSON: bit-exact, and validated before they are restored."""

from __future__ import annotations

from typing import Any

import numpy as np

from elman.storage.untrusted import require_finite, require_int

_WORDS = 624
"""Length of the Mersenne Twister's state, in 32-bit words."""


def encode_initial_rng(generator: np.random.RandomState) -> dict[str, Any]:
    """Return the state of the generator of the initial weights."""
    state = dict(generator.get_state(legacy=False))
    return state | {"state": state["state"] | {"key": state["state"]["key"].tolist()}}


def decode_initial_rng(encoded: Any) -> np.random.RandomState:
    """Return a generator in the state that `encode_initial_rng` returned.

    NumPy does not check the position in the key, and would read beyond the key's memory if it were wrong.

    Raises
    ------
    ValueError, KeyError, TypeError
        If it is no valid state.
    """
    if encoded["bit_generator"] != "MT19937":
        raise ValueError("the initial generator is not MT19937")
    inner = encoded["state"]
    if type(inner["key"]) is not list or len(inner["key"]) != _WORDS:
        raise ValueError(f"the key of the initial generator does not have {_WORDS} words")
    key = np.array([require_int(word, "a word of the key", maximum=2**32 - 1) for word in inner["key"]], np.uint32)
    generator = np.random.RandomState()
    generator.set_state(
        {
            "bit_generator": "MT19937",
            "state": {"key": key, "pos": require_int(inner["pos"], "the position in the key", maximum=_WORDS)},
            "has_gauss": require_int(encoded["has_gauss"], "has_gauss", maximum=1),
            "gauss": require_finite(encoded["gauss"], "gauss"),
        }
    )
    return generator


def decode_sample_rng(encoded: Any) -> np.random.Generator:
    """Return the generator of the samples, given the state of its PCG64.

    Raises
    ------
    ValueError, KeyError, TypeError
        If it is no valid state.
    """
    if encoded["bit_generator"] != "PCG64":
        raise ValueError("the sample generator is not PCG64")
    inner, largest = encoded["state"], 2**128 - 1
    state = {
        name: require_int(inner[name], f"{name} of the sample generator", maximum=largest) for name in ("state", "inc")
    }
    if not state["inc"] % 2:
        raise ValueError("the increment of the sample generator is even")
    generator = np.random.Generator(np.random.PCG64())
    generator.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": state,
        "has_uint32": require_int(encoded["has_uint32"], "has_uint32", maximum=1),
        "uinteger": require_int(encoded["uinteger"], "uinteger", maximum=2**32 - 1),
    }
    return generator
