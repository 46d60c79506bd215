"""A network laid out once and read by many calls: scores, logits, text, of any number of streams."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.batched.network import Codes, LaidOut
from elman.engine.protocol import Indices, SegmentLosses
from elman.network.parameters import Array, Parameters
from elman.network.sampling import SamplingParams

_SLICE = 32
"""Steps of which the logits exist at once: those of a group of streams stay in the second cache."""
_SIDE_BY_SIDE = (1, 8, 64, 192)
"""Passages read side by side, as few of these as there are passages."""
_AT_ONCE = 2048
"""Passages between two looks at who does the work, and at whether the user has broken it off."""
_KEPT = 4
"""Layouts that are kept, for so many numbers of streams."""


class NumbaSession:
    """See `elman.engine.InferenceSession`.

    What a stream gives does not depend, to the bit, on how many others are read beside it.
    """

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self._nets: OrderedDict[tuple[int, int], LaidOut] = OrderedDict()

    def losses(self, h: Array, x: Indices, y: Indices) -> tuple[NDArray[np.float64], Array]:
        """See `elman.engine.InferenceSession.losses`."""
        codes, targets = x.astype(np.intp), y.astype(np.intp)
        losses = np.empty(x.shape)
        for net, part in self._parts(len(x), len(h)):
            net.put_state(h)
            net.crew.timed(partial(net.window, codes[part], targets[part]), codes[part].size)
            losses[part], h = net.losses(), net.state()
        return losses, h

    def logits(self, h: Array, x: Indices) -> tuple[Array, Array]:
        """See `elman.engine.InferenceSession.logits`."""
        pieces = []
        for net, part in self._parts(len(x), len(h)):
            net.put_state(h)
            o, states = net.read(x[part].astype(np.intp))
            h = states[-1]
            pieces.append((o, states))
        o, states = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
        return o, states

    def segment_losses(
        self, h: Array, text: Indices, starts: NDArray[np.intp], lengths: NDArray[np.intp]
    ) -> SegmentLosses:
        """See `elman.engine.InferenceSession.segment_losses`."""
        n = len(starts)
        order, codes, found = np.argsort(-lengths, kind="stable"), text.astype(np.intp), SegmentLosses.zeros(n)
        net = self._net(_SLICE, next((B for B in _SIDE_BY_SIDE if n <= B), _SIDE_BY_SIDE[-1]))
        net.T = _SLICE
        for first in range(0, n, _AT_ONCE):
            some = order[first : first + _AT_ONCE]
            net.crew.timed(
                partial(net.segment_losses, h, codes, some, starts, lengths, found), int(lengths[some].sum())
            )
        return found

    def generate(
        self, h: Array, x: NDArray[np.integer], uniforms: NDArray[np.float64], sampling: Sequence[SamplingParams]
    ) -> tuple[Codes, Array]:
        """See `elman.engine.InferenceSession.generate`."""
        net = self._net(1, len(h))
        K = net.sizes.K
        limits = np.array([(d.temperature, min(d.top_k or K, K), d.top_p, d.min_p) for d in sampling]).T
        net.put_state(h)
        characters = np.empty(uniforms.shape, np.intp)

        def write() -> None:
            characters[...] = net.generate(x.astype(np.intp), uniforms, limits)

        net.crew.timed(write, uniforms.size)
        return characters, net.state()

    def _parts(self, T: int, B: int) -> Iterator[tuple[LaidOut, slice]]:
        """The slices of T steps, each with a layout that is set to its length."""
        for first in range(0, T, _SLICE):
            part = slice(first, min(first + _SLICE, T))
            net = self._net(_SLICE if T > 1 else 1, B)
            net.T = part.stop - part.start
            yield net, part

    def _net(self, T: int, B: int) -> LaidOut:
        """A layout for windows of up to T steps of B streams."""
        if (T, B) not in self._nets:
            like = next(reversed(self._nets.values()), None)
            self._nets[T, B] = LaidOut(self.parameters, T, B, backward=False, like=like)
            if len(self._nets) > _KEPT:
                self._nets.popitem(last=False)
        self._nets.move_to_end((T, B))
        return self._nets[T, B]
