"""``elman train``."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from elman.cli import parameters
from elman.cli.commands import INTERRUPTED, STARTED
from elman.cli.parameters import (
    PRESET_HELP,
    Corpora,
    Flag,
    Json,
    Name,
    Names,
    Options,
    Out,
    Port,
    join_descriptions,
    passed_options,
)
from elman.errors import ElmanError
from elman.plugins import Registry
from elman.recipe import DEFAULT_PRESET, PRESETS
from elman.runs.loggers import logger_help
from elman.storage import real_path

if TYPE_CHECKING:
    from elman.cli.display import TrainingDisplay
    from elman.training.run import Run

DASHBOARD = Group("Dashboard", sort_key=4)
DASHBOARDS = Registry[Any]("elman.dashboards")  # dashboards that ``--live`` opens


@join_descriptions
def train(
    *corpus: Corpora,
    out: Out,
    preset: Annotated[Name | None, Parameter(help=PRESET_HELP, show_default=lambda _: DEFAULT_PRESET)] = None,
    like: Annotated[Path | None, Parameter(show=parameters.shows_all)] = None,
    init_from: Path | None = None,
    resume: Flag = False,
    overwrite: Flag = False,
    quiet: Annotated[Flag, Parameter(name=["--quiet", "-q"])] = False,
    log: Annotated[Names, Parameter(help=logger_help())] = None,
    live: Annotated[Flag, Parameter(group=DASHBOARD)] = False,
    live_port: Annotated[Port, Parameter(group=DASHBOARD, show=parameters.shows_all)] = 0,
    live_with: Annotated[list[Path] | None, Parameter(negative="", group=DASHBOARD, show=parameters.shows_all)] = None,
    options: Annotated[Options | None, Parameter(name="*")] = None,
    as_json: Json = False,
) -> int:
    """Train a character-level RNN on a text and save it to a run directory.

    Without CORPUS, the text is piped standard input or, with --resume, the text of the run.

    Parameters
    ----------
    out
        Directory for the run.
    like
        Start from the settings of this run instead of a preset.
    quiet
        Show no progress, and no samples at the end.
    init_from
        Fine-tune this model: a run directory, a checkpoint file, hf://OWNER/NAME or builtin. It determines cell,
        hidden size and layers.
    resume
        Resume the run in --out from its checkpoint. Only limits, --patience, --engine, --device and
        --mixed-precision may change.
    overwrite
        Replace an existing run in --out.
    live
        Open a live dashboard in the browser (localhost only).
    live_port
        Port of the dashboard; 0 picks a free one.
    live_with
        Another run to show on the dashboard. Repeatable.
    """
    from elman.engine.processes import current_process

    if current_process().rank > 0:
        from elman.training.api import follow

        return follow()
    from elman.cli.display import TrainingDisplay

    if not live and (live_port or live_with):
        raise ElmanError("--live-port and --live-with require --live")
    settings = passed_options(options)
    settings = {"preset": preset, **settings} if like is None else _start_like(like, settings, preset, resume)
    display = TrainingDisplay(out, quiet=quiet)
    source: Any = list(corpus) or None
    if source is None and not resume:
        from elman.cli.parameters import choose_corpus

        source = choose_corpus()
    settings |= {"init_from": init_from, "resume": resume, "overwrite": overwrite, "log": log or []}
    run = _train(display, (live_port, live_with or []) if live else None, source, out=out, **settings)
    _show(run, out, source, as_json=as_json, quiet=quiet)
    return INTERRUPTED if run.interrupted else 0


def _train(
    display: TrainingDisplay, live: tuple[int, list[Path]] | None, source: Any, *, out: Path, **arguments: Any
) -> Run:
    """Train with the display and, with `live`, its port and other runs, the dashboard, in the time of the command."""
    from elman import train
    from elman.training.callbacks import CallbackList, TrainingCallback
    from elman.training.limits import STOPWATCH, Stopwatch

    callbacks, live_run = list[TrainingCallback]([display]), None
    with ExitStack() as stack:
        stack.callback(STOPWATCH.reset, STOPWATCH.set(Stopwatch(STARTED.get())))
        if live is not None:
            if "live" not in DASHBOARDS:
                raise ElmanError("--live requires the dashboard, which is not installed (elman.apps.dashboard)")
            live_run, more = stack.enter_context(DASHBOARDS["live"](real_path(out).name, *live))
            callbacks += more
        with display:  # it ends before the browsers fetch the last data: by then, nothing is left to stop
            run = train(source, out=out, progress=False, callback=CallbackList(*callbacks), **arguments)
        if live_run is not None:
            live_run.finish(run)
    return run


def _show(run: Run, out: Path, source: Any, *, as_json: bool, quiet: bool) -> None:
    """Print the results, the last samples and the advice."""
    from elman.cli.display import show_results

    if as_json:
        print(json.dumps(run.results()))
    elif not run.was_finished:
        show_results(run, out, [source] if isinstance(source, str) else source or [], quiet=quiet)
    elif quiet:  # otherwise the display has printed it
        print(run.advice, file=sys.stderr)


def _start_like(like: Path, settings: dict[str, Any], preset: str | None, resume: bool) -> dict[str, Any]:
    """Return the arguments that start from the settings of another run, and from its preset if that is known."""
    from elman.config import config_like, replace_settings
    from elman.runs.directory import RunDirectory

    if preset is not None or resume:
        other = "--resume" if preset is None else "--preset"
        raise ElmanError(f"cannot combine --like with {other}: each selects the settings to start from")
    manifest = RunDirectory(like).manifest()
    config = config_like(manifest.config)
    if manifest.preset not in PRESETS:
        return {"preset": None, "config": config, **settings}
    return {"preset": manifest.preset, **replace_settings(vars(config), settings)}
