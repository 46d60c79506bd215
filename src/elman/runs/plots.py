"""The plot of the train and the validation loss."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from elman.config import Config
from elman.errors import ElmanError, require_extra
from elman.runs.directory import RunDirectory
from elman.runs.history import Metrics, TrainLossEstimator
from elman.storage.atomic import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D

COLOURS = (
    "#1f5fa8", "#c8501e", "#2f8f5b", "#7a4fa3", "#a67c00", "#555555", "#c2327a", "#1a9aa5", "#7d4b2a", "#7f9c1f",
)  # fmt: skip
STYLES = [(colour, line) for line, colour in product(("-", "--", ":", "-."), COLOURS)]
"""The colour and the line style of each run; they repeat after 40 runs."""
UPDATES = "{x:,.0f}"
"""The format of the labels of the horizontal axis."""
MARKERS = 60
"""Validations up to which each of them is marked."""
LOGARITHMIC = 10
"""How many times as long as the shortest run the longest is from which on the horizontal axis is logarithmic."""


class LossCurve(NamedTuple):
    """The losses of a run, under the label that its legend shows."""

    label: str
    metrics: Sequence[Metrics]
    config: Config

    @classmethod
    def of_directory(cls, directory: RunDirectory, label: str = "") -> LossCurve:
        """Read the curve of a run directory, labelled by its name unless there is another label."""
        return cls(label or directory.path.name, directory.metrics(), directory.manifest().config)

    def train_losses(self) -> tuple[list[int], list[float]]:
        """Return the updates and the train losses there, in nats per character."""
        estimator = TrainLossEstimator(self.config)
        return [row.update for row in self.metrics], [estimator.append(row) for row in self.metrics]

    def validation_losses(self) -> tuple[list[int], list[float]]:
        """Return the updates and the validation losses there, in nats per character."""
        losses = {row.update: row.validation_loss for row in self.metrics if row.validation_loss is not None}
        return list(losses), list(losses.values())


def plot_losses(curves: Sequence[LossCurve]) -> Figure:
    """Plot the train and the validation losses of runs over the updates, in nats per character.

    A single run has both in one plot. Several runs have a plot for each, and a colour and a line style each.
    """
    if not any(curve.metrics for curve in curves):
        raise ElmanError(
            "there are no losses to plot: a run of counts alone has none, another has none before its first row"
        )
    return _plot_run(*curves) if len(curves) == 1 else _plot_runs(curves)


def _plot_run(curve: LossCurve) -> Figure:
    figure, (axes,) = create_figure("loss, nats per character")
    _draw(axes, curve.train_losses(), 1, color=COLOURS[0], label="train")
    losses = curve.validation_losses()
    if losses[0]:
        _draw(axes, losses, MARKERS, color=COLOURS[1], label="validation")
        axes.legend(frameon=False)
    return figure


def _plot_runs(curves: Sequence[LossCurve]) -> Figure:
    validated = any(curve.validation_losses()[1] for curve in curves)
    labels = [f"{name} loss, nats per character" for name in (["train", "validation"] if validated else ["train"])]
    figure, plots = create_figure(*labels)
    lines = []
    for n, curve in enumerate(curves):
        colour, line = STYLES[n % len(STYLES)]
        lines += _draw(plots[0], curve.train_losses(), 1, color=colour, linestyle=line)
        if validated:
            _draw(plots[1], curve.validation_losses(), MARKERS, color=colour, linestyle=line)
    lengths = [curve.metrics[-1].update for curve in curves if curve.metrics]
    if lengths and max(lengths) >= LOGARITHMIC * min(lengths):
        for axes in plots:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(UPDATES)
    # Labelled here and not at the lines, where matplotlib would leave out labels that begin with _.
    legend = figure.legend(lines, [curve.label for curve in curves], frameon=False, loc="outside right upper")
    for label in legend.get_texts():
        label.set_parse_math(False)
    _make_room(figure, legend)
    return figure


def _draw(axes: Axes, points: tuple[list[int], list[float]], markers: int, **style: Any) -> list[Line2D]:
    """Draw a curve, with a marker at each point if there are at most so many: a line through one is invisible."""
    marker = "o" if len(points[0]) <= markers else ""
    return axes.plot(*points, linewidth=1.3, marker=marker, markersize=3, **style)


def _make_room(figure: Figure, legend: Legend) -> None:
    """Enlarge a figure by its legend, so that every run is in it and the plots are as wide as without."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore")  # of a layout without room, and of glyphs that are missing
        figure.draw_without_rendering()
        needed = legend.get_window_extent()
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + needed.width / figure.dpi, max(height, needed.height / figure.dpi + 0.2))


def create_figure(*labels: str) -> tuple[Figure, list[Axes]]:
    """Return a figure with plots next to each other, over the updates, whose vertical axes have these labels."""
    with require_extra("plot"):
        from matplotlib.figure import Figure
    figure = Figure(figsize=(8 if len(labels) == 1 else 13, 4.5), layout="constrained")
    # A notebook shows it once: IPython prefers its own formatter, which %matplotlib inline registers.
    figure._repr_png_ = partial(render_figure, figure)  # type: ignore[attr-defined]
    plots = list(figure.subplots(1, len(labels), sharex=True, sharey=True, squeeze=False)[0])
    for axes, label in zip(plots, labels, strict=True):
        axes.set_xlabel("update")
        axes.set_ylabel(label)
        axes.xaxis.set_major_formatter(UPDATES)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, plots


def render_figure(figure: Figure, format: str = "png", dpi: int = 100) -> bytes:
    """Return a figure as an image in a format, such as ``png`` or ``svg``."""
    image = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the legend shows a box instead
        figure.savefig(image, format=format, dpi=dpi)
    return image.getvalue()


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's suffix, PNG or SVG."""
    replace_file(path, render_figure(figure, path.suffix.lstrip("."), dpi=150))
