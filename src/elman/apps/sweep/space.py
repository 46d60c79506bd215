"""The settings of a sweep, and its search space: which settings it varies, and over which values.

A space is a table with one key per setting of `elman.Config`, in a TOML file or in Python: a list of choices, or a
table with ``low`` and ``high``, which are included, and perhaps ``log`` or ``step``::

    cell = ["gru", "lstm"]
    hidden_size = {low = 64, high = 512, log = true}
    dropout = {low = 0.0, high = 0.5}
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

from elman._version import __version__
from elman.config import Config, check_names, make_config
from elman.errors import ElmanError, option, quote, shorten
from elman.presets import PRESETS, name_preset
from elman.storage import MAX_INT, read_toml, safe_message

if TYPE_CHECKING:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    Distribution = CategoricalDistribution | FloatDistribution | IntDistribution

Space = dict[str, Any]
"""Setting -> list of choices, or table of a range."""
Sampler = Literal["tpe", "random", "grid"]
Pruner = Literal["halving", "none"]
VALIDATION = 0.1
"""The fraction held out where neither the preset nor an option says so: a sweep compares validation losses."""

NOT_VARIED = {
    **dict.fromkeys(
        (
            *("validation", "validation_chars", "encoding", "keep_crlf", "field"),
            *("lines", "mask", "mask_regex", "max_chars"),
        ),
        "trials would be compared on different texts",
    ),
    "min_count": "losses with different alphabets cannot be compared",
}
"""Settings that a space may not contain, and why."""

MAX_GRID = 100_000
"""Points of a grid, at most."""


@dataclass(frozen=True)
class SweepSettings:
    """The settings of a sweep."""

    corpus: str
    """A file or a built-in text."""
    preset: str
    options: dict[str, Any]
    """The settings that all trials share."""
    space: Space
    sampler: Sampler
    pruner: Pruner
    seed: int
    """Of the sampler."""

    def identity(self, corpus_sha256: str) -> dict[str, Any]:
        """Return what all invocations of one sweep must have in common."""
        made_with = {"version of Elman": __version__, "text": corpus_sha256, "preset": self.preset}
        search = {"sampler": self.sampler, "sampler seed": self.seed, "pruner": self.pruner}
        spaces = {f"search space: {name}": values for name, values in self.space.items()}
        return made_with | search | self.options | spaces

    def limit_trials(self, trials: int) -> int:
        """Return the number of trials: of a grid, at most one per point."""
        return min(trials, math.prod(map(len, create_grid(self.space).values()))) if self.sampler == "grid" else trials


@dataclass(frozen=True)
class SweepPlan:
    """A sweep, as each of its processes knows it."""

    settings: SweepSettings
    directory: Path
    trials: int
    """Their number, on all machines."""
    workers: int
    storage: str | None = None
    """The URL of a database; None for a journal in the directory."""
    study: str | None = None
    """The name of the study; by default that of the directory."""
    corpus_sha256: str = ""
    """That of the text when the sweep began."""


def create_settings(
    corpus: str,
    preset: str,
    options: Mapping[str, Any],
    space: str | os.PathLike[str] | Mapping[str, Any] | None,
    sampler: Sampler,
    pruner: Pruner,
    seed: int,
) -> SweepSettings:
    """Return valid settings: with a validation set, and with the default space where none is given."""
    for name, value, choices in (("sampler", sampler, get_args(Sampler)), ("pruner", pruner, get_args(Pruner))):
        if value not in choices:
            raise ElmanError(f"{option[name]} must be one of {', '.join(choices)} (got {quote(value)})")
    if not 0 <= seed < 2**32:
        raise ElmanError(f"{option.sampler_seed} must be from 0 to {2**32 - 1} (got {shorten(seed)})")
    fixed = dict(options) if make_config(preset).validation else {"validation": VALIDATION} | dict(options)
    if not make_config(preset, fixed).validation:
        raise ElmanError(f"a sweep compares validation losses: {option.validation} must be greater than 0 (got 0)")
    if space is None:
        table = default_space(preset, fixed)
    else:
        table = dict(space) if isinstance(space, Mapping) else read_toml(Path(space))
    if "hidden_size" not in {*table, *fixed} and PRESETS[name_preset(preset)].has_recipe:
        # A recipe would choose it by the speed that each trial measures beside the others.
        fixed["hidden_size"] = make_config(preset).hidden_size
    settings = SweepSettings(corpus, preset, fixed, parse_space(table, preset, fixed), sampler, pruner, seed)
    settings.limit_trials(1)  # rejects a space that has no grid
    return settings


def default_space(preset: str, options: Mapping[str, Any]) -> Space:
    """Return the space around a preset: learning rate, sizes and dropout; of counts alone, what they count.

    Settings among `options` are fixed, and not in the space.
    """
    config = make_config(preset, options)

    def multiples(size: int, *factors: float) -> list[int]:
        return list(dict.fromkeys(max(1, round(size * factor)) for factor in factors))

    space: Space = {
        "learning_rate": {"low": config.learning_rate / 4, "high": config.learning_rate * 4, "log": True},
        "hidden_size": multiples(config.hidden_size, 0.5, 0.75, 1, 1.5),
        "batch_size": multiples(config.batch_size, 0.5, 1, 2),
        "seq_length": multiples(config.seq_length, 0.5, 1, 2),
        "dropout": {"low": 0.0, "high": 0.5},
    }
    if config.is_counts_only:  # a count of 1 would store the text
        space = {"ngram_order": {"low": 2, "high": 15}, "ngram_min_count": {"low": 2, "high": 5}}
    return {name: values for name, values in space.items() if name not in options}


def parse_space(table: Mapping[str, Any], preset: str, options: Mapping[str, Any]) -> Space:
    """Return the space of a table, with the values as they are stored in a configuration.

    Each value must be compatible with the preset and the options. An error has the mistakes of all settings.
    """
    space, mistakes = Space(), list[str]()
    for name, values in table.items():
        try:
            space[name] = _parse_values(name, values, preset, options)
        except ElmanError as error:
            mistakes.append(f"space: {error}")
    if mistakes or not space:
        message = "; ".join(mistakes) or f"the search space is empty: pass {option.space} with at least one setting"
        raise ElmanError(" ".join(message.split()))  # a value may contain a line feed
    return space


def _parse_values(name: str, values: Any, preset: str, options: Mapping[str, Any]) -> Any:
    """Return the choices of a setting, or the table of its range."""
    check_names({name: values})
    fixed = make_config(preset, options)
    if name in NOT_VARIED:
        raise ElmanError(f"{name} cannot be varied: {NOT_VARIED[name]}")
    if name == "seed" and fixed.lines and not fixed.validation_file:
        remedy = f"pass {option.validation:FILE}"
        raise ElmanError(f"seed cannot be varied: it chooses the lines of the validation set; {remedy}")
    if name in options:
        raise ElmanError(f"{name} is also fixed by {option[name]}; remove one of them")

    def parse(value: Any) -> Any:
        parsed = getattr(make_config(preset, {**options, name: value}), name)
        if isinstance(parsed, int | float) and abs(parsed) > MAX_INT:
            raise ElmanError(f"{name} must be at most {MAX_INT} (got {shorten(value)})")
        return parsed

    if isinstance(values, list) and values:
        return [parse(value) for value in values]
    if not (isinstance(values, dict) and {"low", "high"} <= values.keys() <= {"low", "high", "log", "step"}):
        raise ElmanError(
            f"{name} must be a list of choices, or a table with low and high and perhaps log or step (got"
            f" {quote(values)})"
        )
    parsed = values | {"low": parse(values["low"]), "high": parse(values["high"])}
    create_distribution(name, parsed)
    return parsed


def create_distribution(name: str, values: Any) -> Distribution:
    """Return the values of a setting as Optuna's distribution, which rejects invalid ranges."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(values, list):
        return CategoricalDistribution(values)
    hint = get_type_hints(Config)[name]
    kind = FloatDistribution if float in (hint, *get_args(hint)) else IntDistribution
    try:
        for key, value in values.items():
            expected = bool if key == "log" else float if kind is FloatDistribution else int
            if type(value) is not expected and (type(value), expected) != (int, float):
                raise TypeError(f"{key} must be of type {expected.__name__}, but got {value!r}")
        with warnings.catch_warnings(action="ignore"):  # a range whose end is no step ends at the last step
            return kind(**values)
    except (ArithmeticError, TypeError, ValueError) as error:
        problem = "step is out of range" if isinstance(error, ArithmeticError) else safe_message(error)
        raise ElmanError(f"the range of {name} is not valid ({problem})") from None


def create_grid(space: Space) -> dict[str, list[Any]]:
    """Return the values of every setting in the grid; reject ranges without a step, and too many points."""
    grid = dict[str, list[Any]]()
    for name, values in space.items():
        if isinstance(values, list):
            grid[name] = values
            continue
        each: Any = create_distribution(name, values)
        if each.log or each.step is None:
            kind = "log range" if each.log else "range"
            raise ElmanError(f"{option.sampler:grid} needs choices or a step for {name} (got a {kind})")
        steps = range(min(MAX_GRID, round((each.high - each.low) / each.step)) + 1)
        grid[name] = [min(each.high, each.low + n * each.step) for n in steps]
    if math.prod(map(len, grid.values())) > MAX_GRID:
        raise ElmanError(f"{option.sampler:grid} must have at most {MAX_GRID:,} points")
    return grid
