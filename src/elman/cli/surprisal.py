"""Text in the terminal with the surprisal of its characters as background or, without colours, as a row of digits."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from itertools import groupby

COLORS = ((8, 203), (6, 209), (4, 215), (2, 229))
"""Bits from which a character has a background, and the background's number in the palette of 256 colours."""


def shows_colors() -> bool:
    """Return whether standard output is a terminal where colours are wanted; see https://no-color.org."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def color_text(text: str, bits: Iterable[float]) -> str:
    """Return a text whose characters, and the line feed after it if it has a number of bits, have backgrounds.

    Examples
    --------
    >>> color_text("it!", [0.1, 2.5, 9.0])
    'i\\x1b[38;5;16;48;5;229mt\\x1b[0m\\x1b[38;5;16;48;5;203m!\\x1b[0m'
    """
    pairs = (
        (c, next((color for least, color in COLORS if n >= least), 0)) for c, n in zip(f"{text}↵", bits, strict=False)
    )
    runs = ((color, "".join(c for c, _ in run)) for color, run in groupby(pairs, key=lambda pair: pair[1]))
    return "".join(f"\x1b[38;5;16;48;5;{color}m{run}\x1b[0m" if color else run for color, run in runs).removesuffix("↵")


def number_text(text: str, bits: Iterable[float]) -> str:
    """Return a text and, below its characters of at least 2 bits, a row of whole bits, 9 for more.

    Examples
    --------
    >>> print(number_text("it!", [0.1, 2.5, 15.0]))
    it!
     29
    """
    from rich.cells import cell_len  # wide characters have a width of 2

    digits = (f"{min(9, int(n))}" if n >= COLORS[-1][0] else " " for n in bits)
    row = "".join(digit.ljust(cell_len(c))[: cell_len(c)] for c, digit in zip(f"{text}↵", digits, strict=False))
    return f"{text}\n{row}".rstrip()
