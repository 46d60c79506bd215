"""Many passages of one text read side by side, compiled: the losses are added up while they are at hand.

A group of passages is read as the streams of one window after the other. The longest come first, so that those that
are still read are always the first rows, and no row is read for a passage that has ended.
"""

from elman.engine.numba.batched.kernels import window
from elman.engine.numba.batched.layout import LSTM
from elman.engine.numba.jit import compiled, inlined
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.vector import copy


@inlined
def _start(room, start, T, R, sizes):
    """Give every row of a window of T steps the first state; `start` holds it as (2, layers, m_row)."""
    m_row, vectors = sizes.m_row, sizes.m_row * start.itemsize // BYTES
    for layer in range(sizes.layers):
        for r in range(R):
            at = (layer * (T + 1) * R + r) * m_row
            copy(room.h, at, start, layer * m_row, vectors)
            if sizes.cell == LSTM:
                copy(room.s, at, start, (sizes.layers + layer) * m_row, vectors)


@inlined
def _narrow(room, T, R, to_T, to_R, sizes):
    """Bring the state of a window of T steps of R rows to where one of no more steps and rows begins."""
    m_row, vectors = sizes.m_row, sizes.m_row * room.h.itemsize // BYTES
    for layer in range(sizes.layers):
        for r in range(to_R):
            to, of = (layer * (to_T + 1) * to_R + r) * m_row, (layer * (T + 1) * R + r) * m_row
            copy(room.h, to, room.h, of, vectors)
            if sizes.cell == LSTM:
                copy(room.s, to, room.s, of, vectors)


@compiled()  # and no rewriting: a passage is added up in the order in which it is read
def read(
    theta, packs, table, sizes, room, start, text, order, begins, chars,
    share, shares, T, R, x, y, dropping, nats, worst, worst_nats,
):  # fmt: skip
    """Read every group of R passages whose number is `share`, counted in `shares`; see `elman.engine.SegmentLosses`.

    `order` names the passages, the longest first; x and y (T R,) hold one window.
    """
    for first in range(share * R, len(order), shares * R):
        rows, steps = min(R, len(order) - first), min(T, chars[order[first]])
        _start(room, start, steps, rows, sizes)
        done = 0
        while done < chars[order[first]]:
            before_T, before_R = steps, rows
            steps = min(T, chars[order[first]] - done)
            while chars[order[first + rows - 1]] <= done:
                rows -= 1
            _narrow(room, before_T, before_R, steps, rows, sizes)
            for r in range(rows):
                passage = order[first + r]
                at, last = begins[passage] + done, min(steps, chars[passage] - done) - 1
                for t in range(steps):
                    # Behind its end a passage goes on with its last character, which no longer counts.
                    x[t * rows + r], y[t * rows + r] = text[at + min(t, last)], text[at + min(t, last) + 1]
            window(theta, packs, table, sizes, room, x, y, steps, rows, dropping, False, False)
            for r in range(rows):
                passage = order[first + r]
                for t in range(min(steps, chars[passage] - done)):
                    loss = room.losses[t * rows + r]
                    nats[passage] += loss
                    if loss > worst_nats[passage]:
                        worst[passage], worst_nats[passage] = done + t, loss
            done += steps
