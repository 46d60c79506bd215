"""The plot of the losses of runs, and the names of runs by their settings."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from io import BytesIO
from itertools import product
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.config import Config, make_config
from elman.errors import ElmanError, format_count, join_alternatives, option, quote, require_extra
from elman.network.optimizers import OPTIMIZERS
from elman.recipe import PRESETS
from elman.runs.directory import RunDirectory
from elman.runs.history import SMOOTH_UPDATES, Metrics
from elman.runs.loggers import without_surrogates
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
UNITS = {
    "updates": "update", "epochs": "epoch", "characters": "characters read", "seconds": "seconds spent on updates",
}  # fmt: skip
"""The units of the horizontal axis, with their labels."""
TICKS = "{x:,.10g}"
"""The format of the labels of the horizontal axis."""
EARLY = 0.1
"""First fraction of a run, whose high losses do not count for the range of the vertical axis of several runs."""
MARKERS = 60
"""Maximum number of validations that are drawn with markers."""
LOGARITHMIC = 10
"""Ratio of the longest to the shortest run from which the horizontal axis is logarithmic."""


MINOR_SETTINGS = ("metrics_every", "sample_every", "sample_length", "validate_every", "validation_chars")
"""Settings that do not change the network."""
LABEL_WIDTH, SETTING_WIDTH = 60, 120
"""Maximum characters of a line of the legend, and of the line that describes a single run."""


class LossCurve(NamedTuple):
    """The losses of a run, its name, and the settings that distinguish it from other runs."""

    name: str
    metrics: Sequence[Metrics]
    config: Config
    text: str = ""
    preset: str = ""
    init_from: str = ""

    @classmethod
    def of_directory(cls, directory: RunDirectory, name: str = "") -> LossCurve:
        """Read the curve of a run directory; its default name is the name of the directory."""
        metrics, manifest = directory.metrics(), directory.manifest()
        init_from = "" if manifest.init_from is None else Path(manifest.init_from.path or "in memory").name
        origin = manifest.corpus.name, manifest.preset, init_from
        return cls(name or directory.path.name, metrics, manifest.config, *origin)

    def points(self, loss: str, by: str = "updates") -> tuple[list[float], list[float]]:
        """Return the positions where a loss, a column of ``metrics.csv``, is known, and the loss in nats per character.

        `by` is the unit of the positions, one of `UNITS`.
        """
        column = {"epochs": "epoch", "seconds": "seconds"}.get(by, "update")
        factor = self.config.chars_per_update if by == "characters" else 1
        rows = [row for row in self.metrics if getattr(row, loss) is not None]
        return [factor * getattr(row, column) for row in rows], [getattr(row, loss) for row in rows]

    def settings(self) -> dict[str, Any]:
        """Return the settings that the losses of the run depend on."""
        origin = {name: getattr(self, name) for name in ("text", "preset", "init_from")}
        settings = (origin | self.config.without_paths()).items()
        return {name: value for name, value in settings if name not in MINOR_SETTINGS}


def describe_setting(config: Config) -> str:
    """Return the main settings of a run in one line.

    T is the sequence length, B the batch size, η the learning rate.

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


Group = Sequence[LossCurve]
"""Runs that differ only in their seed and are drawn as one line."""


def group_seeds(curves: Sequence[LossCurve]) -> list[Group]:
    """Return runs that differ only in their seed as one group, and every other run as a group of its own."""
    found, groups = defaultdict[str, list[LossCurve]](list), list[Group]()
    for curve in curves:
        found[repr(curve.settings() | {"seed": None})].append(curve)
    for alike in found.values():
        has_seeds = len({curve.config.seed for curve in alike}) == len(alike)
        groups += [alike] if has_seeds else [[curve] for curve in alike]
    return groups


def label_runs(groups: Sequence[Group]) -> list[str]:
    """Return a unique label for each group: the settings in which the groups differ and, if these are equal, a name."""
    curves = [group[0] for group in groups]
    runs = [curve.settings() for curve in curves]
    differing = [name for name in runs[0] if any(run[name] != runs[0][name] for run in runs)]
    if "max_seconds" in differing:  # max_chars may follow from it
        differing = [name for name in differing if name != "max_chars"]
    if "preset" in differing:
        differing = [name for name in differing if not all(_follows_preset(curve, name) for curve in curves)]
    parts = [[f"{name}\N{NO-BREAK SPACE}{format_setting(run[name])}" for name in differing] for run in runs]
    for group, of_group in zip(groups, parts, strict=True):
        if len(group) > 1:
            of_group[:] = [part for part in of_group if not part.startswith("seed\N{NO-BREAK SPACE}")]
            of_group.append(f"{len(group)} seeds: mean and range")
    labels = [fill(", ".join(of_group), LABEL_WIDTH) for of_group in parts]
    names = [curve.name if labels.count(label) > 1 else "" for label, curve in zip(labels, curves, strict=True)]
    # Matplotlib draws no lone surrogates, which bytes of a file name that are not UTF-8 become.
    return [without_surrogates(", ".join(filter(None, both))) for both in zip(labels, names, strict=True)]


def _follows_preset(curve: LossCurve, name: str) -> bool:
    """Return whether a setting of a run equals its preset's, or may follow from the recipe of the preset."""
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


def plot_losses(
    curves: Sequence[LossCurve], *, smooth: bool = False, by: str = "updates", ax: Axes | None = None
) -> Figure:
    """Plot the losses of runs in nats per character.

    Parameters
    ----------
    curves : sequence of LossCurve
        A single run's smooth loss (from 10,000 updates on), train loss and validation loss are in one plot, under its
        settings. Several runs have one plot of the train losses and one of the validation losses for each text. Runs
        that differ only in their seed are drawn as one line, the mean, in an area from the lowest to the highest loss.
    smooth : bool
        Plot the smooth loss instead of the train loss, with a second axis in nats per window if all runs have the same
        sequence length.
    by : str
        The unit of the horizontal axis: ``updates``, ``epochs``, ``characters`` read, or ``seconds``.
    ax : matplotlib.axes.Axes, optional
        The axes in which a single run is drawn, without its settings; by default in a new figure.

    Raises
    ------
    ElmanError
        If there are no losses, or the unit does not exist.
    """
    if by not in UNITS:
        raise ElmanError(f"{option.by} must be {join_alternatives([*UNITS])} (got {quote(by)})")
    if ax is not None and not hasattr(ax, "secondary_yaxis"):
        raise ElmanError(f"ax must be Axes of Matplotlib (got {quote(ax)})")
    if not any(curve.metrics for curve in curves):
        reason = "a run of counts alone has none, and another run has none before its first row"
        raise ElmanError(f"there are no losses to plot: {reason}")
    axes = _plot_run(curves[0], smooth, by, ax) if len(curves) == 1 else _plot_runs(curves, smooth, by)
    T, *others = {curve.config.seq_length for curve in curves}
    if smooth and not others:  # the sums over windows of T characters
        axis = axes.secondary_yaxis("right", functions=(partial(np.multiply, T), partial(np.multiply, 1 / T)))
        axis.set_ylabel(f"nats per window of {format_count(T, 'character')}")
    return axes.figure  # type: ignore[return-value]


def _plot_run(curve: LossCurve, smooth: bool, by: str, axes: Axes | None) -> Axes:
    """Draw a run, by default in a new figure; return the axes."""
    label = "loss, nats per character"
    if axes is None:
        _, (axes,) = create_figure(label, x=UNITS[by])
        axes.set_title(fill(describe_setting(curve.config), SETTING_WIDTH), fontsize=7, color="#555555", loc="left")
    else:
        _label_axes(axes, label, UNITS[by])
    # The smooth loss lags far behind until it has averaged many updates.
    is_short = not smooth and curve.metrics[-1].update < SMOOTH_UPDATES
    omitted = "train_loss" if smooth else "smooth_loss" if is_short else ""
    for loss, colour in LOSS_COLOURS.items():
        if loss != omitted and curve.points(loss)[0]:
            _draw(axes, [curve], loss, by, color=colour, label=loss.replace("_", " "))
    axes.legend(frameon=False)
    return axes


def _plot_runs(curves: Sequence[LossCurve], smooth: bool, by: str) -> Axes:
    """Draw runs in a new figure, with a row for each text, as losses of different texts cannot be compared."""
    losses = ["smooth_loss" if smooth else "train_loss"]
    if any(curve.points("validation_loss")[0] for curve in curves):
        losses.append("validation_loss")
    labels = [f"{loss.replace('_', ' ')}, nats per character" for loss in losses]
    groups, texts = group_seeds(curves), [*dict.fromkeys(curve.text for curve in curves)]
    figure, plots = create_figure(*labels, x=UNITS[by], rows=len(texts))
    lines = []
    for n, group in enumerate(groups):
        row = len(losses) * texts.index(group[0].text)
        colour, line = STYLES[n % len(STYLES)]
        style = {"color": colour, "linestyle": line}
        drawn = [_draw(axes, group, loss, by, **style) for loss, axes in zip(losses, plots[row:], strict=False)]
        lines += drawn[0]
    for text, axes in zip(texts, plots[:: len(losses)], strict=True):
        axes.set_ylim(top=_highest([curve for curve in curves if curve.text == text], losses))
        if len(texts) > 1:
            axes.set_title(without_surrogates(text), loc="left", parse_math=False)
    lengths = [curve.points(losses[0], by)[0][-1] for curve in curves if curve.metrics]
    for axes in plots if lengths and max(lengths) >= LOGARITHMIC * min(lengths) else ():
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(TICKS)
    # Labelled here and not at the lines, where matplotlib would leave out labels that begin with _.
    legend = figure.legend(lines, label_runs(groups), frameon=False, loc="outside right upper")
    for label in legend.get_texts():
        label.set_parse_math(False)
    _make_room(figure, legend)
    return plots[0]


def _highest(curves: Sequence[LossCurve], losses: Sequence[str]) -> float | None:
    """Return the top of the vertical axis, above all losses except early ones; None for the default."""
    points = [(curve, *point) for curve in curves for loss in losses for point in zip(*curve.points(loss), strict=True)]
    later = [loss for curve, update, loss in points if update >= EARLY * curve.metrics[-1].update]
    margin = 0.05 * (max(later) - min(later)) if later else 0.0
    return max(later) + margin if margin else None


def _draw(axes: Axes, group: Group, loss: str, by: str, **style: Any) -> list[Line2D]:
    """Draw the mean of a loss and its range, with markers if there are few points: a line of one point is invisible."""
    x, losses = _align([np.array(curve.points(loss, by)) for curve in group])
    if len(group) > 1:
        axes.fill_between(x, losses.min(axis=0), losses.max(axis=0), color=style["color"], alpha=0.2, linewidth=0)
    marker = "o" if len(x) <= (MARKERS if loss == "validation_loss" else 1) else ""
    return axes.plot(x, losses.mean(axis=0), linewidth=1.3, marker=marker, markersize=3, **style)


def _align(curves: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the first curve's positions (n,) that all G curves cover, and the interpolated losses there (G, n)."""
    curves = [curve for curve in curves if curve.size] or [*curves[:1]]
    x = curves[0][0]
    if len(curves) > 1:
        x = x[(x >= max(curve[0, 0] for curve in curves)) & (x <= min(curve[0, -1] for curve in curves))]
    return x, np.array([np.interp(x, *curve) if len(x) else x for curve in curves])


def _make_room(figure: Figure, legend: Legend) -> None:
    """Enlarge a figure by its legend, so that the legend shows every run and the plots keep their width."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore")  # for a layout without room, and for missing glyphs
        figure.draw_without_rendering()
        needed = legend.get_window_extent()
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + needed.width / figure.dpi, max(height, needed.height / figure.dpi + 0.2))


def create_figure(*labels: str, x: str = UNITS["updates"], rows: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure and its plots, row by row; `labels` are for the vertical axes of a row, `x` for the others."""
    with require_extra("plot"):
        from matplotlib.figure import Figure
    height = 4.5 if rows == 1 else 3.5 * rows
    figure = Figure(figsize=(8 if len(labels) == 1 else 13, height), layout="constrained")
    # A notebook does not show it twice: IPython prefers its own formatter, which %matplotlib inline registers.
    figure._repr_png_ = partial(render_figure, figure)  # type: ignore[attr-defined]
    plots = list(figure.subplots(rows, len(labels), sharex=True, squeeze=False).flat)
    for n, axes in enumerate(plots):
        _label_axes(axes, labels[n % len(labels)], x)
    return figure, plots


def _label_axes(axes: Axes, label: str, x: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(label)
    axes.xaxis.set_major_formatter(TICKS)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def render_figure(figure: Figure, format: str = "png", dpi: int = 100) -> bytes:
    """Return a figure as an image in a format, such as ``png`` or ``svg``."""
    image = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the legend shows a box instead
        figure.savefig(image, format=format, dpi=dpi)
    return image.getvalue()


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's suffix, one of Matplotlib's formats."""
    suffixes = [f".{suffix}" for suffix in figure.canvas.get_supported_filetypes()]
    if path.suffix not in suffixes:
        raise ElmanError(f"the file of a plot must end in {join_alternatives(suffixes)} (got {quote(path.name)})")
    replace_file(path, render_figure(figure, path.suffix.lstrip("."), dpi=150))
