"""The ``numpy`` engine: `elman.network` as it is written, a window at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elman.engine.protocol import Indices
from elman.engine.state import State
from elman.network import model, output, rnn
from elman.network.adagrad import AdaGrad
from elman.network.draw import Draw
from elman.network.model import LossAndGradients
from elman.network.parameters import Array, Parameters
from elman.text import Windows


class NumpyEngine:
    """The reference. Slow enough to watch, plain enough to trust."""

    name = "numpy"

    def advance(self, state: State, windows: Windows, updates: int, rule: AdaGrad) -> NDArray[np.float64]:
        """See `elman.engine.Engine.advance`."""
        losses = np.empty(updates)
        for n in range(updates):
            if state.position + windows.seq_length >= len(windows.indices):
                state.position, state.h = 0, np.zeros_like(state.h)
            x, y = windows.at(state.position)
            losses[n], gradients, _, state.h = model.loss_and_gradients(state.parameters, state.h, x, y)
            rule.update(state.parameters, state.M, gradients)
            state.update += 1
            state.position += windows.seq_length
            state.epoch = state.update // windows.per_epoch
        return losses

    def loss(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[float, Array]:
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
            h = rnn.forward(parameters, h, np.array([x], np.uint32))[1]
            x = characters[n] = draw.index(output.logits(parameters, h), uniform)
        return characters, h
