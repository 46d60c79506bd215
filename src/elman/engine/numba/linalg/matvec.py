"""Matrix-vector products, alone and with the activation of a vanilla RNN or the derivative of that."""

from elman.engine.numba.jit import inlined
from elman.engine.numba.linalg.simd import BYTES, Simd
from elman.engine.numba.linalg.tile import row_tile, strip_width
from elman.engine.numba.linalg.vector import VectorView, elementwise_kernel


def _emit_tanh_of_sum(simd: Simd, view: VectorView) -> None:
    """Rows: c, the bias."""
    view.store(simd.tanh(simd.add(view.load(0), view.load(1))), 0)


def _emit_times_tanh_derivative(simd: Simd, view: VectorView) -> None:
    """Rows: dL/dh, h = tanh a; the first becomes dL/da = (1 - h^2) dL/dh."""
    dh, h = view.load(0), view.load(1)
    view.store(simd.sub(dh, simd.mul(simd.mul(h, h), dh)), 0)


_tanh_of_sum = elementwise_kernel("tanh_of_sum", _emit_tanh_of_sum)
_times_tanh_derivative = elementwise_kernel("times_tanh_derivative", _emit_times_tanh_derivative)


@inlined
def matvec(c, c_start, d, d_start, a, a_start, b, b_rows, row, depth, reverse):
    """C = D + A B, a padded row, with the first `depth` rows of B, which is stored in strips of `b_rows` rows.

    If `reverse`, the sum goes from the last k to the first: with alternating directions, a call starts with
    the rows of B that the previous one ended with, which are still in the first-level cache.
    """
    vectors = strip_width(row * c.itemsize // BYTES)
    columns = vectors * BYTES // c.itemsize
    first, step = (depth - 1, -1) if reverse else (0, 1)
    strip, next_strip = (row - columns, -columns) if reverse else (0, columns)
    while 0 <= strip < row:
        row_tile(
            c, c_start + strip, d, d_start + strip, a, a_start + first, step,
            b, strip * b_rows + first * columns, step * columns, depth, vectors,
        )  # fmt: skip
        strip += next_strip


@inlined
def matvec_tanh(c, c_start, d, d_start, bias, a, a_start, b, m, m_row, reverse):
    """C = tanh(D + bias + A B), a row of m units padded to m_row; see `matvec`."""
    matvec(c, c_start, d, d_start, a, a_start, b, m_row, m_row, m, reverse)
    _tanh_of_sum((c, bias), (c_start, 0), 0, m_row * c.itemsize // BYTES)


@inlined
def matvec_tanh_backward(c, c_start, h, h_start, a, a_start, b, m_row, reverse, depth):
    """C = (1 - h^2) (C + A B) with the first `depth` rows of B; see `matvec`."""
    matvec(c, c_start, c, c_start, a, a_start, b, m_row, m_row, depth, reverse)
    _times_tanh_derivative((c, h), (c_start, h_start), 0, m_row * c.itemsize // BYTES)
