"""A GRU of several layers in eager PyTorch: `nn.GRU`, clipping of the gradient norm, Adam, and Muon for its matrices.

The input is one-hot or, for an alphabet that is larger than a layer, an embedding of m numbers. Muon is that of Elman,
in batched products of all blocks; the other parameters have the fused Adam. With ``--dtype bfloat16`` forward and
backward pass are in `torch.autocast`.

    python peer_torch_batched.py --m 256 --layers 2 --B 32 --T 64 --K 65 --optimizer muon --threads 2 --seconds 3

Dimensions: K alphabet, m hidden units, B batch size, T steps of a window.
"""

from __future__ import annotations

import argparse
import json
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elman.network.optimizer import MOMENTUM, NEWTON_SCHULZ_COEFFICIENTS, NEWTON_SCHULZ_STEPS, STEP_SCALE

RATE, MAX_NORM = 1e-3, 1.0


class Muon:
    """The matrices (3 m, m) of a GRU, in blocks (m, m)."""

    def __init__(self, matrices: list[nn.Parameter]) -> None:
        self.matrices, self.m = matrices, matrices[0].shape[1]
        self.momentum = torch.zeros(3 * len(matrices), self.m, self.m)

    @torch.no_grad()
    def step(self) -> None:
        """Update the matrices."""
        g = torch.cat([matrix.grad for matrix in self.matrices if matrix.grad is not None]).view_as(self.momentum)
        self.momentum.lerp_(g, 1 - MOMENTUM)
        X = torch.lerp(self.momentum, g, 1 - MOMENTUM)
        X /= torch.linalg.matrix_norm(X, keepdim=True) + 1e-7
        a, b, c = NEWTON_SCHULZ_COEFFICIENTS
        for _ in range(NEWTON_SCHULZ_STEPS):
            A = torch.bmm(X, X.mT)
            X = torch.baddbmm(X, torch.baddbmm(A, A, A, beta=b, alpha=c), X, beta=a)
        steps = X.view(len(self.matrices), -1, self.m)
        for matrix, step in zip(self.matrices, steps, strict=True):
            matrix.add_(step, alpha=-RATE * STEP_SCALE * self.m**0.5)


def characters_per_second(options: argparse.Namespace) -> float:
    """Train for some seconds, after three updates."""
    torch.set_num_threads(options.threads)
    m, B, T, K = (int(n) for n in (options.m, options.B, options.T, options.K))
    inputs = nn.Embedding(K, m) if m < K else nn.Embedding.from_pretrained(torch.eye(K))
    recurrent, output = nn.GRU(min(K, m), m, options.layers), nn.Linear(m, K)
    theta = [p for module in (inputs, recurrent, output) for p in module.parameters() if p.requires_grad]
    is_hidden = options.optimizer == "muon"
    hidden = [p for p in recurrent.parameters() if is_hidden and p.shape == (3 * m, m)]
    if m < K and is_hidden:
        hidden.remove(recurrent.weight_ih_l0)
    muon = Muon(hidden) if is_hidden else None
    adam = torch.optim.Adam([p for p in theta if all(p is not matrix for matrix in hidden)], lr=RATE, fused=True)
    text, state = torch.randint(0, K, (100 * T + 1, B)), torch.zeros(options.layers, B, m)

    def loss_of(x: Tensor, y: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        h, state = recurrent(inputs(x), state)
        return F.cross_entropy(output(h).flatten(0, 1), y.flatten()), state.detach().float()

    seconds: float = options.seconds
    updates, began = -3, time.perf_counter()
    while updates <= 0 or time.perf_counter() - began < seconds:
        if updates == 0:
            began = time.perf_counter()
        first = updates % 100 * T
        with torch.autocast("cpu", torch.bfloat16, enabled=options.dtype == "bfloat16"):
            loss, state = loss_of(text[first : first + T], text[first + 1 : first + T + 1], state)
        for p in theta:
            p.grad = None
        loss.backward()
        nn.utils.clip_grad_norm_(theta, MAX_NORM)
        adam.step()
        if muon is not None:
            muon.step()
        updates += 1
    return updates * B * T / (time.perf_counter() - began)


def main() -> None:
    """Measure and print the speed as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("m", 256), ("layers", 1), ("B", 32), ("T", 64), ("K", 65), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--optimizer", choices=("adam", "muon"), default="adam")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    print(json.dumps({"chars_per_second": characters_per_second(options), "version": torch.__version__}))


if __name__ == "__main__":
    main()
