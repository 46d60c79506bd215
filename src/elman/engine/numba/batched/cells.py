"""The cells between their products, on many rows. A block is the m elements of one gate, padded.

The equations are those of `elman.network.cells`. A row of gates has these blocks:

rnn   a
gru   n, r, z, q, where q = W_n h + d is what the reset gate scales. The input product adds to the first three blocks
      and the recurrent product to the last three, and their gradients are stored likewise, so that those of each
      product are contiguous.
lstm  i, f, g, o
"""

from __future__ import annotations

from typing import NamedTuple

from elman.engine.numba.jit import inlined
from elman.engine.numba.linalg.simd import Simd
from elman.engine.numba.linalg.vector import VectorView, elementwise_kernel


class CellBlocks(NamedTuple):
    """The code of a cell, and the blocks of its rows of gates.

    The kernels add the input product U x + b to the first blocks of a row and the recurrent product W h to the last
    ones, before the cell's elementwise function. A cell whose gates multiply h before the product cannot be compiled.
    """

    code: int
    """Distinguishes the cells in the kernels."""
    input_gates: tuple[int, ...]
    """The gates of U and b in the order of the first blocks."""
    recurrent_blocks: int
    blocks: int
    state_vectors: int = 1
    has_recurrent_bias: bool = False
    """Whether there is a bias d, whose gradient is the sum of the last block."""


_RNN, _GRU, _LSTM = range(3)

CELLS: dict[str, CellBlocks] = {
    "rnn": CellBlocks(_RNN, input_gates=(0,), recurrent_blocks=1, blocks=1),
    "gru": CellBlocks(_GRU, input_gates=(2, 0, 1), recurrent_blocks=3, blocks=4, has_recurrent_bias=True),
    "lstm": CellBlocks(_LSTM, input_gates=(0, 1, 2, 3), recurrent_blocks=4, blocks=4, state_vectors=2),
}
"""The cells that `forward_cell` and `backward_cell` distinguish, by name. No other cell is packed for a kernel."""


def _rnn_forward(simd: Simd, view: VectorView) -> None:
    """Rows: W h, U x + b, h."""
    view.store(simd.tanh(simd.add(view.load(0), view.load(1))), 2)


def _rnn_backward(simd: Simd, view: VectorView) -> None:
    """Rows: dL/da, h, dL/dh."""
    h = view.load(1)
    view.store(simd.mul(view.load(2), simd.sub(simd.constant(1.0), simd.mul(h, h))), 0)


def _gru_forward(simd: Simd, view: VectorView) -> None:
    """Rows: W h in blocks 1 to 3, overwritten with block 0 by n, r, z, q; U x + b; d; the previous h; h."""
    r, z = (simd.sigmoid(simd.add(view.load(0, k), view.load(1, k))) for k in (1, 2))
    q = simd.add(view.load(0, 3), view.load(2))
    n = simd.tanh(simd.muladd(r, q, view.load(1, 0)))
    for k, value in enumerate((n, r, z, q)):
        view.store(value, 0, k)
    view.store(simd.muladd(z, simd.sub(view.load(3), n), n), 4)


def _gru_backward(simd: Simd, view: VectorView) -> None:
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


def _lstm_forward(simd: Simd, view: VectorView) -> None:
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


def _lstm_backward(simd: Simd, view: VectorView) -> None:
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


rnn_forward = elementwise_kernel("rnn_forward", _rnn_forward)
rnn_backward = elementwise_kernel("rnn_backward", _rnn_backward)
gru_forward = elementwise_kernel("gru_forward", _gru_forward)
gru_backward = elementwise_kernel("gru_backward", _gru_backward)
lstm_forward = elementwise_kernel("lstm_forward", _lstm_forward)
lstm_backward = elementwise_kernel("lstm_backward", _lstm_backward)


@inlined
def forward_cell(cell, gates, inputs, theta, s, tanh_s, h, begin, x, d, before, after, tanh_s_start, m_row, vectors):
    """One row of a step: from the products in the gates, and U x + b in the inputs, to the next state.

    The integers are the offsets of the row in each array: `before` and `after` those of the states in s and h.
    """
    if cell == _LSTM:
        lstm_forward(
            (gates, inputs, s, s, tanh_s, h), (begin, x, before, after, tanh_s_start, after), m_row, vectors
        )  # fmt: skip
    elif cell == _GRU:
        gru_forward((gates, inputs, theta, h, h), (begin, x, d, before, after), m_row, vectors)
    elif cell == _RNN:
        rnn_forward((gates, inputs, h), (begin, x, after), m_row, vectors)


@inlined
def backward_cell(
    cell, gates, s, tanh_s, h, dy, ds, begin, before, after, tanh_s_start, d, into, ds_start, m_row, vectors
):
    """One row of a step: from dL/dh, in row `d` of dy, to dL/da, which overwrites the gates.

    The GRU adds its direct part of dL/dh of the step before to row `into` of dy.
    """
    if cell == _LSTM:
        lstm_backward((gates, s, tanh_s, dy, ds), (begin, before, tanh_s_start, d, ds_start), m_row, vectors)
    elif cell == _GRU:
        gru_backward((gates, h, dy, dy), (begin, before, d, into), m_row, vectors)
    elif cell == _RNN:
        rnn_backward((gates, h, dy), (begin, after, d), m_row, vectors)
