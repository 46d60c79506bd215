"""Inference with a network that is prepared once and used by many calls: losses, logits, generation, any batch size.

Segments of a text are read in groups; each group is a batch of one window after the other. The longest segments come
first, so that the segments not yet finished are always the first rows, and no row is computed for a finished one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.dropout import NO_DROPOUT
from elman.engine.numba.kernels import Window, carry_state, run_window, select_workspace, set_state
from elman.engine.numba.prior import read_prior, restart_history, select_prior
from elman.engine.numba.sampling import (
    NGRAM_WEIGHT,
    TEMPERATURE,
    TRUNCATES,
    pack_sampling_params,
    sample_index,
    sampling_target,
    softmax_scale,
    truncate_pointer,
)
from elman.engine.numba.simd import BYTES, aligned_zeros
from elman.engine.numba.threads import work_alone
from elman.engine.numba.training import evaluate_window
from elman.engine.numba.vector import exponentials
from elman.engine.numba.workspace import BatchedNetwork, IndexArray, max_batch_size
from elman.engine.protocol import Indices, SegmentLosses
from elman.jit import UNUSED, KernelPointer, call_pointer, exact, kernel
from elman.network.parameters import Array, Parameters
from elman.network.sampling import SamplingParams
from elman.network.state import PriorValues, State
from elman.ngram.language_model import read_compiled

_MAX_STEPS = 32
"""Steps whose logits exist at once: the logits of a group of batch rows stay in the second-level cache."""
_SEGMENT_BATCH_SIZES = (1, 8, 64, 192)
"""Segments read in one batch: the smallest of these that holds all of them, or the largest."""
_SEGMENTS_PER_CALL = 2048
"""Segments between two measurements of the threads; the user can also interrupt at that point."""
_MAX_NETWORKS = 6
"""Networks that are cached, each for a different batch size."""


class Segments(NamedTuple):
    """Segments of a text, all of which are read from the same state."""

    initial: Array  # (2, layers m_row): h and s of the state …
    history: NDArray[np.int32]  # (n,): … and the last characters before it
    text: IndexArray
    order: IndexArray  # the segments that are read, the longest first
    starts: IndexArray  # of all segments
    lengths: IndexArray


class Sampling(NamedTuple):
    """How characters are sampled in B batch rows."""

    indices: IndexArray  # (B,): the characters that are read next
    uniforms: NDArray[np.float64]  # (n, B): one for each of the sampled characters
    params: NDArray[np.float64]  # see `pack_sampling_params`
    truncate: KernelPointer  # to the kernel of that name
    remaining: NDArray[np.float64]  # (B,): workspace
    characters: IndexArray  # (n, B): the sampled characters


class NumbaSession:
    """See `elman.engine.InferenceSession`.

    The results of a batch row are bit for bit the same in any batch.
    """

    def __init__(self, parameters: Parameters, *, mixed_precision: bool = False) -> None:
        self.parameters, self.mixed_precision = parameters, mixed_precision
        self._networks: OrderedDict[tuple[int, int, bool], BatchedNetwork] = OrderedDict()

    def losses(self, state: State, x: Indices, y: Indices) -> tuple[NDArray[np.float64], State]:
        """See `elman.engine.InferenceSession.losses`."""
        losses = np.empty(x.shape)
        for network, steps in self._split_steps(len(x), state):
            network.set_state(state)
            losses[steps] = evaluate_window(network, x[steps], y[steps])
            state = network.state()
        return losses, state

    def logits(self, state: State, x: Indices) -> tuple[Array, State]:
        """See `elman.engine.InferenceSession.logits`."""
        net, dtype = self.parameters.architecture, self.parameters["V"].dtype
        o, states = np.empty((*x.shape, net.K), dtype), net.zero_state(dtype, *x.shape)
        for network, steps in self._split_steps(len(x), state):
            network.set_state(state)
            network.reserve_counts(x[steps].size)
            batches = network.make_window()
            network.split_rows(x[steps], batches.indices[0])
            network.run(_compute_logits, batches, NO_DROPOUT, steps=x[steps].size)
            o[steps] = network.join_rows(network.workspaces.g, network.sizes.K_row)[:, :, : net.K]
            states.recurrent[steps] = network.states()
            if network.T == 1:  # as in `Model.step`, where every microsecond counts
                states.history[steps] = network.histories()
            else:
                states.history[steps] = self.parameters.prior.histories(state.history, x[steps])[1:]
            state = State(states.recurrent[steps.stop - 1], states.history[steps.stop - 1], state.counts)
        return o, State(states.recurrent, states.history, state.counts)

    def prior(self, state: State, x: Indices) -> PriorValues:
        """See `elman.engine.InferenceSession.prior`."""
        model = self.parameters.prior.model_of(state)
        assert model is not None
        log_q, matched, _ = read_compiled(model, state.history, x, dtype=self.parameters["V"].dtype)
        return PriorValues(log_q, matched)

    def segment_losses(
        self, state: State, text: Indices, starts: NDArray[np.intp], lengths: NDArray[np.intp]
    ) -> SegmentLosses:
        """See `elman.engine.InferenceSession.segment_losses`."""
        n = len(starts)
        order, indices, result = np.argsort(-lengths, kind="stable"), text.astype(np.intp), SegmentLosses.zeros(n)
        batch_size = next((B for B in _SEGMENT_BATCH_SIZES if n <= B), _SEGMENT_BATCH_SIZES[-1])
        network = self._network(_MAX_STEPS, batch_size)
        network.T = _MAX_STEPS
        network.set_state(state.freeze().tile(batch_size))
        batches, s = network.make_batches(1), network.sizes
        initial = aligned_zeros(2 * s.layers * s.m_row, network.dtype).reshape(2, -1)  # of h and of s
        views = initial.reshape(2, s.layers, s.m_row)
        views[: s.state_vectors, :, : s.m] = state.recurrent.reshape(s.layers, -1, s.m).swapaxes(0, 1)
        for first in range(0, n, _SEGMENTS_PER_CALL):
            segments = order[first : first + _SEGMENTS_PER_CALL]
            network.run(
                _score_segments, batches, Segments(initial, state.history, indices, segments, starts, lengths),
                NO_DROPOUT, result, steps=int(lengths[segments].sum()),
            )  # fmt: skip
        network.release_counts()
        return result

    def generate(
        self, state: State, x: NDArray[np.integer], uniforms: NDArray[np.float64], sampling: Sequence[SamplingParams]
    ) -> tuple[IndexArray, State]:
        """See `elman.engine.InferenceSession.generate`."""
        network = self._network(1, len(state), state.grows)
        network.set_state(state)
        network.reserve_counts(uniforms.size)
        batches, characters = network.make_batches(1), np.empty(uniforms.shape, np.intp)
        params = pack_sampling_params(sampling, network.sizes.K)
        truncate = truncate_pointer(network.dtype) if params[TRUNCATES].any() else UNUSED
        network.run(
            _generate,
            batches,
            Sampling(x.astype(np.intp), uniforms, params, truncate, np.empty(len(state)), characters),
            NO_DROPOUT,
            steps=uniforms.size,
        )
        final = network.state()
        network.release_counts()
        return characters, final

    def _split_steps(self, T: int, state: State) -> Iterator[tuple[BatchedNetwork, slice]]:
        """Yield the slices of T steps, each with a network that is set to its length; for states like this one."""
        for first in range(0, T, _MAX_STEPS):
            steps = slice(first, min(first + _MAX_STEPS, T))
            network = self._network(_MAX_STEPS if T > 1 else 1, len(state), state.grows)
            network.T = steps.stop - steps.start
            yield network, steps
            network.release_counts()

    def _network(self, T: int, B: int, grows: bool = False) -> BatchedNetwork:
        """Return the network for windows of up to T steps of B batch rows, from the cache if it is there."""
        key = T, max_batch_size(B) if T == 1 and not grows else B, grows
        if key not in self._networks:
            self._networks[key] = BatchedNetwork(
                self.parameters, *key[:2], backward=False, mixed_precision=self.mixed_precision,
                like=self._networks.values(), grows=grows,
            )  # fmt: skip
            if len(self._networks) > _MAX_NETWORKS:
                self._networks.popitem(last=False)
        self._networks.move_to_end(key)
        network = self._networks[key]
        if network.B != B:
            network.set_batch_size(B)
        return network


@kernel
def _compute_logits(thread, groups, batches, no_dropout):
    """Read the only window of `batches`: logits are left in `Workspace.g`, states in place."""
    net, T, alone = groups.net, batches.T, work_alone(thread, groups.net.sizes.m_row)
    for g in range(thread.rank, len(batches.rows), thread.size):
        workspace, prior = select_workspace(groups.workspaces, g), select_prior(groups.priors, g)
        R, x = batches.rows[g], batches.indices[0, g]
        if net.sizes.context_length > 0:
            read_prior(net.sizes, prior, x, batches.folds[0, g], T, R)
        call_pointer(groups.forward, (net, workspace, prior.values, Window(x, T, R, no_dropout), alone))


@exact  # without fastmath: the losses of a segment are added in reading order
def _score_segments(thread, groups, batches, segments, no_dropout, results):
    """Evaluate segments, see `elman.engine.protocol.SegmentLosses`; each thread reads groups of R of them.

    The only window of `batches` is workspace for one window of each group.
    """
    initial, initial_history, text, order, starts, lengths = segments
    nats, worst, worst_nats = results
    sizes, m_row, T, R, slots = groups.net.sizes, groups.net.sizes.m_row, batches.T, batches.rows[0], len(batches.rows)
    x, y, folds, alone = batches.indices[0], batches.targets[0], batches.folds[0, 0], work_alone(thread, m_row)
    for slot in range(thread.rank, slots, thread.size):
        workspace, prior = select_workspace(groups.workspaces, slot), select_prior(groups.priors, slot)
        for first in range(slot * R, len(order), slots * R):
            rows, steps = min(R, len(order) - first), min(T, lengths[order[first]])
            set_state(steps, rows, sizes, workspace, alone, initial[0], initial[1], 0, m_row, 0)
            for r in range(rows):
                restart_history(prior, r, initial_history)
            done = 0
            while done < lengths[order[first]]:
                before_T, before_R = steps, rows
                steps = min(T, lengths[order[first]] - done)
                while lengths[order[first + rows - 1]] <= done:
                    rows -= 1
                layer_stride = (before_T + 1) * before_R * m_row
                set_state(steps, rows, sizes, workspace, alone, workspace.h, workspace.s, 0, layer_stride, m_row)
                for r in range(rows):
                    segment = order[first + r]
                    at, last = starts[segment] + done, min(steps, lengths[segment] - done) - 1
                    for t in range(steps):
                        # After its end a segment is padded with its last character, whose losses are ignored.
                        x[slot, t * rows + r] = text[at + min(t, last)]
                        y[slot, t * rows + r] = text[at + min(t, last) + 1]
                if sizes.context_length > 0:
                    read_prior(sizes, prior, x[slot], folds, steps, rows)
                window = Window(x[slot], steps, rows, no_dropout)
                run_window(groups, workspace, prior.values, window, y[slot], False, alone)
                for r in range(rows):
                    segment = order[first + r]
                    for t in range(min(steps, lengths[segment] - done)):
                        loss = workspace.losses[t * rows + r]
                        nats[segment] += loss
                        highest = worst_nats[segment]
                        place = len(highest)
                        while place > 0 and loss > highest[place - 1]:
                            if place < len(highest):
                                highest[place] = highest[place - 1]
                            place -= 1
                        if place < len(highest):
                            highest[place] = loss
                        if place == 0:
                            worst[segment] = done + t
                done += steps


@kernel
def _generate(thread, groups, batches, sampling, no_dropout):
    """Sample characters, in the layout of windows of one step."""
    indices, uniforms, sampling_params, truncate, remaining, characters = sampling
    net, sizes, alone = groups.net, groups.net.sizes, work_alone(thread, groups.net.sizes.m_row)
    K, K_row = sizes.K, sizes.K_row
    for group in range(thread.rank, len(batches.rows), thread.size):
        first, R, folds = batches.first_rows[group], batches.rows[group], batches.folds[0, group]
        workspace, prior = select_workspace(groups.workspaces, group), select_prior(groups.priors, group)
        g, x, vectors = workspace.g, indices[first : first + R], K_row * workspace.g.itemsize // BYTES
        for r in range(R):
            prior.values.weights[r] = sampling_params[NGRAM_WEIGHT, first + r]
        for n in range(len(uniforms)):
            if sizes.context_length > 0:
                read_prior(sizes, prior, x, folds, 1, R)
            call_pointer(groups.forward, (net, workspace, prior.values, Window(x, 1, R, no_dropout), alone))
            carry_state(1, R, sizes, workspace, alone)
            for r in range(R):
                temperature = sampling_params[TEMPERATURE, first + r]
                total, _ = exponentials(g, r * K_row, vectors, softmax_scale(temperature, g.dtype.type))
                row = g[r * K_row : r * K_row + K]
                remaining[first + r] = np.float64(total)
                if sampling_params[TRUNCATES, first + r]:
                    call_pointer(truncate, (row, np.float64(total), sampling_params, first + r, remaining))
                x[r] = sample_index(row, K, sampling_target(uniforms[n, first + r], remaining[first + r], temperature))
                characters[n, first + r] = x[r]
        for r in range(R):
            prior.values.weights[r] = 1
