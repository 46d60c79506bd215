"""The device that PyTorch computes on."""

from __future__ import annotations

import os
import warnings

import torch

from elman.errors import ElmanError
from elman.processes import current_process


def find_device(name: str) -> torch.device:
    """Return the device that a name of `elman.engines.DEVICES` stands for.

    Of several CUDA devices a process of torchrun uses the one of its local rank, and any other process the first.

    Raises
    ------
    ElmanError
        If this machine has none, or fewer than processes.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = "cuda" if available["cuda"] else "cpu"
    if not available[name]:
        raise ElmanError(f"--device {name} is not available: PyTorch {torch.__version__} finds no such device")
    if name != "cuda":
        return torch.device(name)
    process, count = current_process(), torch.cuda.device_count()
    if process.local_size > count:
        raise ElmanError(f"{process.local_size} processes on this machine need as many CUDA devices (got {count})")
    # Without it some sums of cuBLAS, which cuDNN's recurrent layers call, are not reproducible.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # cuDNN needs the weights in one buffer, with recurrent biases that Elman's cells do not have. The copy takes no
    # longer than one elementwise operation of the optimizer.
    warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk of memory")
    return torch.device("cuda", process.local_rank)
