"""The arrays of a file that a stranger may have made, held against one another; and the second bias of others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from elman.errors import ElmanError
from elman.network.parameters import GATES, Architecture, Array, Parameters

DTYPES = ("float32", "float64")


def architecture_of(W: tuple[int, ...], V: tuple[int, ...], layers: int) -> Architecture:
    """Return which network has a W and a V of these shapes.

    Raises
    ------
    ElmanError
        If there is none.
    """
    if len(W) == len(V) == 2 and W[1] == V[1] > 0:
        for cell, G in GATES.items():
            if W[0] == G * W[1]:
                return Architecture(cell, layers, V[0], V[1])
    raise ElmanError(f"no network has hidden-to-hidden weights of shape {W} and hidden-to-output weights of shape {V}")


def check_arrays(found: Mapping[str, Array], wanted: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse arrays that are not those which are needed, in shape or kind.

    Raises
    ------
    ElmanError
        If one is missing, is of another shape, dtype or too many, or holds what is no finite number.
    """
    for name, shape in wanted.items():
        if name not in found:
            raise ElmanError(f"the array {name} is missing")
        if found[name].shape != shape:
            raise ElmanError(f"{name} has shape {found[name].shape}, and only {shape} fits the rest")
    if found.keys() != wanted.keys():
        raise ElmanError(f"there is no use for the array {min(found.keys() - wanted.keys())}")
    dtypes = {str(array.dtype) for array in found.values()}
    if len(dtypes) > 1 or dtypes.isdisjoint(DTYPES):
        raise ElmanError(f"its arrays are {' and '.join(sorted(dtypes))}: all have to be {' or all '.join(DTYPES)}")
    for name, array in found.items():
        if not np.isfinite(array).all():
            raise ElmanError(f"{name} holds numbers that are not finite")


def second_bias(net: Architecture, of_layer: Parameters) -> Array:
    """Return what others add where W h is: zero, but for d in the last block of gru. Their first bias is b."""
    second = np.zeros_like(of_layer["b"])
    if net.cell == "gru":
        second[-net.m :] = of_layer["d"]
    return second
