"""A small kernel that needs every private name of Numba that `elman.jit.compiler` and `lowering` use."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from elman.jit.cache import kernel_path
from elman.jit.runtime import UNUSED, Kernel, call_pointer, kernel_pointer, pack

kernel: Any = partial(Kernel, options={"fastmath": False}, allocates=False, linked=False)


class Row(NamedTuple):
    """Numbers and their factors."""

    numbers: Any
    factor: float


@partial(Kernel, options={"fastmath": False, "inline": "always"}, allocates=False, linked=False)
def select(row, first):
    """Return the row from one of its numbers on."""
    return Row(row.numbers[first:], row.factor)


@kernel
def multiply(row):
    """Multiply the numbers."""
    for i in range(len(row.numbers)):
        row.numbers[i] *= row.factor


@kernel
def multiply_twice(pointer, row, first):
    """Multiply the numbers from one on, once by the name of the kernel and once by its pointer."""
    part = select(row, first)
    multiply(part)
    call_pointer(pointer, (part,))
    return part.factor, len(part.numbers)


def compile_probe() -> None:
    """Compile and call the kernel, unless it is in the cache."""
    row = Row(np.ones(3), 2.0)
    path = kernel_path(multiply_twice.name, pack(UNUSED, row, 1).kinds)
    if path is not None and path.exists():
        return
    result = multiply_twice(kernel_pointer(multiply, row), row, 1)
    if (result, row.numbers.tolist()) != ((2.0, 2), [1.0, 4.0, 4.0]):
        raise ValueError(f"a kernel returns {result} and {row.numbers}")
