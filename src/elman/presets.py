"""Hyperparameter presets: combinations of settings, and the purpose of each.

They were chosen by the experiments in ``benchmarks/recipes``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from elman.errors import ElmanError, quote


@dataclass(frozen=True)
class Preset:
    """Settings to start from."""

    summary: str
    """What to expect, in one line: the validation loss in nats per character and the time on two CPU cores."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The settings that differ from the defaults of `elman.Config`."""
    short_text_settings: dict[str, Any] = field(default_factory=dict)
    """Those that differ from these for a training text of fewer than `SHORT_TEXT` characters. Their limit of epochs
    applies to a run that is limited by time."""


SHORT_TEXT = 800_000


_UNLIMITED_EPOCHS = 1_000_000
"""For presets that are limited by time."""

_GRU: dict[str, Any] = {
    "cell": "gru",
    "seq_length": 64,
    "optimizer": "adam",
    "schedule": "cosine",
    "grad_clip": 16.0,
    "grad_clip_mode": "norm",
    "init": "orthogonal",
    # A one-hot input selects a single row of U, which the recurrent product would drown if the row were small.
    "init_std": 1.0,
    "ngram_order": 10,
    "ngram_start": 0.8,
    "epochs": _UNLIMITED_EPOCHS,
    # These presets make a few thousand updates in all, each of many characters.
    "metrics_every": 50,
    "mixed_precision": True,
}
"""The settings that the presets limited by time share."""

_MUON_GRU: dict[str, Any] = _GRU | {
    "layers": 2,
    "optimizer": "muon",
    "batch_size": 32,
    "warmup": 100,
    "dropout_kind": "plain",
    "ema_decay": 0.99,
    "validation": 0.1,
    "sample_every": 500,
}
"""Those of `minute` and `strong`. Without weight decay, Muon overfits a text that it reads more than a few times."""

_SHORT_TEXT_SETTINGS: dict[str, Any] = {
    "optimizer": "adam",
    "learning_rate": 0.006,
    "weight_decay": 0.0,
    "dropout": 0.15,
    "epochs": 8,
}

PRESETS = {
    "reference": Preset(
        "vanilla RNN of the reference experiment (the min-char-rnn recipe: AdaGrad, batch size 1), 10 epochs; about"
        " 6 s per million characters"
    ),
    "steady": Preset(
        "same network and number of updates as reference, with Muon, warm-up and cosine decay: minimum smooth loss"
        " 0.25 nats/char lower; about 80 s per million characters",
        {
            "optimizer": "muon",
            "learning_rate": 0.003,
            "beta1": 0.5,
            "beta2": 0.9999,
            "schedule": "cosine",
            # A network that is still learning adapts to the current part of the text.
            "final_lr_fraction": 0.2,
            "warmup": 8000,
            "init": "orthogonal",
            "init_std": 0.3,
        },
    ),
    "quick": Preset(
        "GRU, 192 units, with an n-gram prior, about 6 s: validation loss 1.45 nats/char on tiny Shakespeare (with"
        " --validation 0.1)",
        _GRU
        | {
            "hidden_size": 192,
            "batch_size": 16,
            "learning_rate": 0.007,
            "warmup": 30,
            "ema_decay": 0.98,
            "ngram_order": 8,
            "ngram_start": 0.5,
            "max_seconds": 6.0,
            "sample_every": 500,
        },
    ),
    "minute": Preset(
        "2-layer GRU, 256 units, with an n-gram prior, about 1 min: validation loss 1.40 nats/char on tiny Shakespeare",
        _MUON_GRU | {"hidden_size": 256, "learning_rate": 0.012, "weight_decay": 0.1, "max_seconds": 60.0},
        short_text_settings=_SHORT_TEXT_SETTINGS,
    ),
    "strong": Preset(
        "2-layer GRU, 384 units, with an n-gram prior, 2 to 4 min: validation loss 1.39 nats/char on tiny Shakespeare",
        _MUON_GRU | {"hidden_size": 384, "learning_rate": 0.006, "weight_decay": 0.2, "max_seconds": 240.0},
        short_text_settings=_SHORT_TEXT_SETTINGS,
    ),
}

DEFAULT_PRESET = "minute"
"""The preset of ``elman train`` and `elman.train`; the defaults of `elman.Config` are the preset ``reference``."""


def name_preset(name: str) -> str:
    """Return the name of a preset, which may be passed in upper case.

    Raises
    ------
    ElmanError
        If there is none.
    """
    lower = name.lower() if isinstance(name, str) else ""
    if lower not in PRESETS:
        raise ElmanError(f"unknown preset {quote(name)}; choose from {', '.join(PRESETS)}")
    return lower


def list_presets() -> str:
    """Return the presets as a list, one per line."""
    return "\n".join(f"* {name}: {preset.summary}." for name, preset in PRESETS.items())
