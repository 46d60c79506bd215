"""How values look in a notebook: small HTML without scripts, in which every text is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from html import escape

from elman.errors import format_value

MAX_CHARS = 1000
"""Characters of a text that are shown."""
FULL_BITS = 8
"""Surprisal from which the colour of a character no longer changes."""


def render_table(title: str, rows: Mapping[str, object]) -> str:
    """Return a table of names and values; rows whose value is None are left out.

    Examples
    --------
    >>> render_table("Run", {"text": "a<b", "updates": 1000, "loss": None})
    '<table><caption>Run</caption><tr><th>text</th><td>a&lt;b</td></tr><tr><th>updates</th><td>1,000</td></tr></table>'
    """
    cells = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(format_value(value))}</td></tr>"
        for name, value in rows.items()
        if value is not None
    )
    return f"<table><caption>{escape(title)}</caption>{cells}</table>"


def render_text(title: str, text: str) -> str:
    """Return a text under a title; of a long one, the beginning."""
    return _render_figure(title, escape(text[:MAX_CHARS]), is_cut=len(text) > MAX_CHARS)


def render_surprisal(title: str, text: str, bits: Iterable[float]) -> str:
    """Return a text whose characters are coloured by their surprisal, unless that is NaN; of a long one, the beginning.

    Examples
    --------
    >>> render_surprisal("bits", "a<", [float("nan"), 4])[:80]
    '<figure><figcaption>bits</figcaption><pre style="white-space: pre-wrap">a<span t'
    """
    shown = "".join(_color(character, b) for character, b in zip(text[:MAX_CHARS], bits, strict=False))
    return _render_figure(title, shown, is_cut=len(text) > MAX_CHARS)


def _render_figure(title: str, html: str, *, is_cut: bool) -> str:
    body = f'<pre style="white-space: pre-wrap">{html}{"…" if is_cut else ""}</pre>'
    return f"<figure><figcaption>{escape(title)}</figcaption>{body}</figure>"


def _color(character: str, bits: float) -> str:
    shown = "↵\n" if character == "\n" else escape(character)
    if math.isnan(bits):
        return shown
    opacity = min(bits, FULL_BITS) / FULL_BITS
    return f'<span title="{bits:.2f} bits" style="background: rgba(230, 110, 40, {opacity:.2f})">{shown}</span>'
