"""Settings of a preset that are changed for a short text, or for a run of many epochs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from elman.config import LIMITS, Config
from elman.errors import ElmanError
from elman.presets import PRESETS, SHORT_TEXT
from elman.runs.data import training_length
from elman.text import Corpus

WINDOWS = 4
"""Windows per epoch, if the text has enough characters."""
MINIMUM = 20
"""Characters from which on the settings are lowered: there is nothing to learn from fewer."""
EPOCHS = 100
"""Maximum number of epochs: a network of a preset overfits so short a text long before."""


def fit_to_text(config: Config, preset: str, corpus: Corpus, passed: Collection[str]) -> Config:
    """Return the settings for a text: if it is too short for them, lower batch size, sequence length and epochs.

    Some presets have other settings for short texts and for long runs, see `elman.presets.Preset`. `preset` is the one
    that the settings come from, or an empty string; those that were `passed` are not changed.

    Raises
    ------
    ElmanError
        If the text is too short to lower both settings for it.
    """
    n = training_length(corpus, config)
    if preset:
        short = PRESETS[preset].short_text_settings if n < SHORT_TEXT else {}
        changed = short | long_run_settings(preset, config.max_seconds, n)
        kept = {*passed} if config.max_seconds is not None else {*passed, "epochs"}
        config = replace(config, **{name: value for name, value in changed.items() if name not in kept})
    held_out = len(corpus.indices) - n if config.validation and not isinstance(config.validation, str) else None
    T, B = config.seq_length, config.batch_size
    if n > B * T and (held_out is None or held_out > T):
        return config
    if len(corpus.indices) < MINIMUM:
        if {"seq_length", "batch_size"} & set(passed):
            return config
        raise ElmanError(f"the text has {len(corpus.indices)} characters, but training needs at least {MINIMUM}")
    if "seq_length" not in passed and held_out is not None:
        T = min(T, max(1, held_out - 1))
    if "batch_size" not in passed:
        B = min(B, max(1, (n - 1) // (WINDOWS * T)))
    if "seq_length" not in passed:
        T = min(T, max(1, (n - 1) // (WINDOWS * B)))
    if (config.seq_length, config.batch_size) == (T, B):
        return config
    lowered = replace(config, seq_length=T, batch_size=B)
    if not LIMITS & set(passed):
        lowered = replace(lowered, epochs=min(EPOCHS, config.epochs))
    if "validate_every" not in passed:
        lowered = replace(lowered, validate_every=0)
    return lowered


def long_run_settings(preset: str, max_seconds: float | None, n: int) -> dict[str, Any]:
    """Return the settings that a preset changes for a run of so many seconds on a training text of n characters."""
    found: dict[str, Any] = {}
    for seconds, settings in PRESETS[preset].long_run_settings.items():
        if max_seconds is not None and max_seconds >= seconds * n / 1e6 and n >= SHORT_TEXT:
            found = settings
    return found


def describe_changed(config: Config, preset: Config, n: int) -> str:
    """Return which settings of a preset were changed for a training text of n characters; empty if none was."""
    names = {
        "optimizer": "optimizer",
        "learning_rate": "learning rate",
        "dropout": "dropout",
        "weight_dropout": "weight dropout",
        "batch_size": "batch size",
        "seq_length": "sequence length",
    }
    changed = [
        f"{title} {_format(getattr(config, name))} instead of {_format(getattr(preset, name))}"
        for name, title in names.items()
        if getattr(config, name) != getattr(preset, name)
    ]
    if not changed:
        return ""
    if config.epochs != preset.epochs:
        changed.append(f"at most {config.epochs:,} epochs")
    reason = f"the training text has only {n:,} characters"
    if config.weight_dropout != preset.weight_dropout:
        reason = f"{config.max_seconds:,.0f} seconds are many epochs of {n:,} characters"
    return f"{reason}: {', '.join(changed)}"


def _format(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:,}"
