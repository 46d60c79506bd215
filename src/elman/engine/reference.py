"""The ``numpy`` engine: `elman.network` as it is written, a window at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.engine.protocol import Indices
from elman.engine.state import State
from elman.network import model
from elman.network.draw import Draw
from elman.network.model import LossAndGradients
from elman.network.parameters import Array, Parameters, architecture
from elman.network.rule import Rule
from elman.text import Windows


class NumpyEngine:
    """The reference. Slow enough to watch, plain enough to trust."""

    name = "numpy"

    def advance(self, state: State, windows: Windows, updates: int, rule: Rule) -> NDArray[np.float64]:
        """See `elman.engine.Engine.advance`."""
        losses = np.empty(updates)
        for n in range(updates):
            if windows.begins_epoch(state.position):
                state.position, state.h = 0, np.zeros_like(state.h)
            x, y = windows.at(state.position)
            state.update += 1
            masks = _masks(rule, state, x)
            losses[n], gradients, _, state.h = model.loss_and_gradients(state.parameters, state.h, x, y, masks)
            rule.update(state.update, state.parameters, state.M, state.N, state.average, gradients)
            state.position += windows.seq_length
            state.epoch = state.update // windows.per_epoch
        return losses

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


def _masks(rule: Rule, state: State, x: Indices) -> list[Array] | None:
    """The dropout of every layer at the update that `state` counts last, while reading x (T,) or (T, B)."""
    if rule.dropout is None:
        return None
    network, B = architecture(state.parameters), x.shape[1] if x.ndim == 2 else None
    return rule.dropout.masks(state.update, network.layers, len(x), B, network.m, state.h.dtype)
