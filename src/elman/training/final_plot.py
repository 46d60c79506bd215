"""The plot of the losses that a training writes at its end."""

from __future__ import annotations

import shlex
from pathlib import Path

from elman.runs.directory import METRICS
from elman.runs.plots import has_matplotlib
from elman.runs.run import Run
from elman.training.callbacks import TrainingCallback, notify
from elman.training.plot_process import draw


def save_plot(run: Run, callback: TrainingCallback) -> None:
    """Write the plot of a run with a directory or, without Matplotlib, notify the callback.

    The notice would soon be a nuisance, so only the first run in a directory has it.
    """
    if has_matplotlib():
        if run.directory is None or not run.metrics or not draw(run.directory.path):
            run.save_plot()
    elif run.directory is not None and run.metrics and _is_first(run.directory.path):
        notify(callback, describe_missing_plot(run.directory.path))


def describe_missing_plot(path: Path) -> str:
    """Return how to get the plot of a run."""
    return f"no loss curve was drawn: pip install 'elman[plot]', then elman plot {shlex.quote(str(path))}"


def _is_first(path: Path) -> bool:
    """Return whether there is no other run next to a run directory."""
    runs = (metrics.parent for metrics in path.absolute().parent.glob(f"*/{METRICS}"))
    return all(run.name == path.absolute().name for run in runs)
