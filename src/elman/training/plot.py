"""The plot of the losses, which is drawn at the end of a run that has a directory."""

from __future__ import annotations

import shlex
from importlib.util import find_spec

from elman.runs.directory import PLOT
from elman.training.callbacks import TrainingCallback
from elman.training.run import Run


def save_plot(run: Run, callback: TrainingCallback) -> None:
    """Write the plot of a run with a directory or, without Matplotlib, say how to get it."""
    if run.directory is None or not len(run.metrics):
        return
    if find_spec("matplotlib"):
        write_plot(run)
    else:
        plot = shlex.join(["elman", "plot", str(run.directory.path)])
        callback.on_notice(f"no loss curve was drawn: pip install 'elman[plot]', then {plot}")


def write_plot(run: Run) -> None:
    """Write the plot to the directory."""
    from elman.runs.plots import save_figure

    assert run.directory is not None
    save_figure(run.plot(), run.directory.path / PLOT)
