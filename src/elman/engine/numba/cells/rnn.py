"""The vanilla cell between its products, many rows at once: equations of `elman.network.cells.rnn`."""

from elman.engine.numba.linalg.elementwise import Place, along_rows
from elman.engine.numba.linalg.simd import Simd


def _forward(simd: Simd, at: Place) -> None:
    """Rows: W h, U x + b, h."""
    at.store(simd.tanh(simd.add(at.load(0), at.load(1))), 2)


def _backward(simd: Simd, at: Place) -> None:
    """Rows: dL/da, h, dL/dh."""
    h = at.load(1)
    at.store(simd.mul(at.load(2), simd.sub(simd.constant(1.0), simd.mul(h, h))), 0)


forward = along_rows("vanilla_forward", _forward)
backward = along_rows("vanilla_backward", _backward)
