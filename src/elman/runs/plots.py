"""The plot of the losses of runs, and the names of runs by their settings."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from io import BytesIO
from itertools import product
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman.config import Config, make_config
from elman.errors import ElmanError, format_count, join_alternatives, option, quote, require_extra
from elman.network.optimizers import OPTIMIZERS
from elman.recipe import PRESETS
from elman.runs.directory import RunDirectory
from elman.runs.history import SMOOTH_UPDATES, Metrics
from elman.storage.files import replace_file

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
LOSS_COLOURS = {"smooth_loss": COLOURS[0], "train_loss": COLOURS[2], "validation_loss": COLOURS[1]}
"""The losses of a single run, in the order of its legend."""
UNITS = {"updates": "update", "characters": "characters read"}
"""The units of the horizontal axis, with its label."""
UPDATES = "{x:,.0f}"
"""The format of the labels of the horizontal axis."""
MARKERS = 60
"""Validations up to which each of them is marked."""
LOGARITHMIC = 10
"""How many times as long as the shortest run the longest is from which on the horizontal axis is logarithmic."""


MINOR_SETTINGS = ("metrics_every", "sample_every", "sample_length", "validate_every", "validation_chars")
"""Settings that do not change the network."""
LABEL_WIDTH, SETTING_WIDTH = 60, 120
"""Characters of a line of the legend, and of the line that describes a single run."""


class LossCurve(NamedTuple):
    """The losses of a run, its name, and what tells it from other runs."""

    name: str
    metrics: Sequence[Metrics]
    config: Config
    text: str = ""
    preset: str = ""
    init_from: str = ""

    @classmethod
    def of_directory(cls, directory: RunDirectory, name: str = "") -> LossCurve:
        """Read the curve of a run directory, named as the directory is unless there is another name."""
        metrics, manifest = directory.metrics(), directory.manifest()
        init_from = "" if manifest.init_from is None else Path(manifest.init_from.path or "in memory").name
        origin = manifest.corpus.name, manifest.preset, init_from
        return cls(name or directory.path.name, metrics, manifest.config, *origin)

    def points(self, loss: str, by: str = "updates") -> tuple[list[int], list[float]]:
        """Return where a loss, a column of ``metrics.csv``, is known, and the loss there, in nats per character.

        `by` is the unit of the positions: ``updates``, or the ``characters`` that they have read.
        """
        chars = self.config.chars_per_update if by == "characters" else 1
        points = {chars * row.update: getattr(row, loss) for row in self.metrics if getattr(row, loss) is not None}
        return list(points), list(points.values())

    def settings(self) -> dict[str, Any]:
        """Return what the losses of the run depend on."""
        origin = {name: getattr(self, name) for name in ("text", "preset", "init_from")}
        settings = (origin | self.config.without_paths()).items()
        return {name: value for name, value in settings if name not in MINOR_SETTINGS}


def describe_setting(config: Config) -> str:
    """Return the main settings of a run in one line.

    T is the sequence length, B the batch size, η the learning rate; the standard deviation is that of initial weights.

    Examples
    --------
    >>> import elman
    >>> setting = describe_setting(elman.Config(dtype="float64", engine="numpy"))
    >>> setting.startswith("rnn, m = 100, T = 25, η = 0.1, initial weights of standard deviation 0.1, 10 epochs")
    True
    """
    clipped = f"clipped to {'±' if config.grad_clip_mode == 'value' else 'a norm of '}{config.grad_clip:.15g}"
    clipped += " by value" if config.grad_clip_mode == "value" else ""
    parts = (
        config.cell,
        f"{config.layers} layers" if config.layers > 1 else "",
        f"m = {config.hidden_size}",
        f"T = {config.seq_length}",
        f"B = {config.batch_size}" if config.batch_size > 1 else "",
        f"η = {config.learning_rate:.15g}",
        f"{config.schedule} schedule" if config.schedule != "constant" else "",
        f"{config.init} initial weights of standard deviation {config.init_std:.15g}".removeprefix("normal "),
        _describe_limits(config),
        OPTIMIZERS[config.optimizer].title,
        clipped if config.grad_clip else "not clipped",
        config.dtype,
        "mixed precision" if config.mixed_precision else "",
        f"engine {config.engine}",
    )
    return ", ".join(filter(None, parts))


def _describe_limits(config: Config) -> str:
    limits = [format_count(config.epochs, "epoch")]
    limits += [format_count(config.max_updates, "update")] if config.max_updates else []
    limits += [f"{config.max_seconds:.15g} s"] if config.max_seconds else []
    return f"{'at most ' if len(limits) > 1 else ''}{join_alternatives(limits)}"


def label_runs(curves: Sequence[LossCurve]) -> list[str]:
    """Return a unique label for each run: the settings in which they differ and, where these are the same, its name."""
    runs = [curve.settings() for curve in curves]
    differing = [name for name in runs[0] if any(run[name] != runs[0][name] for run in runs)]
    if "max_seconds" in differing:  # from which it may follow
        differing = [name for name in differing if name != "max_chars"]
    if "preset" in differing:
        differing = [name for name in differing if not all(_follows_preset(curve, name) for curve in curves)]
    parts = [[f"{name}\N{NO-BREAK SPACE}{format_setting(run[name])}" for name in differing] for run in runs]
    labels = [fill(", ".join(of_run), LABEL_WIDTH) for of_run in parts]
    names = [curve.name if labels.count(label) > 1 else "" for label, curve in zip(labels, curves, strict=True)]
    return [", ".join(filter(None, both)) for both in zip(labels, names, strict=True)]


def _follows_preset(curve: LossCurve, name: str) -> bool:
    """Return whether a setting of a run is that of its preset or, of one with a recipe, may follow from it."""
    preset, value = PRESETS.get(curve.preset), getattr(curve.config, name, None)
    if preset is None or name not in Config.__dataclass_fields__:
        return False
    return value == getattr(make_config(curve.preset), name) or (bool(preset.budget) and name in preset.settings)


def format_setting(value: Any) -> str:
    """Return the value of a setting in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.15g}"
    return "none" if value in (None, "") else f"{value:,}" if isinstance(value, int) else str(value)


def plot_losses(curves: Sequence[LossCurve], *, smooth: bool = False, by: str = "updates") -> Figure:
    """Plot the losses of runs in nats per character.

    Parameters
    ----------
    curves : sequence of LossCurve
        A single run has its smooth loss (from 10,000 updates on), its train and its validation loss in one plot, under
        its setting. Several runs have a plot of the train losses and one of the validation losses, and a colour and a
        line style each.
    smooth : bool
        Plot the smooth loss in place of the train loss, with a second axis in nats per window if all runs have the same
        sequence length.
    by : str
        The unit of the horizontal axis: ``updates``, or the ``characters`` that they have read.

    Raises
    ------
    ElmanError
        If there are no losses, or no such unit.
    """
    if by not in UNITS:
        raise ElmanError(f"{option.by} must be {join_alternatives([*UNITS])} (got {quote(by)})")
    if not any(curve.metrics for curve in curves):
        reason = "a run of counts alone has none, another has none before its first row"
        raise ElmanError(f"there are no losses to plot: {reason}")
    figure = _plot_run(curves[0], smooth, by) if len(curves) == 1 else _plot_runs(curves, smooth, by)
    T, *others = {curve.config.seq_length for curve in curves}
    if smooth and not others:  # the sums over windows of T characters
        axis = figure.axes[0].secondary_yaxis("right", functions=(partial(np.multiply, T), partial(np.multiply, 1 / T)))
        axis.set_ylabel(f"nats per window of {format_count(T, 'character')}")
    return figure


def _plot_run(curve: LossCurve, smooth: bool, by: str) -> Figure:
    figure, (axes,) = create_figure("loss, nats per character", x=UNITS[by])
    # Until it has averaged many updates, the smooth loss lags far behind.
    is_short = not smooth and curve.metrics[-1].update < SMOOTH_UPDATES
    omitted = "train_loss" if smooth else "smooth_loss" if is_short else ""
    for loss, colour in LOSS_COLOURS.items():
        if loss != omitted and curve.points(loss)[0]:
            _draw(axes, curve, loss, by, color=colour, label=loss.replace("_", " "))
    axes.legend(frameon=False)
    axes.set_title(fill(describe_setting(curve.config), SETTING_WIDTH), fontsize=7, color="#555555", loc="left")
    return figure


def _plot_runs(curves: Sequence[LossCurve], smooth: bool, by: str) -> Figure:
    losses = ["smooth_loss" if smooth else "train_loss"]
    if any(curve.points("validation_loss")[0] for curve in curves):
        losses.append("validation_loss")
    labels = [f"{loss.replace('_', ' ')}, nats per character" for loss in losses]
    figure, plots = create_figure(*labels, x=UNITS[by])
    lines = []
    for n, curve in enumerate(curves):
        colour, line = STYLES[n % len(STYLES)]
        style = {"color": colour, "linestyle": line}
        drawn = [_draw(axes, curve, loss, by, **style) for loss, axes in zip(losses, plots, strict=True)]
        lines += drawn[0]
    lengths = [max(curve.points(losses[0], by)[0]) for curve in curves if curve.metrics]
    for axes in plots if lengths and max(lengths) >= LOGARITHMIC * min(lengths) else ():
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(UPDATES)
    # Labelled here and not at the lines, where matplotlib would leave out labels that begin with _.
    legend = figure.legend(lines, label_runs(curves), frameon=False, loc="outside right upper")
    for label in legend.get_texts():
        label.set_parse_math(False)
    _make_room(figure, legend)
    return figure


def _draw(axes: Axes, curve: LossCurve, loss: str, by: str, **style: Any) -> list[Line2D]:
    """Draw a loss, with a marker at each point if there are few: a line through one is invisible."""
    points = curve.points(loss, by)
    marker = "o" if len(points[0]) <= (MARKERS if loss == "validation_loss" else 1) else ""
    return axes.plot(*points, linewidth=1.3, marker=marker, markersize=3, **style)


def _make_room(figure: Figure, legend: Legend) -> None:
    """Enlarge a figure by its legend, so that every run is in it and the plots are as wide as without."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore")  # of a layout without room, and of glyphs that are missing
        figure.draw_without_rendering()
        needed = legend.get_window_extent()
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + needed.width / figure.dpi, max(height, needed.height / figure.dpi + 0.2))


def create_figure(*labels: str, x: str = UNITS["updates"]) -> tuple[Figure, list[Axes]]:
    """Return a figure with plots next to each other, whose vertical axes have these labels, over `x`."""
    with require_extra("plot"):
        from matplotlib.figure import Figure
    figure = Figure(figsize=(8 if len(labels) == 1 else 13, 4.5), layout="constrained")
    # A notebook shows it once: IPython prefers its own formatter, which %matplotlib inline registers.
    figure._repr_png_ = partial(render_figure, figure)  # type: ignore[attr-defined]
    plots = list(figure.subplots(1, len(labels), sharex=True, sharey=True, squeeze=False)[0])
    for axes, label in zip(plots, labels, strict=True):
        axes.set_xlabel(x)
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
