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
def matvec(c, d, a, b, m, m_row, K_row):
    """C = D + A B, a row of K units padded to K_row, with B an m x K matrix in strips."""
    vectors = strip_width(K_row * c.itemsize // BYTES)
    columns = vectors * BYTES // c.itemsize
    for strip in range(0, K_row, columns):
        row_tile(c, strip, d, strip, a, 0, 1, b, strip * m_row, columns, m, vectors)


@inlined
def matvec_tanh(c, c_start, d, d_start, bias, a, a_start, b, m, m_row, reverse):
    """C = tanh(D + bias + A B), a row of m units padded to m_row, with B an m x m matrix in strips.

    If `reverse`, the sum goes from the last k to the first: with alternating directions, a call starts with
    the rows of B that the previous one ended with, which are still in the first-level cache.
    """
    vectors = strip_width(m_row * c.itemsize // BYTES)
    columns = vectors * BYTES // c.itemsize
    first, step = (m - 1, -1) if reverse else (0, 1)
    strip, next_strip = (m_row - columns, -columns) if reverse else (0, columns)
    while 0 <= strip < m_row:
        row_tile(
            c, c_start + strip, d, d_start + strip, a, a_start + first, step,
            b, strip * m_row + first * columns, step * columns, m, vectors,
        )  # fmt: skip
        _tanh_of_sum((c, bias), (c_start + strip, strip), 0, vectors)
        strip += next_strip


@inlined
def matvec_tanh_backward(c, c_start, h, h_start, a, a_start, b, m, m_row, reverse, depth):
    """C = (1 - h^2) (C + A B) with the first `depth` rows of B; otherwise like `matvec_tanh`."""
    vectors = strip_width(m_row * c.itemsize // BYTES)
    columns = vectors * BYTES // c.itemsize
    first, step = (m - 1, -1) if reverse else (0, 1)
    strip, next_strip = (m_row - columns, -columns) if reverse else (0, columns)
    while 0 <= strip < m_row:
        row_tile(
            c, c_start + strip, c, c_start + strip, a, a_start + first, step,
            b, strip * m_row + first * columns, step * columns, depth, vectors,
        )  # fmt: skip
        _times_tanh_derivative((c, h), (c_start + strip, h_start + strip), 0, vectors)
        strip += next_strip
