"""The torch engine and the numba engine against the same network written by hand in PyTorch, in alternating runs.

    python torch_engine.py --cell gru --m 256 --layers 1 --batch-size 32 --T 64 --updates 10 --repeats 7 --threads 1
    python torch_engine.py --gpu        a large and a small network on a CUDA device, without the numba engine

The hand-written loop is what a user would write: one-hot embedding, ``nn.GRU`` or ``nn.LSTM``, ``nn.Linear``,
cross-entropy, ``clip_grad_norm_`` and the fused Adam. Printed are the medians in characters per second, and the median
of the ratios of runs that follow one another: other programs on the machine slow down both.

Dimensions: K alphabet, m hidden units, T characters in one update, B batch size.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from elman.engine import TrainState, get_engine
from elman.network import Architecture, Optimizer, initial_parameters
from elman.text import Windows

K = 65
OPTIMIZER = Optimizer(1e-3, 1.0, "adam", "norm")
GPU_NETWORKS: tuple[dict[str, Any], ...] = (
    {"cell": "lstm", "m": 1024, "layers": 2, "batch_size": 128, "T": 128},
    {"cell": "gru", "m": 256, "layers": 1, "batch_size": 32, "T": 64},
)
"""A large one, which keeps a GPU busy, and a small one, whose kernels take less time to run than to launch."""


def by_hand(windows: Windows, cell: str, m: int, layers: int, device: str) -> Callable[[int], object]:
    """Return a function that makes updates."""
    T, B = windows.seq_length, windows.batch_size
    one_hot = nn.Embedding.from_pretrained(torch.eye(K)).to(device)
    recurrent = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[cell](K, m, layers).to(device)
    output = nn.Linear(m, K).to(device)
    theta = [*recurrent.parameters(), *output.parameters()]
    optimizer = torch.optim.Adam(theta, lr=1e-3, fused=True)
    rows = torch.from_numpy(windows.indices[: B * windows.row_length].astype(np.int64)).view(B, -1).T.to(device)
    state: Any = None

    def train(updates: int) -> list[float]:
        nonlocal state
        losses, position, state = [], 0, None
        for _ in range(updates):
            x, y = rows[position : position + T], rows[position + 1 : position + T + 1]
            y_hat, state = recurrent(one_hot(x), state)
            state = tuple(each.detach() for each in state) if cell == "lstm" else state.detach()
            loss = F.cross_entropy(output(y_hat).flatten(0, 1), y.flatten(), reduction="sum") / B
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(theta, 1.0)
            optimizer.step()
            losses.append(loss.detach())
            position += T
        return torch.stack(losses).tolist()  # type: ignore[no-any-return]

    return train


def engine(windows: Windows, name: str, cell: str, m: int, layers: int, device: str) -> Callable[[int], object]:
    """Return a function that makes updates with an engine."""
    parameters = initial_parameters(Architecture(K, m, cell, layers), 0.1, np.random.RandomState(400), np.float32)
    state = TrainState.initial(parameters, 400, windows.batch_size, OPTIMIZER)
    used = get_engine(name, device if name == "torch" else "auto")
    return lambda updates: used.advance(state, windows, updates, OPTIMIZER)


def measure(options: argparse.Namespace, engines: tuple[str, ...]) -> dict[str, Any]:
    """Return the options, the speeds, and the ratios to the hand-written network."""
    length = options.batch_size * options.T * (options.updates + 1)
    text = np.random.default_rng(1).integers(0, K, length).astype(np.uint8)
    windows = Windows(text, options.T, options.batch_size)
    shape = (options.cell, options.m, options.layers, options.device)
    runs = {"by hand": by_hand(windows, *shape)} | {name: engine(windows, name, *shape) for name in engines}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(options.repeats + 1):
        for name, train in runs.items():
            started = time.perf_counter()
            train(options.updates)
            if repeat:  # the first compiles and warms up
                seconds[name].append(time.perf_counter() - started)
    characters = options.batch_size * options.T * options.updates
    speed = {name: round(characters / statistics.median(each)) for name, each in seconds.items()}
    ratios = {
        name: round(statistics.median(a / b for a, b in zip(seconds["by hand"], each, strict=True)), 3)
        for name, each in seconds.items()
    }
    return vars(options) | {"characters per second": speed, "times as fast as by hand": ratios}


def measure_on_gpu(options: argparse.Namespace) -> None:
    """Print the ratios of the networks of `GPU_NETWORKS`."""
    if not torch.cuda.is_available():
        print("no CUDA device")
        return
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}")
    for network in GPU_NETWORKS:
        on_gpu = network | {"device": "cuda", "updates": 100}
        print(json.dumps(measure(argparse.Namespace(**vars(options) | on_gpu), ("torch",))))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cell", default="gru")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--gpu", action="store_true")
    sizes = {"m": 256, "layers": 1, "batch-size": 32, "T": 64, "updates": 10, "repeats": 7, "threads": 1}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.gpu:
        measure_on_gpu(options)
    else:
        print(json.dumps(measure(options, ("torch", "numba"))))


if __name__ == "__main__":
    main()
