"""The vanilla RNN cell between its products, for many rows: equations of `elman.network.cells.rnn`."""

from elman.engine.numba.cells.blocks import CellBlocks
from elman.engine.numba.linalg.simd import Simd
from elman.engine.numba.linalg.vector import VectorView, elementwise_kernel

CODE = 0
BLOCKS = CellBlocks(CODE, input_gates=(0,), recurrent_blocks=1, blocks=1)


def _forward(simd: Simd, view: VectorView) -> None:
    """Rows: W h, U x + b, h."""
    view.store(simd.tanh(simd.add(view.load(0), view.load(1))), 2)


def _backward(simd: Simd, view: VectorView) -> None:
    """Rows: dL/da, h, dL/dh."""
    h = view.load(1)
    view.store(simd.mul(view.load(2), simd.sub(simd.constant(1.0), simd.mul(h, h))), 0)


forward = elementwise_kernel("rnn_forward", _forward)
backward = elementwise_kernel("rnn_backward", _backward)
