"""The style of all plots in docs/images, which importing ``examples/experiments.py`` sets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes

mpl.use("agg")
sys.path.append(str(Path(__file__).parents[1] / "examples"))
IMAGES = Path(__file__).parents[1] / "docs" / "images"
name_lines: Callable[[Axes], None] = import_module("experiments").name_lines
"""Write the name of each line beside its end, in its colour."""
