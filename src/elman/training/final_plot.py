"""The plot of the losses that a training writes at its end."""

from __future__ import annotations

from elman.runs.plots import has_matplotlib
from elman.runs.run import Run
from elman.training.callbacks import TrainingCallback, notify

NOT_DRAWN = "the loss curve was not drawn: Matplotlib is not installed (pip install 'elman[plot]', then elman plot RUN)"


def save_plot(run: Run, callback: TrainingCallback) -> None:
    """Write the plot of a run with a directory or, without Matplotlib, notify the callback."""
    if has_matplotlib():
        run.save_plot()
    elif run.directory is not None and run.metrics:
        notify(callback, NOT_DRAWN)
