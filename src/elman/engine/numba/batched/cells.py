"""The cells between their products, on many rows. A block is the m elements of one gate, padded.

The equations are those of `elman.network.cells`. A row of gates has these blocks:

rnn   a
gru   n, r, z, q, where q = W_n h + d is what the reset gate scales. The input product adds to the first three blocks
      and the recurrent product to the last three, and their gradients are stored likewise, so that those of each
      product are contiguous.
lstm  i, f, g, o
"""

from __future__ import annotations

from typing import Any, NamedTuple

from elman.engine.numba.linalg.simd import Simd
from elman.engine.numba.linalg.vector import VectorView, elementwise_kernel
from elman.jit import inlined, kernel


class Step(NamedTuple):
    """One time step of a layer: where the rows of the first batch row begin in each array, and where the others do.

    `before` and `after` are the states in h and s before and after the step, in rows of `m_row` elements.
    """

    first: int  # of the step's characters in the indices of the window
    R: int
    gates: int
    gates_row: int
    inputs: int
    inputs_row: int
    reads_characters: bool  # the inputs have a row for each character of the alphabet, not for each batch row
    d: int
    before: int
    after: int
    zeros: int  # of a state that is reset
    tanh_s: int
    dy: int  # dL/dh of the step …
    dy_before: int  # … and of the one before it
    ds: int
    reset_at: int
    m_row: int
    vectors: int


@elementwise_kernel
def forward_rnn(simd: Simd, view: VectorView) -> None:
    """Rows: W h, U x + b, h."""
    view.store(simd.tanh(simd.add(view.load(0), view.load(1))), 2)


@elementwise_kernel
def backward_rnn(simd: Simd, view: VectorView) -> None:
    """Rows: dL/da, h, dL/dh."""
    h = view.load(1)
    view.store(simd.mul(view.load(2), simd.sub(simd.constant(1.0), simd.mul(h, h))), 0)


@elementwise_kernel
def forward_gru(simd: Simd, view: VectorView) -> None:
    """Rows: W h in blocks 1 to 3, overwritten with block 0 by n, r, z, q; U x + b; d; the previous h; h."""
    r, z = (simd.sigmoid(simd.add(view.load(0, k), view.load(1, k))) for k in (1, 2))
    q = simd.add(view.load(0, 3), view.load(2))
    n = simd.tanh(simd.muladd(r, q, view.load(1, 0)))
    for k, value in enumerate((n, r, z, q)):
        view.store(value, 0, k)
    view.store(simd.muladd(z, simd.sub(view.load(3), n), n), 4)


@elementwise_kernel
def backward_gru(simd: Simd, view: VectorView) -> None:
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


@elementwise_kernel
def forward_lstm(simd: Simd, view: VectorView) -> None:
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


@elementwise_kernel
def backward_lstm(simd: Simd, view: VectorView) -> None:
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


@inlined
def _locate_inputs(step, r, indices):
    """The row of inputs of a batch row."""
    row = indices[step.first + r] if step.reads_characters else step.first + r
    return step.inputs + row * step.inputs_row


@inlined
def _locate_before(step, r, indices):
    """The state that a batch row reads: that before the step, or zeros."""
    is_reset = indices[step.first + r] == step.reset_at
    return step.zeros if is_reset else step.before + r * step.m_row


@kernel
def forward_rnn_rows(gates, inputs, theta, s, tanh_s, h, indices, step):
    """Turn the products of a step, W h in the gates and U x + b in the inputs, into its states."""
    for r in range(step.R):
        row = r * step.m_row
        forward_rnn(
            (gates, inputs, h),
            (step.gates + r * step.gates_row, _locate_inputs(step, r, indices), step.after + row),
            step.m_row, step.vectors,
        )  # fmt: skip


@kernel
def backward_rnn_rows(gates, s, tanh_s, h, dy, ds, indices, step):
    """Turn dL/dh of a step into dL/da, which overwrites the gates."""
    for r in range(step.R):
        row = r * step.m_row
        backward_rnn(
            (gates, h, dy), (step.gates + r * step.gates_row, step.after + row, step.dy + row),
            step.m_row, step.vectors,
        )  # fmt: skip


@kernel
def forward_gru_rows(gates, inputs, theta, s, tanh_s, h, indices, step):
    """See `forward_rnn_rows`."""
    for r in range(step.R):
        before, after = _locate_before(step, r, indices), step.after + r * step.m_row
        forward_gru(
            (gates, inputs, theta, h, h),
            (step.gates + r * step.gates_row, _locate_inputs(step, r, indices), step.d, before, after),
            step.m_row, step.vectors,
        )  # fmt: skip


@kernel
def backward_gru_rows(gates, s, tanh_s, h, dy, ds, indices, step):
    """See `backward_rnn_rows`. The direct part of dL/dh of the step before is added to its row."""
    for r in range(step.R):
        row = r * step.m_row
        backward_gru(
            (gates, h, dy, dy),
            (
                step.gates + r * step.gates_row, _locate_before(step, r, indices), step.dy + row,
                step.dy_before + row,
            ),
            step.m_row, step.vectors,
        )  # fmt: skip


@kernel
def forward_lstm_rows(gates, inputs, theta, s, tanh_s, h, indices, step):
    """See `forward_rnn_rows`."""
    for r in range(step.R):
        before, after = _locate_before(step, r, indices), step.after + r * step.m_row
        forward_lstm(
            (gates, inputs, s, s, tanh_s, h),
            (
                step.gates + r * step.gates_row, _locate_inputs(step, r, indices), before, after,
                step.tanh_s + r * step.m_row, after,
            ),
            step.m_row, step.vectors,
        )  # fmt: skip


@kernel
def backward_lstm_rows(gates, s, tanh_s, h, dy, ds, indices, step):
    """See `backward_rnn_rows`. dL/ds of the step is replaced by that of the step before."""
    for r in range(step.R):
        row = r * step.m_row
        backward_lstm(
            (gates, s, tanh_s, dy, ds),
            (
                step.gates + r * step.gates_row, _locate_before(step, r, indices), step.tanh_s + row, step.dy + row,
                step.ds + row,
            ),
            step.m_row, step.vectors,
        )  # fmt: skip


class CompiledCell(NamedTuple):
    """The blocks of a cell's rows of gates, and its kernels.

    The kernels of a window add the input product U x + b to the first blocks of a row and the recurrent product W h to
    the last ones, before the cell's own. A cell whose gates multiply h before the product cannot be compiled.
    """

    input_gates: tuple[int, ...]
    """The gates of U and b in the order of the first blocks."""
    recurrent_blocks: int
    blocks: int
    forward: Any
    backward: Any
    state_vectors: int = 1
    has_recurrent_bias: bool = False
    """Whether there is a bias d, whose gradient is the sum of the last block."""


CELLS: dict[str, CompiledCell] = {
    "rnn": CompiledCell((0,), 1, 1, forward_rnn_rows, backward_rnn_rows),
    "gru": CompiledCell((2, 0, 1), 3, 4, forward_gru_rows, backward_gru_rows, has_recurrent_bias=True),
    "lstm": CompiledCell((0, 1, 2, 3), 4, 4, forward_lstm_rows, backward_lstm_rows, state_vectors=2),
}
"""The cells of the compiled engine, by name."""
