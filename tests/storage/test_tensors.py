"""Files of tensors."""

from typing import Any

import numpy as np

from elman.storage.tensors import serialize_with_digest


def test_a_file_does_not_depend_on_the_byte_order_of_the_machine() -> None:
    dtypes = ("float32", "float64", "uint8", "uint16", "uint64")
    tensors: dict[str, Any] = {dtype: np.arange(1, 7).reshape(2, 3).astype(dtype) for dtype in dtypes}
    swapped = {name: array.astype(array.dtype.newbyteorder("S")) for name, array in tensors.items()}
    assert serialize_with_digest("{}", swapped) == serialize_with_digest("{}", tensors)


def test_the_same_contents_are_the_same_bytes() -> None:
    tensors: dict[str, Any] = {"b": np.ones(3, "float32"), "a": np.zeros((2, 2), "float32")}
    assert len({serialize_with_digest('{"text": "äß\u2028\\u0000"}', tensors) for _ in range(20)}) == 1
