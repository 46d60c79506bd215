"""``elman sweep``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elman.cli.commands import INTERRUPTED
from elman.cli.parameters import (
    ANY_CASE,
    NO_OPTIONS,
    PRESET_HELP,
    Corpus,
    Integer,
    Json,
    Name,
    Options,
    Out,
    passed_options,
)
from elman.presets import DEFAULT_PRESET
from elman.tuning.space import Pruner, Sampler


def sweep(
    corpus: Corpus = "python-docs",
    /,
    *,
    out: Annotated[Out, Parameter(help="Directory for the sweep: trials, best, trials.csv, report.html.")],
    trials: Annotated[Integer, Parameter(help="Number of trials; a larger number extends a finished sweep.")],
    space: Annotated[
        Path | None,
        Parameter(
            help="TOML file of the search space, such as 'hidden_size = [128, 256]' or 'learning_rate = {low = 0.001,"
            " high = 0.03, log = true}'; by default a space around the preset."
        ),
    ] = None,
    preset: Annotated[Name, Parameter(help=PRESET_HELP)] = DEFAULT_PRESET,
    workers: Annotated[Integer, Parameter(help="Worker processes on this machine, which share its cores equally.")] = 1,
    storage: Annotated[
        str | None,
        Parameter(
            help="Database for workers on several machines, such as postgresql+psycopg://user@host/database; by"
            " default a journal in --out."
        ),
    ] = None,
    study: Annotated[
        str | None, Parameter(help="Name of the study in the database; by default the name of --out.")
    ] = None,
    sampler: Annotated[
        Sampler, ANY_CASE, Parameter(help="Sampler: tpe (Bayesian), random, or grid (choices and steps only).")
    ] = "tpe",
    pruner: Annotated[
        Pruner,
        ANY_CASE,
        Parameter(
            help="Pruner: halving stops the worse half of the trials after a quarter of the budget and again after"
            " half of it."
        ),
    ] = "halving",
    sampler_seed: Annotated[Integer, Parameter(help="Random seed of the sampler.")] = 0,
    options: Annotated[Options, Parameter(name="*")] = NO_OPTIONS,
    as_json: Json = False,
) -> int:
    """Search for the settings with the lowest validation loss in many trainings.

    Each trial is a run in OUT/trials, and --max-seconds or --max-updates its budget. The same command resumes an
    interrupted sweep.
    """
    from elman.cli.sweep_display import SweepDisplay, show_sweep
    from elman.tuning.sweep import sweep

    with SweepDisplay() as display:
        result = sweep(
            str(corpus),
            out=out,
            trials=trials,
            space=space,
            preset=preset,
            workers=workers,
            storage=storage,
            study=study,
            sampler=sampler,
            pruner=pruner,
            sampler_seed=sampler_seed,
            callback=display,
            **passed_options(options),
        )
    if as_json:
        print(json.dumps(result.as_dict()))
    else:
        show_sweep(result)
    return INTERRUPTED if result.interrupted else 0
