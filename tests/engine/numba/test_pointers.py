"""A kernel is called by its address with the types of arguments that it is compiled for, and no others."""

from typing import NamedTuple

import numpy as np
import pytest

from elman.engine.numba.jit import kernel
from elman.engine.numba.pointers import call_pointer, kernel_pointer


class Pair(NamedTuple):
    numbers: np.ndarray
    scale: float


@kernel
def multiply(pair, n):  # type: ignore[no-untyped-def]
    for i in range(n):
        pair.numbers[i] *= pair.scale


@kernel
def multiply_twice(pointer, pair, n):  # type: ignore[no-untyped-def]
    for _ in range(2):
        call_pointer(pointer, (pair, n))


def test_the_kernel_is_called() -> None:
    pair = Pair(np.arange(4.0), 3.0)
    multiply_twice(kernel_pointer(multiply, pair, 2), pair, 3)
    assert pair.numbers.tolist() == [0.0, 9.0, 18.0, 3.0]


def test_other_types_of_arguments_are_an_error() -> None:
    pair = Pair(np.arange(4.0), 3.0)
    pointer = kernel_pointer(multiply, pair, 3)
    single = Pair(np.arange(4, dtype=np.float32), 3.0)
    with pytest.raises(TypeError, match="of other types"):
        multiply_twice(pointer, single, 3)
    assert single.numbers.tolist() == [0.0, 1.0, 2.0, 3.0]
