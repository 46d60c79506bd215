"""The figure of the smooth loss."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from elman.experiment.checkpoint import replace_file
from elman.experiment.record import Metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = ("#1f5fa8", "#c8501e", "#2f8f5b", "#7a4fa3", "#a67c00", "#555555")


def smooth_loss_figure(curves: Sequence[tuple[str, Sequence[Metrics]]]) -> Figure:
    """Draw the smooth loss of one or several runs against the update.

    Parameters
    ----------
    curves : sequence of (label, rows)

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for n, (label, rows) in enumerate(curves):
        updates, losses = [row.update for row in rows], [row.smooth_loss for row in rows]
        axes.plot(updates, losses, color=_COLOURS[n % len(_COLOURS)], linewidth=1.3, label=label)
    axes.set_xlabel("update")
    axes.set_ylabel("smooth loss, nats a window")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if len(curves) > 1:
        axes.legend(frameon=False)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as what its file's name ends in, PNG or SVG."""
    image = BytesIO()
    figure.savefig(image, format=path.suffix.lstrip("."), dpi=150)
    replace_file(path, image.getvalue())
