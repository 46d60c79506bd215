"""`elman.sweep`: search for better settings, with several workers and across interruptions."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, get_args

from elman.apps.sweep.results import SweepResult
from elman.apps.sweep.space import Pruner, Sampler, SweepSettings, create_grid, fix_options, parse_space
from elman.errors import ElmanError, check_number, check_range, check_type, is_path, option, quote, require_extra
from elman.machine import thread_count
from elman.options import document_options
from elman.recipe import DEFAULT_PRESET
from elman.storage import read_toml
from elman.training import collect_settings, list_training_options

if TYPE_CHECKING:
    from elman.settings import Settings


@document_options(list_training_options())
def sweep(
    corpus: str | os.PathLike[str] = "python-docs",
    *,
    out: str | os.PathLike[str],
    trials: int | None = None,
    total_seconds: float | None = None,
    space: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    preset: str = DEFAULT_PRESET,
    workers: int = 1,
    sampler: Sampler = "tpe",
    pruner: Pruner = "halving",
    sampler_seed: int = 0,
    callback: Callable[[SweepResult], object] | None = None,
    **options: Unpack[Settings],
) -> SweepResult:
    """Search for the settings with the lowest validation loss.

    A trial is a training run in ``OUT/trials``. A sweep that was interrupted or killed continues if it is called again
    with the same arguments; with more trials, it is extended. See ``docs/how_to/sweep.md``.

    Parameters
    ----------
    corpus : str or path
        A file or a built-in name (``python-docs``, ``shakespeare``).
    out : path
        The directory of the sweep.
    trials : int, optional
        The number of trials; without it, as many as fit in the time.
    total_seconds : float, optional
        The time for all trials together, after which the running trials are saved.
    space : path or dict, optional
        The search space: a TOML file, or a dictionary: setting -> list of choices, or dictionary with ``low``, ``high``
        and optionally ``log`` or ``step``. By default a space around the preset.
    preset : str
        Settings to start from.
    workers : int
        Number of processes; each has an equal share of the cores.
    sampler : str
        ``tpe``, ``random`` or ``grid``.
    pruner : str
        ``halving`` stops the worse half of the trials after a quarter of the budget, and again after half of it;
        ``none`` stops none.
    sampler_seed : int
        Random seed of the sampler.
    callback : callable, optional
        Called with the results so far, about twice per second; a true value saves all trials in training and stops.
    OPTIONS

    Returns
    -------
    SweepResult

    Raises
    ------
    ElmanError
        If an argument is invalid, the sweep in the directory has different settings or cannot be read, or no trial
        could be trained.

    Examples
    --------
    >>> from pathlib import Path
    >>> import elman
    >>> _ = Path("cats.txt").write_text("the cat sat on the mat. " * 40)
    >>> space = {"learning_rate": {"low": 0.01, "high": 0.3, "log": True}}
    >>> options = {"preset": "reference", "hidden_size": 8, "max_updates": 50, "engine": "numpy"}
    >>> result = elman.sweep("cats.txt", out="sweeps/cats", trials=2, space=space, **options)
    >>> len(result.trials), sorted(result.best.values)
    (2, ['learning_rate'])
    """
    if trials is None and total_seconds is None:
        raise ElmanError(f"a sweep requires a limit: pass {option.trials} or {option.total_seconds}")
    if trials is not None:
        check_range("trials", trials, 1)
    if total_seconds is not None:
        check_number("total_seconds", total_seconds, "a number greater than 0", lambda value: value > 0)
    check_range("workers", workers, 1, thread_count())
    check_range("sampler_seed", sampler_seed, 0, 2**32 - 1)
    for name, choice, choices in (("sampler", sampler, get_args(Sampler)), ("pruner", pruner, get_args(Pruner))):
        if not isinstance(choice, str) or choice not in choices:
            raise ElmanError(f"{option[name]} must be one of {', '.join(choices)} (got {quote(choice)})")
    if not is_path(corpus):
        raise ElmanError(f"a sweep reads a file or a built-in text (got {type(corpus).__name__})")
    check_type("out", out, "os.PathLike[str]")
    check_type("callback", callback, "Callable | None")
    if not (space is None or isinstance(space, Mapping) or is_path(space)):
        raise ElmanError(f"{option.space} must be a file or a dictionary (got {quote(space)})")
    with require_extra("sweep"):
        from elman.apps.sweep.loop import run_sweep
    given = collect_settings(None, None, options)
    table = space if space is None or isinstance(space, Mapping) else read_toml(Path(space))
    fixed = fix_options(preset, given, table)
    searched = parse_space(table, preset, fixed)
    if sampler == "grid":  # has at most one trial per point
        points = math.prod(map(len, create_grid(searched).values()))
        trials = points if trials is None else min(trials, points)
    limits: dict[str, Any] = {"trials": trials, "total_seconds": total_seconds}
    search: dict[str, Any] = {"workers": workers, "sampler": sampler, "pruner": pruner, "seed": sampler_seed}
    settings = SweepSettings(os.fspath(corpus), preset, fixed, searched, Path(out), **limits, **search)
    return run_sweep(settings, callback or (lambda result: False))
