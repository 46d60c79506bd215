"""Validation of the arrays in an untrusted file, and the recurrent bias of other frameworks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from elman.errors import ElmanError
from elman.network.cells import CELLS
from elman.network.cells.spec import CellSpec
from elman.network.parameters import Architecture, Array, Arrays

DTYPES = ("float32", "float64")


def infer_architecture(
    W: tuple[int, ...],
    V: tuple[int, ...],
    layers: int,
    metadata: Mapping[str, Any],
    has_format: Callable[[CellSpec], object] = lambda _: True,
) -> Architecture:
    """Return the architecture of a network with W and V of these shapes.

    The cell is that of the metadata; a file of another program has none, so its cell is the one whose number of gates
    fits. `has_format` says which cells the format has.

    Raises
    ------
    ElmanError
        If no network has these shapes, or networks with several cells do.
    """
    if len(W) == len(V) == 2 and W[1] == V[1] > 0:
        cells = [spec.name for spec in CELLS.values() if W[0] == len(spec.gates) * W[1] and has_format(spec)]
        claimed = [cell for cell in cells if cell == metadata.get("cell")] or cells
        if len(claimed) > 1:
            raise ElmanError(f"its arrays fit the cells {', '.join(claimed)}, and no metadata says which it has")
        if claimed:
            return Architecture(claimed[0], layers, V[0], V[1])
    raise ElmanError(f"no network has hidden-to-hidden weights of shape {W} and hidden-to-output weights of shape {V}")


def check_arrays(arrays: Mapping[str, Array], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Check that arrays have the expected names and shapes, one common dtype, and finite values.

    Raises
    ------
    ElmanError
        If an array is missing or unexpected, has another shape or dtype, or contains NaN or infinity.
    """
    for name, shape in expected.items():
        if name not in arrays:
            raise ElmanError(f"the array {name} is missing")
        if arrays[name].shape != shape:
            raise ElmanError(f"{name} has shape {arrays[name].shape}, but {shape} is needed to match the other arrays")
    if arrays.keys() != expected.keys():
        raise ElmanError(f"unexpected array {min(arrays.keys() - expected.keys())}")
    dtypes = {str(array.dtype) for array in arrays.values()}
    if len(dtypes) > 1 or dtypes.isdisjoint(DTYPES):
        raise ElmanError(f"its arrays must be all {' or all '.join(DTYPES)} (got {' and '.join(sorted(dtypes))})")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ElmanError(f"{name} contains NaN or infinity")


def recurrent_bias(net: Architecture, layer: Arrays) -> Array:
    """Return the bias that other frameworks add to W h: zeros, but d in the last block of gru."""
    bias = np.zeros_like(layer["b"])
    if "d" in layer:
        bias[-net.m :] = layer["d"]
    return bias
