"""The LSTM between its products: equations of `elman.network.cells.lstm` on rows of gates i, f, g, o."""

from elman.engine.numba.linalg.elementwise import Place, along_rows
from elman.engine.numba.linalg.simd import Simd


def _forward(simd: Simd, at: Place) -> None:
    """Rows: W h, which becomes the gates; U x + b; s before; s; tanh s; h."""
    i, f, o = (simd.sigmoid(simd.add(at.load(0, k), at.load(1, k))) for k in (0, 1, 3))
    g = simd.tanh(simd.add(at.load(0, 2), at.load(1, 2)))
    for k, gate in enumerate((i, f, g, o)):
        at.store(gate, 0, k)
    s = simd.muladd(f, at.load(2), simd.mul(i, g))
    squashed = simd.tanh(s)
    at.store(s, 3)
    at.store(squashed, 4)
    at.store(simd.mul(o, squashed), 5)


def _backward(simd: Simd, at: Place) -> None:
    """Rows: the gates, which become dL/da of each; s before; tanh s; dL/dh; dL/ds, which is carried back."""
    i, f, g, o = (at.load(0, k) for k in range(4))
    squashed, dh = at.load(2), at.load(3)
    one = simd.constant(1.0)

    def slope(gate: object) -> object:
        return simd.mul(gate, simd.sub(one, gate))

    ds = simd.muladd(simd.mul(dh, o), simd.sub(one, simd.mul(squashed, squashed)), at.load(4))
    at.store(simd.mul(simd.mul(ds, g), slope(i)), 0, 0)
    at.store(simd.mul(simd.mul(ds, at.load(1)), slope(f)), 0, 1)
    at.store(simd.mul(simd.mul(ds, i), simd.sub(one, simd.mul(g, g))), 0, 2)
    at.store(simd.mul(simd.mul(dh, squashed), slope(o)), 0, 3)
    at.store(simd.mul(ds, f), 4)


forward = along_rows("lstm_forward", _forward)
backward = along_rows("lstm_backward", _backward)
