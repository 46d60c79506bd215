"""The figure of the smooth loss."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from elman.runs.records import Metrics
from elman.storage.atomic import replace_file

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
    lines = []
    for n, (_, rows) in enumerate(curves):
        updates, losses = [row.update for row in rows], [row.smooth_loss for row in rows]
        lines += axes.plot(updates, losses, color=_COLOURS[n % len(_COLOURS)], linewidth=1.3)
    axes.set_xlabel("update")
    axes.set_ylabel("smooth loss, nats a window")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if len(curves) > 1:
        # Named here and not at the line, where a name that begins with _ would be left out.
        legend = axes.legend(lines, [label for label, _ in curves], frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as what its file's name ends in, PNG or SVG."""
    image = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box in the legend is no reason to say more
        figure.savefig(image, format=path.suffix.lstrip("."), dpi=150)
    replace_file(path, image.getvalue())
