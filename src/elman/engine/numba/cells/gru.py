"""The GRU cell between its products: equations of `elman.network.cells.gru` on rows of blocks n, r, z, q.

q = W_n h + d is what the reset gate scales. The input product adds to the first three blocks and the recurrent product
to the last three, and their gradients are stored likewise, so that those of each product are contiguous.
"""

from elman.engine.numba.cells.blocks import CellBlocks
from elman.engine.numba.linalg.simd import Simd
from elman.engine.numba.linalg.vector import VectorView, elementwise_kernel

CODE = 1
BLOCKS = CellBlocks(CODE, input_gates=(2, 0, 1), recurrent_blocks=3, blocks=4, has_recurrent_bias=True)


def _forward(simd: Simd, view: VectorView) -> None:
    """Rows: W h in blocks 1 to 3, overwritten with block 0 by n, r, z, q; U x + b; d; the previous h; h."""
    r, z = (simd.sigmoid(simd.add(view.load(0, k), view.load(1, k))) for k in (1, 2))
    q = simd.add(view.load(0, 3), view.load(2))
    n = simd.tanh(simd.muladd(r, q, view.load(1, 0)))
    for k, value in enumerate((n, r, z, q)):
        view.store(value, 0, k)
    view.store(simd.muladd(z, simd.sub(view.load(3), n), n), 4)


def _backward(simd: Simd, view: VectorView) -> None:
    """Rows: the blocks, overwritten by their gradients; the previous h; dL/dh; dL/dh of the previous step, added to."""
    n, r, z, q = (view.load(0, k) for k in range(4))
    dh, one = view.load(2), simd.constant(1.0)
    keep = simd.sub(one, z)
    dn = simd.mul(simd.mul(dh, keep), simd.sub(one, simd.mul(n, n)))
    dz = simd.mul(simd.mul(dh, simd.sub(view.load(1), n)), simd.mul(z, keep))
    dr = simd.mul(simd.mul(dn, q), simd.mul(r, simd.sub(one, r)))
    for k, value in enumerate((dn, dr, dz, simd.mul(dn, r))):
        view.store(value, 0, k)
    view.store(simd.muladd(dh, z, view.load(3)), 3)


forward = elementwise_kernel("gru_forward", _forward)
backward = elementwise_kernel("gru_backward", _backward)
