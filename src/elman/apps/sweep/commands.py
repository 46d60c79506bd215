"""``elman sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from elman.apps.sweep.space import Pruner, Sampler
from elman.cli import (
    ANY_CASE,
    INTERRUPTED,
    PRESET_HELP,
    Corpus,
    Integer,
    Json,
    Name,
    OptionalInteger,
    OptionalNumber,
    Out,
    SweepOptions,
    join_descriptions,
    passed_options,
    print_results,
)
from elman.recipe import DEFAULT_PRESET

GROUP = "Train"


@join_descriptions
def sweep(
    corpus: Corpus = "python-docs",
    /,
    *,
    out: Out,
    trials: OptionalInteger = None,
    total_seconds: OptionalNumber = None,
    space: Path | None = None,
    preset: Annotated[Name, Parameter(help=PRESET_HELP)] = DEFAULT_PRESET,
    workers: Integer = 1,
    sampler: Annotated[Sampler, ANY_CASE] = "tpe",
    pruner: Annotated[Pruner, ANY_CASE] = "halving",
    sampler_seed: Integer = 0,
    options: Annotated[SweepOptions | None, Parameter(name="*")] = None,
    as_json: Json = False,
) -> int:
    """Search for the settings with the lowest validation loss in many training runs.

    Each trial is a run in OUT/trials, with the budget of --max-seconds, --max-updates or --epochs. The same command
    continues a sweep.

    Parameters
    ----------
    out
        Directory for the sweep.
    trials
        Number of trials; a larger number extends a finished sweep.
    total_seconds
        Time for all trials together, after which the running trials are saved; with or without --trials.
    space
        TOML file of the search space, such as 'hidden_size = [128, 256]'; by default a space around the preset.
    workers
        Number of trials that are trained at the same time, each in its own process.
    sampler
        Sampler: tpe (Bayesian), random, or grid (only choices and steps).
    pruner
        Pruner: halving stops the worse half of the trials at a quarter of the budget and at half of it.
    sampler_seed
        Random seed of the sampler.
    """
    from elman.apps.sweep.display import SweepDisplay, show_sweep
    from elman.apps.sweep.sweep import sweep

    search: dict[str, Any] = {"trials": trials, "total_seconds": total_seconds, "space": space, "preset": preset}
    search |= {"workers": workers, "sampler": sampler, "pruner": pruner, "sampler_seed": sampler_seed}
    with SweepDisplay() as display:
        result = sweep(str(corpus), out=out, callback=display, **search, **passed_options(options))
    print_results(result.as_dict(), as_json, lambda _: show_sweep(result))
    return INTERRUPTED if result.interrupted else 0
