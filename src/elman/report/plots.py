"""Plots of the smooth loss: as files, and as inline SVG in the colors of the page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from elman.report.curve_stats import PhaseSummary
from elman.report.narrative.formatting import nats, pluralize
from elman.report.results import Results
from elman.runs.plots import COLOURS, create_figure, save_figure
from elman.runs.records import Metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# External references, and a style rule for strokes that would apply to the complete page.
_OUTSIDE = re.compile(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
_ROOT = re.compile(r"<svg[^>]*?(viewBox=\"[^\"]*\")[^>]*>")
# IDs of groups: nothing refers to them, and two figures on one page would share them.
_UNUSED_IDS = re.compile(r'\sid="[a-z]+[\w.]*_\d+"')
_FONT = re.compile(r"font(?:-size|-family)?: [^;\"]*; ?")


@dataclass(frozen=True)
class Drawing:
    """A figure of the page: its ``<svg>`` element and its caption."""

    svg: str
    caption: str


def loss_figure(rows: Sequence[Metrics], part: PhaseSummary) -> Figure:
    """Plot the rows of a curve, and a dot at the minimum of their phase."""
    update, minimum = part.minimum_at, part.minimum_smooth_loss
    lowest = replace(rows[-1], update=update, smooth_loss=minimum)  # between two rows, and lower than both
    curve = sorted([*rows, lowest], key=lambda row: row.update)
    figure, (axes,) = create_figure("smooth loss, nats per window")
    axes.plot([row.update for row in curve], [row.smooth_loss for row in curve], color=COLOURS[0], linewidth=1.3)
    axes.plot([update], [minimum], "o", color=axes.lines[0].get_color(), markersize=4.5, clip_on=False)
    axes.annotate(
        nats(minimum),
        (update, minimum),
        xytext=(0, -5),
        textcoords="offset points",
        ha="center",
        va="top",
        annotation_clip=False,
    )
    axes.locator_params("x", nbins=6)  # few enough for the font size that a phone needs
    axes.margins(y=0.1)
    return figure


def save_figures(figure: Figure, directory: Path) -> None:
    """Write the figure as ``smooth_loss.png`` and ``smooth_loss.svg``."""
    for suffix in ("png", "svg"):
        save_figure(figure, directory / f"smooth_loss.{suffix}")


def long_run_figure(rows: Sequence[Metrics], part: PhaseSummary, per_epoch: int) -> Figure:
    """Plot a long curve from its second epoch on in a light color, and over it the mean of each epoch.

    The decrease in the first epoch would hide all later ones, and a hundred oscillations would overlap.
    """
    figure = loss_figure([row for row in rows if row.update > per_epoch], part)
    curve = figure.axes[0].lines[0]
    curve.set(alpha=0.4, linewidth=0.7)
    means = epoch_means(rows, per_epoch)
    figure.axes[0].plot([(n + 0.5) * per_epoch for n in means], list(means.values()), color=curve.get_color())
    return figure


def epoch_means(rows: Sequence[Metrics], per_epoch: int) -> dict[int, float]:
    """Return the mean smooth loss of the rows of every epoch after the first, by the number of epochs before it."""
    epochs: dict[int, list[float]] = {}
    for row in rows:
        epochs.setdefault((row.update - 1) // per_epoch, []).append(row.smooth_loss)
    return {n: fmean(losses) for n, losses in epochs.items() if n > 0}


def drawings(figure: Figure, results: Results) -> list[Drawing]:
    """Return the plot of the first phase, and that of the complete run where there was a second phase."""
    updates = pluralize(results.short.updates, "update")
    caption = (
        f"Smooth loss, S ← 0.999 S + 0.001 L, over the first {updates}, in nats per window. The dot is the minimum."
    )
    result = [Drawing(inline_svg(figure, "short"), caption)]
    if results.long is not None:
        longer = long_run_figure(results.curve, results.long, results.facts.per_epoch)
        updates = pluralize(results.long.updates, "update")
        caption = f"The same run from its second epoch to {updates}, and the mean of each epoch."
        result.append(Drawing(inline_svg(longer, "long"), caption))
    return result


def inline_svg(figure: Figure, name: str) -> str:
    """Return a figure as an ``<svg>`` element for an HTML page.

    Parameters
    ----------
    figure : Figure
        Resized, so that its text is legible on a phone.
    name : str
        Salt of its element IDs, which must differ from those of other figures on the page.
    """
    import matplotlib

    figure.set_size_inches(6.2, 3.6)
    image = BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(image, format="svg", transparent=True)
    return apply_theme(image.getvalue().decode(), figure.axes[0].lines[0].get_color())


def apply_theme(svg: str, accent: object) -> str:
    """Return an SVG file of Matplotlib as an element without external references, in the colors of the page.

    Parameters
    ----------
    svg : str
        The file.
    accent : color
        Replaced by ``--accent`` of the page; black is replaced by the text color.
    """
    element = _UNUSED_IDS.sub("", _OUTSIDE.sub("", svg[svg.index("<svg") :]))
    element = _ROOT.sub(r'<svg role="img" aria-label="Smooth loss against the update" \1>', element, count=1)
    element = element.replace("#000000", "currentColor").replace(str(accent), "var(--accent)")
    return _FONT.sub("", element)
