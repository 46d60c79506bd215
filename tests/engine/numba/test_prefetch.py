"""The hint that a row will be read soon."""

from typing import Any

import numpy as np
from numba import njit

from elman.engine.numba.ngrams.kernels import prefetch


@njit
def prefetch_rows(array: Any, first: int, end: int) -> None:
    for row in range(first, end):
        prefetch(array, row)


def test_prefetch_is_compiled_to_an_instruction_and_changes_nothing() -> None:
    array = np.arange(12, dtype=np.int32).reshape(4, 3)
    prefetch_rows(array, 0, 4)
    assert any("llvm.prefetch" in code for code in prefetch_rows.inspect_llvm().values())
    assert np.array_equal(array, np.arange(12).reshape(4, 3))


def test_any_row_may_be_prefetched() -> None:
    prefetch_rows(np.zeros((4, 3), np.int32), -1000, 1000)
    prefetch_rows(np.zeros((0, 3), np.int32), 0, 1)
    prefetch_rows(np.zeros(0, np.int32), 1 << 40, (1 << 40) + 1)


def test_the_interpreter_does_nothing() -> None:
    assert prefetch(np.zeros((4, 3)), 7) is None  # type: ignore[func-returns-value]
