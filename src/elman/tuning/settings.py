"""The settings of a sweep: what every trial shares, and what identifies the study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from elman._version import __version__
from elman.config import make_config
from elman.errors import ElmanError, quote, shorten
from elman.tuning.space import Dimension, Space, default_space, grid_size

Sampler = Literal["tpe", "random", "grid"]
Pruner = Literal["halving", "none"]
VALIDATION = 0.1
"""The fraction held out where neither the preset nor an option says so: a sweep compares validation losses."""


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

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values, see `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SweepSettings:
        """Return the settings that `as_dict` described."""
        space = tuple(Dimension(**each | {"choices": tuple(each["choices"])}) for each in values["space"])
        return cls(**values | {"space": space})


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
