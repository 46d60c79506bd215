"""Both generators of a run as JSON: to the bit there, and back only if a generator can be in that state."""

from __future__ import annotations

from typing import Any

import numpy as np

from elman.storage.untrusted import require_finite, require_int

_WORDS = 624
"""The state of the Mersenne Twister, in words of 32 bits."""


def describe_initial(generator: np.random.RandomState) -> dict[str, Any]:
    """Return the state of the generator that draws the first weights."""
    found = dict(generator.get_state(legacy=False))
    return found | {"state": found["state"] | {"key": found["state"]["key"].tolist()}}


def restore_initial(described: Any) -> np.random.RandomState:
    """Return the generator that `describe_initial` described.

    NumPy takes any position for one within the key, so that a wrong one would read memory that is not its own.

    Raises
    ------
    ValueError, KeyError, TypeError
        If there is none in that state.
    """
    if described["bit_generator"] != "MT19937":
        raise ValueError("the first generator is another than MT19937")
    inner = described["state"]
    if type(inner["key"]) is not list or len(inner["key"]) != _WORDS:
        raise ValueError(f"the key of a generator has not {_WORDS} words")
    key = np.array([require_int(word, "a word of the key", maximum=2**32 - 1) for word in inner["key"]], np.uint32)
    generator = np.random.RandomState()
    generator.set_state(
        {
            "bit_generator": "MT19937",
            "state": {"key": key, "pos": require_int(inner["pos"], "the position in the key", maximum=_WORDS)},
            "has_gauss": require_int(described["has_gauss"], "has_gauss", maximum=1),
            "gauss": require_finite(described["gauss"], "gauss"),
        }
    )
    return generator


def restore_sample(described: Any) -> np.random.Generator:
    """Return the generator of the text samples from the state of its PCG64.

    Raises
    ------
    ValueError, KeyError, TypeError
        If there is none in that state.
    """
    if described["bit_generator"] != "PCG64":
        raise ValueError("the second generator is another than PCG64")
    inner, maximum = described["state"], 2**128 - 1
    state = {name: require_int(inner[name], f"{name} of a generator", maximum=maximum) for name in ("state", "inc")}
    if not state["inc"] % 2:
        raise ValueError("the increment of a generator is even")
    generator = np.random.Generator(np.random.PCG64())
    generator.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": state,
        "has_uint32": require_int(described["has_uint32"], "has_uint32", maximum=1),
        "uinteger": require_int(described["uinteger"], "uinteger", maximum=2**32 - 1),
    }
    return generator
