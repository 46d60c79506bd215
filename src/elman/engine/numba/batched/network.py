"""A network laid out for the kernels of `elman.engine.numba.batched.kernels`, with room for the windows of its streams."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba import sampling
from elman.engine.numba.batched import kernels, segments
from elman.engine.numba.batched.layout import LSTM, Layout, flatten, make_layout
from elman.engine.numba.fused.packing import zeros
from elman.engine.numba.linalg.panels import DEPTH
from elman.engine.numba.thread_pool import Crew
from elman.engine.protocol import SegmentLosses
from elman.network.dropout import Dropout, key
from elman.network.parameters import Architecture, Array, Parameters, architecture

Codes = NDArray[np.intp]

RANGES = 4
"""Parts of the parameters that are updated at the same time."""

_NO_DROPPING = kernels.Dropping(np.zeros(1, np.uint32), np.uint32(0), 1.0, False, 0, 1)


READ_TOGETHER = 24
"""Streams of a group where there are many and no gradients, which are sums over a whole group: full tiles of rows."""


def groups(B: int, backward: bool) -> list[slice]:
    """Return the groups that B streams are cut into: by no more than that, as no result may depend on the cores."""
    count = 1 if B < 8 else 2 if B < 64 else 4 if backward else max(4, B // READ_TOGETHER)
    return [slice(first, last) for first, last in pairwise(B * n // count for n in range(count + 1))]


class LaidOut:
    """A network as the kernels want it, and the arrays they work in.

    Parameters
    ----------
    parameters : Parameters
        Copied.
    T, B : int
        Characters of a window, streams. The attribute `T` may be set to fewer; the state is then to be put again.
    backward : bool
        Whether gradients are wanted as well.
    like : LaidOut, optional
        Another layout of the same parameters. Where it fits, they are not copied again.
    """

    def __init__(self, parameters: Parameters, T: int, B: int, *, backward: bool, like: LaidOut | None = None) -> None:
        self.network: Architecture = architecture(parameters)
        self.dtype, self.T, self.B, self.backward = parameters["V"].dtype, T, B, backward
        self.groups = groups(B, backward)
        self.rows = [group.stop - group.start for group in self.groups]
        self.layout: Layout = make_layout(self.network, self.dtype, min(self.rows))
        self.sizes, self.table = self.layout.sizes, self.layout.table
        fits = like is not None and like.sizes == self.sizes
        self.theta: Array = like.theta if like and fits else flatten(self.layout, parameters, self.dtype)
        self.packs: Array = like.packs if like and fits else zeros(self.layout.packs, self.dtype)
        count = len(self.rows) if backward else 0
        self.gradients = zeros(count * self.layout.theta, self.dtype).reshape(count, self.layout.theta)
        self.rooms = [self._room(n) for n in range(len(self.rows))]
        # Weights that are read alone are packed once: no threads are worth while for that.
        tasks = max(len(self.rows), RANGES) if backward else len(self.rows)
        self.crew = Crew((self.sizes, T, B, backward, self.dtype), tasks)
        if not fits:
            self.pack()

    def _room(self, n: int) -> kernels.Room:
        s, T, R, dtype = self.sizes, self.T, self.rows[n], self.dtype
        state, steps, back = s.layers * (T + 1) * R * s.m_row, s.layers * T * R, int(self.backward)
        lstm = int(s.cell == LSTM)
        return kernels.Room(
            h=zeros(state, dtype),
            s=zeros(lstm * state, dtype),
            squashed=zeros(lstm * steps * s.m_row, dtype),
            gates=zeros(steps * s.gates_row, dtype),
            y=zeros(back * steps * s.m_row, dtype),
            inputs=zeros(int(s.layers > 1) * T * R * s.inputs * s.m_row, dtype),
            dy=zeros(back * (T + 1) * R * s.m_row, dtype),
            ds=zeros(R * s.m_row, dtype),
            g=zeros(T * R * s.K_row, dtype),
            losses=np.zeros(T * R),
            dh0=zeros(back * s.layers * (1 + lstm) * R * s.m_row, dtype),
            gradient=self.gradients[n] if self.backward else zeros(0, dtype),
            panels=zeros(back * DEPTH * s.m_row, dtype),
            zeros=zeros(max(s.gates_row, s.K_row), dtype),
        )

    def pack(self) -> None:
        """Bring what is derived from theta up to date."""
        numbers = (self.theta, self.packs, self.table, self.sizes)
        tasks: list[Callable[[], object]] = [
            partial(kernels.pack_layer, *numbers, layer, self.backward) for layer in range(self.sizes.layers)
        ]
        self.crew.do([*tasks, partial(kernels.pack_output, self.theta, self.packs, self.sizes, self.backward)])

    def put_state(self, h: Array) -> None:
        """Begin the next window with h (B, D)."""
        for view, part in self._state_views(h):
            view[...] = part

    def state(self) -> Array:
        """The state (B, D) that the next window begins with."""
        h = np.empty((self.B, self.network.state_size), self.dtype)
        for view, part in self._state_views(h):
            part[...] = view
        return h

    def _state_views(self, h: Array) -> list[tuple[Array, Array]]:
        """Where the kernels keep the parts of the state, each beside its part of h."""
        s, pairs = self.sizes, []
        for room, R, group in zip(self.rooms, self.rows, self.groups, strict=True):
            column = 0
            for layer in range(s.layers):
                start = layer * (self.T + 1) * R * s.m_row
                for array in (room.h, room.s) if s.cell == LSTM else (room.h,):
                    view = array[start : start + R * s.m_row].reshape(R, s.m_row)[:, : s.m]
                    pairs.append((view, h[group, column : column + s.m]))
                    column += s.m
        return pairs

    def window(self, x: Codes, y: Codes, dropping: list[kernels.Dropping] | None = None) -> None:
        """Read x, y (T, B) in every group: losses, with `backward` gradients, and the next state."""

        def task(n: int) -> Callable[[], object]:
            codes, targets = (np.ascontiguousarray(array[:, self.groups[n]]).ravel() for array in (x, y))
            numbers = (self.theta, self.packs, self.table, self.sizes, self.rooms[n], codes, targets)
            drop = dropping[n] if dropping else _NO_DROPPING
            return partial(kernels.window, *numbers, self.T, self.rows[n], drop, bool(dropping), self.backward)

        self.crew.do([task(n) for n in range(len(self.groups))])

    def losses(self) -> NDArray[np.float64]:
        """The losses of the last window, (T, B)."""
        pairs = zip(self.rooms, self.rows, strict=True)
        return np.concatenate([room.losses[: self.T * R].reshape(self.T, R) for room, R in pairs], axis=1)

    def segment_losses(
        self, h: Array, text: Codes, order: Codes, begins: Codes, chars: Codes, found: SegmentLosses
    ) -> None:
        """Read the passages of a text that `order` names, the longest first, each from the state h (D,)."""
        s, R = self.sizes, self.rows[0]
        start = zeros(2 * s.layers * s.m_row, self.dtype).reshape(2, s.layers, s.m_row)
        parts = h.reshape(s.layers, -1, s.m).swapaxes(0, 1)
        start[: len(parts), :, : s.m] = parts

        def task(n: int) -> Callable[[], object]:
            numbers = (self.theta, self.packs, self.table, s, self.rooms[n], start.ravel())
            window = np.empty((2, self.T * R), np.intp)
            share = (n, len(self.rooms), self.T, R, *window, _NO_DROPPING)
            return partial(segments.read, *numbers, text, order, begins, chars, *share, *found)

        self.crew.do([task(n) for n in range(len(self.rooms))])

    def read(self, x: Codes) -> tuple[Array, Array]:
        """Read x (T, B): logits (T, B, K) and the states (T, B, D). The next state is to be put."""

        def task(n: int) -> Callable[[], object]:
            codes = np.ascontiguousarray(x[:, self.groups[n]]).ravel()
            numbers = (self.theta, self.packs, self.table, self.sizes, self.rooms[n], codes)
            return partial(kernels.logits, *numbers, self.T, self.rows[n], _NO_DROPPING)

        self.crew.do([task(n) for n in range(len(self.groups))])
        s, T = self.sizes, self.T
        o = np.empty((T, self.B, s.K), self.dtype)
        states = np.empty((T, self.B, self.network.state_size), self.dtype)
        for room, R, group in zip(self.rooms, self.rows, self.groups, strict=True):
            o[:, group] = room.g[: T * R * s.K_row].reshape(T, R, s.K_row)[:, :, : s.K]
            column = 0
            for layer in range(s.layers):
                for array in (room.h, room.s) if s.cell == LSTM else (room.h,):
                    after = array[(layer * (T + 1) + 1) * R * s.m_row :][: T * R * s.m_row]
                    states[:, group, column : column + s.m] = after.reshape(T, R, s.m_row)[:, :, : s.m]
                    column += s.m
        return o, states

    def generate(self, x: Codes, uniforms: NDArray[np.float64], limits: NDArray[np.float64]) -> Codes:
        """Read x (B,), draw what follows, read that, and so on: one (n, B) for each of `uniforms` (n, B).

        The rows of `limits` (4, B) are temperature, top_k (K for no limit), top_p and min_p; T is 1.
        """
        characters = [np.empty((len(uniforms), R), np.intp) for R in self.rows]

        def task(n: int) -> Callable[[], object]:
            of_group = (np.ascontiguousarray(array[..., self.groups[n]]) for array in (uniforms, limits))
            numbers = (self.theta, self.packs, self.table, self.sizes, self.rooms[n], self.rows[n])
            codes = x[self.groups[n]].copy()
            return partial(sampling.generate_with_streams, *numbers, codes, *of_group, characters[n])

        self.crew.do([task(n) for n in range(len(self.groups))])
        return np.concatenate(characters, axis=1)

    def dh0(self) -> Array:
        """The gradients (B, D) of the state that the last window began with, of the sum over the streams."""
        s, parts = self.sizes, []
        for room, R in zip(self.rooms, self.rows, strict=True):
            rows = room.dh0.reshape(-1, R, s.m_row)[:, :, : s.m]
            parts.append(rows.transpose(1, 0, 2).reshape(R, -1))
        return np.concatenate(parts)

    def dropping(self, dropout: Dropout, update: int) -> list[kernels.Dropping]:
        """The masks of one update, for every group."""
        keys = np.array([key(dropout.seed, update, layer + 1) for layer in range(self.sizes.layers)], np.uint32)
        least, scale = np.uint32(dropout.rate * 2**32), 1 / (1 - dropout.rate)
        return [
            kernels.Dropping(keys, least, scale, not dropout.variational, group.start, self.B) for group in self.groups
        ]
