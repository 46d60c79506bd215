"""The reference experiment in eager PyTorch: autograd, its own clipping, its own fused AdaGrad.

``--cell nn.RNN`` is what a user would choose, with an embedding, the cheapest input here. ``--cell written-out`` is
the fastest variant of eager PyTorch found: a gathered row of U and `tanh(addmv(a, W, h))` at each step.
PyTorch clips the gradient before it is squared into M, the reference after; the two agree until a gradient
exceeds 5. `nn.RNN` has a second bias, so its hidden bias moves twice as far.

    python peer_torch.py --m 100 --T 25 --K 76 --updates 2000 --repeats 5 --threads 1 --cell nn.RNN

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


class WrittenOut(nn.Module):
    """U (K, m), a row per character, W (m, m), V (K, m), b (m,) and c (K,)."""

    def __init__(self, m: int, K: int, dtype: str) -> None:
        super().__init__()
        U, W, V, b, c = (torch.from_numpy(array) for array in initial(m, K, dtype).values())
        self.U, self.W, self.V = (nn.Parameter(array.contiguous()) for array in (U.T, W, V))
        self.b, self.c = nn.Parameter(b[:, 0].contiguous()), nn.Parameter(c[:, 0].contiguous())

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (T, K) and the final state, for characters x (T,) and h (m,)."""
        states = []
        for a in F.embedding(x, self.U) + self.b:
            h = torch.tanh(torch.addmv(a, self.W, h))
            states.append(h)
        return F.linear(torch.stack(states), self.V, self.c), h


class Layered(nn.Module):
    """`nn.Embedding` of the identity, `nn.RNN` and `nn.Linear`, with the same initial weights."""

    def __init__(self, m: int, K: int, dtype: str) -> None:
        super().__init__()
        kind = getattr(torch, dtype)
        self.one_hot = nn.Embedding.from_pretrained(torch.eye(K, dtype=kind))
        self.rnn, self.output = nn.RNN(K, m, dtype=kind), nn.Linear(m, K, dtype=kind)
        arrays = initial(m, K, dtype)
        zeros = {"bias_ih_l0": arrays["b"][:, 0], "bias_hh_l0": arrays["b"][:, 0]}
        with torch.no_grad():
            for name, array in {"weight_ih_l0": arrays["U"], "weight_hh_l0": arrays["W"], **zeros}.items():
                getattr(self.rnn, name).copy_(torch.from_numpy(array))
            self.output.weight.copy_(torch.from_numpy(arrays["V"]))
            self.output.bias.zero_()

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """See `WrittenOut.forward`."""
        states, last = self.rnn(self.one_hot(x), h[None])
        return self.output(states), last[0]


CELLS: dict[str, type[WrittenOut] | type[Layered]] = {"nn.RNN": Layered, "written-out": WrittenOut}


def time_update(
    m: int,
    T: int,
    K: int,
    updates: int,
    repeats: int,
    dtype: str = "float32",
    *,
    threads: int = 1,
    cell: str = "nn.RNN",
) -> dict[str, Any]:
    """Time one update; see `textbook.time_update`, and `torch.set_num_threads` for `threads`."""
    torch.set_num_threads(threads)
    chars = torch.from_numpy(text(K, (repeats + 1) * updates * T + 1))
    model = CELLS[cell](m, K, dtype)
    theta = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # Starting the accumulator at epsilon puts epsilon inside the square root.
    optimizer = torch.optim.Adagrad(theta, lr=ETA, initial_accumulator_value=EPSILON, eps=0, fused=True)
    h = torch.zeros(m, dtype=getattr(torch, dtype))

    def train(first: int) -> list[float]:
        nonlocal h
        losses = []
        for e in range(first * T, (first + updates) * T, T):
            optimizer.zero_grad()
            o, state = model(chars[e : e + T], h)
            loss = F.cross_entropy(o, chars[e + 1 : e + T + 1], reduction="sum")
            loss.backward()
            nn.utils.clip_grad_value_(theta, CLIP)
            optimizer.step()
            h = state.detach()
            losses.append(loss.item())
        return losses

    result = stopwatch(train, updates, repeats) | {"versions": versions(torch=torch.__version__)}
    return result | {"threads": torch.get_num_threads()}


if __name__ == "__main__":
    options = arguments(cell=list(CELLS))
    print(json.dumps(time_update(**options, threads=threads_allowed())))
