"""Values that no argument, or only some arguments, may have, for tests that try all of them everywhere."""

import math
from typing import Any

import numpy as np

INTEGERS = [0, 1, -1, 2**31, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 10**400, -(10**400), 10**5000]
FLOATS = [0.5, -0.5, -0.0, 1.5, 1e20, 1e308, -1e308, 5e-324, math.nan, math.inf, -math.inf]
NUMBERS = [*INTEGERS, *FLOATS]


class Unprintable:
    """An object that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


class PathOfBytes:
    """As an entry of ``os.scandir(b".")``."""

    def __fspath__(self) -> bytes:
        return b"x"


class Unconvertible:
    """As a tensor of PyTorch that requires gradients."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("no")


def make_wrong_values() -> dict[str, Any]:
    """Return values by their name; some of them can be used only once."""
    with open(__file__, encoding="utf-8") as closed:  # noqa: PTH123
        pass
    return {
        "None": None, "string": "x", "long string": "x" * 3000, "link to itself": "link", "empty string": "",
        "surrogate": "\ud800", "zero byte": "\0", "list": [],
        "list of numbers": [1, 2], "list of None": [None], "dictionary": {}, "array": np.array([1, 2]),
        "empty array": np.array([]), "matrix": np.ones((2, 2)), "True": True, "complex": 1j, "bytes": b"x",
        "closed file": closed, "generator": (each for each in "ab"), "object": object(), "class": int,
        "unprintable": Unprintable(), "path of bytes": PathOfBytes(), "unconvertible": Unconvertible(),
        "function": math.sqrt,
        **{f"{number:.0e}" if isinstance(number, float) else f"{number:#x}": number for number in NUMBERS},
    }  # fmt: skip
