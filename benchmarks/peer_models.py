"""Peers of the presets in PyTorch, written for `peers.py`: LSTM and GRU networks, and a GPT of nanoGPT's CPU size.

Each is one `Recipe`: a model, its batches, its optimizer. A recurrent network carries its state from window to window,
in training and in validation. The GPT is trained on random blocks, and validated on blocks of which only the second
half counts, so that every character has at least half a block of context. Windows are nanoGPT's measure: all
characters of windows that are read from a zero state; of 256 characters, and the GPT's of its block of 64.

Dimensions: K alphabet, B batch size, T characters in a window, C channels of the GPT.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of one peer.

    Parameters
    ----------
    kind : str
        "lstm", "gru" or "gpt".
    width, layers : int
        Hidden units or channels, and layers.
    batch_size, length : int
        Sequences in a batch, and characters in each.
    learning_rate, end : float
        The highest learning rate, and the last as a fraction of it, after a cosine.
    warmup : int
        Updates of linear warm-up.
    dropout : float
    betas : tuple of float
        Of Adam.
    weight_decay : float
        Of matrices; 0 means Adam, otherwise AdamW.
    """

    kind: str
    width: int
    layers: int = 1
    batch_size: int = 32
    length: int = 64
    learning_rate: float = 4e-3
    end: float = 0.0
    warmup: int = 100
    dropout: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0


RECIPES = {
    "PyTorch LSTM 256": Recipe("lstm", 256),
    "PyTorch GRU 256": Recipe("gru", 256),
    "PyTorch LSTM 512": Recipe("lstm", 512, learning_rate=3e-3, dropout=0.2),
    "nanoGPT, CPU recipe": Recipe("gpt", 128, 4, 12, 64, 1e-3, 0.1, 100, 0.0, (0.9, 0.99), 0.1),
}
"""The GPT has the settings that nanoGPT's README gives for a CPU: 4 layers, 4 heads, 128 channels, blocks of 64."""


class Recurrent(nn.Module):
    """Embedding, LSTM or GRU, dropout, output layer."""

    def __init__(self, recipe: Recipe, K: int) -> None:
        super().__init__()
        cell = nn.LSTM if recipe.kind == "lstm" else nn.GRU
        self.embedding = nn.Embedding(K, recipe.width)
        self.recurrent = cell(recipe.width, recipe.width, recipe.layers)
        self.dropout, self.output = nn.Dropout(recipe.dropout), nn.Linear(recipe.width, K)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Return logits (T, B, K) and the last state, for characters (T, B)."""
        h, state = self.recurrent(self.dropout(self.embedding(x)), state)
        return self.output(self.dropout(h)), state


class Block(nn.Module):
    """Causal self-attention and a perceptron, each after a layer normalisation and added to its input."""

    def __init__(self, C: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(C, bias=False), nn.LayerNorm(C, bias=False)
        self.qkv, self.projection = nn.Linear(C, 3 * C, bias=False), nn.Linear(C, C, bias=False)
        self.perceptron = nn.Sequential(nn.Linear(C, 4 * C, bias=False), nn.GELU(), nn.Linear(4 * C, C, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output (B, T, C)."""
        B, T, C = x.shape
        q, k, v = (part.view(B, T, self.heads, -1).transpose(1, 2) for part in self.qkv(self.norm_1(x)).chunk(3, -1))
        attention = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.projection(attention.transpose(1, 2).reshape(B, T, C))
        return x + self.perceptron(self.norm_2(x))


class GPT(nn.Module):
    """Token and position embeddings, blocks, and an output layer that shares its weights with the embedding."""

    def __init__(self, recipe: Recipe, K: int) -> None:
        super().__init__()
        C = recipe.width
        self.tokens, self.positions = nn.Embedding(K, C), nn.Embedding(recipe.length, C)
        self.blocks = nn.Sequential(*(Block(C, heads=4) for _ in range(recipe.layers)))
        self.norm, self.output = nn.LayerNorm(C, bias=False), nn.Linear(C, K, bias=False)
        self.output.weight = self.tokens.weight
        for name, weights in self.named_parameters():
            if weights.dim() == 2:
                residual = name.endswith(("projection.weight", "perceptron.2.weight"))
                nn.init.normal_(weights, std=0.02 / math.sqrt(2 * recipe.layers) if residual else 0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, T, K), for characters (B, T)."""
        h = self.tokens(x) + self.positions(torch.arange(x.shape[1]))
        logits: Tensor = self.output(self.norm(self.blocks(h)))
        return logits


def rows_batches(text: Tensor, recipe: Recipe) -> Iterator[Batch]:
    """Yield windows (T, B) of B rows of the text, over and over."""
    B, T = recipe.batch_size, recipe.length
    rows = text[: len(text) // B * B].view(B, -1).T.contiguous()
    while True:
        for start in range(0, len(rows) - T, T):
            yield rows[start : start + T], rows[start + 1 : start + T + 1]


def random_batches(text: Tensor, recipe: Recipe) -> Iterator[Batch]:
    """Yield random blocks (B, T)."""
    offsets = torch.arange(recipe.length)
    while True:
        at = torch.randint(len(text) - recipe.length, (recipe.batch_size, 1)) + offsets
        yield text[at], text[at + 1]


def detach(state: Any) -> Any:
    """Return a state without its history."""
    return tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()


def validate_recurrent(model: nn.Module, text: Tensor, length: int = 1024) -> float:
    """Return the mean loss in nats per character, with the state carried through the text."""
    total, state = 0.0, None
    for start in range(0, len(text) - 1, length):
        x, y = text[start : start + length][: len(text) - 1 - start], text[start + 1 : start + length + 1]
        logits, state = model(x[:, None], state)
        total += F.cross_entropy(logits[:, 0], y, reduction="sum").item()
    return float(total / (len(text) - 1))


def validate_gpt(model: nn.Module, text: Tensor, length: int) -> float:
    """Return the mean loss in nats per character of the second halves of overlapping blocks, and of the first block."""
    half = length // 2
    starts = torch.arange(0, len(text) - length, half)
    losses: list[Tensor] = []
    for batch in starts.split(64):
        at = batch[:, None] + torch.arange(length)
        loss = F.cross_entropy(model(text[at]).transpose(1, 2), text[at + 1], reduction="none")
        if not losses:
            losses.append(loss[0, :half])
        losses.append(loss[:, half:].flatten())
    return float(torch.cat(losses).mean())


def validate_windows(model: nn.Module, text: Tensor, length: int, gpt: bool) -> float:
    """Return the mean loss in nats per character of windows (W, T), each read from a zero state."""
    windows = len(text[:-1]) // length
    x, y = (part[: windows * length].view(windows, length) for part in (text[:-1], text[1:]))
    total = 0.0
    for x_few, y_few in zip(x.split(64), y.split(64), strict=True):
        logits = model(x_few) if gpt else model(x_few.T)[0].transpose(0, 1)
        total += F.cross_entropy(logits.flatten(0, 1), y_few.flatten(), reduction="sum").item()
    return float(total / (windows * length))


def split(text: str) -> tuple[int, Tensor, Tensor]:
    """Return the size of the alphabet, and the indices of the first nine tenths and of the last tenth of a file."""
    characters = Path(text).read_text(encoding="utf-8")
    index = {character: i for i, character in enumerate(sorted(set(characters)))}
    indices = torch.tensor([index[character] for character in characters])
    held_out = len(indices) // 10
    return len(index), indices[:-held_out], indices[-held_out - 1 :]


def create_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return AdamW, which decays matrices only."""
    matrices = [weights for weights in model.parameters() if weights.dim() > 1]
    others = [weights for weights in model.parameters() if weights.dim() < 2]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, fused=True)


def train(text: str, recipe: Recipe, seconds: float) -> dict[str, Any]:
    """Train for some seconds on nine tenths of a file, and return the loss on the last tenth in nats per character."""
    torch.manual_seed(400)
    K, training, validation = split(text)
    gpt = recipe.kind == "gpt"
    model = (GPT if gpt else Recurrent)(recipe, K)
    optimizer = create_optimizer(model, recipe)
    batches, state, updates = (random_batches if gpt else rows_batches)(training, recipe), None, 0
    started = time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        cosine = (1 + math.cos(math.pi * elapsed / seconds)) / 2
        for group in optimizer.param_groups:
            warmup = min(1, (updates + 1) / recipe.warmup)
            group["lr"] = recipe.learning_rate * warmup * (recipe.end + (1 - recipe.end) * cosine)
        x, y = next(batches)
        if gpt:
            logits = model(x)
        else:
            logits, state = model(x, state)
            state = detach(state)
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(logits.flatten(0, 1), y.flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        updates += 1
    seconds = time.perf_counter() - started
    model.eval()
    with torch.no_grad():
        loss = validate_gpt(model, validation, recipe.length) if gpt else validate_recurrent(model, validation)
        windows = validate_windows(model, validation, recipe.length if gpt else 256, gpt)
    return {
        "loss": round(loss, 4),
        "window_loss": round(windows, 4),
        "seconds": round(seconds, 1),
        "updates": updates,
        "parameters": sum(weights.numel() for weights in model.parameters()),
        "versions": {"torch": torch.__version__},
    }
