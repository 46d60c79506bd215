"""The cells between their products, on many rows. A block is the m elements of one gate, padded.

The equations are in `elman.network.cells`. A row of gates has these blocks:

rnn   a
gru   n, r, z, q, where the reset gate scales q = W_n h + d. The input product adds to the first three blocks and the
      recurrent product to the last three. Their gradients are stored in the same way, so that the gradients of each
      product are contiguous.
lstm  i, f, g, o
"""

from __future__ import annotations

from typing import Any, NamedTuple

from elman.engine.numba.simd import Simd
from elman.engine.numba.vector import VectorView, elementwise_kernel
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
    zeros: int  # initial values of a state that is reset
    tanh_s: int
    dy: int  # dL/dh of the step …
    dy_before: int  # … and of the previous step
    ds: int
    reset_at: int
    m_row: int
    vectors: int


GATES, INPUTS, D, H_BEFORE, H, S_BEFORE, S, TANH_S = range(8)
"""Rows of a forward kernel: W h in the last blocks of the gates, which overwrite it; U x + b; the bias d; the states
before and after the step."""


@elementwise_kernel
def forward_rnn(simd: Simd, view: VectorView) -> None:
    """Store h."""
    view.store(simd.tanh(simd.add(view.load(GATES), view.load(INPUTS))), H)


@elementwise_kernel
def forward_gru(simd: Simd, view: VectorView) -> None:
    """Store n, r, z, q and h."""
    r, z = (simd.sigmoid(simd.add(view.load(GATES, k), view.load(INPUTS, k))) for k in (1, 2))
    q = simd.add(view.load(GATES, 3), view.load(D))
    n = simd.tanh(simd.muladd(r, q, view.load(INPUTS, 0)))
    for k, value in enumerate((n, r, z, q)):
        view.store(value, GATES, k)
    view.store(simd.muladd(z, simd.sub(view.load(H_BEFORE), n), n), H)


@elementwise_kernel
def forward_lstm(simd: Simd, view: VectorView) -> None:
    """Store i, f, g, o, s, tanh s and h."""
    i, f, o = (simd.sigmoid(simd.add(view.load(GATES, k), view.load(INPUTS, k))) for k in (0, 1, 3))
    g = simd.tanh(simd.add(view.load(GATES, 2), view.load(INPUTS, 2)))
    for k, gate in enumerate((i, f, g, o)):
        view.store(gate, GATES, k)
    s = simd.muladd(f, view.load(S_BEFORE), simd.mul(i, g))
    tanh_s = simd.tanh(s)
    view.store(s, S)
    view.store(tanh_s, TANH_S)
    view.store(simd.mul(o, tanh_s), H)


DH, DH_BEFORE, DS = INPUTS, D, S
"""Rows that a backward kernel has instead: dL/dh of the step and of the previous one, and dL/ds."""


@elementwise_kernel
def backward_rnn(simd: Simd, view: VectorView) -> None:
    """Store dL/da."""
    h = view.load(H)
    view.store(simd.mul(view.load(DH), simd.sub(simd.constant(1.0), simd.mul(h, h))), GATES)


@elementwise_kernel
def backward_gru(simd: Simd, view: VectorView) -> None:
    """Overwrite the blocks by their gradients, and add the direct part of the previous step's dL/dh to its row."""
    n, r, z, q = (view.load(GATES, k) for k in range(4))
    dh, one = view.load(DH), simd.constant(1.0)
    keep = simd.sub(one, z)
    dn = simd.mul(simd.mul(dh, keep), simd.sub(one, simd.mul(n, n)))
    dz = simd.mul(simd.mul(dh, simd.sub(view.load(H_BEFORE), n)), simd.mul(z, keep))
    dr = simd.mul(simd.mul(dn, q), simd.mul(r, simd.sub(one, r)))
    for k, value in enumerate((dn, dr, dz, simd.mul(dn, r))):
        view.store(value, GATES, k)
    view.store(simd.muladd(dh, z, view.load(DH_BEFORE)), DH_BEFORE)


@elementwise_kernel
def backward_lstm(simd: Simd, view: VectorView) -> None:
    """Overwrite the gates by dL/da, and dL/ds by dL/ds of the previous step."""
    i, f, g, o = (view.load(GATES, k) for k in range(4))
    tanh_s, dh = view.load(TANH_S), view.load(DH)
    one = simd.constant(1.0)

    def sigmoid_derivative(gate: object) -> object:
        return simd.mul(gate, simd.sub(one, gate))

    ds = simd.muladd(simd.mul(dh, o), simd.sub(one, simd.mul(tanh_s, tanh_s)), view.load(DS))
    view.store(simd.mul(simd.mul(ds, g), sigmoid_derivative(i)), GATES, 0)
    view.store(simd.mul(simd.mul(ds, view.load(S_BEFORE)), sigmoid_derivative(f)), GATES, 1)
    view.store(simd.mul(simd.mul(ds, i), simd.sub(one, simd.mul(g, g))), GATES, 2)
    view.store(simd.mul(simd.mul(dh, tanh_s), sigmoid_derivative(o)), GATES, 3)
    view.store(simd.mul(ds, f), DS)


@inlined
def _locate_before(step, r, indices):
    """Return where the state that a batch row reads is: the state before the step, or zeros."""
    is_reset = indices[step.first + r] == step.reset_at
    return step.zeros if is_reset else step.before + r * step.m_row


class Arrays(NamedTuple):
    """The arrays that the kernels of a cell read and write; see `elman.engine.numba.kernels.Workspace`."""

    gates: Any
    inputs: Any
    theta: Any
    s: Any
    tanh_s: Any
    h: Any
    dy: Any
    ds: Any
    indices: Any


@inlined
def _forward(compute, arrays, step):
    """Turn the products of a step, W h in the gates and U x + b in the inputs, into its states."""
    gates, inputs, theta, s, tanh_s, h, _, _, indices = arrays
    for r in range(step.R):
        inputs_row = indices[step.first + r] if step.reads_characters else step.first + r
        before, after = _locate_before(step, r, indices), step.after + r * step.m_row
        compute(
            gates, step.gates + r * step.gates_row, inputs, step.inputs + inputs_row * step.inputs_row, theta, step.d,
            h, before, h, after, s, before, s, after, tanh_s, step.tanh_s + r * step.m_row, step.m_row, step.vectors,
        )  # fmt: skip


@inlined
def _backward(compute, arrays, step):
    """Turn dL/dh of a step into dL/da, which overwrites the gates."""
    gates, _, _, s, tanh_s, h, dy, ds, indices = arrays
    for r in range(step.R):
        row, before = r * step.m_row, _locate_before(step, r, indices)
        compute(
            gates, step.gates + r * step.gates_row, dy, step.dy + row, dy, step.dy_before + row, h, before,
            h, step.after + row, s, before, ds, step.ds + row, tanh_s, step.tanh_s + row, step.m_row, step.vectors,
        )  # fmt: skip


def _rows_kernel(name: str, loop: Any, compute: Any) -> Any:
    """Return the kernel, a member of this module by its name, that computes the rows of a step."""

    def rows(arrays, step):
        loop(compute, arrays, step)

    rows.__name__ = rows.__qualname__ = name
    return kernel(rows)


forward_rnn_rows = _rows_kernel("forward_rnn_rows", _forward, forward_rnn)
backward_rnn_rows = _rows_kernel("backward_rnn_rows", _backward, backward_rnn)
forward_gru_rows = _rows_kernel("forward_gru_rows", _forward, forward_gru)
backward_gru_rows = _rows_kernel("backward_gru_rows", _backward, backward_gru)
forward_lstm_rows = _rows_kernel("forward_lstm_rows", _forward, forward_lstm)
backward_lstm_rows = _rows_kernel("backward_lstm_rows", _backward, backward_lstm)


class CompiledCell(NamedTuple):
    """The blocks of a cell's rows of gates, and its kernels.

    The kernels of a window first add the input product U x + b to the first blocks of a row, and the recurrent product
    W h to the last ones; then they call the cell's own. A cell whose gates multiply h before the product cannot be
    compiled.
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
