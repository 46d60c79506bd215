"""What the processes of a training exchange, by `torch.distributed`; a single process exchanges nothing.

The parameters are the same in all processes, since all make the same update from the same sum of gradients. The hidden
state of a row of the batch stays in the process that has the row; the rows are put together for a checkpoint only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from elman.engine.torch.network import Tensors
from elman.errors import ElmanError
from elman.network.parameters import Array
from elman.processes import Process, current_process

TIMEOUT = timedelta(days=7)
"""Process 0 also validates and writes; what has died is noticed at once, by its closed connection."""


class Collectives:
    """The exchange between this process and the others.

    Parameters
    ----------
    process : Process
    """

    def __init__(self, process: Process) -> None:
        self.process = process

    def sum_gradients(self, loss: Tensor, gradients: Tensors) -> tuple[Tensor, Tensors]:
        """Return the sums over all processes of a loss and its gradients."""
        if self.process.size == 1:
            return loss, gradients
        flat = torch.cat([loss.reshape(1), *(g.reshape(-1) for g in gradients.values())])
        with _connected():
            dist.all_reduce(flat)
        total, *parts = flat.split([1, *(g.numel() for g in gradients.values())])
        sums = {name: part.view_as(gradients[name]) for name, part in zip(gradients, parts, strict=True)}
        return total[0], sums

    def gather_rows(self, own: Array, B: int) -> Array:
        """Return the rows (B, D) of all processes, of which this one has `own`."""
        if self.process.size == 1:
            return own
        rows = np.zeros((B, own.shape[1]), own.dtype)
        rows[self.process.rows(B)] = own
        with _connected():
            dist.all_reduce(torch.from_numpy(rows))  # the others have zeros there
        return rows

    def agree(self, stop: bool) -> bool:
        """Return what process 0 has decided."""
        decision = torch.tensor(int(stop))
        with _connected():
            dist.broadcast(decision, 0)
        return bool(decision)


def join_processes() -> Collectives:
    """Connect this process with the others of torchrun; the CPU's tensors are exchanged by gloo, a GPU's by NCCL."""
    process = current_process()
    if not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        with _connected():
            store, rank, size = next(dist.rendezvous("env://", timeout=TIMEOUT))
            if process.local_size == process.size:
                # Processes that torchrun starts again must not find the addresses of those before.
                store = dist.PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], store)
            dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    return Collectives(process)


@contextmanager
def _connected() -> Iterator[None]:
    """Report in one line that another process has ended."""
    try:
        yield
    except RuntimeError as error:
        raise ElmanError(
            f"process {current_process().rank} lost the connection to another; torchrun --max-restarts N with --resume"
            " continues from the checkpoint"
        ) from error


def broadcast_bytes(data: bytes = b"") -> bytes:
    """Return the bytes that process 0 passes."""
    size = torch.tensor(len(data))
    with _connected():
        dist.broadcast(size, 0)
        payload = torch.empty(int(size), dtype=torch.uint8)
        payload.numpy()[: len(data)] = np.frombuffer(data, np.uint8)
        dist.broadcast(payload, 0)
    return bytes(payload.numpy())
