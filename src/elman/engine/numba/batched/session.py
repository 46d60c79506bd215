"""Inference with a network that is compiled once and used by many calls: losses, logits, generation, any batch size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.batched.network import CompiledNetwork, IndexArray
from elman.engine.numba.sampling import pack_sampling_params
from elman.engine.protocol import Indices, SegmentLosses
from elman.network.output import Prior
from elman.network.parameters import Array, Parameters
from elman.network.sampling import SamplingParams

_MAX_STEPS = 32
"""Steps whose logits exist at once: those of a group of batch rows stay in the second-level cache."""
_SEGMENT_BATCH_SIZES = (1, 8, 64, 192)
"""Segments read in one batch: the smallest of these that holds all of them, or the largest."""
_SEGMENTS_PER_CALL = 2048
"""Segments between two measurements of the thread pool, at which the user can also interrupt."""
_MAX_NETWORKS = 4
"""Networks that are cached, each for another batch size."""


class NumbaSession:
    """See `elman.engine.InferenceSession`.

    The results of a batch row are bit for bit the same in any batch.
    """

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self._networks: OrderedDict[tuple[int, int], CompiledNetwork] = OrderedDict()

    def losses(self, h: Array, x: Indices, y: Indices) -> tuple[NDArray[np.float64], Array]:
        """See `elman.engine.InferenceSession.losses`."""
        indices, targets = x.astype(np.intp), y.astype(np.intp)
        losses = np.empty(x.shape)
        for network, steps in self._split_steps(len(x), len(h)):
            network.set_state(h)
            network.pool.run_timed(partial(network.run_window, indices[steps], targets[steps]), indices[steps].size)
            losses[steps], h = network.losses(), network.state()
        return losses, h

    def logits(self, h: Array, x: Indices) -> tuple[Array, Array]:
        """See `elman.engine.InferenceSession.logits`."""
        chunks = []
        for network, steps in self._split_steps(len(x), len(h)):
            network.set_state(h)
            o, states = network.compute_logits(x[steps].astype(np.intp))
            h = states[-1]
            chunks.append((o, states))
        o, states = (np.concatenate(arrays) for arrays in zip(*chunks, strict=True))
        return o, states

    def prior(self, h: Array, x: Indices) -> Prior:
        """See `elman.engine.InferenceSession.prior`."""
        assert self.parameters.uses_prior  # the counts are not prepared otherwise
        chunks = []
        for network, steps in self._split_steps(len(x), len(h)):
            network.set_state(h)
            chunks.append(network.read_prior(x[steps].astype(np.intp)))
            h = network.state()
        log_q, matched = (np.concatenate(arrays) for arrays in zip(*chunks, strict=True))
        return Prior(log_q, matched)

    def segment_losses(
        self, h: Array, text: Indices, starts: NDArray[np.intp], lengths: NDArray[np.intp]
    ) -> SegmentLosses:
        """See `elman.engine.InferenceSession.segment_losses`."""
        if self.parameters.counts_reading:
            return NumbaSession(self.parameters.frozen()).segment_losses(h, text, starts, lengths)
        n = len(starts)
        order, indices, result = np.argsort(-lengths, kind="stable"), text.astype(np.intp), SegmentLosses.zeros(n)
        batch_size = next((B for B in _SEGMENT_BATCH_SIZES if n <= B), _SEGMENT_BATCH_SIZES[-1])
        network = self._network(_MAX_STEPS, batch_size)
        network.T = _MAX_STEPS
        for first in range(0, n, _SEGMENTS_PER_CALL):
            segments = order[first : first + _SEGMENTS_PER_CALL]
            score = partial(network.score_segments, h, indices, segments, starts, lengths, result)
            network.pool.run_timed(score, int(lengths[segments].sum()))
        return result

    def generate(
        self, h: Array, x: NDArray[np.integer], uniforms: NDArray[np.float64], sampling: Sequence[SamplingParams]
    ) -> tuple[IndexArray, Array]:
        """See `elman.engine.InferenceSession.generate`."""
        network = self._network(1, len(h))
        sampling_params = pack_sampling_params(sampling, network.sizes.K)
        network.set_state(h)
        characters = np.empty(uniforms.shape, np.intp)

        def generate() -> None:
            characters[...] = network.generate(x.astype(np.intp), uniforms, sampling_params)

        network.pool.run_timed(generate, uniforms.size)
        return characters, network.state()

    def _split_steps(self, T: int, B: int) -> Iterator[tuple[CompiledNetwork, slice]]:
        """The slices of T steps, each with a network that is set to its length."""
        for first in range(0, T, _MAX_STEPS):
            steps = slice(first, min(first + _MAX_STEPS, T))
            network = self._network(_MAX_STEPS if T > 1 else 1, B)
            network.T = steps.stop - steps.start
            yield network, steps

    def _network(self, T: int, B: int) -> CompiledNetwork:
        """The network for windows of up to T steps of B batch rows, from the cache if it is there."""
        if (T, B) not in self._networks:
            like = next(reversed(self._networks.values()), None)
            self._networks[T, B] = CompiledNetwork(self.parameters, T, B, backward=False, like=like)
            if len(self._networks) > _MAX_NETWORKS:
                self._networks.popitem(last=False)
        self._networks.move_to_end((T, B))
        return self._networks[T, B]
