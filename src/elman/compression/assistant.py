"""The assistant of a thread that codes: whether there is one, what the two share, and when it runs.

See `elman.compression.shared_forward` for what it does.
"""

from __future__ import annotations

import os
from concurrent.futures import Future
from types import TracebackType
from typing import Any

import numpy as np

from elman.compression import shared_forward
from elman.compression.exact_gradients import Window
from elman.compression.exact_kernels import GRU, Floats, Ints
from elman.compression.exact_network import ExactNetwork
from elman.compression.parts import core_count, thread_pool
from elman.compression.shared_forward import STOP, WIDTH, SharedForward
from elman.engines import NUMBA_INSTALLED
from elman.network.parameters import suffix

MIN_SHARED_WEIGHTS = 1 << 17
"""Weights of the shared matrices at least: with fewer, another core saves less than 3 µs per character."""
_ALIGNMENT = 64
"""Bytes of a cache line, at which the panels begin."""


def thread_count() -> int:
    """Return the number of kernels that can run at the same time: 1 if Numba does not compile them."""
    if not NUMBA_INSTALLED:
        return 1
    import numba

    config: Any = numba.config  # set from the environment, without types
    return 1 if config.DISABLE_JIT else core_count()


def share_forward(network: ExactNetwork, window: Window) -> SharedForward:
    """Return what the forward steps of an untrained network share with an assistant; empty where none is worth it.

    Parameters
    ----------
    network : ExactNetwork
        Not trained while the result is used.
    window : Window
        Of one step. Its first state is the one that the first step begins with.
    """
    R, m, L = window.states.shape[2], network.m, network.L
    S = 2 * L - 1
    if R > 1 or network.cell != GRU or S * 3 * m * m < MIN_SHARED_WEIGHTS or thread_count() < 2:
        return empty_shared_forward()
    arrays, layers = network.arrays, range(1, L + 1)
    matrices = [arrays["U" + suffix(n)] for n in layers[1:]] + [arrays["W" + suffix(n)] for n in layers]
    zeros = np.zeros(2 * m, np.float32)
    d = [np.concatenate([zeros, arrays["d" + suffix(n)]]) for n in layers]
    window.states[1] = window.states[0]
    shared = SharedForward(
        weights=pack_panels(matrices),
        biases=np.stack([arrays["b" + suffix(n)] for n in layers[1:]] + d),
        **{name: arrays[name] for name in "UbVc"},
        h=window.states[1].reshape(L, m),
        sums=np.empty((2, 3 * m), np.float32),
        results=np.empty((S, 3 * m), np.float32),
        cursors=np.zeros((S, 2), np.int64),
        queue=make_queue(L, m),
    )
    shared_forward.assist(shared)  # is compiled now; it returns at once
    return shared


def make_queue(L: int, m: int) -> Ints:
    """Return a queue that stops the assistant, in which W h of every layer is published."""
    from elman.engine.numba.linalg.atomics import LINE

    S = 2 * L - 1
    queue = np.zeros((1 + S + S * -(-3 * m // WIDTH)) * LINE, np.int64)
    queue[STOP] = 1
    queue[L * LINE : (1 + S) * LINE : LINE] = 1
    return queue


def empty_shared_forward() -> SharedForward:
    """Return what means that there is no assistant."""
    vector, matrix, integers = np.empty(0, np.float32), np.empty((0, 0), np.float32), np.empty((0, 0), np.int64)
    return SharedForward(
        vector, matrix, matrix, vector, matrix, vector, matrix, matrix, matrix, integers, np.empty(0, np.int64)
    )


def pack_panels(matrices: list[Floats]) -> Floats:
    """Return the blocks of `WIDTH` columns of all matrices one after the other, aligned to cache lines."""
    panels = [matrix[:, i : i + WIDTH] for matrix in matrices for i in range(0, matrix.shape[1], WIDTH)]
    size = sum(matrix.size for matrix in matrices)
    unaligned = np.empty(size + _ALIGNMENT // 4, np.float32)
    start = -unaligned.ctypes.data % _ALIGNMENT // 4
    return np.concatenate([panel.reshape(-1) for panel in panels], out=unaligned[start : start + size])


class Assistant:
    """Runs `shared_forward.assist` on another thread while this thread codes in its context.

    Parameters
    ----------
    shared : SharedForward
        If it is empty, nothing runs.
    """

    def __init__(self, shared: SharedForward) -> None:
        self._shared = shared
        self._run: Future[Any] | None = None

    def __enter__(self) -> Assistant:
        _coding.add(self)
        return self

    def start(self) -> None:
        """Let the assistant run, if there is a core for it; it ends when it has no work for a while."""
        if 2 * len(_coding) > thread_count():
            self._stop()
        elif len(self._shared.queue) and (self._run is None or self._run.done()):
            self._shared.queue[STOP] = 0
            self._run = thread_pool().submit(shared_forward.assist, self._shared)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _coding.discard(self)
        self._stop()

    def _stop(self) -> None:
        if self._run is not None:
            self._shared.queue[STOP] = 1
            if not self._run.cancel():
                self._run.result()
            self._run = None


_coding: set[Assistant] = set()
"""Those of all threads that code: if each of them had one, there might be more of both than cores."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_coding.clear)  # of other threads, which a forked process lacks
