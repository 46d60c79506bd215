"""The LSTM cell between its products: equations of `elman.network.cells.lstm` on rows of gates i, f, g, o."""

from elman.engine.numba.cells.blocks import CellBlocks
from elman.engine.numba.linalg.simd import Simd
from elman.engine.numba.linalg.vector import VectorView, elementwise_kernel

CODE = 2
BLOCKS = CellBlocks(CODE, input_gates=(0, 1, 2, 3), recurrent_blocks=4, blocks=4, state_vectors=2)


def _forward(simd: Simd, view: VectorView) -> None:
    """Rows: W h, overwritten by the gates; U x + b; the previous s; s; tanh s; h."""
    i, f, o = (simd.sigmoid(simd.add(view.load(0, k), view.load(1, k))) for k in (0, 1, 3))
    g = simd.tanh(simd.add(view.load(0, 2), view.load(1, 2)))
    for k, gate in enumerate((i, f, g, o)):
        view.store(gate, 0, k)
    s = simd.muladd(f, view.load(2), simd.mul(i, g))
    tanh_s = simd.tanh(s)
    view.store(s, 3)
    view.store(tanh_s, 4)
    view.store(simd.mul(o, tanh_s), 5)


def _backward(simd: Simd, view: VectorView) -> None:
    """Rows: the gates, overwritten by dL/da; the previous s; tanh s; dL/dh; dL/ds, replaced by the previous step's."""
    i, f, g, o = (view.load(0, k) for k in range(4))
    tanh_s, dh = view.load(2), view.load(3)
    one = simd.constant(1.0)

    def sigmoid_derivative(gate: object) -> object:
        return simd.mul(gate, simd.sub(one, gate))

    ds = simd.muladd(simd.mul(dh, o), simd.sub(one, simd.mul(tanh_s, tanh_s)), view.load(4))
    view.store(simd.mul(simd.mul(ds, g), sigmoid_derivative(i)), 0, 0)
    view.store(simd.mul(simd.mul(ds, view.load(1)), sigmoid_derivative(f)), 0, 1)
    view.store(simd.mul(simd.mul(ds, i), simd.sub(one, simd.mul(g, g))), 0, 2)
    view.store(simd.mul(simd.mul(dh, tanh_s), sigmoid_derivative(o)), 0, 3)
    view.store(simd.mul(ds, f), 4)


forward = elementwise_kernel("lstm_forward", _forward)
backward = elementwise_kernel("lstm_backward", _backward)
