"""The plot of the smooth loss."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from elman.runs.directory import RunDirectory
from elman.runs.records import Metrics
from elman.storage.atomic import replace_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = ("#1f5fa8", "#c8501e", "#2f8f5b", "#7a4fa3", "#a67c00", "#555555")


class LossCurve(NamedTuple):
    """The smooth loss of a run.

    Parameters
    ----------
    label : str
    metrics : sequence of Metrics
    seq_length : int
        The characters that a loss of `metrics` is summed over.
    """

    label: str
    metrics: Sequence[Metrics]
    seq_length: int

    @classmethod
    def of_directory(cls, directory: RunDirectory) -> LossCurve:
        """Read the curve of a run directory, labelled by its name.

        Raises
        ------
        ElmanError
            If there is no run in it, or its files cannot be read.
        """
        metrics = directory.metrics()
        return cls(directory.path.name, metrics, directory.manifest().config.seq_length)


def plot_smooth_loss(curves: Sequence[LossCurve], *, per_window: bool = False) -> Figure:
    """Plot the smooth loss of one or several runs over the updates.

    Parameters
    ----------
    curves : sequence of LossCurve
    per_window : bool
        Plot the sum over a window, as ``metrics.csv`` has it, instead of nats per character.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    lines = []
    for n, (_, metrics, seq_length) in enumerate(curves):
        chars = 1 if per_window else seq_length
        updates, losses = [row.update for row in metrics], [row.smooth_loss / chars for row in metrics]
        lines += axes.plot(updates, losses, color=_COLOURS[n % len(_COLOURS)], linewidth=1.3)
    axes.set_xlabel("update")
    axes.set_ylabel(f"smooth loss, nats per {'window' if per_window else 'character'}")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if len(curves) > 1:
        # Labelled here and not at the lines, where matplotlib would leave out labels that begin with _.
        legend = axes.legend(lines, [curve.label for curve in curves], frameon=False)
        for label in legend.get_texts():
            label.set_parse_math(False)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's suffix, PNG or SVG."""
    image = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the legend shows a box instead
        figure.savefig(image, format=path.suffix.lstrip("."), dpi=150)
    replace_file(path, image.getvalue())
