"""The settings of a run, defined once.

A field of `Config` is a command-line option with default and help, a key of ``run.json``, an argument of `elman.train`.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from math import isfinite
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from elman.engine_registry import DEFAULT_ENGINE, DEVICES, ENGINES, engine_help, require_feature
from elman.errors import MAX_INT, ElmanError, checks_types, is_path, option, quote, shorten
from elman.network.cells import CELLS, cell_help
from elman.network.optimizers import OPTIMIZERS, beta_help, learning_rate_help, weight_decay_help
from elman.options import suggest_option
from elman.recipe import PRESETS, choose_text_limits, name_preset
from elman.storage import make_absolute

if TYPE_CHECKING:
    from elman.network.parameters import Architecture
    from elman.text import Alphabet
    from elman.text.masks import Masker


def _option(default: Any, help: str | Callable[[], str], choices: Collection[str] = (), **limits: float) -> Any:
    """Return a field with its help, its limits and the choices of a registry; `below` and `above` are exclusive."""
    return field(default=default, metadata={"help": help, "choices": choices, "limits": limits})


def _fraction(default: float, help: str | Callable[[], str], example: float) -> Any:
    return _option(default, help, minimum=0, below=1, example=example)


MAX_SECONDS = 1_000_000_000  # 30 years; the number of characters that follows from it is below `MAX_INT`
MAX_SIZE = 1_000_000_000  # maximum size of a table in MB
MAX_STD = 3.4e38  # the largest float32


@dataclass(frozen=True)
class Config:
    """The settings of a run. The defaults are the settings of the reference experiment, preset ``reference``.

    Raises
    ------
    ElmanError
        If a setting is out of its range or incompatible with another setting.

    Examples
    --------
    >>> import elman
    >>> elman.Config(cell="gru", hidden_size=64).learning_rate
    0.1
    """

    cell: str = _option("rnn", cell_help, choices=CELLS)
    hidden_size: int = _option(
        100, "Hidden units per layer; 0 for the n-gram counts alone, without a network.", minimum=0
    )
    layers: int = _option(1, "Number of stacked recurrent layers.", minimum=1)
    seq_length: int = _option(
        25, "Characters in one training sequence (truncated backpropagation through time).", minimum=1
    )
    batch_size: int = _option(1, "Sequences per update: the text is split into this many contiguous parts.", minimum=1)
    optimizer: str = _option("adagrad", "Optimizer.", choices=OPTIMIZERS)
    learning_rate: float = _option(0.1, learning_rate_help, above=0)
    schedule: Literal["constant", "cosine", "step"] = _option(
        "constant",
        "Learning-rate schedule: constant, cosine (to {final_lr_fraction}) or step (×0.1 at half of the run,"
        " ×0.01 at three quarters).",
    )
    final_lr_fraction: float = _fraction(0.0, "Final learning rate of cosine decay, as a fraction of the peak.", 0.1)
    warmup: int = _option(0, "Updates of linear learning-rate warm-up.", minimum=0)
    grad_clip: float = _option(5.0, "Gradient clipping threshold; 0 turns it off.", minimum=0)
    grad_clip_mode: Literal["value", "norm"] = _option(
        "value", "Clip each gradient component (value) or the global norm (norm)."
    )
    beta1: float = _fraction(0.9, lambda: beta_help("beta1"), 0.9)
    beta2: float = _fraction(0.999, lambda: beta_help("beta2"), 0.999)
    weight_decay: float = _option(0.0, weight_decay_help, minimum=0)
    ema_decay: float = _fraction(
        0.0,
        "Decay of the exponential moving average (EMA) of the weights used in evaluation and sampling; 0 turns it off.",
        0.999,
    )
    dropout: float = _fraction(0.0, "Dropout probability of the output of every layer.", 0.4)
    dropout_kind: Literal["variational", "plain"] = _option(
        "variational", "Dropout mask: one per sequence (variational) or per character (plain)."
    )
    weight_dropout: float = _fraction(0.0, "Dropout probability of recurrent weights (DropConnect).", 0.3)
    init: Literal["normal", "orthogonal"] = _option(
        "normal", "Weight initialization: normal, or orthogonal for recurrent matrices and normal for the others."
    )
    init_std: float = _option(0.1, "Standard deviation of the normal initialization.", minimum=0, maximum=MAX_STD)
    ngram_order: int = _option(
        0,
        "Order of the n-gram prior: the maximum length of its n-grams, as in KenLM, at least 2; 0 turns it off.",
        minimum=0,
        maximum=20,
    )
    ngram_min_count: int = _option(
        2,
        "Minimum count of an n-gram in the n-gram prior; with {lines:True}, the number of lines that contain it. 1"
        " stores every n-gram of the text.",
        minimum=1,
    )
    ngram_max_size: float = _option(
        256.0, "Maximum size of the table of the n-gram prior in MB; above it, {ngram_min_count} is raised.",
        above=0, maximum=MAX_SIZE,
    )  # fmt: skip
    ngram_folds: int = _option(10, "Folds for cross-fitting the n-gram prior; 0 turns it off.", minimum=0, maximum=16)
    ngram_start: float = _option(
        0.0,
        "Fraction of the run after which the n-gram prior starts. With 1 its weights are not trained.",
        minimum=0,
        maximum=1,
        example=0.8,
    )
    epochs: int = _option(10, "Maximum number of epochs (passes over the text).", minimum=1)
    max_updates: int | None = _option(None, "Maximum number of updates (optimizer steps).", minimum=1)
    max_seconds: float | None = _option(
        None, "Time budget of the whole command in seconds, excluding the compilation of kernels.",
        above=0, maximum=MAX_SECONDS,
    )  # fmt: skip
    validation: float | str = _fraction(
        0.0,
        "Validation set: a fraction held out from the end of the text (of lines: at random), or a file. The"
        " model with the lowest validation loss is kept.",
        0.1,
    )
    validate_every: int = _option(
        0,
        "Updates between validations; 0 validates after every epoch and at least ten times per run, unless that takes"
        " more than about 5 % of the time.",
        minimum=0,
    )
    validation_chars: int = _option(
        500_000,
        "Characters that a validation reads, in pieces spread evenly. With {max_seconds}, by default at most 4,000"
        " per second, but at least 100,000. The last validation reads the whole set if there is time.",
        minimum=2,
    )
    patience: int = _option(0, "Early stopping: number of validations without improvement; 0 turns it off.", minimum=0)
    seed: int = _option(400, "Random seed.", minimum=0, maximum=2**32 - 1)
    engine: str = _option(DEFAULT_ENGINE, engine_help, choices=ENGINES)
    device: str = _option("auto", "Device of {engine:torch}; auto is cuda if available, else cpu.", choices=DEVICES)
    dtype: Literal["float32", "float64"] = _option("float64", "Floating-point precision.")
    mixed_precision: bool = _option(
        False, "Mixed precision (bfloat16) in training, where it is faster: AMD AVX512-BF16, Intel AMX, CUDA."
    )
    sample_every: int = _option(10_000, "Updates between samples; 0 generates none.", minimum=0)
    sample_length: int = _option(200, "Characters in a sample during training.", minimum=1)
    metrics_every: int = _option(1_000, "Updates between rows of metrics.csv.", minimum=1)
    lines: bool = _option(
        False,
        "Independent lines, such as names or log lines: each starts from the same learned state. Lines are shuffled"
        " every epoch and held out at random.",
    )
    mask: str = _option(
        "",
        "Parts of lines to replace by one symbol each, in training and scoring: timestamps, uuids, ips, paths,"
        " hex, numbers (comma-separated), or all. Requires {lines:True}.",
    )
    mask_regex: str = _option("", r"Regular expression whose matches are replaced, as by {mask}, such as 'job-\d+'.")
    encoding: str = _option("utf-8", "Encoding of the text.")
    keep_crlf: bool = _option(False, r"Keep carriage returns; by default, \r\n and \r are read as \n.")
    field: str = _option("", "Field to read: a key of JSON Lines (.jsonl, .ndjson) or a column of CSV or TSV.")
    min_count: int = _option(
        0,
        "Replace characters that occur less often than this, and unknown characters of later texts, by one unknown"
        " symbol; 0 turns it off.",
        minimum=0,
    )
    max_chars: int | None = _option(
        None,
        "Maximum number of characters of the text; a longer text is sampled in pieces spread evenly. By default"
        " 750,000 per second of {max_seconds}.",
        minimum=1,
    )

    def __post_init__(self) -> None:
        for setting in fields(self):
            object.__setattr__(self, setting.name, check_setting(setting.name, getattr(self, setting.name)))
        if self.validation in ("", "-"):
            raise ElmanError(
                f"{option.validation} must be a fraction, such as 0.1, or a file (got {self.validation!r})"
            )
        for name in NEED_LINES:
            if getattr(self, name) and not self.lines:
                raise ElmanError(f"{option[name]} requires {option.lines:True}")
        for name in NEED_VALIDATION:
            if getattr(self, name) and not self.validation:
                remedy = f"add {option.validation:0.1} or remove {option[name]}"
                raise ElmanError(f"{option[name]} requires a validation set: {remedy}")
        if self.ngram_order == 1:
            raise ElmanError(f"{option.ngram_order} must be 0 or at least 2 (got 1)")
        if self.is_counts_only and not self.ngram_order:
            needed = f"{option.hidden_size:0} requires {option.ngram_order}"
            raise ElmanError(f"{needed}, such as 12: the counts alone predict")
        if self.device != "auto" and not ENGINES[self.engine].has_devices:
            needed = f"{option.device:{self.device}} requires {option.engine:torch}"
            raise ElmanError(f"{needed} (got {option.engine:{self.engine}})")
        for feature, name, none in (("layers", "layers", 1), ("prior", "ngram_order", 0), ("lines", "lines", False)):
            if getattr(self, name) != none:
                require_feature(self.engine, feature, format(option[name], str(getattr(self, name))))
        if self.device == "mps" and self.dtype == "float64":
            raise ElmanError(f"{option.device:mps} has no float64: use {option.dtype:float32} or {option.device:cpu}")

    @property
    def is_counts_only(self) -> bool:
        """Whether the model consists of n-gram counts, without a network: nothing is trained."""
        return not self.hidden_size

    @property
    def chars_per_update(self) -> int:
        """Characters that one update learns from: batch size times sequence length."""
        return self.batch_size * self.seq_length

    @checks_types
    def architecture(self, alphabet: Alphabet) -> Architecture:
        """Return the architecture of a network with these settings and an alphabet."""
        from elman.network.parameters import Architecture  # imports NumPy, which a command's help does not need

        context_length = max(0, self.ngram_order - 1)
        net = Architecture(len(alphabet), self.hidden_size, self.cell, self.layers, context_length)
        return net.for_lines(alphabet) if self.lines else net

    @property
    def validation_fraction(self) -> float:
        """The fraction of the text that is held out; 0 if nothing is held out or the validation set is a file."""
        return 0.0 if isinstance(self.validation, str) else self.validation

    @property
    def validation_file(self) -> str:
        """The absolute path of the validation set; empty if it is not a file."""
        return self.validation if isinstance(self.validation, str) else ""

    def without_paths(self) -> dict[str, Any]:
        """Return the settings for other people: only the name of the validation file, without its path."""
        return asdict(self) | {"validation": os.path.basename(self.validation_file) or self.validation}  # noqa: PTH119

    @property
    def masker(self) -> Masker | None:
        """The masker of the volatile parts of lines; None if nothing is masked."""
        if not self.mask and not self.mask_regex:
            return None
        from elman.text.masks import Masker

        return Masker(self.mask, self.mask_regex)


@cache
def list_types() -> dict[str, Any]:
    """Return the type of every setting."""
    return get_type_hints(Config)


def help_of(name: str) -> str:
    """Return the help of a setting, in which the names of other settings are in braces."""
    help = Config.__dataclass_fields__[name].metadata["help"]
    return str(help() if callable(help) else help)


def choices_of(name: str) -> tuple[str, ...]:
    """Return the choices of a setting; empty if it has none."""
    return tuple(_find_choices(name))


def _find_choices(name: str) -> Collection[str]:
    """Return the choices; a registry finds a name of the core without a search for installed packages."""
    hint, choices = list_types()[name], Config.__dataclass_fields__[name].metadata["choices"]
    return get_args(hint) if get_origin(hint) is Literal else choices


_TYPE_NAMES = {int: "an integer", float: "a number", str: "a string", bool: "True or False", NoneType: "None"}
_LIMITS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "minimum": (operator.ge, "at least {minimum}"),
    "above": (operator.gt, "greater than {above}"),
    "maximum": (operator.le, "at most {maximum}"),
    "below": (operator.lt, "less than {below}, such as {example}"),
}
"""Limit of a number -> the condition of the number and the limit, and the words for it in an error."""


def check_setting(name: str, value: Any) -> Any:
    """Check the type and the range of a setting; return its value as it is stored, see `normalize`."""
    value = normalize(name, value)
    hint, choices = list_types()[name], _find_choices(name)
    limits = Config.__dataclass_fields__[name].metadata["limits"]
    if type(value) is int:
        limits = {"maximum": MAX_INT} | limits
    allowed = _list_alternatives(hint)
    is_too_large = float in allowed and type(value) is int
    if get_origin(hint) is not Literal and not is_too_large and type(value) not in allowed:
        types = " or ".join(map(_TYPE_NAMES.__getitem__, allowed))
        raise ElmanError(f"{option[name]} must be {types} (got {quote(value)})")
    requirement = ""
    if choices != ():  # a test whether a registry is empty would search for the entries of other packages
        requirement = "" if isinstance(value, str) and value in choices else f"one of {', '.join(choices)}"
    elif isinstance(value, float) and not isfinite(value):
        requirement = "a finite number"
    elif isinstance(value, int | float):
        broken = (text for kind, (holds, text) in _LIMITS.items() if kind in limits and not holds(value, limits[kind]))
        requirement = next(broken, "").format_map(limits)
    if requirement:
        raise ElmanError(f"{option[name]} must be {requirement} (got {shorten(value)})")
    return value


def _list_alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if isinstance(hint, UnionType) else (hint,)


def normalize(name: str, value: Any) -> Any:
    """Return a value of a setting as it is stored: Python's own numbers, choices in lower case, absolute paths.

    An integer becomes a float in a setting of type float.
    """
    is_number = type(value) is not bool and isinstance(value, Real)  # for mypy, a bool is not a Real
    if is_number:
        value = int(value) if isinstance(value, Integral) else value
        is_float = float in _list_alternatives(list_types()[name]) or not isinstance(value, int)
        # A larger integer may change as a float, or exceed the largest float.
        return float(value) if is_float and (isinstance(value, float) or abs(value) <= MAX_INT) else value
    if name == "validation" and not isinstance(value, str) and is_path(value):
        return make_absolute(value)
    if not isinstance(value, str) or not value:
        return value
    # The text package imports NumPy, which a command's help does not need.
    if name == "validation":
        from elman.text.sources import locate_source

        return locate_source(value)
    if name in NEED_LINES:
        from elman.text.masks import Masker

        return Masker(value).names if name == "mask" else Masker(regex=value).regex
    return value.lower() if value.lower() in _find_choices(name) else value


LIMITS = frozenset({"epochs", "max_updates", "max_seconds"})
"""Settings that say how long to train."""

TEXT_SETTINGS = frozenset({"encoding", "keep_crlf", "field"})
"""Settings that belong to the files of one text, and do not apply to a network trained on another text."""

FOLLOW_TEXT = frozenset({"lines", "mask", "field", "min_count"})
"""Settings that the text decides if the preset allows it and they are not passed, see `elman.text.kinds`."""

ADJUSTABLE = LIMITS | {"patience", "engine", "device", "mixed_precision"}
"""Settings that may change when a run is resumed."""

NEED_VALIDATION = ("patience", "validate_every")
"""Settings that have no meaning without a validation set."""

NEED_LINES = ("mask", "mask_regex")
"""Settings that have no meaning without independent lines."""

_NO_LIMITS: dict[str, None] = {"max_updates": None, "max_seconds": None}


def make_config(preset: str = "reference", options: Mapping[str, Any] | None = None) -> Config:
    """Return a preset with some of its settings replaced, as by `replace_settings`."""
    return Config(**replace_settings(PRESETS[name_preset(preset)].settings, options or {}))


def replace_settings(settings: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in which options replace the previous values.

    A limit among the options also replaces the time and update limits, and the settings that follow from the time
    limit. A different optimizer gets its own learning rate and betas. Settings that need a validation set or lines are
    left out without them.
    """
    options = check_settings(options)
    result, optimizer = dict(settings), options.get("optimizer")
    if optimizer and optimizer != settings.get("optimizer", Config.optimizer):
        result |= OPTIMIZERS[optimizer].defaults()
    if any(options.get(name) is not None for name in LIMITS):
        derived = choose_text_limits(result["max_seconds"]) if result.get("max_seconds") else {}
        result = {name: value for name, value in result.items() if derived.get(name) != value} | _NO_LIMITS
    result.update(options)
    if not result.get("validation"):
        result |= {name: 0 for name in NEED_VALIDATION if name not in options}
    if not result.get("lines"):
        result |= {name: "" for name in NEED_LINES if name not in options and name in result}
    return result


def config_like(base: Config) -> Config:
    """Return the settings of another run, without those that belong to its text."""
    return replace(base, **{name: getattr(Config, name) for name in TEXT_SETTINGS})


def resume_config(saved: Config, options: Mapping[str, Any]) -> Config:
    """Return the settings of a resumed run; a limit among the options replaces the time and update limits."""
    changes: dict[str, Any] = {**_NO_LIMITS} if any(options.get(name) is not None for name in LIMITS) else {}
    if options.get("engine", saved.engine) != saved.engine:
        changes["device"] = "auto"  # the device of the other engine does not apply
    config = replace(saved, **{**changes, **options})
    kept = {name: getattr(saved, name) for name in options if name not in ADJUSTABLE}
    if changed := {name: value for name, value in kept.items() if getattr(config, name) != value}:
        names = " and ".join(option[name] for name in changed)
        values = "; ".join(f"run: {value}, given: {shorten(getattr(config, name))}" for name, value in changed.items())
        them, new = "it" if len(changed) == 1 else "them", f"{option.like} (its settings) or {option.init_from}"
        remedy = f"remove {them}, or start a new run with {new} (its weights)"
        raise ElmanError(f"cannot change {names} on resume ({values}); {remedy}")
    return config


def check_settings(options: Mapping[str, Any], other_names: Sequence[str] = ()) -> dict[str, Any]:
    """Check the names and the values of settings; return the values as they are stored."""
    check_names(options, other_names)
    return {name: check_setting(name, value) for name, value in options.items()}


def check_names(options: Mapping[str, Any], other_names: Sequence[str] = ()) -> None:
    """Check that options are settings; an error may suggest one of `other_names`, which the caller also accepts."""
    settings = [setting.name for setting in fields(Config)]
    for name in options:
        if name not in settings:  # a key of a dictionary may not be a string
            near = suggest_option(str(name), [*settings, *other_names])
            hint = f"did you mean {near}?" if near else "see help(elman.train) or elman help train"
            raise ElmanError(f"unknown setting {quote(name)}; {hint}")
