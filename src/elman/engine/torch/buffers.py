"""The static input buffers of a training step: what differs from one update to the next.

T  sequence length   B  rows of the batch   K  size of the alphabet
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.engine.protocol import Indices
from elman.engine.torch.network import PriorTensors
from elman.engine.torch.optimizer import UpdateScalars
from elman.network.output import Prior
from elman.network.parameters import Architecture


class InputBuffers:
    """Tensors on a device whose memory stays the same while their content is replaced before every update.

    Parameters
    ----------
    net : Architecture
    T, B : int
    uses_prior : bool
        Whether the n-gram prior takes part.
    dtype : torch.dtype
        Of the parameters.
    device : torch.device

    Attributes
    ----------
    x, y : Tensor of int64, shape (T, B)
        The characters of the window and their targets.
    scalars : UpdateScalars of Tensor, shape ()
    dropout_keys, weight_dropout_keys : Tensor of int32, shape (layers,)
        The hash keys of the masks.
    prior : PriorTensors or None
    """

    def __init__(
        self, net: Architecture, T: int, B: int, uses_prior: bool, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._characters = torch.zeros(2, T, B, dtype=torch.int64, device=device)
        self.x, self.y = self._characters.unbind()
        self._scalars = torch.zeros(len(UpdateScalars._fields), dtype=dtype, device=device)
        self.scalars = UpdateScalars(*self._scalars.unbind())
        self.dropout_keys = torch.zeros(net.layers, dtype=torch.int32, device=device)
        self.weight_dropout_keys = torch.zeros_like(self.dropout_keys)
        self.prior: PriorTensors | None = None
        if uses_prior:
            log_q = torch.zeros(T, B, net.K, dtype=dtype, device=device)
            self.prior = PriorTensors(log_q, torch.zeros(T, B, dtype=torch.int64, device=device))

    def fill_window(self, x: Indices, y: Indices, prior: Prior | None) -> None:
        """Copy a window (T, B), and its n-gram prior where that takes part."""
        characters = np.empty(self._characters.shape, np.int64)
        characters[0], characters[1] = x, y
        copy_to_device(characters, self._characters)
        for buffer, array in zip(self.prior or (), prior or (), strict=True):
            copy_to_device(array, buffer)

    def fill_scalars(self, row: Tensor) -> None:
        """Copy the scalars of one update, a row of `to_rows`."""
        self._scalars.copy_(row)

    def to_rows(self, scalars: list[UpdateScalars[float]]) -> Tensor:
        """Return the scalars of n updates as a tensor (n, scalars) on the device, rounded as the parameters are."""
        return torch.tensor(scalars, dtype=self._scalars.dtype, device=self._scalars.device)

    def fill_dropout_keys(self, keys: NDArray[np.int32]) -> None:
        """Copy the hash keys of the dropout masks (layers,)."""
        copy_to_device(keys, self.dropout_keys)

    def fill_weight_dropout_keys(self, keys: NDArray[np.int32]) -> None:
        """Copy the hash keys of the masks of weight dropout (layers,)."""
        copy_to_device(keys, self.weight_dropout_keys)


def copy_to_device(array: NDArray[Any], buffer: Tensor) -> None:
    """Copy an array into a buffer, converted to its dtype, in stream order and without waiting for the device."""
    source = torch.from_numpy(array).to(buffer.dtype)
    if buffer.is_cuda:
        # Only copies from pinned memory are asynchronous; PyTorch's allocator does not reuse it before they are done.
        source = source.pin_memory()
    buffer.copy_(source, non_blocking=buffer.is_cuda)
