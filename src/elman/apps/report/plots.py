"""Plots of the smooth loss, and figures as inline SVG in the colors of the page."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from io import BytesIO
from statistics import fmean
from typing import TYPE_CHECKING, Any

from elman.errors import format_count
from elman.runs import COLOURS, create_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# External references, and a style rule for strokes that would apply to the complete page.
_OUTSIDE = re.compile(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
_ROOT = re.compile(r"<svg[^>]*?(viewBox=\"[^\"]*\")[^>]*>")
# IDs of groups: nothing refers to them, and two figures on one page would share them.
_UNUSED_IDS = re.compile(r'\sid="[a-z]+[\w.]*_\d+"')
_FONT = re.compile(r"font(?:-size|-family)?: [^;\"]*; ?")


def draw_losses(results: Mapping[str, Any]) -> dict[str, Figure]:
    """Return the plot of the first phase and, if there was a second phase, of the complete run, by name.

    The plot of the first phase also has the curves of other seeds and of a submission. The curve of the complete run is
    drawn in a light color, and over it the mean of each epoch after the first, because a hundred oscillations would
    overlap.
    """
    short, long, curve = results["short"], results["long"], results["curve"]
    others, submission = results["seeds"][1:], results["submission"]
    figures = {"smooth_loss": _plot(results["seeds"][0]["curve"], short, results["config"])}
    axes = figures["smooth_loss"].axes[0]
    labels = {axes.lines[0]: f"seed {results['config']['seed']}"}
    for n, other in enumerate(others, 2):
        (line,) = axes.plot(*other["curve"].values(), color=COLOURS[n % len(COLOURS)], linewidth=0.9, zorder=1)
        labels[line] = f"seed {other['seed']}"
    if submission is not None and submission["training"]:
        (line,) = axes.plot(*submission["training"]["curve"].values(), color=COLOURS[1], linewidth=1.3)
        labels |= {axes.lines[0]: "this run", line: submission["name"]}
    show_legend(axes, [*labels], [*labels.values()])
    if long is not None:
        figures["complete_run"] = _plot(curve, long, results["config"])
        _draw_epochs(figures["complete_run"], curve, results["statistics"]["per_epoch"])
    return figures


def _draw_epochs(figure: Figure, curve: Mapping[str, Any], per_epoch: int) -> None:
    """Draw the mean of each epoch after the first over a curve, which becomes light."""
    axes, epochs = figure.axes[0], defaultdict[float, list[float]](list)
    for update, S in zip(*curve.values(), strict=True):
        epochs[((update - 1) // per_epoch + 0.5) * per_epoch].append(S)
    if len(epochs) > 2:
        axes.lines[0].set(alpha=0.4, linewidth=0.7)
        (line,) = axes.plot([*epochs][1:], [*map(fmean, epochs.values())][1:], color=axes.lines[0].get_color())
        axes.legend([axes.lines[0], line], ["smooth loss", "its mean over an epoch"], frameon=False)


def _plot(curve: Mapping[str, Any], phase: Mapping[str, Any], config: Mapping[str, Any]) -> Figure:
    """Plot a curve, with a dot at the minimum of its phase, which is between two points and lower than both."""
    update, minimum = phase["minimum_at"], phase["minimum_smooth_loss"]
    points = sorted({**dict(zip(*curve.values(), strict=True)), update: minimum}.items())
    figure, (axes,) = create_figure(f"smooth loss, nats per {config['seq_length']} characters")
    axes.set_title(f"Smooth loss, {format_count(phase['requested_epochs'], 'epoch')}")
    axes.plot(*zip(*points, strict=True), color=COLOURS[0], linewidth=1.3)
    axes.plot([update], [minimum], "o", color=COLOURS[0], markersize=4.5, clip_on=False)
    below: dict[str, Any] = {"xytext": (0, -5), "textcoords": "offset points", "ha": "center", "va": "top"}
    axes.annotate(f"{minimum:.2f}", (update, minimum), annotation_clip=False, **below)
    axes.locator_params("x", nbins=6)  # few ticks, for the font size that a phone needs
    axes.margins(y=0.1)
    return figure


def show_legend(axes: Axes, *entries: Sequence[Any]) -> None:
    """Show a legend, whose names may contain a dollar sign."""
    for text in axes.legend(*entries, frameon=False).get_texts():
        text.set_parse_math(False)


def inline_svg(figure: Figure, name: str) -> str:
    """Return a figure as an ``<svg>`` element in the colors of the page, without external references."""
    # It is resized, so that its text is legible on a phone. Curves have the page's ``--accent``, and black becomes the
    # text color. `name` is the salt of its element IDs, which must differ from the IDs of other figures on the page.
    import matplotlib

    figure.set_size_inches(6.2, 3.6)
    image = BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(image, format="svg", transparent=True)
    svg = image.getvalue().decode()
    element = _UNUSED_IDS.sub("", _OUTSIDE.sub("", svg[svg.index("<svg") :]))
    element = _ROOT.sub(r'<svg role="img" aria-label="Smooth loss against the update" \1>', element, count=1)
    element = element.replace("#000000", "currentColor").replace(COLOURS[0], "var(--accent)")
    return _FONT.sub("", element)
