"""Inference with a network that is compiled once and used by many calls: losses, logits, generation, any batch size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.batched import inference
from elman.engine.numba.batched.dropout import NO_DROPOUT
from elman.engine.numba.batched.kernels import UNUSED
from elman.engine.numba.batched.network import BatchedNetwork, IndexArray
from elman.engine.numba.batched.training import evaluate_window
from elman.engine.numba.linalg.simd import aligned_zeros
from elman.engine.numba.sampling import TRUNCATES, pack_sampling_params, truncate_pointer
from elman.engine.protocol import Indices, SegmentLosses
from elman.network.ngram import read_histories
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
        self._networks: OrderedDict[tuple[int, int], BatchedNetwork] = OrderedDict()

    def losses(self, h: Array, x: Indices, y: Indices) -> tuple[NDArray[np.float64], Array]:
        """See `elman.engine.InferenceSession.losses`."""
        losses = np.empty(x.shape)
        for network, steps in self._split_steps(len(x), len(h)):
            network.set_state(h)

            def run(network: BatchedNetwork = network, steps: slice = steps) -> None:
                losses[steps] = evaluate_window(network, x[steps], y[steps])

            network.team.run_timed(run, x[steps].size)
            h = network.state()
        return losses, h

    def logits(self, h: Array, x: Indices) -> tuple[Array, Array]:
        """See `elman.engine.InferenceSession.logits`."""
        o = np.empty((*x.shape, self.parameters["V"].shape[0]), self.parameters["V"].dtype)
        states = np.empty((*x.shape, h.shape[1]), h.dtype)
        for network, steps in self._split_steps(len(x), len(h)):
            network.set_state(h)
            before, recurrent = network.histories(), network.architecture.recurrent_size
            self._read(network, x[steps], prior_only=False)
            o[steps] = network.join_rows(network.workspaces.g, network.sizes.K_row)[:, :, : o.shape[2]]
            states[steps, :, :recurrent] = network.states()
            if network.sizes.order:
                states[steps, :, recurrent:] = read_histories(before, x[steps], network.reset_at)[1:]
            h = states[steps.stop - 1]
        return o, states

    def prior(self, h: Array, x: Indices) -> Prior:
        """See `elman.engine.InferenceSession.prior`."""
        assert self.parameters.uses_prior  # the counts are not prepared otherwise
        log_q = np.empty((*x.shape, self.parameters["V"].shape[0]), self.parameters["V"].dtype)
        matched = np.empty(x.shape, np.intp)
        for network, steps in self._split_steps(len(x), len(h)):
            network.set_state(h)
            self._read(network, x[steps], prior_only=True)
            values = network.priors.values
            log_q[steps] = network.join_rows(values.log_q, network.sizes.K_row)[:, :, : log_q.shape[2]]
            matched[steps] = network.join_rows(values.matched)[:, :, 0]
            h = network.state()
        return Prior(log_q, matched)

    def _read(self, network: BatchedNetwork, x: Indices, *, prior_only: bool) -> None:
        """Read a window x (T, B) with the network or, if `prior_only`, with its n-gram model alone."""
        network.reserve_counts(x.size)
        batch = network.make_batches(1)
        network.split_rows(x, batch.indices[0])
        arguments = (*network.arrays, batch, network.T, NO_DROPOUT, prior_only)
        network.team.run_timed(
            lambda: network.team.run(lambda thread: inference.compute_logits(thread, *arguments)), x.size
        )

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
            score = partial(self._score_segments, network, h, indices, segments, starts, lengths, result)
            network.team.run_timed(score, int(lengths[segments].sum()))
        return result

    def _score_segments(
        self,
        network: BatchedNetwork,
        h: Array,
        text: IndexArray,
        order: IndexArray,
        starts: IndexArray,
        lengths: IndexArray,
        result: SegmentLosses,
    ) -> None:
        """Add the losses of the segments in `order`, longest first, to `result`; each begins in the state h (D,)."""
        s, R = network.sizes, network.rows[0]
        initial = aligned_zeros(2 * s.layers * s.m_row, network.dtype).reshape(2, s.layers, s.m_row)
        recurrent, history = np.split(h, [network.architecture.recurrent_size])
        state_vectors = recurrent.reshape(s.layers, -1, s.m).swapaxes(0, 1)
        initial[: len(state_vectors), :, : s.m] = state_vectors
        batch = network.make_batches(1)
        arguments = (
            *network.arrays, initial.ravel(), np.rint(history).astype(np.int32), text, order,
            starts, lengths, network.T, R, batch.indices[0], batch.targets[0], batch.folds[0, 0], NO_DROPOUT, *result,
        )  # fmt: skip
        network.team.run(lambda thread: inference.score_segments(thread, *arguments))

    def generate(
        self, h: Array, x: NDArray[np.integer], uniforms: NDArray[np.float64], sampling: Sequence[SamplingParams]
    ) -> tuple[IndexArray, Array]:
        """See `elman.engine.InferenceSession.generate`."""
        network = self._network(1, len(h))
        network.set_state(h)
        network.reserve_counts(uniforms.size)
        batch, characters = network.make_batches(1), np.empty(uniforms.shape, np.intp)
        params = pack_sampling_params(sampling, network.sizes.K)
        truncate = truncate_pointer(network.dtype) if params[TRUNCATES].any() else UNUSED
        arguments = (
            *network.arrays, batch.first_rows, batch.rows, batch.folds[0, 0], x.astype(np.intp),
            uniforms, params, NO_DROPOUT, truncate, np.empty(len(h)), characters,
        )  # fmt: skip
        network.team.run_timed(
            lambda: network.team.run(lambda thread: inference.generate(thread, *arguments)), uniforms.size
        )
        return characters, network.state()

    def _split_steps(self, T: int, B: int) -> Iterator[tuple[BatchedNetwork, slice]]:
        """The slices of T steps, each with a network that is set to its length."""
        for first in range(0, T, _MAX_STEPS):
            steps = slice(first, min(first + _MAX_STEPS, T))
            network = self._network(_MAX_STEPS if T > 1 else 1, B)
            network.T = steps.stop - steps.start
            yield network, steps

    def _network(self, T: int, B: int) -> BatchedNetwork:
        """The network for windows of up to T steps of B batch rows, from the cache if it is there."""
        if (T, B) not in self._networks:
            like = next(reversed(self._networks.values()), None)
            self._networks[T, B] = BatchedNetwork(self.parameters, T, B, backward=False, like=like)
            if len(self._networks) > _MAX_NETWORKS:
                self._networks.popitem(last=False)
        self._networks.move_to_end((T, B))
        return self._networks[T, B]
