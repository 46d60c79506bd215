"""Hyperparameter presets and the purpose of each; ``benchmarks/NOTES.md`` has the experiments behind them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from elman.errors import ElmanError, quote
from elman.network.optimizers import find_optimizer


@dataclass(frozen=True)
class Preset:
    """Settings to start from."""

    summary: str
    """What to expect, in one line: the validation loss in nats per character and the time on two CPU cores."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The settings that differ from the defaults of `elman.Config`."""

    @property
    def has_recipe(self) -> bool:
        """Whether `choose_recipe` adapts them to the training text and the time budget."""
        return "max_seconds" in self.settings


TYPICAL_CHARS = 1_000_000
"""Characters of the training text for which the settings of a preset are listed."""
SHORT_BUDGET = 10.0
"""Seconds below which one layer learns more than two."""
DEEP_BUDGET = 120.0
"""Seconds from which on four layers learn more than two with as many weights, or earlier if the text is read often."""
CHARS_PER_SECOND = 136_000
"""Training throughput over the whole budget, validation and the prior included, with two layers of 256 units."""
SHORT_TEXT, VERY_SHORT_TEXT = 800_000, 100_000
"""Characters of a training text below which it is read `EPOCHS` times at most, and below which Muon overfits."""
COUNTED_TEXT = 5_000
"""Characters of a training text below which a network that is trained together with its prior is worse than the counts
alone: the prior joins at the end, with weights that are not trained."""
DEEP_TEXT = 200_000
"""Characters of a training text from which on four layers learn more than two."""
LONG_TEXT, LONG_PASSES = 1_200_000, 12
"""Characters of a training text, and passes, above which dropout is better than a high weight decay."""
EPOCHS = 9
"""Passes after which a short text is overfitted; a longer one is read twice as often at most."""
PARTIAL_UNITS = 0.75
"""Factor on the units for a text that is not read once, for which two layers learn more than four."""
EARLY_PASSES = 1.5
"""Passes below which the prior, which has counted the whole text, starts earlier; and passes of two layers below which
one layer learns more in less than `DEEP_BUDGET`."""
ONE_LAYER_UNITS, ONE_LAYER_SPEED = 256, 2.3
"""The fewest units of that layer, and its characters per second, relative to two layers of as many units."""
MIN_CHARS = 20
"""Characters of the shortest text that is trained on."""
MAX_CHARS_PER_SECOND = 750_000
"""Characters of a text that are used, for every second of the time budget: reading them, and counting their n-grams,
takes about a fifth of it."""
VALIDATED_PER_SECOND, MIN_VALIDATED = 4_000, 100_000
"""Characters that a validation reads, likewise: two or three per cent of the time. Fewer than the minimum do not take
less, as preparing the network for inference takes a while."""
SLOWEST_UNITS = 192
"""Units per layer below which fewer do not make training faster in proportion."""

_COMMON: dict[str, Any] = {
    "cell": "gru",
    "seq_length": 64,
    "optimizer": "adam",
    "schedule": "cosine",
    "grad_clip": 16.0,
    "grad_clip_mode": "norm",
    "init": "orthogonal",
    # A one-hot input selects a single row of U, which the recurrent product would drown if the row were small.
    "init_std": 1.0,
    "weight_decay": 0.0,
    "dropout_kind": "plain",
    "sample_every": 500,
    # These runs make a few thousand updates in all, each of many characters.
    "metrics_every": 50,
    "dtype": "float32",
    "mixed_precision": True,
}

_ONE_LAYER: dict[str, Any] = {
    "layers": 1,
    "hidden_size": 192,
    "batch_size": 16,
    "learning_rate": 0.007,
    "warmup": 30,
    "ema_decay": 0.98,
    "ngram_order": 8,
    "ngram_start": 0.5,
}
"""The network and the training of a short budget."""


def choose_text_limits(seconds: float) -> dict[str, int]:
    """Return how many characters of a text, and of the validation set, a time budget is enough for, by setting."""
    return {
        "max_chars": max(MIN_CHARS, round(MAX_CHARS_PER_SECOND * seconds)),
        "validation_chars": max(MIN_VALIDATED, round(VALIDATED_PER_SECOND * seconds)),
    }


def limit_epochs(n: int) -> int:
    """Return how often a training text of n characters is read at most."""
    return EPOCHS if n < SHORT_TEXT else 2 * EPOCHS


def choose_recipe(n: int, seconds: float, passed: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the best known settings for a training text of n characters and a time budget, without those `passed`.

    The budget is that of the machine on which the recipes were found: one at half the speed has half of it.
    """
    passed = dict(passed or {})
    recipe = _COMMON | {"epochs": limit_epochs(n), "dropout": 0.1 if n < SHORT_TEXT else 0.0}
    recipe |= (_ONE_LAYER if seconds < SHORT_BUDGET else _choose_layers(n, seconds, passed)) | passed
    if n < COUNTED_TEXT and "ngram_start" not in passed:
        recipe["ngram_start"] = 1.0
    optimizer = find_optimizer(recipe["optimizer"])
    recipe |= optimizer.defaults() | {"learning_rate": optimizer.recipe_rate(recipe)} | passed
    return {name: value for name, value in recipe.items() if name not in passed}


def _choose_layers(n: int, seconds: float, passed: Mapping[str, Any]) -> dict[str, Any]:
    layers, m, is_partial = _choose_size(n, seconds, passed)
    units = m / _units_factor(layers)
    # About as many updates per pass for all texts. The weights of more units do not fit in the cache of a core: more
    # rows have to share each read of them.
    batch_size = 2 ** round(min(max(3, math.log2(n / 15_000)), 6 if units < 480 else 7))
    batch_size = passed.get("batch_size", 32 if n < VERY_SHORT_TEXT else batch_size)
    passes = _estimate_passes(n, seconds * (ONE_LAYER_SPEED if layers == 1 else 1), units, batch_size, passed)
    is_long = n > LONG_TEXT and passes > LONG_PASSES
    optimizer = passed.get("optimizer", "adam" if n < VERY_SHORT_TEXT else "muon")
    if find_optimizer(optimizer).decays_weights:
        dropout = 0.15 if is_long else 0.0
        weight_decay = 0.1 if is_long else round(min(max(0.1, passes / 45), 0.3), 2)
    else:
        dropout, weight_decay = 0.15 if n < SHORT_TEXT or is_long else 0.0, 0.0
    return {
        "layers": layers,
        "hidden_size": m,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "learning_rate": 0.006,
        "dropout": dropout,
        "weight_decay": weight_decay,
        "warmup": 100,
        "ema_decay": 0.99,
        "ngram_order": 10,
        "ngram_start": 0.5 if is_partial or passes < EARLY_PASSES else 0.8,
    }


def _choose_size(n: int, seconds: float, passed: Mapping[str, Any]) -> tuple[int, int, bool]:
    """Return the layers, the hidden units, and whether several layers are too slow to read the text once."""
    units = passed.get("hidden_size", _units_of_two_layers(n, seconds))
    passes = _passes_in(seconds, n, units) if _is_timed(passed) else math.inf
    has_time = seconds >= DEEP_BUDGET or seconds * CHARS_PER_SECOND >= 1.5 * EPOCHS * n
    if passes < EARLY_PASSES and seconds < DEEP_BUDGET:
        layers = passed.get("layers", 1)
    else:
        layers = passed.get("layers", 4 if has_time and n >= DEEP_TEXT and passes >= 1 else 2)
    is_partial = layers > 1 and passes < 1
    if layers == 1:
        units = max(units, ONE_LAYER_UNITS)
    elif is_partial:
        units = max(PARTIAL_UNITS * units, SLOWEST_UNITS)
    m = max(1, round(units * _units_factor(layers) / 32)) * 32
    return layers, passed.get("hidden_size", m), is_partial


def _units_factor(layers: int) -> float:
    """Return the factor on the units with which more than two layers have about as many weights as two."""
    return math.sqrt(2 / max(layers, 2))


def _units_of_two_layers(n: int, seconds: float) -> int:
    """Return the units of two layers: the weights grow with the square root of the budget, and of the text."""
    chosen: int = 32 * round(min(8 * (seconds / 60) ** 0.27, max(8, 0.394 * n**0.5 / 32), 20))
    return max(chosen, 256) if seconds * CHARS_PER_SECOND >= EPOCHS * n else chosen


def _is_timed(passed: Mapping[str, Any]) -> bool:
    """Whether a time budget limits the run; updates or epochs that are passed replace that of a preset."""
    return bool(passed.get("max_seconds")) or not (passed.get("max_updates") or "epochs" in passed)


def _estimate_passes(n: int, seconds: float, units: float, batch_size: int, passed: Mapping[str, Any]) -> float:
    """Return how often the text will be read until the first of the limits."""
    updates, T = passed.get("max_updates"), passed.get("seq_length", _COMMON["seq_length"])
    by_updates = updates * batch_size * T / n if updates else math.inf
    by_time = _passes_in(seconds, n, units) if _is_timed(passed) else math.inf
    return float(min(passed.get("epochs", math.inf if updates else limit_epochs(n)), by_updates, by_time))


def _passes_in(seconds: float, n: int, units: float) -> float:
    """Return how often a text is read in a time with two layers of so many units."""
    return seconds * CHARS_PER_SECOND * (256 / max(units, SLOWEST_UNITS)) ** 2 / n


def _budget(seconds: float, summary: str, validation: float = 0.1) -> Preset:
    return Preset(summary, choose_recipe(TYPICAL_CHARS, seconds) | {"validation": validation, "max_seconds": seconds})


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
    "quick": _budget(
        6.0,
        "GRU, 192 units, with an n-gram prior, about 6 s: validation loss 1.45 to 1.49 nats/char on tiny Shakespeare"
        " (with a tenth held out)",
        validation=0.0,
    ),
    "minute": _budget(
        60.0,
        "GRU of 2 layers (4 for about 300 kB, 1 for a long text), 192 to 256 units, with an n-gram prior, 1 min:"
        " validation loss 1.36 to 1.40 nats/char on tiny Shakespeare",
    ),
    "strong": _budget(
        240.0,
        "4-layer GRU (2 layers below 200 kB), 192 to 256 units, with an n-gram prior, 4 min: validation loss 1.34"
        " nats/char on tiny Shakespeare",
    ),
    "hour": _budget(3600.0, "4-layer GRU, 256 units (448 for 5 MB), with an n-gram prior, 1 h, for long texts"),
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
