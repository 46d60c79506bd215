"""The settings of a run, written once.

A field of `Config` is a command-line option, its default and its help; a key of ``run.json``; and an argument of
`elman.train`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from elman.errors import ElmanError
from elman.presets import PRESETS


def _option(default: Any, help: str, *, least: float | None = None, above: float | None = None) -> Any:
    """A field with its help and its range: `least` may be reached, `above` may not."""
    return field(default=default, metadata={"help": help, "least": least, "above": above})


def _share(default: float, help: str, example: float) -> Any:
    """A field from 0 to below 1."""
    return field(default=default, metadata={"help": help, "least": 0, "above": None, "example": example})


@dataclass(frozen=True)
class Config:
    """How a network is made and trained. The defaults are the reference experiment, preset ``paper``.

    Raises
    ------
    ElmanError
        If a setting is out of its range, or does not go with another.
    """

    cell: Literal["rnn", "gru", "lstm"] = _option("rnn", "Recurrent cell; rnn is the vanilla network.")
    hidden_size: int = _option(100, "Hidden units of a layer, m.", least=1)
    layers: int = _option(1, "Recurrent layers, one upon the other.", least=1)
    seq_length: int = _option(25, "Characters of each stream in one update, T.", least=1)
    batch_size: int = _option(1, "Streams that the text is cut into and read side by side, B.", least=1)
    optimizer: Literal["adagrad", "rmsprop", "adam", "adamw", "sgd"] = _option("adagrad", "Update rule.")
    learning_rate: float = _option(0.1, "Step size, eta; with a schedule its largest.", above=0)
    schedule: Literal["constant", "cosine", "step"] = _option(
        "constant", "Step size over the run: the same; cosine, down to --final-rate; step, a tenth from half of it on."
    )
    final_rate: float = _share(0.0, "Share of the step size that a cosine comes down to.", 0.1)
    warmup: int = _option(0, "Updates over which the step size rises at first.", least=0)
    clip: float = _option(5.0, "Limit of the gradient.", above=0)
    clip_by: Literal["value", "norm"] = _option("value", "What the limit holds for: every component, or all together.")
    beta1: float = _share(0.9, "Share of the momentum that adam, adamw and sgd keep.", 0.9)
    beta2: float = _share(0.999, "Share of the mean square that adam, adamw and rmsprop keep.", 0.999)
    weight_decay: float = _option(0.0, "Pull of the weights towards 0.", least=0)
    averaging: float = _share(0.0, "Share that the average of the weights, which is then what is used, keeps.", 0.999)
    dropout: float = _share(0.0, "Share of the units of a layer that are not handed on while it trains.", 0.4)
    dropout_kind: Literal["variational", "plain"] = _option(
        "variational", "Which units: the same throughout a window, or others at every character."
    )
    init: Literal["normal", "orthogonal"] = _option("normal", "First weights: all normal, or the recurrent orthogonal.")
    init_std: float = _option(0.1, "Standard deviation of the first weights.", least=0)
    epochs: int = _option(10, "Passes over the text.", least=1)
    max_updates: int | None = _option(None, "Stop after this many updates.", least=1)
    max_seconds: float | None = _option(
        None, "Stop after this many seconds of updates; a schedule then ends there.", above=0
    )
    validation: float = _share(0.0, "Share of the text, at its end, kept aside and scored; the best is kept.", 0.1)
    validate_every: int = _option(0, "Updates between scores of what is kept aside; 0: every epoch.", least=0)
    patience: int = _option(0, "Stop after this many scores without a better one; 0 never.", least=0)
    random_state: int = _option(400, "Seed of the weights, of dropout and of the text samples.", least=0)
    engine: Literal["numba", "numpy"] = _option("numba", "Compiled, or the readable reference.")
    dtype: Literal["float32", "float64"] = _option("float32", "Width of all numbers.")
    sample_every: int = _option(10_000, "Updates between text samples; 0 writes none.", least=0)
    sample_length: int = _option(200, "Characters of a text sample.", least=1)
    metrics_every: int = _option(1_000, "Updates between rows of metrics.csv, at most 1000.", least=1)
    encoding: str = _option("utf-8", "Encoding of the text.")
    rare: int = _option(
        0, "Fold characters that occur fewer times than this, and any met later, into one; 0 refuses those.", least=0
    )

    def __post_init__(self) -> None:
        for setting in fields(self):
            self._check_type(setting.name)
            self._check_choice(setting.name)
            self._check_range(setting.name, setting.metadata["least"], setting.metadata["above"])
            self._check_share(setting.name, setting.metadata.get("example"))
        if self.metrics_every > 1000:
            raise ElmanError(f"--metrics-every must be at most 1000, and {self.metrics_every} came: give less")
        if self.random_state >= 2**32:
            raise ElmanError(f"--random-state must be below 2**32, and {self.random_state} came: give less")
        for name in NEED_VALIDATION:
            if getattr(self, name) and not self.validation:
                raise ElmanError(
                    f"{flag(name)} needs a text kept aside, and {flag(name)} {getattr(self, name)} came with none: "
                    f"give --validation 0.1 as well, or leave {flag(name)} out"
                )

    @property
    def chars_per_update(self) -> int:
        """Characters that one update learns from, B T."""
        return self.batch_size * self.seq_length

    def _check_choice(self, name: str) -> None:
        choices, value = _choices().get(name), getattr(self, name)
        if choices and value not in choices:
            named = " or ".join(str(choice) for choice in choices)
            raise ElmanError(f"{flag(name)} must be {named}, and {value} came: give one of them")

    def _check_range(self, name: str, least: float | None, above: float | None) -> None:
        value = getattr(self, name)
        if value is None or (least is None and above is None):
            return
        finite = abs(value) < float("inf")  # false for nan as well
        if finite and (least is None or value >= least) and (above is None or value > above):
            return
        needed = f"{least} or more" if least is not None else f"above {above}"
        needed += " and finite" if value == float("inf") else ""
        raise ElmanError(f"{flag(name)} must be {needed}, and {value} came: give a number in that range")

    def _check_share(self, name: str, example: float | None) -> None:
        value = getattr(self, name)
        if example is not None and value >= 1:
            raise ElmanError(f"{flag(name)} must be below 1, and {value} came: give a share such as {example}")

    def _check_type(self, name: str) -> None:
        hint, value = _hints()[name], getattr(self, name)
        allowed = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        if get_origin(hint) is Literal or (float in allowed and type(value) is int) or type(value) in allowed:
            return
        names = " or ".join(
            {"int": "a whole number", "float": "a number", "str": "text"}.get(t.__name__, "None") for t in allowed
        )
        raise ElmanError(f"{flag(name)} must be {names}, and {value!r} came: give one")

    def as_dict(self) -> dict[str, Any]:
        """Return the settings by name."""
        return asdict(self)


@cache
def _hints() -> dict[str, Any]:
    """The type of each setting."""
    return get_type_hints(Config)


@cache
def _choices() -> dict[str, tuple[Any, ...]]:
    """The values of each setting that has a list of them."""
    return {name: get_args(hint) for name, hint in _hints().items() if get_origin(hint) is Literal}


LIMITS = frozenset({"epochs", "max_updates", "max_seconds"})
"""Settings that say how long to train: a run may go on with others."""

ADJUSTABLE = LIMITS | {"patience"}
"""Settings that a run may go on with others of."""

NEED_VALIDATION = ("patience", "validate_every")
"""Settings that mean nothing where no text is kept aside."""


def flag(name: str) -> str:
    """Return the command-line option of a setting."""
    return "--" + name.replace("_", "-")


def make_config(preset: str = "paper", options: Mapping[str, Any] | None = None) -> Config:
    """Return a preset with the given settings in place of its own.

    A limit that is given takes the place of all that the preset has, but for its epochs.

    Raises
    ------
    ElmanError
        If the preset or a setting is unknown, or a setting is out of its range.
    """
    options = options or {}
    refuse_unknown(preset, options)
    settings = dict(PRESETS[preset].settings)
    if LIMITS & options.keys():
        lift_limits(settings)
    settings |= options
    if not settings.get("validation"):
        for name in set(NEED_VALIDATION) - options.keys():
            settings.pop(name, None)
    return Config(**settings)


def lift_limits(settings: dict[str, Any]) -> None:
    """Take away the limits that would end a run before the one that is asked for."""
    settings |= {"max_updates": None, "max_seconds": None}


def refuse_unknown(preset: str, options: Mapping[str, Any]) -> None:
    """Refuse a preset or a setting that there is not.

    Raises
    ------
    ElmanError
        If there is one.
    """
    if preset not in PRESETS:
        raise ElmanError(f"there is no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    known = [setting.name for setting in fields(Config)]
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"the settings are {', '.join(known)}"
            raise ElmanError(f"there is no setting {name!r}: {hint}")
