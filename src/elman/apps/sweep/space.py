"""The settings of a sweep, and its search space: the settings that it varies, and their values.

A space is a table with one key per setting of `elman.Config`, in a TOML file or in Python: a list of choices, or a
table with ``low`` and ``high``, which are included, and optionally ``log`` or ``step``::

    cell = ["gru", "lstm"]
    hidden_size = {low = 64, high = 512, log = true}
    dropout = {low = 0.0, high = 0.5}
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

from elman._version import __version__
from elman.config import Config, check_names, make_config
from elman.errors import MAX_INT, ElmanError, option, quote, shorten
from elman.recipe import PRESETS, name_preset
from elman.storage import safe_message

if TYPE_CHECKING:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    Distribution = CategoricalDistribution | FloatDistribution | IntDistribution

Space = dict[str, Any]  # setting -> list of choices, or table of a range
Sampler = Literal["tpe", "random", "grid"]
Pruner = Literal["halving", "none"]
VALIDATION = 0.1
"""The fraction held out if neither the preset nor an option sets it: a sweep compares validation losses."""
NOT_VARIED = {"validation", "validation_chars", "encoding", "keep_crlf", "field", "lines", "mask", "mask_regex"}
NOT_VARIED |= {"max_chars", "min_count"}
"""Settings that choose the text or the alphabet: losses could not be compared."""
MAX_GRID = 100_000  # maximum number of points of a grid


@dataclass(frozen=True)
class SweepSettings:
    """A sweep: its search space, its method and its directory."""

    corpus: str  # a file or a built-in text
    preset: str
    options: dict[str, Any]  # the settings that all trials share
    space: Space
    directory: Path
    trials: int | None  # number of trials; None for as many as fit in the time
    total_seconds: float | None = None  # seconds for all trials in this call
    workers: int = 1
    sampler: Sampler = "tpe"
    pruner: Pruner = "halving"
    seed: int = 0  # seed of the sampler

    def identity(self, corpus_sha256: str) -> dict[str, Any]:
        """Return the values that must be equal in all invocations of one sweep."""
        made_with = {"version of Elman": __version__, "text": corpus_sha256, "preset": self.preset}
        search = {"sampler": self.sampler, "sampler seed": self.seed, "pruner": self.pruner}
        return made_with | search | self.options | {f"search space: {name}": each for name, each in self.space.items()}


def fix_options(preset: str, options: Mapping[str, Any], space: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the settings that all trials share: the options, and settings that a comparison of trials needs."""
    fixed = dict(options) if make_config(preset).validation else {"validation": VALIDATION} | dict(options)
    if not make_config(preset, fixed).validation:
        raise ElmanError(f"a sweep compares validation losses: {option.validation} must be greater than 0 (got 0)")
    varies_size = space is None or "hidden_size" in space
    if not varies_size and "hidden_size" not in fixed and PRESETS[name_preset(preset)].budget:
        # A recipe would choose it by the speed that each trial measures while other trials run.
        fixed["hidden_size"] = make_config(preset).hidden_size
    return fixed


def default_space(preset: str, options: Mapping[str, Any]) -> Space:
    """Return the space around a preset: learning rate, sizes and dropout; for counts alone, their settings."""
    # Settings among `options` are fixed, and not in the space.
    config = make_config(preset, options)

    def multiples(size: int, *factors: float) -> list[int]:
        return list(dict.fromkeys(max(1, round(size * factor)) for factor in factors))

    if config.is_counts_only:  # a count of 1 would store the text
        space: Space = {"ngram_order": {"low": 3, "high": 16}, "ngram_min_count": {"low": 2, "high": 5}}
    else:
        rate = config.learning_rate
        space = {"learning_rate": {"low": rate / 4, "high": rate * 4, "log": True}}
        space["hidden_size"] = multiples(config.hidden_size, 0.5, 0.75, 1, 1.5)
        space["batch_size"] = multiples(config.batch_size, 0.5, 1, 2)
        space["seq_length"] = multiples(config.seq_length, 0.5, 1, 2)
        space["dropout"] = {"low": 0.0, "high": 0.5}
    return {name: values for name, values in space.items() if name not in options}


def parse_space(table: Mapping[str, Any] | None, preset: str, options: Mapping[str, Any]) -> Space:
    """Return the space of a table, by default the space around the preset, with normalized values."""
    table = default_space(preset, options) if table is None else table
    if not table:
        raise ElmanError(f"the search space is empty: pass {option.space} with at least one setting")
    try:
        return {name: _parse_values(name, values, preset, options) for name, values in table.items()}
    except ElmanError as error:
        raise ElmanError(" ".join(f"space: {error}".split())) from None  # a value may contain a line feed


def _parse_values(name: str, values: Any, preset: str, options: Mapping[str, Any]) -> Any:
    """Return the choices of a setting, or the table of its range."""
    check_names({name: values})
    fixed = make_config(preset, options)
    if name in NOT_VARIED:
        raise ElmanError(f"{name} cannot be varied: losses on different texts or alphabets cannot be compared")
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
    is_range = isinstance(values, dict) and {"low", "high"} <= values.keys() <= {"low", "high", "log", "step"}
    is_step = is_range and type(step := values.get("step", 1)) in (int, float) and math.isfinite(step)
    if not is_step or type(values.get("log", False)) is not bool:
        expected = "a list of choices, or a table with low and high and optionally log or step"
        raise ElmanError(f"{name} must be {expected} (got {quote(values)})")
    parsed = values | {"low": parse(values["low"]), "high": parse(values["high"])}
    if isinstance(parsed["low"], bool):
        raise ElmanError(f"{name} is true or false, which has no range: pass [true, false]")
    if not is_fractional(name) and isinstance(values.get("step", 1), float):
        raise ElmanError(f"the step of {name} must be an integer (got {shorten(values['step'])})")
    create_distribution(name, parsed)
    return parsed


def create_distribution(name: str, values: Any) -> Distribution:
    """Return the values of a setting as Optuna's distribution, which rejects invalid ranges."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(values, list):
        return CategoricalDistribution(values)
    kind = FloatDistribution if is_fractional(name) else IntDistribution
    try:
        with warnings.catch_warnings(action="ignore"):  # a range whose end is not a step ends at the last step
            return kind(**values)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise ElmanError(f"the range of {name} is not valid ({safe_message(error)})") from None


def is_fractional(name: str) -> bool:
    """Return whether a setting may be a number that is not an integer."""
    hint = get_type_hints(Config)[name]
    return float in (hint, *get_args(hint))


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
