"""The ``numpy`` engine: `elman.network` as it is written, a window at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.engine.callbacks import Look, in_stretches, unwatched
from elman.engine.protocol import Indices, Passages
from elman.engine.state import State
from elman.network import model, output
from elman.network.model import LossAndGradients
from elman.network.optimizer import Rule
from elman.network.parameters import Array, Parameters, architecture
from elman.network.sampling import Draw
from elman.text import Windows

_SLICE = 256
"""Characters of a passage whose logits exist at once."""


class NumpyEngine:
    """The reference. Slow enough to watch, plain enough to trust."""

    name = "numpy"

    def advance(
        self, state: State, windows: Windows, updates: int, rule: Rule, look: Look = unwatched
    ) -> NDArray[np.float64]:
        """See `elman.engine.Engine.advance`."""

        def stretch(losses: NDArray[np.float64]) -> Array:
            """Do as many updates as `losses` is long; return the state h."""
            for n in range(len(losses)):
                if windows.begins_epoch(state.position):
                    state.position, state.h = 0, np.zeros_like(state.h)
                x, y = windows.at(state.position)
                state.update += 1
                masks = _masks(rule, state, x)
                losses[n], gradients, _, state.h = model.loss_and_gradients(state.parameters, state.h, x, y, masks)
                rule.update(state.update, state.parameters, state.M, state.N, state.average, gradients)
                state.position += windows.seq_length
                state.epoch = state.update // windows.per_epoch
            return state.h

        return in_stretches(updates, state.update, stretch, look)

    def loss(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[Any, Array]:
        """See `elman.engine.Engine.loss`."""
        return model.loss(parameters, h0, x, y)

    def loss_and_gradients(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> LossAndGradients:
        """See `elman.engine.Engine.loss_and_gradients`."""
        return model.loss_and_gradients(parameters, h0, x, y)

    def generate(
        self,
        parameters: Parameters,
        h: Array,
        x: int,
        uniforms: NDArray[np.float64],
        draw: Draw,
    ) -> tuple[NDArray[np.intp], Array]:
        """See `elman.engine.Engine.generate`."""
        characters = np.empty(len(uniforms), np.intp)
        for n, uniform in enumerate(uniforms):
            o, h = model.logits(parameters, h, np.array([x], np.uint32))
            x = characters[n] = draw.index(o[0], uniform)
        return characters, h

    def reader(self, parameters: Parameters) -> NumpyReader:
        """See `elman.engine.Engine.reader`."""
        return NumpyReader(parameters)


@dataclass(frozen=True)
class NumpyReader:
    """See `elman.engine.Reader`."""

    parameters: Parameters

    def losses(self, h: Array, x: Indices, y: Indices) -> tuple[NDArray[np.float64], Array]:
        """See `elman.engine.Reader.losses`."""
        o, h = model.logits(self.parameters, h, x)
        return output.losses(o, y).astype(np.float64), h

    def logits(self, h: Array, x: Indices) -> tuple[Array, Array]:
        """See `elman.engine.Reader.logits`."""
        pairs = []
        for t in range(len(x)):
            o, h = model.logits(self.parameters, h, x[t : t + 1])
            pairs.append((o[0], h))
        o, states = (np.stack(arrays) for arrays in zip(*pairs, strict=True))
        return o, states

    def passages(self, h: Array, text: Indices, begins: NDArray[np.intp], chars: NDArray[np.intp]) -> Passages:
        """See `elman.engine.Reader.passages`."""
        found = Passages.none(len(begins))
        for n in np.flatnonzero(chars):
            losses = self._of_passage(h, text[begins[n] : begins[n] + chars[n] + 1])
            found.nats[n], found.worst[n], found.worst_nats[n] = losses.sum(), losses.argmax(), losses.max()
        return found

    def _of_passage(self, h: Array, text: Indices) -> NDArray[np.float64]:
        """-log p of every character of a text but the first."""
        states, pieces = h[None], []
        for first in range(0, len(text) - 1, _SLICE):
            piece = text[first : first + _SLICE + 1, None]
            losses, states = self.losses(states, piece[:-1], piece[1:])
            pieces.append(losses[:, 0])
        return np.concatenate(pieces)

    def generate(
        self, h: Array, x: NDArray[np.integer], uniforms: NDArray[np.float64], draws: Sequence[Draw]
    ) -> tuple[NDArray[np.intp], Array]:
        """See `elman.engine.Reader.generate`."""
        characters = np.empty(uniforms.shape, np.intp)
        for n, row in enumerate(uniforms):
            o, h = model.logits(self.parameters, h, x[None].astype(np.uint32))
            characters[n] = [draw.index(*pair) for draw, *pair in zip(draws, o[0], row, strict=True)]
            x = characters[n]
        return characters, h


def _masks(rule: Rule, state: State, x: Indices) -> list[Array] | None:
    """The dropout of every layer at the update that `state` counts last, while reading x (T,) or (T, B)."""
    if rule.dropout is None:
        return None
    network, B = architecture(state.parameters), x.shape[1] if x.ndim == 2 else None
    return rule.dropout.masks(state.update, network.layers, len(x), B, network.m, state.h.dtype)
