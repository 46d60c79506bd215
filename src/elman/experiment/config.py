"""The settings of a run, written once.

A field of `Config` is a command-line option, its default and its help; a key of ``run.json``; and an argument of
`elman.train`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from elman.errors import ElmanError


def _option(default: Any, help: str, *, least: float | None = None, above: float | None = None) -> Any:
    """A field with its help and its range: `least` may be reached, `above` may not."""
    return field(default=default, metadata={"help": help, "least": least, "above": above})


@dataclass(frozen=True)
class Config:
    """How a network is made and trained. The defaults are the reference experiment, preset ``paper``.

    Raises
    ------
    ElmanError
        If a setting is out of its range.
    """

    cell: Literal["rnn"] = _option("rnn", "Recurrent cell; rnn, the vanilla network, is the only one so far.")
    hidden_size: int = _option(100, "Hidden units, m.", least=1)
    layers: Literal[1] = _option(1, "Recurrent layers; one so far.")
    seq_length: int = _option(25, "Characters in one update, T.", least=1)
    batch_size: Literal[1] = _option(1, "Texts read side by side; one so far.")
    optimizer: Literal["adagrad"] = _option("adagrad", "Update rule; AdaGrad is the only one so far.")
    learning_rate: float = _option(0.1, "Step size, eta.", above=0)
    clip: float = _option(5.0, "Limit of every component of the gradient.", above=0)
    init_std: float = _option(0.1, "Standard deviation of the first weights.", least=0)
    epochs: int = _option(10, "Passes over the text.", least=1)
    max_updates: int | None = _option(None, "Stop after this many updates.", least=1)
    max_seconds: float | None = _option(None, "Stop after this many seconds of training.", above=0)
    validation: float = _option(0.0, "Share of the text, at its end, kept aside and scored after every epoch.", least=0)
    random_state: int = _option(400, "Seed of the weights and of the text samples.", least=0)
    engine: Literal["numba", "numpy"] = _option("numba", "Compiled, or the readable reference.")
    dtype: Literal["float32", "float64"] = _option("float32", "Width of all numbers.")
    sample_every: int = _option(10_000, "Updates between text samples; 0 writes none.", least=0)
    sample_length: int = _option(200, "Characters of a text sample.", least=1)
    metrics_every: int = _option(1_000, "Updates between rows of metrics.csv, at most 1000.", least=1)
    encoding: str = _option("utf-8", "Encoding of the text.")

    def __post_init__(self) -> None:
        for setting in fields(self):
            self._check_type(setting.name)
            self._check_choice(setting.name)
            self._check_range(setting.name, setting.metadata["least"], setting.metadata["above"])
        if self.validation >= 1:
            raise ElmanError(f"--validation must be below 1, and {self.validation} came: give a share such as 0.1")
        if self.metrics_every > 1000:
            raise ElmanError(f"--metrics-every must be at most 1000, and {self.metrics_every} came: give less")
        if self.random_state >= 2**32:
            raise ElmanError(f"--random-state must be below 2**32, and {self.random_state} came: give less")

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

PRESETS: dict[str, dict[str, Any]] = {"paper": {}}
"""What each preset changes of the defaults."""


def flag(name: str) -> str:
    """Return the command-line option of a setting."""
    return "--" + name.replace("_", "-")


def make_config(preset: str = "paper", options: dict[str, Any] | None = None) -> Config:
    """Return a preset with the given settings in place of its own.

    Raises
    ------
    ElmanError
        If the preset or a setting is unknown, or a setting is out of its range.
    """
    if preset not in PRESETS:
        raise ElmanError(f"there is no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    known = [setting.name for setting in fields(Config)]
    for name in options or {}:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"the settings are {', '.join(known)}"
            raise ElmanError(f"there is no setting {name!r}: {hint}")
    return Config(**PRESETS[preset] | (options or {}))
