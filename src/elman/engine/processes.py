"""The processes of torchrun, the values that they exchange, and whether an engine can use them.

PyTorch is imported only if there are several processes.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

from elman.config import Config
from elman.engine.protocol import get_engine
from elman.engine_registry import ENGINES, require_cell, require_numba, require_steps
from elman.errors import ElmanError, option, require_extra
from elman.network.optimizers import OPTIMIZERS

T = TypeVar("T")

TIMEOUT = timedelta(days=7)
"""The others wait while process 0 validates and writes; a process that has died closes its connections at once."""


class Process(NamedTuple):
    """A process of a run: the only one, or one of several that torchrun started."""

    rank: int = 0
    size: int = 1
    """Number of processes on all machines."""
    local_rank: int = 0
    local_size: int = 1
    """Number of processes on this machine."""

    def rows(self, batch_size: int) -> slice:
        """Return the rows of a batch that this process trains on: contiguous, as many in each process, or one more."""
        return slice(batch_size * self.rank // self.size, batch_size * (self.rank + 1) // self.size)


def current_process() -> Process:
    """Return this process."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Process()
    return Process(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")))


def require_engine(config: Config) -> None:
    """Check that the engine of a run is installed, has the cell and the device, and can use all processes."""
    require_numba(config.engine)
    process = current_process()
    if process.rank > 0:
        raise ElmanError(
            "torchrun can start elman train only, not a program that calls it: torchrun … -m elman train …"
        )
    if process.size > 1 and not ENGINES[config.engine].has_devices:
        raise ElmanError(
            f"torchrun requires {option.engine:torch} (got {config.engine}): two machines train such small networks at"
            " most 1.3 times as fast as one; to use several processes, train several networks with elman sweep"
        )
    if process.size > config.batch_size:
        raise ElmanError(
            f"{option.batch_size} must be at least the number of processes, {process.size} (got {config.batch_size})"
        )
    with require_extra(ENGINES[config.engine].extra):
        require_cell(config.engine, config.cell)
        require_steps(config.engine, config.optimizer, OPTIMIZERS[config.optimizer].step_names)
    if ENGINES[config.engine].extra:
        get_engine(config.engine, config.device, config.mixed_precision)


def run_on_first_process(function: Callable[[], T]) -> T:
    """Call a function in process 0 alone, and return its result in every process, which must all make the same call."""
    process = current_process()
    results: list[Any] = [function() if process.rank == 0 else None]
    if process.size > 1:
        with connect_processes() as distributed:
            distributed.broadcast_object_list(results)
    result: T = results[0]
    return result


@contextmanager
def connect_processes() -> Iterator[Any]:
    """Yield ``torch.distributed``, which connects the processes by gloo, and by NCCL for tensors on CUDA."""
    from torch import distributed

    try:
        if not distributed.is_initialized():
            _join_processes()
        yield distributed
    except RuntimeError as error:
        raise ElmanError(
            f"process {current_process().rank} lost the connection to another; torchrun --max-restarts N with"
            f" {option.resume:True} continues from the checkpoint"
        ) from error


def _join_processes() -> None:
    from torch import cuda, distributed

    process, backend = current_process(), "cpu:gloo,cuda:nccl" if cuda.is_available() else "gloo"
    store, rank, size = next(distributed.rendezvous("env://", timeout=TIMEOUT))
    if process.local_size == process.size:
        # Processes that torchrun starts again must not find the addresses of the previous ones.
        store = distributed.PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], store)
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    atexit.register(distributed.destroy_process_group)
