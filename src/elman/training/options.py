"""The keyword arguments of `elman.train` that are settings, for type checkers, ``help()`` and completion."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal, TypedDict, get_type_hints

from elman.config import Config, check_names, choices_of, current_names, make_config
from elman.errors import ElmanError, quote
from elman.presets import DEFAULT_PRESET
from elman.signatures import Option

OTHER_ARGUMENTS = (
    "out", "preset", "config", "init_from", "resume", "overwrite", "progress", "log", "callback", "on_update",
)  # fmt: skip
"""Arguments of `elman.train` that an error may suggest, beside the settings."""


class TrainingOptions(TypedDict, total=False):
    """The fields of `elman.Config`, for type checkers."""

    cell: str
    hidden_size: int
    layers: int
    seq_length: int
    batch_size: int
    optimizer: Literal["adagrad", "rmsprop", "adam", "adamw", "sgd", "muon"]
    learning_rate: float
    schedule: Literal["constant", "cosine", "step"]
    final_lr_fraction: float
    warmup: int
    grad_clip: float
    grad_clip_mode: Literal["value", "norm"]
    beta1: float
    beta2: float
    weight_decay: float
    ema_decay: float
    dropout: float
    dropout_kind: Literal["variational", "plain"]
    weight_dropout: float
    init: Literal["normal", "orthogonal"]
    init_std: float
    ngram_order: int
    ngram_discount: float
    ngram_folds: int
    ngram_start: float
    epochs: int
    max_updates: int | None
    max_seconds: float | None
    validation: float | str | os.PathLike[str]
    validate_every: int
    patience: int
    seed: int
    engine: str
    device: str
    dtype: Literal["float32", "float64"]
    mixed_precision: bool
    sample_every: int
    sample_length: int
    metrics_every: int
    encoding: str
    min_count: int
    lines: bool


def collect_settings(preset: str | None, config: Config | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a preset is overridden with: all of `config`, if there is one, and the options.

    Raises
    ------
    ElmanError
        If an option is unknown, both a preset and a configuration are passed, or the latter is none.
    """
    settings = current_names(options)
    if "like" in settings:
        raise ElmanError("unknown setting 'like'; pass config=elman.open_run(RUN).config")
    check_names(settings, OTHER_ARGUMENTS)
    if config is None:
        return settings
    if preset is not None:
        raise ElmanError(f"cannot combine config with --preset {preset}: a configuration has every setting")
    if not isinstance(config, Config):
        raise ElmanError(f"config must be an elman.Config (got {type(config).__name__}): pass settings as arguments")
    return asdict(config) | settings


def check_arguments(
    corpus: object,
    out: str | os.PathLike[str] | None,
    log: Sequence[str],
    *,
    resume: bool,
    overwrite: bool,
    init_from: object,
) -> None:
    """Check that the arguments of `elman.train` other than the settings agree.

    Raises
    ------
    ElmanError
        If they do not.
    """
    if resume and init_from is not None:
        raise ElmanError("cannot combine --init-from with --resume: a resumed run continues with its own weights")
    if out is None and resume:
        raise ElmanError("--resume requires --out, the directory of the run")
    if out is None and log:
        raise ElmanError("--log requires --out, the directory of the run")
    if out is None and overwrite:
        raise ElmanError("--overwrite requires --out, the directory of the run")
    if overwrite and resume:
        raise ElmanError("--overwrite replaces the run that --resume continues: pass only one of them")
    if out is not None and not os.fspath(out).strip():
        raise ElmanError(f"--out must not be empty (got {os.fspath(out)!r})")
    if out is not None and not resume:
        for source in corpus if isinstance(corpus, list | tuple) else [corpus]:
            if isinstance(source, str | os.PathLike) and _is_same_directory(source, out):
                raise ElmanError(
                    f"--out must not be the directory of the text (got {quote(out)}): choose {quote(Path(out) / 'run')}"
                )


def _is_same_directory(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> bool:
    try:
        return os.path.isdir(first) and os.path.samefile(first, second)  # noqa: PTH112, PTH121
    except (OSError, ValueError):  # one of them does not exist, or cannot
        return False


def list_training_options() -> tuple[Option, ...]:
    """Return the settings with their help, and their defaults in the preset that `elman.train` starts from."""
    defaults, hints = make_config(DEFAULT_PRESET), get_type_hints(Config)
    return tuple(
        Option(each.name, hints[each.name], getattr(defaults, each.name), each.metadata["help"], choices_of(each.name))
        for each in fields(Config)
    )
