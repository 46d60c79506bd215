"""The GRU between its products: equations of `elman.network.cells.gru` on rows of blocks n, r, z, q.

q = W_n h + d is what the reset gate scales. The input adds to the first three blocks, the recurrent product to the
last three, and so it is with their gradients: each side's lie together.
"""

from elman.engine.numba.linalg.elementwise import Place, along_rows
from elman.engine.numba.linalg.simd import Simd


def _forward(simd: Simd, at: Place) -> None:
    """Rows: in blocks 1 to 3 W h, all four become n, r, z, q; U x + b; d; h before; h."""
    r, z = (simd.sigmoid(simd.add(at.load(0, k), at.load(1, k))) for k in (1, 2))
    q = simd.add(at.load(0, 3), at.load(2))
    n = simd.tanh(simd.muladd(r, q, at.load(1, 0)))
    for k, value in enumerate((n, r, z, q)):
        at.store(value, 0, k)
    at.store(simd.muladd(z, simd.sub(at.load(3), n), n), 4)


def _backward(simd: Simd, at: Place) -> None:
    """Rows: the blocks, which become gradients; h before; dL/dh; what of dL/dh before is at hand, to be added to."""
    n, r, z, q = (at.load(0, k) for k in range(4))
    dh, one = at.load(2), simd.constant(1.0)
    keep = simd.sub(one, z)
    dn = simd.mul(simd.mul(dh, keep), simd.sub(one, simd.mul(n, n)))
    dz = simd.mul(simd.mul(dh, simd.sub(at.load(1), n)), simd.mul(z, keep))
    dr = simd.mul(simd.mul(dn, q), simd.mul(r, simd.sub(one, r)))
    for k, value in enumerate((dn, dr, dz, simd.mul(dn, r))):
        at.store(value, 0, k)
    at.store(simd.muladd(dh, z, at.load(3)), 3)


forward = along_rows("gru_forward", _forward)
backward = along_rows("gru_backward", _backward)
