"""Draw docs/images/unrolled.svg, a network over the steps of a window, and docs/images/gates.svg, the cells.

    python scripts/draw_networks.py

The first belongs to the handout and is also written to the course kit. The script needs `elman[plot]`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from elman.apps.course.faults import KIT
from elman.runs.plots import COLOURS

IMAGES = Path(__file__).parents[1] / "docs" / "images"
STATE, GRADIENT, GATE, PLAIN = COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[5]
BOX, ROUND, DOT = "round,pad=0.35", "round,pad=0.35,rounding_size=0.9", "circle,pad=0.1"
Point = tuple[float, float]


def draw_node(axes: Axes, at: Point, text: str, color: str = PLAIN, shape: str = BOX) -> None:
    """Draw a text in a box, or in a circle."""
    box = {"boxstyle": shape, "facecolor": "white", "edgecolor": color, "linewidth": 1.4}
    axes.text(*at, text, ha="center", va="center", fontsize=11, bbox=box, zorder=3)


def draw_arrow(axes: Axes, points: Sequence[Point], color: str = PLAIN, label: str = "", gap: float = 13) -> None:
    """Draw an arrow along points, with a label beside its first part; it ends `gap` before the last point."""
    (x0, y0), (x1, y1) = points[:2]
    axes.plot(*zip(*points[:-1], strict=True), color=color, linewidth=1.4, solid_capstyle="round", zorder=1)
    arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 1.4, "shrinkA": 0, "shrinkB": gap}
    axes.annotate("", points[-1], points[-2], arrowprops=arrow, zorder=1)
    is_vertical = abs(y1 - y0) > abs(x1 - x0)
    at = ((x0 + x1) / 2 + 0.07 * is_vertical, (y0 + y1) / 2 + 0.06 * (not is_vertical))
    place: dict[str, Any] = {"ha": "left", "va": "center"} if is_vertical else {"ha": "center", "va": "bottom"}
    axes.text(*at, label, color=color, fontsize=11, **place)


def draw_unrolled(axes: Axes, text: str = "a window", steps: int = 3) -> None:
    """Draw two windows: the state is carried from one window to the other, the gradient is not."""
    for n in range(2 * steps):
        x, t, is_first = 1.6 * n + 0.9 * (n >= steps), n % steps + 1, n % steps == 0
        before = x - 1.6 - 0.9 * (n == steps)
        draw_arrow(axes, [(x, -0.4), (x, 1)], PLAIN, "U")
        draw_arrow(axes, [(x, 1), (x, 2.3)], PLAIN, "V")
        draw_arrow(axes, [(before, 1), (x, 1)], STATE, "" if n == steps else "W")
        draw_arrow(axes, [(x - 0.2, 0.72), (x - 0.8 if is_first else x - 1.4, 0.72)], GRADIENT, gap=0)
        draw_node(axes, (x, -0.4), f"x$_{t}$ = “{text[n]}”".replace(" ”", "␣”"))
        draw_node(axes, (x, 1), f"h$_{t}$", STATE, ROUND)
        draw_node(axes, (x, 2.3), f"p$_{t}$[“{text[n + 1]}”]".replace(" ”", "␣”"))
    draw_node(axes, (-1.6, 1), "h$_0$", STATE, ROUND)
    border = 1.6 * steps - 0.35
    axes.axvline(border, linestyle=":", color=PLAIN)
    for x, y, label, color in (
        (border - 0.2, 3.05, "one window, one update", PLAIN), (border + 0.2, 3.05, "the next window", PLAIN),
        (border + 0.1, 1.3, "its h$_0$", STATE), (border + 0.1, 0.35, "no\ngradient", GRADIENT),
        (1.35, 0.45, "gradient", GRADIENT),
    ):  # fmt: skip
        axes.text(x, y, label, color=color, ha="right" if x < border else "left", va="center", fontsize=11)
    axes.set(xlim=(-2, 1.6 * 2 * steps), ylim=(-0.9, 3.3))


H, X = (0.0, 0.0), (1.0, -1.2)
CELLS: dict[str, tuple[list[tuple[Point, str, str, str]], list[tuple[list[Point], str, str]]]] = {
    "RNN": (
        [
            (H, "h$_{t-1}$", STATE, ROUND), (X, "x$_t$", PLAIN, BOX), ((2.2, 1.2), "tanh", PLAIN, BOX),
            ((4, 3), "h$_t$", STATE, ROUND),
        ],
        [([H, (2.2, 0), (2.2, 1.2)], PLAIN, ""), ([X, (1, 0)], PLAIN, ""), ([(2.2, 1.2), (2.2, 3), (4, 3)], STATE, "")],
    ),
    "GRU": (
        [
            ((0, 3), "h$_{t-1}$", STATE, ROUND), (X, "x$_t$", PLAIN, BOX), ((2, 3), "×", STATE, DOT),
            ((6, 3), "+", STATE, DOT), ((7.4, 3), "h$_t$", STATE, ROUND), ((2, 1.2), "z: σ", GATE, BOX),
            ((3.4, 1.2), "r: σ", GATE, BOX), ((4.8, 1.2), "×", PLAIN, DOT), ((6, 1.2), "n: tanh", PLAIN, BOX),
            ((6, 2.1), "×", PLAIN, DOT),
        ],
        [
            ([(0, 3), (2, 3)], STATE, ""), ([(2, 3), (6, 3)], STATE, ""), ([(6, 3), (7.4, 3)], STATE, ""),
            ([(0, 3), (0, 0), (2, 0), (2, 1.2)], PLAIN, ""), ([X, (1, 0)], PLAIN, ""),
            ([(2, 0), (3.4, 0), (3.4, 1.2)], PLAIN, ""), ([(3.4, 0), (6, 0), (6, 1.2)], PLAIN, ""),
            ([(4.8, 0), (4.8, 1.2)], PLAIN, "q"), ([(6, 0), (6, 1.2)], PLAIN, "Ux"),
            ([(2, 1.2), (2, 2.1), (2, 3)], GATE, "z"),
            ([(3.4, 1.2), (4.8, 1.2)], GATE, "r"), ([(4.8, 1.2), (5.7, 1.2)], PLAIN, ""),
            ([(2, 2.1), (6, 2.1)], GATE, "1 − z"), ([(6, 1.2), (6, 2.1)], PLAIN, ""), ([(6, 2.1), (6, 3)], PLAIN, ""),
        ],
    ),
    "LSTM": (
        [
            ((0, 3), "s$_{t-1}$", STATE, ROUND), (H, "h$_{t-1}$", STATE, ROUND), (X, "x$_t$", PLAIN, BOX),
            ((2, 3), "×", STATE, DOT), ((4, 3), "+", STATE, DOT), ((8, 3), "s$_t$", STATE, ROUND),
            ((2, 1.2), "f: σ", GATE, BOX), ((3.2, 1.2), "i: σ", GATE, BOX), ((4.6, 1.2), "g: tanh", PLAIN, BOX),
            ((5.9, 1.2), "o: σ", GATE, BOX), ((4, 2.1), "×", PLAIN, DOT), ((6.9, 2.1), "tanh", PLAIN, BOX),
            ((6.9, 1.2), "×", PLAIN, DOT), ((8, 1.2), "h$_t$", STATE, ROUND),
        ],
        [
            ([(0, 3), (2, 3)], STATE, ""), ([(2, 3), (4, 3)], STATE, ""), ([(4, 3), (8, 3)], STATE, ""),
            ([H, (5.9, 0), (5.9, 1.2)], PLAIN, ""), ([X, (1, 0)], PLAIN, ""),
            *(([(x, 0), (x, 1.2)], PLAIN, "") for x in (2, 3.2, 4.6)),
            ([(2, 1.2), (2, 3)], GATE, "f"), ([(3.2, 1.2), (3.2, 2.1), (4, 2.1)], GATE, "i"),
            ([(4.6, 1.2), (4.6, 2.1), (4, 2.1)], PLAIN, ""), ([(4, 2.1), (4, 3)], PLAIN, ""),
            ([(6.9, 3), (6.9, 2.1)], PLAIN, ""), ([(6.9, 2.1), (6.9, 1.2)], PLAIN, ""),
            ([(5.9, 1.2), (6.9, 1.2)], GATE, ""), ([(6.9, 1.2), (8, 1.2)], PLAIN, ""),
        ],
    ),
}  # fmt: skip
"""Cell -> nodes, each with a place, a text, a color and a shape, and arrows, each with points, a color and a label."""


def draw_cell(axes: Axes, name: str) -> None:
    """Draw a cell with blue states and green gates."""
    nodes, arrows = CELLS[name]
    for points, color, label in arrows:
        draw_arrow(axes, points, color, label, gap=0 if points[-1] == (1, 0) else 13)
    for node in nodes:
        draw_node(axes, *node)
    axes.set(xlim=(-0.6, max(x for (x, _), *_ in nodes) + 0.6), ylim=(-1.7, 3.5))
    axes.set_title(name, fontsize=12)


def save(figure: Figure, *paths: Path) -> None:
    """Write a figure without axes and without a creation time."""
    for axes in figure.axes:
        axes.axis("off")
    for path in paths:
        figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Draw both."""
    mpl.rcParams["svg.hashsalt"] = "elman"
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    draw_unrolled(figure.subplots())
    save(figure, IMAGES / "unrolled.svg", KIT / "unrolled.svg")
    figure = Figure(figsize=(8, 6.6), layout="constrained")
    grid = figure.add_gridspec(2, 12)
    for name, place in (("RNN", grid[0, :4]), ("GRU", grid[0, 4:]), ("LSTM", grid[1, 2:11])):
        draw_cell(figure.add_subplot(place), name)
    save(figure, IMAGES / "gates.svg")


if __name__ == "__main__":
    main()
