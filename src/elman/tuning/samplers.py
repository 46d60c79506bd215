"""Samplers: how the values of a trial are chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, Trial

from elman.tuning.settings import SweepSettings
from elman.tuning.space import Dimension, Value, draw_grid, draw_random

_DRAWS = {"random": draw_random, "grid": draw_grid}


class NumberedSampler(BaseSampler):
    """Chooses the values of a trial by a function of its number, whatever the other trials are.

    Parameters
    ----------
    draw : callable
        Number of the trial -> setting -> value.
    """

    def __init__(self, draw: Callable[[int], dict[str, Value]]) -> None:
        self.draw = draw

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return no settings: all are chosen one by one."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return no values."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the value of a setting."""
        return self.draw(trial.number)[param_name]


def create_sampler(settings: SweepSettings, number: int) -> BaseSampler:
    """Return the sampler for the trial of a number.

    That of TPE has a seed for each trial: workers with the same one would draw the same first trials.
    """
    if settings.sampler == "tpe":
        return TPESampler(seed=int(np.random.default_rng([settings.seed, number]).integers(2**32)))
    draw = _DRAWS[settings.sampler]
    return NumberedSampler(lambda number: draw(settings.space, settings.seed, number))


def suggest(trial: Trial, dimension: Dimension) -> None:
    """Choose the value of a setting of a trial, unless it has one."""
    name, low, high, log, step = dimension.name, dimension.low, dimension.high, dimension.log, dimension.step
    if dimension.choices:
        trial.suggest_categorical(name, dimension.choices)
    elif dimension.is_integer:
        trial.suggest_int(name, int(low), int(high), step=int(step or 1), log=log)
    else:
        trial.suggest_float(name, low, high, step=step, log=log)
