"""Plots of the smooth loss, and figures as inline SVG in the colors of the page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import BytesIO
from statistics import fmean
from typing import TYPE_CHECKING, Any

from elman.runs.plots import COLOURS, create_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Points = dict[int, float]
"""Smooth losses by update."""

# External references, and a style rule for strokes that would apply to the complete page.
_OUTSIDE = re.compile(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
_ROOT = re.compile(r"<svg[^>]*?(viewBox=\"[^\"]*\")[^>]*>")
# IDs of groups: nothing refers to them, and two figures on one page would share them.
_UNUSED_IDS = re.compile(r'\sid="[a-z]+[\w.]*_\d+"')
_FONT = re.compile(r"font(?:-size|-family)?: [^;\"]*; ?")


def draw_losses(results: Mapping[str, Any]) -> list[Figure]:
    """Return the plot of the first phase and, if there was a second one, that of the complete run.

    The latter begins with the second epoch, since the decrease in the first would hide all later ones; the curve is in
    a light color, and over it is the mean of each epoch, as a hundred oscillations would overlap.
    """
    short, long, per_epoch = results["short"], results["long"], results["statistics"]["per_epoch"]
    points: Points = dict(zip(results["curve"]["update"], results["curve"]["smooth_loss"], strict=True))
    figures = [_plot({update: S for update, S in points.items() if update <= short["updates"]}, short)]
    if long is not None:
        figures.append(_plot({update: S for update, S in points.items() if update > per_epoch}, long))
        axes = figures[1].axes[0]
        axes.lines[0].set(alpha=0.4, linewidth=0.7)
        means = epoch_means(points, per_epoch)
        axes.plot([(n + 0.5) * per_epoch for n in means], list(means.values()), color=axes.lines[0].get_color())
    return figures


def _plot(points: Points, phase: Mapping[str, Any]) -> Figure:
    """Plot a curve, with a dot at the minimum of its phase, which is between two points and lower than both."""
    update, minimum = phase["minimum_at"], phase["minimum_smooth_loss"]
    curve = sorted((points | {update: minimum}).items())
    figure, (axes,) = create_figure("smooth loss, nats per window")
    axes.plot(*zip(*curve, strict=True), color=COLOURS[0], linewidth=1.3)
    axes.plot([update], [minimum], "o", color=COLOURS[0], markersize=4.5, clip_on=False)
    below: dict[str, Any] = {"xytext": (0, -5), "textcoords": "offset points", "ha": "center", "va": "top"}
    axes.annotate(f"{minimum:.2f}", (update, minimum), annotation_clip=False, **below)
    axes.locator_params("x", nbins=6)  # few enough for the font size that a phone needs
    axes.margins(y=0.1)
    return figure


def epoch_means(points: Points, per_epoch: int) -> dict[int, float]:
    """Return the mean smooth loss of every epoch after the first, by the number of epochs before it."""
    epochs: dict[int, list[float]] = {}
    for update, S in points.items():
        epochs.setdefault((update - 1) // per_epoch, []).append(S)
    return {n: fmean(losses) for n, losses in epochs.items() if n > 0}


def inline_svg(figure: Figure, name: str) -> str:
    """Return a figure as an ``<svg>`` element for an HTML page; it is resized, so that its text is legible on a phone.

    `name` is the salt of its element IDs, which must differ from those of other figures on the page.
    """
    import matplotlib

    figure.set_size_inches(6.2, 3.6)
    image = BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(image, format="svg", transparent=True)
    return apply_theme(image.getvalue().decode())


def apply_theme(svg: str) -> str:
    """Return an SVG file of Matplotlib as an element without external references, in the colors of the page.

    The color of the curves becomes ``--accent`` of the page, and black the text color.
    """
    element = _UNUSED_IDS.sub("", _OUTSIDE.sub("", svg[svg.index("<svg") :]))
    element = _ROOT.sub(r'<svg role="img" aria-label="Smooth loss against the update" \1>', element, count=1)
    element = element.replace("#000000", "currentColor").replace(COLOURS[0], "var(--accent)")
    return _FONT.sub("", element)
