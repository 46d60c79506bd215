"""Hyperparameter presets: combinations of settings, and the purpose of each.

They were chosen by the experiments in ``benchmarks/recipes``.
"""

from __future__ import annotations

import math
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
    has_recipe: bool = False
    """Whether `choose_recipe` adapts them to the training text and the time budget."""


TYPICAL_CHARS = 1_000_000
"""Characters of the training text for which the settings of a preset are listed."""
SHORT_BUDGET = 20.0
"""Seconds below which one layer learns more than two."""
CHARS_PER_SECOND = 136_000
"""Characters per second of the budget, validations and the prior included, with two layers of 256 units."""
SHORT_TEXT, VERY_SHORT_TEXT = 800_000, 100_000
"""Characters of a training text below which it is read `EPOCHS` times at most, and below which Muon overfits."""
LONG_TEXT, DROPOUT_PASSES = 1_200_000, 12
"""Characters of a training text, and passes, above which dropout is better than a higher weight decay."""
EPOCHS = 9
"""Passes after which a short text is overfitted; a longer one is read twice as often at most."""

_COMMON: dict[str, Any] = {
    "cell": "gru",
    "layers": 1,
    "seq_length": 64,
    "optimizer": "adam",
    "schedule": "cosine",
    "grad_clip": 16.0,
    "grad_clip_mode": "norm",
    "init": "orthogonal",
    # A one-hot input selects a single row of U, which the recurrent product would drown if the row were small.
    "init_std": 1.0,
    "weight_decay": 0.0,
    "dropout": 0.0,
    "dropout_kind": "plain",
    "epochs": 1_000_000,
    "sample_every": 500,
    # These runs make a few thousand updates in all, each of many characters.
    "metrics_every": 50,
    "mixed_precision": True,
}


def choose_recipe(n: int, seconds: float, units: int | None = None) -> dict[str, Any]:
    """Return the best known settings for a training text of n characters and a time budget.

    The budget is that of the machine on which the recipes were found: one at half the speed has half of it. `units` is
    the number of hidden units, if it is not to be chosen. ``benchmarks/NOTES.md`` has the experiments.
    """
    epochs = EPOCHS if n < SHORT_TEXT else 2 * EPOCHS
    if seconds < SHORT_BUDGET:
        return _COMMON | {
            "hidden_size": units or 192,
            "dropout": 0.1 if n < SHORT_TEXT else 0.0,
            "epochs": epochs,
            "batch_size": 16,
            "learning_rate": 0.007,
            "warmup": 30,
            "ema_decay": 0.98,
            "ngram_order": 8,
            "ngram_start": 0.5,
        }
    # The number of weights grows with the square root of the budget, which is spent on weights and characters alike. It
    # is limited by the characters that there are to learn from.
    chars = seconds * CHARS_PER_SECOND  # with 256 units
    chosen = 32 * round(min(8 * (seconds / 60) ** 0.27, max(8, 0.394 * n**0.5 / 32), 20))
    m = units or (max(chosen, 256) if chars >= EPOCHS * n else chosen)
    recipe = _COMMON | {
        "hidden_size": m,
        "layers": 2,
        "warmup": 100,
        "ema_decay": 0.99,
        "ngram_order": 10,
        "ngram_start": 0.8,
        "epochs": epochs,
    }
    if n < VERY_SHORT_TEXT:
        return recipe | {"batch_size": 32, "learning_rate": 0.006, "dropout": 0.15}
    # About as many updates per pass for all texts. The weights of more units do not fit in the cache of a core: more
    # rows have to share each read of them.
    batch_size = 2 ** round(min(math.log2(n / 15_000), 6 if m < 480 else 7))
    passes = min(chars * (256 / m) ** 2 / n, epochs)
    if n > LONG_TEXT and passes > DROPOUT_PASSES:
        regularization = {"dropout": 0.2, "weight_decay": 0.1}
    else:
        regularization = {"dropout": 0.0, "weight_decay": round(min(max(0.1, passes / 45), 0.3), 2)}
    return recipe | {
        "optimizer": "muon",
        "batch_size": batch_size,
        "learning_rate": float(f"{0.016 * min(1, (256 / m) ** 1.7) * (batch_size / 64) ** 0.5:.2g}"),
        **regularization,
    }


def _budget(seconds: float, summary: str, validation: float = 0.1) -> Preset:
    """Return the preset of a time budget."""
    settings = choose_recipe(TYPICAL_CHARS, seconds) | {"validation": validation, "max_seconds": seconds}
    return Preset(summary, settings, has_recipe=True)


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
    "quick": _budget(
        6.0,
        "GRU, 192 units, with an n-gram prior, about 6 s: validation loss 1.457 nats/char on tiny Shakespeare (with"
        " --validation 0.1)",
        validation=0.0,
    ),
    "minute": _budget(
        60.0, "2-layer GRU, 256 units, with an n-gram prior, 1 min: validation loss 1.375 nats/char on tiny Shakespeare"
    ),
    "strong": _budget(
        240.0,
        "2-layer GRU, 384 units, with an n-gram prior, 4 min: validation loss 1.367 nats/char on tiny Shakespeare",
    ),
    "hour": _budget(3600.0, "2-layer GRU, up to 640 units, with an n-gram prior, 1 h, for texts of several megabytes"),
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
