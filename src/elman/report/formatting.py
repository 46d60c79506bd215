"""Numbers as text.

A no-break space keeps a number and its unit on one line.
"""

from __future__ import annotations

import math

SUPERSCRIPTS = "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"
"""Of -0123456789."""

_RAISED = str.maketrans("-0123456789", SUPERSCRIPTS)


def pluralize(count: int, noun: str) -> str:
    """Return ``1 update`` or ``1,000 updates``."""
    return f"{count:,}\u00a0{noun}" + ("" if count == 1 else "s")


def percent(fraction: float) -> str:
    """Return a fraction as an integer percentage; values between 0 and 1 are not rounded to 0 % or 100 %."""
    if 0 < fraction < 0.01:
        return "less than 1\u00a0%"
    if 0.99 < fraction < 1:
        return "more than 99\u00a0%"
    return f"{100 * fraction:.0f}\u00a0%"


def scientific(value: float | None) -> str:
    """Return ``1.69×10⁻⁹``; a number that JSON cannot represent is None."""
    if value is None or not math.isfinite(value):
        return "not a number"
    if value == 0:
        return "0"
    digits, _, exponent = f"{value:.2e}".partition("e")
    return f"{digits}×10{str(int(exponent)).translate(_RAISED)}"


def duration(seconds: float) -> str:
    """Return ``3.2 s``, ``4 min 10 s`` or ``1 h 12 min``."""
    if seconds < 59.5:
        return f"{seconds:.0f}\u00a0s" if seconds >= 9.95 else f"{seconds:.1f}\u00a0s"
    if seconds < 3599.5:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes}\u00a0min" + (f" {rest}\u00a0s" if rest else "")
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours}\u00a0h" + (f" {minutes}\u00a0min" if minutes else "")
