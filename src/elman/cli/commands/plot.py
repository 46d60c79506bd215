"""``elman plot``."""

from __future__ import annotations

from pathlib import Path

from elman.cli.parameters import Out
from elman.errors import ElmanError, quote


def plot(*runs: Path, out: Out = Path("smooth_loss.png")) -> int:
    """Plot the train and validation losses of one or several runs.

    Parameters
    ----------
    runs
        Run directories, or directories that contain some.
    out
        Image file to write, .png or .svg.
    """
    from elman.cli.inputs import read_runs
    from elman.runs.directory import RunDirectory
    from elman.runs.plots import LossCurve, plot_losses, save_figure

    if out.suffix not in (".png", ".svg"):
        raise ElmanError(f"--out must end in .png or .svg (got {quote(out.name)})")
    curves = read_runs(runs, lambda path, name: LossCurve.of_directory(RunDirectory(path), name))
    save_figure(plot_losses(curves), out)
    print(out)
    return 0
