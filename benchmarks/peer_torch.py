"""The reference experiment in eager PyTorch: autograd, its own clipping, its own fused AdaGrad.

One step is `tanh(addmv(a, W, h))`, and a row of U is gathered for the one-hot input.  That takes a
fifth less time here than `nn.RNN`, which multiplies by the one-hot rows and carries a second bias.
PyTorch clips the gradient before it is squared into M, the reference after; the two are the same
until a gradient exceeds 5.

    python peer_torch.py --m 100 --T 25 --K 76 --updates 2000 --repeats 5 --threads 1

Dimensions: K alphabet, m hidden units, T characters in one update.
"""

from __future__ import annotations

import json
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from textbook import (
    CLIP,
    EPSILON,
    ETA,
    arguments,
    initial,
    stopwatch,
    text,
    threads_allowed,
    versions,
)


def parameters(m: int, K: int, dtype: str) -> list[nn.Parameter]:
    """Return U (K, m), a row for each character, W (m, m), V (K, m), b (m,) and c (K,)."""
    U, W, V, b, c = (torch.from_numpy(array) for array in initial(m, K, dtype).values())
    return [nn.Parameter(array.contiguous()) for array in (U.T, W, V, b[:, 0], c[:, 0])]


def forward(theta: list[nn.Parameter], x: Tensor, y: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Return the summed loss in nats and the last state, for characters x, y (T,) and h (m,)."""
    U, W, V, b, c = theta
    states = []
    for a in F.embedding(x, U) + b:
        h = torch.tanh(torch.addmv(a, W, h))
        states.append(h)
    return F.cross_entropy(F.linear(torch.stack(states), V, c), y, reduction="sum"), h


def time_update(
    m: int,
    T: int,
    K: int,
    updates: int,
    repeats: int,
    dtype: str = "float32",
    *,
    threads: int = 1,
) -> dict[str, Any]:
    """Time one update; see `textbook.time_update`, and `torch.set_num_threads` for `threads`."""
    torch.set_num_threads(threads)
    chars = torch.from_numpy(text(K, (repeats + 1) * updates * T + 1))
    theta = parameters(m, K, dtype)
    # An accumulator that starts at epsilon is an epsilon inside the root.
    optimizer = torch.optim.Adagrad(theta, lr=ETA, initial_accumulator_value=EPSILON, eps=0, fused=True)
    h = torch.zeros_like(theta[3])

    def train(first: int) -> list[float]:
        nonlocal h
        losses = []
        for e in range(first * T, (first + updates) * T, T):
            optimizer.zero_grad()
            loss, state = forward(theta, chars[e : e + T], chars[e + 1 : e + T + 1], h)
            loss.backward()
            nn.utils.clip_grad_value_(theta, CLIP)
            optimizer.step()
            h = state.detach()
            losses.append(loss.item())
        return losses

    result = stopwatch(train, updates, repeats) | {"versions": versions(torch=torch.__version__)}
    return result | {"threads": torch.get_num_threads()}


if __name__ == "__main__":
    options = arguments()
    print(json.dumps(time_update(**options, threads=threads_allowed())))
