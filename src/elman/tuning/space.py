"""The settings of a sweep, and its search space: which settings it varies, and over which values.

A space is a TOML file with one key per setting of `elman.Config`: a list of choices, or a table with ``low`` and
``high`` and perhaps ``log`` or ``step``::

    cell = ["gru", "lstm"]
    hidden_size = {low = 64, high = 512, log = true}
    dropout = {low = 0.0, high = 0.5}
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from elman._version import __version__
from elman.config import Config, check_names, make_config
from elman.errors import ElmanError, flag, quote, shorten
from elman.storage.untrusted import MAX_INT

Value = str | int | float | bool
Space = tuple["Dimension", ...]
Sampler = Literal["tpe", "random", "grid"]
Pruner = Literal["halving", "none"]
VALIDATION = 0.1
"""The fraction held out where neither the preset nor an option says so: a sweep compares validation losses."""

NOT_VARIED = {
    "validation": "trials would be compared on different texts",
    "encoding": "trials would be compared on different texts",
    "min_count": "losses with different alphabets cannot be compared",
}
"""Settings that a space may not contain, and why."""

MAX_GRID = 100_000
"""Points of a grid, at most."""

_RANGE_KEYS = ("low", "high", "log", "step")


@dataclass(frozen=True)
class Dimension:
    """A setting that a sweep varies: over `choices`, or over a range if there are none.

    Parameters
    ----------
    name : str
    choices : tuple
    low, high : int or float
        The ends of the range, both included.
    log : bool
        Whether values are drawn uniformly on a logarithmic scale.
    step : int, float or None
        The distance between the values of a range; integers have a step of 1 unless `log`.
    """

    name: str
    choices: tuple[Value, ...] = ()
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None

    @property
    def is_integer(self) -> bool:
        """Whether the values of the range are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def size(self) -> int:
        """The number of values; 0 of a continuous or logarithmic range."""
        if self.choices:
            return len(self.choices)
        return 0 if self.log or self.step is None else _count_steps(self.low, self.high, self.step) + 1

    @property
    def values(self) -> list[Value]:
        """The values that `size` counts."""
        return [*self.choices] or [self.low + place * (self.step or 0) for place in range(self.size)]

    def as_dict(self) -> list[Value] | dict[str, Any]:
        """Return it as in the TOML file."""
        if self.choices:
            return list(self.choices)
        step = {} if self.step is None else {"step": self.step}
        return {"low": self.low, "high": self.high, "log": self.log} | step


@dataclass(frozen=True)
class SweepSettings:
    """The settings of a sweep.

    Parameters
    ----------
    corpus : str
        File or built-in text.
    preset : str
    options : dict
        Settings that all trials share.
    space : tuple of Dimension
    sampler, pruner : str
    seed : int
        Of the sampler.
    """

    corpus: str
    preset: str
    options: dict[str, Any]
    space: Space
    sampler: Sampler
    pruner: Pruner
    seed: int

    def trial_options(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of the training of a trial."""
        return self.options | dict(values)

    def identity(self, corpus_sha256: str) -> dict[str, Any]:
        """Return what all invocations of one sweep must have in common."""
        return {
            "version of Elman": __version__,
            "text": corpus_sha256,
            "preset": self.preset,
            "options": self.options,
            "search space": {each.name: each.as_dict() for each in self.space},
            "sampler": self.sampler,
            "sampler seed": self.seed,
            "pruner": self.pruner,
        }

    def limit_trials(self, trials: int) -> int:
        """Return the number of trials: of a grid, at most one per point."""
        return min(trials, grid_size(self.space)) if self.sampler == "grid" else trials


def create_settings(settings: SweepSettings, given_space: Space | None) -> SweepSettings:
    """Return valid settings: with a validation set, and with the default space where none is given.

    Raises
    ------
    ElmanError
        If one is invalid.
    """
    for name, value, choices in (
        ("--sampler", settings.sampler, get_args(Sampler)),
        ("--pruner", settings.pruner, get_args(Pruner)),
    ):
        if value not in choices:
            raise ElmanError(f"{name} must be one of {', '.join(choices)} (got {quote(value)})")
    if not 0 <= settings.seed < 2**32:
        raise ElmanError(f"--sampler-seed must be from 0 to {2**32 - 1} (got {shorten(settings.seed)})")
    options = settings.options
    if not make_config(settings.preset, {"validation": VALIDATION} | options).validation:
        raise ElmanError("a sweep compares validation losses: --validation must be greater than 0 (got 0)")
    if not make_config(settings.preset).validation:
        options = {"validation": VALIDATION} | options
    space = given_space or default_space(settings.preset, options)
    if not space:
        raise ElmanError("the options fix every setting of the default search space: pass --space")
    complete = replace(settings, options=options, space=space)
    complete.limit_trials(1)  # rejects a space that has no grid
    return complete


def grid_size(space: Space) -> int:
    """Return the number of points of the grid.

    Raises
    ------
    ElmanError
        If a range has no step, or there are too many points.
    """
    for each in space:
        if not each.size:
            raise ElmanError(
                f"--sampler grid needs choices or a step for {each.name} (got a {'log ' if each.log else ''}range)"
            )
    size = math.prod(each.size for each in space)
    if size > MAX_GRID:
        raise ElmanError(f"--sampler grid must have at most {MAX_GRID:,} points (got {shorten(f'{size:,}')})")
    return size


def default_space(preset: str, options: Mapping[str, Any]) -> Space:
    """Return the space around a preset: learning rate, sizes, dropout, and the n-gram discount where there is a prior.

    Settings among `options` are fixed, and not in the space.
    """
    config = make_config(preset, options)

    def multiples(name: str, *factors: float) -> Dimension:
        value = getattr(config, name)
        return Dimension(name, tuple(dict.fromkeys(max(1, round(value * factor)) for factor in factors)))

    rate = config.learning_rate
    space = [
        Dimension("learning_rate", low=rate / 4, high=rate * 4, log=True),
        multiples("hidden_size", 0.5, 0.75, 1, 1.5),
        multiples("batch_size", 0.5, 1, 2),
        multiples("seq_length", 0.5, 1, 2),
        Dimension("dropout", low=0.0, high=0.5),
    ]
    if config.ngram_order:
        space.append(Dimension("ngram_discount", low=0.5, high=0.95))
    return tuple(each for each in space if each.name not in options)


def read_space(path: Path, preset: str, options: Mapping[str, Any]) -> Space:
    """Read a space from a TOML file.

    Raises
    ------
    ElmanError
        If it cannot be read, or is invalid.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ElmanError(f"cannot read {quote(path)} ({error.strerror})") from None
    except ValueError as error:  # not UTF-8, or not TOML
        raise ElmanError(f"{quote(path)} is not a TOML file ({error})") from None
    return parse_space(table, preset, options)


def parse_space(table: Mapping[str, Any], preset: str, options: Mapping[str, Any]) -> Space:
    """Return the space that a table describes.

    Parameters
    ----------
    table : mapping
        Setting -> list of choices, or table with low, high, log and step.
    preset, options
        The settings of every trial, with which each value must be compatible.

    Raises
    ------
    ElmanError
        If it is invalid; the message has every mistake.
    """
    space, mistakes = [], list[str]()
    for name, values in table.items():
        try:
            dimension = _parse_dimension(name, values, options)
        except ElmanError as error:
            mistakes.append(str(error))
            continue
        values = dimension.choices or (dimension.low, dimension.high)
        found = [_find_problem(name, value, preset, options) for value in values]
        mistakes += dict.fromkeys(filter(None, found))
        space.append(dimension)
    if mistakes or not space:
        message = "; ".join(mistakes) or "the search space is empty; list at least one setting"
        raise ElmanError(" ".join(message.split()))  # a value may contain a line feed
    return tuple(space)


def _find_problem(name: str, value: Value, preset: str, options: Mapping[str, Any]) -> str:
    """Return what is wrong with a value; empty if it is valid."""
    try:
        make_config(preset, {"validation": 0.1, **options, name: value})
    except ElmanError as error:
        return f"space: {error}"
    return ""


def _parse_dimension(name: str, values: Any, options: Mapping[str, Any]) -> Dimension:
    try:
        check_names({name: values})
    except ElmanError as error:
        raise ElmanError(f"space: {error}") from None
    if name in NOT_VARIED:
        raise ElmanError(f"space: {name} cannot be varied: {NOT_VARIED[name]}")
    if name in options:
        raise ElmanError(f"space: {name} is also fixed by {flag(name)}; remove one of them")
    if isinstance(values, list):
        return _parse_choices(name, values)
    if isinstance(values, dict):
        return _parse_range(name, values)
    raise ElmanError(f"space: {name} must be a list of choices or a table with low and high (got {quote(values)})")


def _parse_choices(name: str, values: list[Any]) -> Dimension:
    if not values:
        raise ElmanError(f"space: {name} has no choices")
    for value in values:
        if not isinstance(value, Value):
            raise ElmanError(f"space: the choices of {name} must be numbers or strings (got {quote(value)})")
    if len(set(values)) < len(values):
        raise ElmanError(f"space: a choice of {name} is listed twice (got {quote(values)})")
    return Dimension(name, tuple(values))


def _parse_range(name: str, values: dict[str, Any]) -> Dimension:
    if unknown := [key for key in values if key not in _RANGE_KEYS]:
        raise ElmanError(f"space: {name} has the unknown key {quote(unknown[0])}; a range has low, high, log and step")
    if missing := [key for key in ("low", "high") if key not in values]:
        raise ElmanError(f"space: the range of {name} has no {missing[0]}")
    low, high, log, step = (values.get(key) for key in ("low", "high", "log", "step"))
    for key, value in values.items():
        if key != "log" and not _is_number(value):
            raise ElmanError(f"space: {key} of {name} must be a number (got {quote(value)})")
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    if type(log or False) is not bool:
        raise ElmanError(f"space: log of {name} must be true or false (got {quote(log)})")
    if low >= high:
        raise ElmanError(f"space: the range of {name} is empty (low {shorten(low)}, high {shorten(high)})")
    if log and (low <= 0 or step is not None):
        problem = f"low > 0 (got {shorten(low)})" if low <= 0 else "no step"
        raise ElmanError(f"space: the log range of {name} requires {problem}")
    if step is not None and not 0 < step <= high - low:
        raise ElmanError(f"space: step of {name} must be from 0 to high - low (got {shorten(step)})")
    if step is not None and (high - low) / step > MAX_INT:
        raise ElmanError(f"space: step of {name} is too small (got {shorten(step)})")
    return _make_range(name, low, high, bool(log), step)


def _is_number(value: Any) -> bool:
    """Return whether a value is a number that arithmetic in float64 does not change or overflow."""
    return type(value) in (int, float) and abs(value) <= MAX_INT


def _make_range(name: str, low: float, high: float, log: bool, step: float | None) -> Dimension:
    """Return a range: of integers, if the setting is one; 0 and 1 are floats for the others."""
    integer = type(getattr(Config(), name)) is int or name == "max_updates"
    for value in (low, high, step):
        if integer and value is not None and type(value) is not int:
            raise ElmanError(f"space: the range of {name} must have integers (got {shorten(value)})")
    if integer and not log and step is None:
        step = 1
    if step is not None:
        high = low + _count_steps(low, high, step) * step
    if not integer:
        low, high, step = float(low), float(high), None if step is None else float(step)
    return Dimension(name, low=low, high=high, log=log, step=step)


def _count_steps(low: float, high: float, step: float) -> int:
    """Return how many steps fit between two numbers, but for rounding."""
    return int((high - low) / step + 1e-9)
