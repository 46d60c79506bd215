"""The presets: named settings to start from. Those with a time budget follow the recipe, `elman.recipe`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from elman.errors import ElmanError, quote
from elman.recipe import choose_recipe


@dataclass(frozen=True)
class Preset:
    """Settings to start from."""

    summary: str
    """What to expect, in one line: the validation loss in nats per character and the time on two CPU cores."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Settings that differ from the defaults of `elman.Config`."""
    budget: float | None = None
    """Time budget in seconds of a preset that follows the recipe, which depends on the training text and this budget.
    """

    @property
    def has_recipe(self) -> bool:
        """Whether `elman.recipe` chooses the other settings."""
        return self.budget is not None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All settings that differ from the defaults of `elman.Config`, for a text of `TYPICAL_CHARS`."""
        if self.budget is None:
            return self.changes
        return choose_recipe(TYPICAL_CHARS, self.budget) | self.changes | {"max_seconds": self.budget}


TYPICAL_CHARS = 1_000_000
"""Characters of the training text for which the settings of a preset are listed."""


PRESETS = {
    "reference": Preset(
        "vanilla RNN of the reference experiment (AdaGrad, batch size 1, float64), 10 epochs; 13 to"
        " 19 s per million characters"
    ),
    "steady": Preset(
        "same network and number of updates as reference, with Muon, warm-up and cosine decay: minimum smooth loss"
        " 0.25 nats/char lower; about 2 min per million characters",
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
            "dtype": "float32",
        },
    ),
    "counts": Preset(
        "the n-gram counts alone, without a network, about 1 s per million characters: validation loss 1.51 nats/char"
        " on tiny Shakespeare",
        {"hidden_size": 0, "ngram_order": 11, "ngram_folds": 0, "validation": 0.1, "dtype": "float32"},
    ),
    "quick": Preset(
        "GRU, 192 units, with an n-gram prior, about 6 s: validation loss 1.45 to 1.49 nats/char on tiny Shakespeare"
        " (with a tenth held out)",
        {"validation": 0.0},
        6.0,
    ),
    "minute": Preset(
        "GRU of 2 layers (4 for about 300 kB, 1 for a long text), 192 to 256 units, with an n-gram prior, 1 min:"
        " validation loss 1.36 to 1.40 nats/char on tiny Shakespeare",
        {"validation": 0.1},
        60.0,
    ),
    "strong": Preset(
        "4-layer GRU (2 layers below 200 kB), 192 to 256 units, with an n-gram prior, 4 min: validation loss 1.34"
        " nats/char on tiny Shakespeare",
        {"validation": 0.1},
        240.0,
    ),
    "hour": Preset(
        "4-layer GRU, 256 units (448 for 5 MB), with an n-gram prior, 1 h, for long texts", {"validation": 0.1}, 3600.0
    ),
}

DEFAULT_PRESET = "minute"
"""The preset of ``elman train`` and `elman.train`; the defaults of `elman.Config` are the preset ``reference``."""


def name_preset(name: str) -> str:
    """Return the name of a preset, which may be passed in upper case."""
    lower = name.lower() if isinstance(name, str) else ""
    if lower not in PRESETS:
        raise ElmanError(f"unknown preset {quote(name)}; choose from {', '.join(PRESETS)}")
    return lower


def list_presets() -> str:
    """Return the presets as a list, one per line."""
    return "\n".join(f"* {name}: {preset.summary}." for name, preset in PRESETS.items())
