"""The recipe chooses settings for a text, a time budget and a machine; presets are named settings to start from.

Settings are plain dictionaries here, and are validated once, when an `elman.Config` is created from them.
``benchmarks/NOTES.md`` has the experiments.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from elman.errors import ElmanError, format_count, quote
from elman.network.optimizers import find_optimizer

SHORT_BUDGET = 10.0
"""Time budget in seconds below which one layer learns more than two."""
DEEP_BUDGET = 120.0
"""Seconds from which four layers learn more than two with as many weights; fewer if the text is read often."""
CHARS_PER_SECOND = 136_000
"""Training throughput over the whole budget, including validation and the prior, with two layers of 256 units."""
SHORT_TEXT, VERY_SHORT_TEXT = 800_000, 100_000
"""Characters of a training text below which it is read at most `EPOCHS` times, and below which Muon overfits."""
COUNTED_TEXT = 5_000
"""Characters of a training text below which a network that is trained together with its prior is worse than the counts
alone: the prior joins at the end, with weights that are not trained."""
DEEP_TEXT = 200_000
"""Characters of a training text from which four layers learn more than two."""
LONG_TEXT, LONG_PASSES = 1_200_000, 12
"""Characters of a training text, and passes, above which dropout is better than a high weight decay."""
EPOCHS = 9
"""Passes after which a short text is overfitted; a longer text is read at most twice as often."""
PARTIAL_UNITS = 0.75
"""Factor on the units if the time is too short for one pass over the text; two layers then learn more than four."""
EARLY_PASSES = 1.5
"""Passes below which the prior, which has counted the whole text, starts earlier. Below so many passes of two layers,
one layer also learns more in less than `DEEP_BUDGET`."""
ONE_LAYER_UNITS, ONE_LAYER_SPEED = 256, 2.3
"""Minimum units of that single layer, and its characters per second relative to two layers of as many units."""
MIN_CHARS = 20
"""Characters of the shortest training text."""
MAX_CHARS_PER_SECOND = 750_000
"""Maximum characters of a text per second of the time budget: reading them and counting their n-grams takes about a
fifth of the budget."""
VALIDATED_PER_SECOND, MIN_VALIDATED = 4_000, 100_000
"""Characters of a validation per second of the time budget, two or three per cent of the time; and their minimum: fewer
characters save no time, because preparing the network for inference takes a while."""
SLOWEST_UNITS = 192
"""Units per layer below which the training time is no longer proportional to the weights."""
LARGE_ALPHABETS, SHORTEST_WINDOW = (700, 2_400), 16
"""Alphabet sizes above which the output layer uses most of the time, with one layer and with several; and the shortest
window. The time per character grows with the alphabet, so a budget allows about as many updates only with shorter
windows. A character of a large alphabet contains as much information as several of a small one."""
WINDOWS = 4
"""Windows per epoch of a short text, if it has enough characters."""
UNLIMITED = 1_000_000
"""Epochs of a run that is limited by updates."""
CHANGED = {
    "hidden_size": "hidden units", "layers": "layers", "optimizer": "optimizer", "learning_rate": "learning rate",
    "dropout": "dropout", "weight_decay": "weight decay", "batch_size": "batch size", "seq_length": "sequence length",
    "ngram_start": "start of the n-gram prior",
}  # fmt: skip
"""Settings whose changes for the text are reported in a notice."""

_COMMON: dict[str, Any] = {
    "cell": "gru", "seq_length": 64, "optimizer": "adam", "schedule": "cosine", "grad_clip": 16.0,
    "grad_clip_mode": "norm", "weight_decay": 0.0, "dropout_kind": "plain", "init": "orthogonal",
    # A one-hot input selects a single row of U; if the row were small, the recurrent product would dominate.
    "init_std": 1.0,
    # These runs make a few thousand updates in all, each of many characters.
    "sample_every": 500, "metrics_every": 50, "dtype": "float32", "mixed_precision": True,
}  # fmt: skip

_ONE_LAYER: dict[str, Any] = {
    "layers": 1, "hidden_size": 192, "batch_size": 16, "learning_rate": 0.007, "warmup": 30, "ema_decay": 0.98,
    "ngram_order": 9, "ngram_start": 0.5,
}  # fmt: skip
"""The settings for a short budget."""


def choose_text_limits(seconds: float) -> dict[str, Any]:
    """Return how many characters of a text and of the validation set fit in a time budget, by setting."""
    return {
        "max_chars": max(MIN_CHARS, round(MAX_CHARS_PER_SECOND * seconds)),
        "validation_chars": max(MIN_VALIDATED, round(VALIDATED_PER_SECOND * seconds)),
    }


def limit_epochs(n: int) -> int:
    """Return the maximum number of passes over a training text of n characters."""
    return EPOCHS if n < SHORT_TEXT else 2 * EPOCHS


def alphabet_factor(K: int, seconds: float | None) -> float:
    """Return the time per character with an alphabet of K characters, relative to a small alphabet."""
    return 1.0 if seconds is None else max(1.0, K / LARGE_ALPHABETS[seconds >= SHORT_BUDGET])


def choose_recipe(n: int, seconds: float, passed: Mapping[str, Any] | None = None, K: int = 0) -> dict[str, Any]:
    """Return the best known settings for a training text of n characters and a time budget, without those `passed`.

    The budget is for the machine on which the recipes were found: on a machine of half the speed, pass half the budget.
    K is the size of the alphabet, 0 for a small one.
    """
    passed, factor = dict(passed or {}), alphabet_factor(K, seconds)
    seconds /= factor
    recipe = _COMMON | {"epochs": limit_epochs(n), "dropout": 0.1 if n < SHORT_TEXT else 0.0}
    recipe |= (_ONE_LAYER if seconds < SHORT_BUDGET else _choose_layers(n, seconds, passed)) | passed
    if factor > 1:
        recipe["seq_length"] = max(SHORTEST_WINDOW, 2 ** round(math.log2(recipe["seq_length"] / factor)))
        recipe |= passed
    if n < COUNTED_TEXT and "ngram_start" not in passed:
        recipe["ngram_start"] = 1.0
    optimizer = find_optimizer(recipe["optimizer"])
    recipe |= optimizer.defaults() | {"learning_rate": optimizer.recipe_rate(recipe)} | passed
    return {name: value for name, value in recipe.items() if name not in passed}


def _choose_layers(n: int, seconds: float, passed: Mapping[str, Any]) -> dict[str, Any]:
    layers, m, is_partial = _choose_size(n, seconds, passed)
    units = m / _units_factor(layers)
    # All texts have about as many updates per pass. The weights of more units do not fit in a core's cache, so more
    # rows have to share each read of the weights.
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
        "layers": layers, "hidden_size": m, "batch_size": batch_size, "optimizer": optimizer, "learning_rate": 0.006,
        "dropout": dropout, "weight_decay": weight_decay, "warmup": 100, "ema_decay": 0.99,
        "ngram_order": 11, "ngram_start": 0.5 if is_partial or passes < EARLY_PASSES else 0.8,
    }  # fmt: skip


def _choose_size(n: int, seconds: float, passed: Mapping[str, Any]) -> tuple[int, int, bool]:
    """Return the layers, the hidden units, and whether several layers are too slow to read the text once."""
    units = passed.get("hidden_size", _units_of_two_layers(n, seconds))
    passes = _passes_in(seconds, n, units) if _is_timed(passed) else math.inf
    has_time = seconds >= DEEP_BUDGET or seconds * CHARS_PER_SECOND >= 1.5 * EPOCHS * n
    several = 4 if has_time and n >= DEEP_TEXT and passes >= 1 else 2
    layers = passed.get("layers", 1 if passes < EARLY_PASSES and seconds < DEEP_BUDGET else several)
    is_partial = layers > 1 and passes < 1
    if layers == 1:
        units = max(units, ONE_LAYER_UNITS)
    elif is_partial:
        units = max(PARTIAL_UNITS * units, SLOWEST_UNITS)
    m = max(1, round(units * _units_factor(layers) / 32)) * 32
    return layers, passed.get("hidden_size", m), is_partial


def _units_factor(layers: int) -> float:
    """Return the factor on the units that gives more than two layers about as many weights as two layers."""
    return math.sqrt(2 / max(layers, 2))


def _units_of_two_layers(n: int, seconds: float) -> int:
    """Return the units of two layers: the weights grow with the square root of the budget and of the text's length."""
    chosen: int = 32 * round(min(8 * (seconds / 60) ** 0.27, max(8, 0.394 * n**0.5 / 32), 20))
    return max(chosen, 256) if seconds * CHARS_PER_SECOND >= EPOCHS * n else chosen


def _is_timed(passed: Mapping[str, Any]) -> bool:
    """Return whether a time budget limits the run; passed updates or epochs replace a preset's time budget."""
    return bool(passed.get("max_seconds")) or not (passed.get("max_updates") or "epochs" in passed)


def _estimate_passes(n: int, seconds: float, units: float, batch_size: int, passed: Mapping[str, Any]) -> float:
    """Return the expected number of passes over the text until the first limit is reached."""
    updates, T = passed.get("max_updates"), passed.get("seq_length", _COMMON["seq_length"])
    by_updates = updates * batch_size * T / n if updates else math.inf
    by_time = _passes_in(seconds, n, units) if _is_timed(passed) else math.inf
    return float(min(passed.get("epochs", math.inf if updates else limit_epochs(n)), by_updates, by_time))


def _passes_in(seconds: float, n: int, units: float) -> float:
    """Return the passes over a text of n characters in so many seconds, with two layers of so many units."""
    return seconds * CHARS_PER_SECOND * (256 / max(units, SLOWEST_UNITS)) ** 2 / n


# --- The settings of one run ---


def limit_texts(settings: Mapping[str, Any], passed: Collection[str]) -> dict[str, Any]:
    """Return the limits on a run's texts that follow from its time budget, by setting, except settings in `passed`.

    The limits do not depend on the speed of the machine, so that the run can be repeated.
    """
    if settings["max_seconds"] is None:
        return {}
    limits, chars = choose_text_limits(settings["max_seconds"]), settings["validation_chars"]
    return {
        "max_chars": limits["max_chars"] if settings["max_chars"] is None else settings["max_chars"],
        "validation_chars": chars if "validation_chars" in passed else min(chars, limits["validation_chars"]),
    }


def fit_to_text(
    settings: Mapping[str, Any], n: int, total: int, seconds: float | None, passed: Collection[str], K: int = 0
) -> dict[str, Any]:
    """Return the settings that change for a text of `total` characters, n of them for training, except those `passed`.

    `seconds` is the time budget of the recipe, and K the size of the alphabet, see `choose_recipe`. Without a budget,
    only windows that are too large for the text are changed.
    """
    changes = {} if seconds is None else choose_recipe(n, seconds, {name: settings[name] for name in passed}, K)
    if (factor := alphabet_factor(K, seconds)) > 1 and "validation_chars" not in passed:
        changes["validation_chars"] = round(settings["validation_chars"] / (2 * factor))
    if settings["max_updates"] is not None and settings["max_seconds"] is None and "epochs" in changes:
        changes["epochs"] = UNLIMITED
    is_fraction = bool(settings["validation"]) and not isinstance(settings["validation"], str)
    return changes | _shorten_windows({**settings, **changes}, n, total - n if is_fraction else None, passed)


def _shorten_windows(
    settings: Mapping[str, Any], n: int, held_out: int | None, passed: Collection[str]
) -> dict[str, int]:
    """Return a batch size and a sequence length that give n characters, and the held-out ones, enough windows."""
    T, B = settings["seq_length"], settings["batch_size"]
    enough = WINDOWS if B > 1 and "batch_size" not in passed else 1
    fits = n > enough * B * T and (held_out is None or held_out > T)
    if fits or n + (held_out or 0) < MIN_CHARS:
        return {}
    if "seq_length" not in passed and held_out is not None:
        T = min(T, max(1, held_out - 1))
    if "batch_size" not in passed:
        B = min(B, max(1, (n - 1) // (WINDOWS * T)))
    if "seq_length" not in passed:
        T = min(T, max(1, (n - 1) // (WINDOWS * B)))
    return {"seq_length": T, "batch_size": B}


def round_speed(speed: float) -> float:
    """Return the nearest power of the square root of 2, so that repeated runs usually have the same network."""
    return float(2 ** (round(2 * math.log2(speed)) / 2))


def describe_changed(settings: Mapping[str, Any], before: Mapping[str, Any], n: int, speed: float | None = None) -> str:
    """Describe the preset's settings that changed for a training text of n characters; empty if none changed."""
    changed = [
        f"{title} {_format(settings[name])} instead of {_format(before[name])}"
        for name, title in CHANGED.items()
        if settings[name] != before[name]
    ]
    if not changed:
        return ""
    if settings["epochs"] < before["epochs"]:
        changed.append(f"at most {format_count(settings['epochs'], 'epoch')}")
    budget = "" if settings["max_seconds"] is None else f" and {settings['max_seconds']:g} s"
    machine = "" if speed is None else f", on a machine {speed:.2f} times as fast as the presets' machine"
    return f"for {n:,} characters of training text{budget}{machine}: {', '.join(changed)}"


def _format(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:,}"


# --- The presets: those with a time budget follow the recipe ---


@dataclass(frozen=True)
class Preset:
    """Settings to start from."""

    summary: str
    """What to expect: the validation loss in nats per character and the time on two CPU cores, in one line."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Settings that differ from the defaults of `elman.Config`."""
    budget: float | None = None
    """Time budget in seconds if the other settings follow from the recipe, for this budget and the training text."""
    looks: bool = True
    """Whether the text decides how it is read; the experiments read it as it is."""

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
        "vanilla RNN of the reference experiment (AdaGrad, batch size 1, float64), 10 epochs; about"
        " 31 s per million characters", looks=False),
    "steady": Preset(
        "same network and number of updates as reference, with Muon, warm-up and cosine decay: minimum smooth loss"
        " 0.26 nats/char lower; about 2 min per million characters",
        {"optimizer": "muon", "learning_rate": 0.003, "beta1": 0.5, "beta2": 0.9999, "warmup": 8000,
         # A network that is still learning adapts to the current part of the text.
         "schedule": "cosine", "final_lr_fraction": 0.2,
         "init": "orthogonal", "init_std": 0.3, "dtype": "float32"}, looks=False),
    "counts": Preset(
        "the n-gram counts alone, without a network, about 1 s per million characters: validation loss 1.51 nats/char"
        " on tiny Shakespeare",
        {"hidden_size": 0, "ngram_order": 12, "ngram_folds": 0, "validation": 0.1, "dtype": "float32"}),
    "quick": Preset(
        "GRU, 192 units, with an n-gram prior, 6 s: validation loss 1.45 to 1.49 nats/char on tiny Shakespeare"
        " (with a tenth held out)", {"validation": 0.0}, 6.0),
    "minute": Preset(
        "GRU of 2 layers (4 for about 300 kB, 1 for a long text), 192 to 256 units, with an n-gram prior, 1 min:"
        " validation loss 1.36 to 1.40 nats/char on tiny Shakespeare", {"validation": 0.1}, 60.0),
    "strong": Preset(
        "4-layer GRU (2 layers below 200 kB), 192 to 256 units, with an n-gram prior, 4 min: validation loss 1.34"
        " nats/char on tiny Shakespeare", {"validation": 0.1}, 240.0),
    "hour": Preset(
        "4-layer GRU (2 layers below 200 kB), 256 units (448 for 5 MB), with an n-gram prior, 1 h, for long texts",
        {"validation": 0.1}, 3600.0),
}  # fmt: skip

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
