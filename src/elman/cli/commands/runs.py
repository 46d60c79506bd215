"""``elman runs`` with its commands that remove runs and compare their settings, and ``elman plot``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from elman.cli.commands import print_results
from elman.cli.parameters import ANY_CASE, Flag, Json, Out
from elman.errors import ElmanError, quote

HELP = "List runs by text and how it is read (lines, masks), the lowest validation loss first."
app = App(help=HELP)


@app.default
def runs(*directories: Path, best: str | None = None, as_json: Json = False) -> int:
    """List runs.

    Parameters
    ----------
    directories
        Run directories, or directories that contain some.
    best
        Print only the path of the best run on this text (a file or a name).
    """
    from elman.cli.display import show_runs
    from elman.training.saved_runs import list_runs, select_best

    if not directories:
        raise ElmanError("elman runs requires at least one directory")
    rows = list_runs(directories)
    if best is not None:
        rows = [select_best(rows, best)]
    print_results({"runs": rows}, as_json, lambda _: show_runs(rows) if best is None else print(rows[0]["run"]))
    return 0


@app.command(name="rm")
def remove(*runs: Path, yes: Annotated[Flag, Parameter(name=["--yes", "-y"])] = False) -> int:
    """Remove runs: their files, and their directories if these contain no other files.

    Parameters
    ----------
    runs
        Run directories.
    yes
        Do not ask.
    """
    from elman.runs.writer import remove_run, require_removable

    if not runs:
        raise ElmanError("elman runs rm requires at least one run directory")
    runs = tuple({os.path.realpath(run): run for run in runs}.values())
    for run in runs:
        require_removable(run)
    confirmed = yes or _confirm(f"remove {', '.join(map(quote, runs))}?")
    for run in runs if confirmed else ():
        remove_run(run)
    return 0


def _confirm(question: str) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        raise ElmanError("cannot ask, as standard input is not a terminal: pass --yes")
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


@app.command
def diff(first: Path, second: Path, /, *, as_json: Json = False) -> int:
    """Compare the settings of two runs.

    Parameters
    ----------
    first
        Run directory.
    second
        Run directory.
    """
    from elman.cli.display import show_difference
    from elman.training.saved_runs import compare_settings

    settings = compare_settings(first, second)
    print_results({"settings": settings}, as_json, lambda _: show_difference(settings, first, second))
    return 0


def plot(
    *runs: Path,
    smooth: Flag = False,
    by: Annotated[Literal["updates", "epochs", "characters", "seconds"], ANY_CASE] = "updates",
    out: Out = Path("losses.png"),
) -> int:
    """Plot the losses of one or several runs.

    Parameters
    ----------
    runs
        Run directories, or directories that contain some.
    smooth
        Plot the smooth loss, also in nats per window, instead of the train loss.
    by
        Unit of the horizontal axis: updates, epochs, characters read, or seconds spent on updates.
    out
        File to write, such as .png, .svg or .pdf.
    """
    from elman.cli.parameters import read_runs
    from elman.runs.directory import RunDirectory
    from elman.runs.plots import LossCurve, plot_losses, save_figure

    curves = read_runs(runs, lambda path, name: LossCurve.of_directory(RunDirectory(path), name))
    save_figure(plot_losses(curves, smooth=smooth, by=by), out)
    print(out)
    return 0
